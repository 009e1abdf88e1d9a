//! The frames that carry heartbeats through the kernel's datapath.

use model::Mac;

/// The ethertype of heartbeat frames: IEEE 802 local experimental
pub(crate) const BEAT_ETHERTYPE: u16 = 0x88b5;

/// An Ethernet frame from nobody to nobody, which no host's flows match
pub(super) fn beat_frame(body: &[u8], len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(len.max(MIN_FRAME));
    frame.extend_from_slice(&Mac::ZERO.octets());
    frame.extend_from_slice(&Mac::ZERO.octets());
    frame.extend_from_slice(&BEAT_ETHERTYPE.to_be_bytes());
    frame.extend_from_slice(body);
    frame.resize(len.max(frame.len()).max(MIN_FRAME), 0);
    frame
}

/// Without the checksum, as Ethernet has it
const MIN_FRAME: usize = 60;
