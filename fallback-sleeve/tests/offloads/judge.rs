//! Whether a frame is right by itself: lengths and checksums, as etherparse computes them.

use fallback_sleeve::VnetHeader;
use fallback_sleeve::datagram::Room;
use fallback_sleeve::segment::{SegmentError, Segmenter};

use crate::packet::{Ip, Packet, Transport};

/// Panics where a length or a checksum is wrong, and tells what the frame says
pub(crate) fn right(frame: &[u8]) -> Packet {
    // Lengths are compared in there.
    let packet = Packet::parse(frame);
    let payload = &packet.payload;
    let (told, computed) = match (&packet.ip, &packet.transport) {
        (Ip::V4(ip), Transport::Tcp(tcp)) => (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload)),
        (Ip::V6(ip, _), Transport::Tcp(tcp)) => (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload)),
        (Ip::V4(ip), Transport::Udp(udp)) => (udp.checksum, udp.calc_checksum_ipv4(ip, payload)),
        (Ip::V6(ip, _), Transport::Udp(udp)) => (udp.checksum, udp.calc_checksum_ipv6(ip, payload)),
    };
    // Both zeros of one's complement are the same sum to a receiver of TCP; in UDP, one means "none".
    let zero = |sum: u16| if sum == 0xffff { 0 } else { sum };
    assert_eq!(zero(told), zero(computed.unwrap()), "transport checksum");
    assert!(
        packet.is_tcp() || told != 0,
        "a UDP checksum that says there is none"
    );
    if let Ip::V4(ip) = &packet.ip {
        assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IP checksum");
    }
    packet
}

/// What the segmenter makes of a frame, filling buffers of `buffer` bytes
pub(crate) fn cut(
    (vnet, frame): (VnetHeader, &[u8]),
    strip: usize,
    mtu: u16,
    room: Room,
    buffer: usize,
) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut segmenter = Segmenter::new(vnet, frame, strip, mtu, room)?;
    let mut out = vec![0xee; buffer];
    let mut frames = Vec::new();
    while let Ok(Some(segments)) = segmenter.fill(&mut out) {
        let datagrams = out[..segments.len].chunks(segments.stride);
        assert_eq!(datagrams.len(), segments.count);
        frames.extend(datagrams.map(|datagram| datagram[room.head..datagram.len() - room.tail].to_vec()));
    }
    assert_eq!(segmenter.left(), 0, "a buffer too small for one");
    Ok(frames)
}
