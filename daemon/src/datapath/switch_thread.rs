//! The thread that owns the switch and the kernel's datapath.
//!
//! It waits for upcalls, for messages of other tasks, and for the time of its housekeeping. A batch of
//! upcalls is answered by one batch of flows and packets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use api::{ApiError, DatapathStats, Dispatch, ErrorKind};
use model::{IfName, PeerName};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{mpsc, oneshot};

use odp::Dpif as _;

use super::worker::Worker;
use super::{BeatOut, FlowDump, MacPlace, Plan};
use crate::control::Input;
use crate::neighbours::{Fastdp, Path};
use crate::routes::TopologyRoutes;

/// Messages of other tasks that may wait; heartbeats are two a second for each neighbour.
const MESSAGES: usize = 8192;
/// Asked of the kernel for each upcall socket: bursts wait here while others are answered.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The running thread
#[derive(Debug)]
pub(crate) struct SwitchThread {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
    name: IfName,
    dispatch: Dispatch,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Readable when a message waits
    pub(super) wake: EventFd,
    pub(super) stopping: AtomicBool,
    /// Messages that found the queue full
    refused: AtomicU64,
}

/// What other tasks ask for
pub(super) enum Message {
    SetFastdp(PeerName, Option<Fastdp>),
    SetPath(PeerName, Option<Path>),
    SetRoutes(TopologyRoutes),
    Beat(BeatOut),
    Settle,
    AddPort(IfName, oneshot::Sender<Result<(), String>>),
    Status(oneshot::Sender<Result<Status, String>>),
    Flows(oneshot::Sender<Result<FlowDump, String>>),
    Macs(oneshot::Sender<Vec<MacPlace>>),
}

/// The kernel's counts, and the switch's
pub(super) struct Status {
    pub(super) stats: DatapathStats,
    pub(super) drops: BTreeMap<String, u64>,
}

impl SwitchThread {
    /// Makes or adopts datapath and ports, and starts
    pub(super) fn start(
        mut odp: odp::Odp,
        plan: &Plan,
        routes: TopologyRoutes,
        control: mpsc::Sender<Input>,
    ) -> anyhow::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let upcalls: Result<Vec<_>, _> = (0..cpus)
            .map(|_| odp::UpcallSocket::open(RECEIVE_BUFFER))
            .collect();
        let upcalls = upcalls.context("cannot open the sockets for upcalls")?;
        let pids: Vec<_> = upcalls.iter().map(odp::UpcallSocket::pid).collect();
        let found = odp
            .create_or_adopt(&plan.name, &pids)
            .context("cannot make the datapath")?;
        let dispatch = match &found.dispatch {
            odp::Dispatch::PerCpu(pids) => Dispatch::PerCpu { sockets: pids.len() },
            odp::Dispatch::VportPids(pids) => Dispatch::PerPort { sockets: pids.len() },
        };
        let shared = Arc::new(Shared {
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            stopping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        });
        let (messages, receiver) = sync_channel(MESSAGES);
        let now = Instant::now();
        let mut worker = Worker::new(odp, found, upcalls, plan, routes, control, now)?;
        let waking = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || worker.run(&waking, &receiver))
            .context("cannot start the switch thread")?;
        Ok(Self {
            messages,
            shared,
            name: plan.name.clone(),
            dispatch,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn describe(&self) -> String {
        let dispatch = match self.dispatch {
            Dispatch::PerCpu { sockets } => format!("{sockets} upcall sockets, one per CPU"),
            Dispatch::PerPort { sockets } => format!("{sockets} upcall sockets for all ports"),
        };
        format!("Open vSwitch datapath {} ({dispatch})", self.name)
    }

    pub(super) fn set_fastdp(&self, peer: PeerName, fastdp: Option<Fastdp>) {
        self.must_send(Message::SetFastdp(peer, fastdp));
    }
    pub(super) fn set_path(&self, peer: PeerName, path: Option<Path>) {
        self.must_send(Message::SetPath(peer, path));
    }

    pub(super) fn set_routes(&self, routes: TopologyRoutes) {
        self.must_send(Message::SetRoutes(routes));
    }

    pub(super) fn settle(&self) {
        self.must_send(Message::Settle);
    }

    /// A heartbeat that finds no room is one of those that may be lost
    pub(super) fn send_beat(&self, beat: BeatOut) {
        if self.messages.try_send(Message::Beat(beat)).is_err() {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
    }

    pub(super) async fn add_port(&self, device: IfName) -> Result<(), String> {
        self.ask(|reply| Message::AddPort(device, reply)).await?
    }

    pub(super) async fn status(&self) -> Result<(api::Datapath, BTreeMap<String, u64>), ApiError> {
        let status = self
            .ask(Message::Status)
            .await
            .and_then(|status| status)
            .map_err(internal)?;
        let mut drops = status.drops;
        let refused = self.shared.refused.load(Ordering::Relaxed);
        if refused > 0 {
            drops.insert("switch: heartbeats not sent".to_owned(), refused);
        }
        let (name, dispatch) = (self.name.clone(), self.dispatch);
        Ok((
            api::Datapath::Fastdp {
                name,
                dispatch,
                stats: status.stats,
            },
            drops,
        ))
    }

    pub(super) async fn flows(&self) -> Result<FlowDump, ApiError> {
        self.ask(Message::Flows)
            .await
            .and_then(|dump| dump)
            .map_err(internal)
    }

    pub(super) async fn macs(&self) -> Result<Vec<MacPlace>, ApiError> {
        self.ask(Message::Macs).await.map_err(internal)
    }

    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.wake();
        let thread = self
            .thread
            .lock()
            .map(|mut thread| thread.take())
            .unwrap_or_default();
        if let Some(thread) = thread {
            // A panic has ended the process before this.
            thread.join().expect("a thread that ends returns");
        }
    }

    /// What must not be lost waits for room: the switch thread never waits for control
    fn must_send(&self, message: Message) {
        let _stopping = self.messages.send(message);
        self.wake();
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.try_send(message(reply));
        match sent {
            Ok(()) => self.wake(),
            Err(TrySendError::Full(_)) => return Err("the switch is too busy; try again".to_owned()),
            Err(TrySendError::Disconnected(_)) => return Err("the switch has stopped".to_owned()),
        }
        answer
            .await
            .map_err(|_dropped| "the switch has stopped".to_owned())
    }

    fn wake(&self) {
        // Full only after 2^64 wakes that nobody read.
        let _readable_already = self.shared.wake.write(1);
    }
}

fn internal(error: String) -> ApiError {
    ApiError::new(ErrorKind::Internal, error)
}
