//! The threads that receive datagrams and write frames to the TAP.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::{Header, Kind, SessionId};
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opened, Opener, Reassembler, VnetHeader};
use model::Vni;
use overlay::Inject;
use quinn_udp::RecvMeta;

use super::counters::Drop;
use super::outgoing::{Outgoing, Wire};
use super::session::Session;
use super::transmit::addresses;
use super::{ControlDatagram, Listen};
use crate::control::Input;

/// Bytes that the kernel joins into one receive at most
const RECEIVE: usize = 64 << 10;
/// Receives in one system call
const BATCH: usize = quinn_udp::BATCH_SIZE;
/// Batches between two looks at whether to stop.
const BURST: usize = 64;
/// Milliseconds without a datagram after which changes are looked for: the keys of neighbours that are gone
/// are not to stay because the thread has no others.
const SILENCE: u16 = 10_000;

/// Runs until the sleeve is stopped
pub(super) fn run(wire: &Wire, changes: &Receiver<Listen>, uso: bool) {
    let mut receiver = ReceiveThread {
        wire: wire.clone(),
        slots: Vec::new(),
        outgoing: Outgoing::new(wire.clone()),
        coalescer: Coalescer::new(uso),
        arena: vec![0; RECEIVE * BATCH],
        frames: Vec::with_capacity(64 * BATCH),
        tick: 0,
    };
    let mut metas = [RecvMeta::default(); BATCH];
    while wire.shared.wait(wire.socket.as_fd(), SILENCE.into()) {
        for _ in 0..BURST {
            while let Ok(change) = changes.try_recv() {
                receiver.change(change);
            }
            match receiver.batch(&mut metas) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    log::debug!("receiving from the sleeve: {error}");
                    break;
                }
            }
        }
    }
}

struct ReceiveThread {
    wire: Wire,
    /// The sessions of each neighbour, by the slot in their ids; all slots that this socket gets
    slots: Vec<Slot>,
    outgoing: Outgoing,
    coalescer: Coalescer,
    arena: Vec<u8>,
    frames: Vec<Received>,
    /// The age that stations get; the clock is read once a batch
    tick: u32,
}

/// What is received from one neighbour: the session in use, the one offered, those that retire
#[derive(Default)]
struct Slot {
    sessions: Vec<(Opener, Arc<Session>)>,
    reassembler: Option<Reassembler>,
}

impl ReceiveThread {
    fn change(&mut self, change: Listen) {
        match change {
            Listen::Start(opener, session) => {
                let at = usize::from(opener.session().slot());
                if self.slots.len() <= at {
                    self.slots.resize_with(at + 1, Slot::default);
                }
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.sessions.push((opener, session));
                }
            }
            Listen::Stop(id) => {
                if let Some(slot) = self.slots.get_mut(usize::from(id.slot())) {
                    slot.sessions.retain(|(opener, _)| opener.session() != id);
                    if slot.sessions.is_empty() {
                        slot.reassembler = None;
                    }
                }
            }
        }
    }

    fn batch(&mut self, metas: &mut [RecvMeta; BATCH]) -> io::Result<()> {
        let count = {
            let mut buffers = self.arena.chunks_mut(RECEIVE);
            let mut buffers: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
            self.wire.socket.receive(&mut buffers, metas)?
        };
        self.frames.clear();
        let now = Instant::now();
        self.tick = self.wire.shared.tick(now);
        for (at, meta) in metas.iter().enumerate().take(count) {
            let start = at * RECEIVE;
            let stride = meta.stride.max(1);
            let end = start + meta.len;
            let mut from = start;
            // At least one: an empty datagram is one, too.
            loop {
                let to = (from + stride).min(end);
                self.datagram(from..to, meta.addr, now);
                from = to;
                if from == end {
                    break;
                }
            }
        }
        self.outgoing.flush();
        let shared = &self.wire.shared;
        self.coalescer
            .coalesce(&self.arena, &self.frames, |slices| shared.write(slices));
        Ok(())
    }

    fn datagram(&mut self, range: Range<usize>, from: SocketAddr, now: Instant) {
        let Some((id, opened, session)) = self.open(range.clone()) else {
            return;
        };
        let body = range.start + opened.body.start..range.start + opened.body.end;
        session.traffic.received(1, range.len() as u64);
        match opened.kind {
            Kind::Data => {
                if let Some(tags) = self.place(opened.vni, &session, Frame::InArena(body.clone())) {
                    self.frames.push(Received { frame: body, tags });
                }
            }
            Kind::Fragment => self.piece(id, opened.vni, &session, body, now),
            Kind::Control => {
                let body = self.arena.get(body).unwrap_or_default();
                let beat = match session.beats.check(body, now) {
                    Ok(beat) => beat,
                    Err(reason) => return self.wire.shared.beat_drops.count(reason),
                };
                let datagram = ControlDatagram {
                    peer: session.peer,
                    from,
                    beat,
                    len: range.len(),
                };
                if self
                    .wire
                    .shared
                    .control
                    .try_send(Input::Control(datagram))
                    .is_err()
                {
                    self.wire.shared.drops.count(Drop::ControlFull);
                }
            }
        }
    }

    fn open(&mut self, range: Range<usize>) -> Option<(SessionId, Opened, Arc<Session>)> {
        let datagram = self.arena.get_mut(range)?;
        let drops = &self.wire.shared.drops;
        let Ok(header) = Header::parse(datagram) else {
            drops.count(Drop::Refused);
            return None;
        };
        let slot = self.slots.get_mut(usize::from(header.session.slot()));
        let known = slot.and_then(|slot| {
            slot.sessions
                .iter_mut()
                .find(|(opener, _)| opener.session().matches(header.session))
        });
        let Some((opener, session)) = known else {
            drops.count(Drop::UnknownSession);
            return None;
        };
        match opener.open_in_place(datagram) {
            Ok(opened) => Some((header.session, opened, Arc::clone(session))),
            Err(error) => {
                log::debug!("datagram of {}: {error}", session.peer);
                drops.count(Drop::Refused);
                None
            }
        }
    }

    fn piece(&mut self, id: SessionId, vni: Vni, session: &Session, body: Range<usize>, now: Instant) {
        let Some(slot) = self.slots.get_mut(usize::from(id.slot())) else {
            return;
        };
        let piece = self.arena.get(body).unwrap_or_default();
        match slot
            .reassembler
            .get_or_insert_with(Reassembler::new)
            .insert(vni, piece, now)
        {
            Ok(Some(frame)) => {
                if let Some(tags) = self.place(vni, session, Frame::Own(&frame)) {
                    self.wire.shared.inject(&frame, tags);
                }
            }
            Ok(None) => {}
            Err(error) => {
                log::debug!("piece from {}: {error}", session.peer);
                self.wire.shared.drops.count(Drop::Fragment);
            }
        }
    }

    /// Passes a frame on to whom it concerns; the tags to write it to the TAP with, if it is for here
    fn place(&mut self, vni: Vni, session: &Session, frame: Frame<'_>) -> Option<Tags> {
        let frame = match &frame {
            Frame::InArena(range) => self.arena.get(range.clone()).unwrap_or_default(),
            Frame::Own(frame) => frame,
        };
        let Some((dst, src)) = addresses(frame) else {
            self.wire.shared.drops.count(Drop::Malformed);
            return None;
        };
        let (shared, outgoing) = (&self.wire.shared, &mut self.outgoing);
        let forwarding = shared.forwarding.load();
        let injected = forwarding.ingress(
            &shared.macs,
            vni,
            session.peer,
            src,
            dst,
            self.tick,
            |vni, next| {
                outgoing.carry(vni, next, VnetHeader::default(), frame, 0);
            },
        );
        match injected {
            Ok(Inject::No) => None,
            Ok(Inject::Plain) => Some(Tags::NONE),
            Ok(Inject::Tagged(peers)) => Some(Tags::from(peers)),
            Err(reason) => {
                shared.switch_drops.count(reason);
                None
            }
        }
    }
}

enum Frame<'a> {
    InArena(Range<usize>),
    Own(&'a [u8]),
}
