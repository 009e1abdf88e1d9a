//! Frames and keys for the sleeve's pieces.

use fallback_sleeve::coalesce::Received;
use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::vlan::Tags;
use fallback_sleeve::{Opener, Sealer, Suite, VnetHeader};
use model::{ShortId, Vni};

/// Both ends of a session
pub fn session(suite: Suite) -> (Sealer, Opener) {
    (
        Sealer::new(SESSION, suite, &KEY),
        Opener::new(SESSION, suite, &KEY),
    )
}

/// A datagram with room for a frame, to be sealed
pub fn datagram(sealer: &Sealer) -> Vec<u8> {
    vec![0x5a; FRAME + sealer.room().total()]
}

/// The same, sealed; each can be opened once: the window refuses it the second time
pub fn sealed(sealer: &Sealer) -> Vec<u8> {
    let mut datagram = datagram(sealer);
    sealer
        .seal_in_place(Kind::Data, INNER, &mut datagram)
        .expect("a new session has counters left");
    datagram
}

/// Cuts a frame up; where the segments are
pub fn segment(vnet: VnetHeader, frame: &[u8], out: &mut [u8]) -> Vec<Received> {
    let room = Suite::Clear.room();
    let mut segmenter = Segmenter::new(vnet, frame, 0, MTU, room).expect("a TCP frame");
    let mut received = Vec::with_capacity(SEGMENTS);
    let mut at = 0;
    while let Some(segments) = segmenter.fill(&mut out[at..]).expect("128 KiB are room enough") {
        for start in (at..at + segments.len).step_by(segments.stride) {
            let end = (start + segments.stride).min(at + segments.len);
            received.push(Received {
                frame: start + room.head..end,
                tags: Tags::NONE,
            });
        }
        at += segments.len;
    }
    received
}

/// A TCP/IPv4 frame as a TAP gives it, to be cut up and summed
pub fn tcp_frame() -> (VnetHeader, Vec<u8>) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    // IPv4: identification 1, DF, TTL 64, TCP, 10.0.0.1 to 10.0.0.2
    frame.extend([
        0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    // TCP: ports 40000 and 5001, ACK, with a timestamp option
    frame.extend([
        0x9c, 0x40, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0,
    ]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    let headers = frame.len();
    frame.resize(headers + PAYLOAD, 0x5a);
    let vnet = VnetHeader {
        flags: VnetHeader::NEEDS_CSUM,
        gso_type: VnetHeader::GSO_TCPV4,
        hdr_len: headers as u16,
        gso_size: SEGMENT as u16,
        csum_start: 34,
        csum_offset: 16,
    };
    (vnet, frame)
}

const SESSION: SessionId = SessionId::new(7, 0x0123_4567_89ab_cdef);
const KEY: [u8; 32] = [0x42; 32];
/// What is said with every frame
pub const INNER: InnerHeader = InnerHeader {
    flags: 0,
    vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)),
};
/// Bytes of a frame
pub const FRAME: usize = 1400;
const MTU: u16 = 1422;
/// TCP payload of a packet of that MTU
const SEGMENT: usize = MTU as usize - 52;
/// Segments of a long frame
pub const SEGMENTS: usize = 47;
/// Bytes of TCP payload of a long frame
pub const PAYLOAD: usize = SEGMENTS * SEGMENT;
