//! The sleeve's I/O: a UDP socket, a TAP, and the two threads between them.
//!
//! The threads read an immutable [`Forwarding`], swapped by the control task, and never wait for it.
//! Nothing is allocated, locked or sent on a channel for a packet that goes its usual way.

pub(crate) mod counters;
mod outgoing;
mod receive;
pub(crate) mod session;
mod socket;
mod transmit;

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opener, VnetHeader};
use model::{PeerName, ShortId, Vni};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use overlay::{Forwarding, MacTable};
use tokio::sync::mpsc;

use self::counters::{Drop, Drops};
pub(crate) use self::session::Session;
pub(crate) use self::socket::UdpSocket;
use crate::control::Input;
use crate::switch_drops::SwitchDrops;

/// Changes of what is received that may wait; a burst is two for each neighbour.
const CHANGES: usize = 16 << 10;

/// Seconds after which a silent station is forgotten; that of the kernel's bridges is 300, of Weave Net
/// 600.
const STATION_AGE: u32 = 600;

/// A datagram that carried a heartbeat
#[derive(Debug)]
pub(crate) struct ControlDatagram {
    pub(crate) peer: PeerName,
    pub(crate) from: SocketAddr,
    pub(crate) body: Vec<u8>,
    /// Bytes of the datagram
    pub(crate) len: usize,
}

impl ControlDatagram {
    /// More than a heartbeat has before its padding
    const BODY: usize = 64;
}

/// A change of what is received
enum Listen {
    Start(Opener, Arc<Session>),
    Stop(SessionId),
}

/// The running sleeve
#[derive(Debug, Clone)]
pub(crate) struct Sleeve {
    shared: Arc<Shared>,
    changes: SyncSender<Listen>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What the threads share
#[derive(Debug)]
struct Shared {
    udp: UdpSocket,
    tap: File,
    forwarding: ArcSwap<Forwarding<Arc<Session>>>,
    macs: Arc<MacTable>,
    drops: Drops,
    switch_drops: Arc<SwitchDrops>,
    control: mpsc::Sender<Input>,
    fragment_id: AtomicU32,
    started: Instant,
    stopping: AtomicBool,
    stop: EventFd,
}

impl Sleeve {
    /// Starts both threads
    pub(crate) fn start(
        udp: UdpSocket,
        tap: OwnedFd,
        uso: bool,
        forwarding: Forwarding<Arc<Session>>,
        macs: Arc<MacTable>,
        switch_drops: Arc<SwitchDrops>,
        control: mpsc::Sender<Input>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            udp,
            tap: File::from(tap),
            forwarding: ArcSwap::from_pointee(forwarding),
            macs,
            drops: Drops::default(),
            switch_drops,
            control,
            fragment_id: AtomicU32::new(0),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            stop: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        });
        let (changes, receiver) = sync_channel(CHANGES);
        let (transmitting, receiving) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::Builder::new()
                .name("sleeve-tx".into())
                .spawn(move || transmit::run(&transmitting))?,
            std::thread::Builder::new()
                .name("sleeve-rx".into())
                .spawn(move || receive::run(&receiving, &receiver, uso))?,
        ];
        Ok(Self {
            shared,
            changes,
            threads: Arc::new(Mutex::new(threads)),
        })
    }

    /// Publishes where frames go from here on
    pub(crate) fn publish(&self, forwarding: Forwarding<Arc<Session>>) {
        self.shared.forwarding.store(Arc::new(forwarding));
    }

    /// Receives a session from here on
    pub(crate) fn listen(&self, opener: Opener, session: Arc<Session>) {
        self.change(Listen::Start(opener, session));
    }

    /// Receives a session no longer
    pub(crate) fn unlisten(&self, session: SessionId) {
        self.change(Listen::Stop(session));
    }

    fn change(&self, change: Listen) {
        if self.changes.try_send(change).is_err() {
            log::error!("the sleeve's receiver does not follow");
        }
    }

    /// Sends a heartbeat padded to a datagram of `len` bytes; an error of kind `EMSGSIZE` is an answer
    pub(crate) fn send_control(&self, session: &Session, body: &[u8], len: usize) -> io::Result<()> {
        let sealer = session.sealer();
        let Some(sealer) = sealer.as_ref() else {
            return Ok(());
        };
        let room = sealer.room();
        let mut datagram = vec![0; len.max(room.total() + body.len())];
        if let Some(place) = datagram.get_mut(room.head..room.head + body.len()) {
            place.copy_from_slice(body);
        }
        let inner = InnerHeader {
            flags: 0,
            vni: Vni::truncated(0),
        };
        if sealer.seal_in_place(Kind::Control, inner, &mut datagram).is_err() {
            self.shared.drops.count(Drop::NoKey);
            return Ok(());
        }
        let len = datagram.len();
        self.shared.udp.send(session.ends(), &datagram, len)
    }

    /// Forgets the stations of a peer
    pub(crate) fn forget_stations(&self, peer: ShortId) {
        self.shared.macs.forget_peer(peer);
    }

    /// Forgets stations that were silent for long
    pub(crate) fn expire_stations(&self) {
        self.shared
            .macs
            .expire(self.shared.tick(Instant::now()), STATION_AGE);
    }

    /// What was dropped, by name
    pub(crate) fn drops(&self) -> std::collections::BTreeMap<String, u64> {
        self.shared.drops.by_name()
    }

    /// Ends both threads
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _wakes_both = self.shared.stop.write(1);
        let threads = self
            .threads
            .lock()
            .map(|mut threads| std::mem::take(&mut *threads))
            .unwrap_or_default();
        for thread in threads {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    fn tap_fd(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }

    fn udp_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }

    /// Waits until `fd` can be read; false once the sleeve is to stop
    fn wait(&self, fd: BorrowedFd<'_>) -> bool {
        // The event is never read, so it wakes every thread and keeps doing so.
        let mut fds = [
            PollFd::new(fd, PollFlags::POLLIN),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        let _interrupted = poll(&mut fds, PollTimeout::NONE);
        !self.stopping.load(Ordering::SeqCst)
    }

    /// Seconds since the start: the age of MAC table entries
    fn tick(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.started).as_secs() as u32
    }

    /// Writes one frame with tags put in
    fn inject(&self, frame: &[u8], tags: Tags) {
        let (addresses, rest) = frame.split_at(frame.len().min(12));
        let vnet = VnetHeader::default().emit();
        self.write(&[
            IoSlice::new(&vnet),
            IoSlice::new(addresses),
            IoSlice::new(tags.as_bytes()),
            IoSlice::new(rest),
        ]);
    }

    fn write(&self, slices: &[IoSlice<'_>]) {
        if let Err(error) = (&self.tap).write_vectored(slices) {
            log::debug!("writing the TAP: {error}");
            self.drops.count(Drop::TapRefused);
        }
    }
}
