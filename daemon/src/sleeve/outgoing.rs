//! From a frame to datagrams on the wire: what each packet thread sends with.
//!
//! Datagrams of one length to one neighbour wait in the buffer for each other, a train that one call
//! sends, while there is more to read: with small packets the calls are most of the work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fallback_sleeve::datagram::{InnerHeader, Kind, MAX_LEN};
use fallback_sleeve::fragment::fragment;
use fallback_sleeve::ip_fragment::fragment_ipv4;
use fallback_sleeve::segment::{SegmentError, Segmenter, Segments};
use fallback_sleeve::too_big::{TooBig, too_big};
use fallback_sleeve::vlan::{PeerTags, TAG, Tags};
use fallback_sleeve::{Sealer, VnetHeader};
use model::Vni;

use super::counters::Drop;
use super::session::Session;
use super::{Shared, UdpSocket};

/// The largest frame of a TAP, with room for the headers of every segment
const SEGMENTS: usize = 128 << 10;
/// All pieces of the largest frame on the smallest path
const PIECES: usize = 160 << 10;
/// Where an Ethernet frame's tags begin
const ADDRESSES: usize = 12;

/// What one packet thread works with
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) shared: Arc<Shared>,
    /// Its own
    pub(super) socket: Arc<UdpSocket>,
}

/// The buffers of one thread that sends
#[derive(Debug)]
pub(super) struct Outgoing {
    wire: Wire,
    /// Begins with the train
    datagrams: Vec<u8>,
    train: Train,
    /// Only grown by frames that have to be fragmented
    pieces: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            datagrams: vec![0; SEGMENTS],
            train: Train::default(),
            pieces: Vec::new(),
        }
    }

    /// Sends a frame with its first `strip` tags left out, cut to the neighbour's path; at the latest with
    /// the next [`flush`](Self::flush)
    pub(super) fn carry(
        &mut self,
        vni: Vni,
        session: &Arc<Session>,
        vnet: VnetHeader,
        frame: &[u8],
        strip: usize,
    ) {
        let sealer = session.sealer();
        let Some(sealer) = sealer.as_ref() else {
            return self.wire.shared.drops.count(Drop::NoKey);
        };
        match Segmenter::new(vnet, frame, strip, session.mtu(), sealer.room()) {
            Ok(segmenter) => self.couple(vni, session, sealer, segmenter),
            Err(SegmentError::TooBig { .. }) => self.too_big(vni, session, sealer, vnet, frame, strip),
            Err(
                SegmentError::TooShort(_)
                | SegmentError::Untagged
                | SegmentError::Headers
                | SegmentError::GsoType(_),
            ) => self.wire.shared.drops.count(Drop::Malformed),
        }
    }

    /// Sends what waits
    pub(super) fn flush(&mut self) {
        let train = std::mem::take(&mut self.train);
        if let Some(session) = train.session
            && let Some(datagrams) = self.datagrams.get(..train.len)
        {
            self.wire.send(&session, datagrams, train.stride);
        }
    }

    /// Puts the segments of a frame at the end of the train, and sends it whenever nothing more fits
    fn couple(&mut self, vni: Vni, session: &Arc<Session>, sealer: &Sealer, mut segmenter: Segmenter<'_>) {
        let most = self.wire.socket.max_segments().clamp(1, Segmenter::MAX_SEGMENTS);
        while segmenter.left() > 0 {
            let stride = segmenter.stride();
            if !self.train.takes(session, stride, segmenter.left()) {
                self.flush();
                self.train = Train {
                    session: Some(Arc::clone(session)),
                    stride,
                    len: 0,
                };
            }
            let Train {
                stride: coupled, len, ..
            } = self.train;
            let end = (coupled * most).min(MAX_LEN);
            let Some(room) = self.datagrams.get_mut(len..end) else {
                return self.wire.shared.drops.count(Drop::Malformed);
            };
            let Ok(Some(segments)) = segmenter.fill(room) else {
                if len == 0 {
                    return self.wire.shared.drops.count(Drop::Malformed);
                }
                self.flush();
                continue;
            };
            let inner = InnerHeader { flags: 0, vni };
            let filled = room.get_mut(..segments.len).unwrap_or_default();
            if sealer
                .seal_batch(Kind::Data, inner, filled, segments.stride)
                .is_err()
            {
                return self.wire.shared.drops.count(Drop::NoKey);
            }
            self.train.len += segments.len;
            if self.train.is_closed() {
                self.flush();
            }
        }
    }

    /// Tells the sender of a frame that it is too large or, where that is not allowed, sends it in pieces
    fn too_big(
        &mut self,
        vni: Vni,
        session: &Session,
        sealer: &Sealer,
        vnet: VnetHeader,
        frame: &[u8],
        strip: usize,
    ) {
        // Its pieces use the same buffers, and must not overtake.
        self.flush();
        let bare = strip_tags(frame, strip);
        match too_big(&bare, session.mtu()) {
            TooBig::Reply(reply) => {
                self.wire.shared.drops.count(Drop::TooBigAnswered);
                self.send_back(vni, &reply);
            }
            TooBig::MayFragment => self.in_pieces(vni, session, sealer, vnet, frame, strip),
            TooBig::Nothing => self.wire.shared.drops.count(Drop::TooBigSilent),
        }
    }

    /// A frame for the station that sent one with `vni`, as if from the peer that that was for
    fn send_back(&mut self, vni: Vni, reply: &[u8]) {
        let forwarding = self.wire.shared.forwarding.load_full();
        let (source, destination) = (vni.source(), vni.destination());
        if source == forwarding.own_short_id() {
            let tags = match forwarding.mode() {
                overlay::Mode::Tagged => Tags::from(PeerTags::One(destination)),
                overlay::Mode::Bridge => Tags::NONE,
            };
            return self.wire.shared.inject(reply, tags);
        }
        let back = PeerTags::Two {
            destination: source,
            source: destination,
        };
        let sent = forwarding.egress_tagged(back, |vni, session| {
            // Small by nature, so it fits: no more answers to answers.
            let sealer = session.sealer();
            let Some(sealer) = sealer.as_ref() else { return };
            if let Ok(mut segmenter) =
                Segmenter::new(VnetHeader::default(), reply, 0, session.mtu(), sealer.room())
                && let Ok(Some(segments)) = segmenter.fill(&mut self.datagrams)
            {
                self.wire
                    .seal_and_send(session, sealer, Kind::Data, vni, &mut self.datagrams, segments);
            }
        });
        if sent.is_err() {
            self.wire.shared.drops.count(Drop::NoPath);
        }
    }

    fn in_pieces(
        &mut self,
        vni: Vni,
        session: &Session,
        sealer: &Sealer,
        vnet: VnetHeader,
        frame: &[u8],
        strip: usize,
    ) {
        let room = sealer.room();
        // Checksums and datagram trains are seen to first, as if the path had no limit.
        let Ok(mut segmenter) = Segmenter::new(vnet, frame, strip, u16::MAX, room) else {
            return self.wire.shared.drops.count(Drop::Malformed);
        };
        self.pieces.resize(PIECES, 0);
        while let Ok(Some(whole)) = segmenter.fill(&mut self.datagrams) {
            let frames = self
                .datagrams
                .get(..whole.len)
                .unwrap_or_default()
                .chunks(whole.stride);
            for datagram in frames {
                let end = datagram.len().saturating_sub(room.tail);
                let Some(frame) = datagram.get(room.head..end) else {
                    continue;
                };
                // IP's own fragments fit the interface at the other end, too.
                if let Some(pieces) = fragment_ipv4(frame, session.mtu(), room, &mut self.pieces) {
                    let kind = Kind::Data;
                    self.wire
                        .seal_and_send(session, sealer, kind, vni, &mut self.pieces, pieces);
                    continue;
                }
                let id = self.wire.shared.fragment_id.fetch_add(1, Ordering::Relaxed);
                match fragment(frame, id, session.mtu(), room, &mut self.pieces) {
                    Ok(pieces) => {
                        let kind = Kind::Fragment;
                        self.wire
                            .seal_and_send(session, sealer, kind, vni, &mut self.pieces, pieces);
                    }
                    Err(_too_many_pieces) => self.wire.shared.drops.count(Drop::TooBigSilent),
                }
            }
        }
    }
}

impl Wire {
    /// Seals what lies in `buffer` and sends it in as few calls as the kernel takes; whether more may follow
    fn seal_and_send(
        &self,
        session: &Session,
        sealer: &Sealer,
        kind: Kind,
        vni: Vni,
        buffer: &mut [u8],
        segments: Segments,
    ) -> bool {
        let Some(datagrams) = buffer.get_mut(..segments.len) else {
            return false;
        };
        if sealer
            .seal_batch(kind, InnerHeader { flags: 0, vni }, datagrams, segments.stride)
            .is_err()
        {
            self.shared.drops.count(Drop::NoKey);
            return false;
        }
        for sends in segments.sends() {
            if let Some(part) = datagrams.get(sends) {
                self.send(session, part, segments.stride);
            }
        }
        true
    }

    /// Sends sealed datagrams that lie `stride` bytes apart in as few calls as the kernel takes
    fn send(&self, session: &Session, datagrams: &[u8], stride: usize) {
        let ends = session.ends();
        let at_once = self.socket.max_segments().max(1) * stride.max(1);
        for part in datagrams.chunks(at_once) {
            match self.socket.send(ends, part, stride) {
                Ok(()) => {
                    session
                        .traffic
                        .sent(part.len().div_ceil(stride) as u64, part.len() as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.shared.drops.count(Drop::SendFull);
                }
                Err(error) => {
                    log::debug!("sleeve to {}: {error}", session.peer);
                    self.shared.drops.count(Drop::SendFailed);
                }
            }
        }
    }
}

/// Sealed datagrams of one length to one neighbour; the last may be shorter
#[derive(Debug, Default)]
struct Train {
    session: Option<Arc<Session>>,
    stride: usize,
    len: usize,
}

impl Train {
    /// Whether `count` datagrams of this length to this neighbour may follow; a shorter one may, and then
    /// nothing
    fn takes(&self, session: &Arc<Session>, stride: usize, count: usize) -> bool {
        let same = self.session.as_ref().is_some_and(|own| Arc::ptr_eq(own, session));
        same && (stride == self.stride || (stride < self.stride && count == 1))
    }

    /// Its last datagram is shorter than the others
    const fn is_closed(&self) -> bool {
        !self.len.is_multiple_of(self.stride)
    }
}

fn strip_tags(frame: &[u8], strip: usize) -> Vec<u8> {
    let mut bare = frame.get(..ADDRESSES).unwrap_or_default().to_vec();
    bare.extend_from_slice(frame.get(ADDRESSES + strip * TAG..).unwrap_or_default());
    bare
}
