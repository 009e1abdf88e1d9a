//! The sleeve's I/O: UDP sockets, the TAP's queues, and the threads between them.
//!
//! ```text
//! TAP queue 0 ──► sleeve-tx0 ──► UDP socket 0 ──► sleeve-rx0 ──► TAP
//! TAP queue 1 ──► sleeve-tx1 ──► UDP socket 1 ──► sleeve-rx1 ──► TAP
//!  (by flow)                      (by slot)
//! ```
//! A flow stays on its queue, and a neighbour's datagrams on their socket, so frames of a flow keep their
//! order, and what is received of a neighbour has one owner. The threads read an immutable [`Forwarding`], swapped by the control task, and never wait for it.
//! Nothing is allocated, locked or sent on a channel for a packet that goes its usual way.

pub(crate) mod counters;
mod outgoing;
mod receive;
pub(crate) mod session;
mod socket;
mod steering;
mod transmit;

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use arc_swap::ArcSwap;
use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::heartbeat::Beat;
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opener, VnetHeader};
use link::tap::Tap;
use model::{PeerName, ShortId, Vni};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use overlay::{Forwarding, MacTable};
use tokio::sync::mpsc;

use self::counters::{Drop, Drops};
use self::outgoing::Wire;
use self::session::Ends;
pub(crate) use self::session::Session;
pub(crate) use self::socket::UdpSocket;
use self::steering::socket_of;
use crate::control::Input;
use crate::neighbours::gate::BeatDrops;
use crate::switch_drops::SwitchDrops;

/// Changes of what is received that may wait, for all threads together; a burst is two for each neighbour.
const CHANGES: usize = 16 << 10;

/// Seconds after which a silent station is forgotten; that of the kernel's bridges is 300, of Weave Net
/// 600.
const STATION_AGE: u32 = 600;

/// A datagram that carried a genuine heartbeat
#[derive(Debug)]
pub(crate) struct ControlDatagram {
    pub(crate) peer: PeerName,
    pub(crate) from: SocketAddr,
    pub(crate) beat: Beat,
    /// Bytes of the datagram
    pub(crate) len: usize,
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
    /// To the receiving threads
    changes: Arc<[SyncSender<Listen>]>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What the threads share
#[derive(Debug)]
struct Shared {
    /// What heartbeats go out by
    udp: Arc<UdpSocket>,
    /// What frames are written to
    tap: File,
    forwarding: ArcSwap<Forwarding<Arc<Session>>>,
    macs: Arc<MacTable>,
    drops: Drops,
    beat_drops: BeatDrops,
    switch_drops: Arc<SwitchDrops>,
    control: mpsc::Sender<Input>,
    fragment_id: AtomicU32,
    started: Instant,
    stopping: AtomicBool,
    stop: EventFd,
}

impl Sleeve {
    /// Starts a sending and a receiving thread for each socket, with a queue of the TAP
    pub(crate) fn start(
        udp: Vec<UdpSocket>,
        tap: Tap,
        forwarding: Forwarding<Arc<Session>>,
        macs: Arc<MacTable>,
        switch_drops: Arc<SwitchDrops>,
        control: mpsc::Sender<Input>,
    ) -> io::Result<Self> {
        let udp: Vec<_> = udp.into_iter().map(Arc::new).collect();
        let shared = Arc::new(Shared {
            udp: udp.first().ok_or(io::ErrorKind::NotConnected)?.clone(),
            tap: File::from(tap.writer),
            forwarding: ArcSwap::from_pointee(forwarding),
            macs,
            drops: Drops::default(),
            beat_drops: BeatDrops::default(),
            switch_drops,
            control,
            fragment_id: AtomicU32::new(0),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            stop: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        });
        let depth = CHANGES.div_ceil(udp.len());
        let (mut changes, mut threads) = (Vec::new(), Vec::new());
        for (number, (socket, queue)) in udp.into_iter().zip(tap.queues).enumerate() {
            let (sender, receiver) = sync_channel(depth);
            changes.push(sender);
            let transmitting = Wire {
                shared: Arc::clone(&shared),
                socket,
            };
            let receiving = transmitting.clone();
            let queue = File::from(queue);
            threads.push(
                Builder::new()
                    .name(format!("sleeve-tx{number}"))
                    .spawn(move || transmit::run(&transmitting, &queue))?,
            );
            threads.push(
                Builder::new()
                    .name(format!("sleeve-rx{number}"))
                    .spawn(move || receive::run(&receiving, &receiver, tap.uso))?,
            );
        }
        Ok(Self {
            shared,
            changes: changes.into(),
            threads: Arc::new(Mutex::new(threads)),
        })
    }

    /// Publishes where frames go from here on
    pub(crate) fn publish(&self, forwarding: Forwarding<Arc<Session>>) {
        self.shared.forwarding.store(Arc::new(forwarding));
    }

    /// Receives a session from here on
    pub(crate) fn listen(&self, opener: Opener, session: Arc<Session>) {
        self.change(opener.session(), Listen::Start(opener, session));
    }

    /// Receives a session no longer
    pub(crate) fn unlisten(&self, session: SessionId) {
        self.change(session, Listen::Stop(session));
    }

    /// Tells the thread that gets the session's datagrams
    fn change(&self, session: SessionId, change: Listen) {
        let number = socket_of(session.slot(), self.changes.len());
        let told = self.changes.get(number).map(|thread| thread.try_send(change));
        if !matches!(told, Some(Ok(()))) {
            log::error!("the sleeve's receiver does not follow");
        }
    }

    /// Sends a heartbeat padded to a datagram of `len` bytes; an error of kind `EMSGSIZE` is an answer
    pub(crate) fn send_control(
        &self,
        session: &Session,
        to: SocketAddr,
        body: &[u8],
        len: usize,
    ) -> io::Result<()> {
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
        let Ends { local, .. } = session.ends();
        self.shared.udp.send(Ends { local, remote: to }, &datagram, len)
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
        let mut drops = self.shared.drops.by_name();
        drops.extend(self.shared.beat_drops.by_name("sleeve"));
        drops
    }

    /// Ends every thread
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _wakes_all = self.shared.stop.write(1);
        let threads = self
            .threads
            .lock()
            .map(|mut threads| std::mem::take(&mut *threads))
            .unwrap_or_default();
        for thread in threads {
            // A panic has ended the process before this.
            thread.join().expect("a thread that ends returns");
        }
    }
}

impl Shared {
    /// Waits until `fd` can be read, or for so long; false once the sleeve is to stop
    fn wait(&self, fd: BorrowedFd<'_>, limit: PollTimeout) -> bool {
        // The event is never read, so it wakes every thread and keeps doing so.
        let mut fds = [
            PollFd::new(fd, PollFlags::POLLIN),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        let _interrupted = poll(&mut fds, limit);
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

#[cfg(test)]
mod tests;
