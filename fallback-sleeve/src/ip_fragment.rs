//! IPv4 fragmentation (RFC 791 section 3.2) of a frame that is too long for its path.
//!
//! The station at the other end may not take a frame longer than its own interface does, so putting the
//! sleeve's fragments together again would not help: what leaves the path has to fit by itself.

use crate::checksum;
use crate::datagram::Room;
use crate::headers::{
    ETHERNET, IPV4 as HEADER, Network, Version,
    ipv4::{self, OFFSET},
    put_word, word,
};
use crate::segment::Segments;

/// Writes `frame`, an IPv4 packet, as fragments of at most `mtu`, each where its datagram will be sealed
///
/// `None` where it is something else, has options (not all of which go into every fragment), does not
/// fit `out`, or `mtu` leaves no room; nothing that matters was written then. DF is not looked at: who asks
/// has found that nobody can be told.
pub fn fragment_ipv4(frame: &[u8], mtu: u16, room: Room, out: &mut [u8]) -> Option<Segments> {
    let network = Network::find(frame).filter(|network| network.version == Version::V4)?;
    let packet = frame.get(network.l3..)?;
    let (header, rest) = packet.split_first_chunk::<HEADER>()?;
    let length = usize::from(word(header, ipv4::TOTAL_LENGTH)?);
    // Ethernet pads short frames; that is no part of the packet.
    let payload = rest.get(..length.checked_sub(HEADER)?)?;
    if *header.first()? != VERSION_AND_LENGTH || payload.is_empty() {
        return None;
    }
    let before = word(header, ipv4::FRAGMENT)?;
    let tags = network.l3.saturating_sub(ETHERNET);
    let piece = usize::from(mtu).checked_sub(tags.saturating_add(HEADER))?;
    let piece = (piece / UNIT).saturating_mul(UNIT);
    if piece == 0 {
        return None;
    }
    let head = frame.get(..network.l3)?;
    let overhead = room.total().saturating_add(head.len()).saturating_add(HEADER);
    let stride = overhead.saturating_add(piece);
    let count = payload.len().div_ceil(piece);
    let len = count.saturating_mul(overhead).saturating_add(payload.len());
    let pieces = payload.chunks(piece).zip(out.get_mut(..len)?.chunks_mut(stride));
    for (index, (piece_bytes, datagram)) in pieces.enumerate() {
        let units = u16::try_from(index.saturating_mul(piece) / UNIT).ok()?;
        let offset = (before & OFFSET)
            .checked_add(units)
            .filter(|offset| *offset <= OFFSET)?;
        let more = if index.saturating_add(1) < count {
            MORE
        } else {
            before & MORE
        };
        let mut header = *header;
        put_word(
            &mut header,
            ipv4::TOTAL_LENGTH,
            u16::try_from(piece_bytes.len().saturating_add(HEADER)).ok()?,
        );
        put_word(&mut header, ipv4::FRAGMENT, more | offset);
        put_word(&mut header, ipv4::CHECKSUM, 0);
        let sum = checksum::complement(u64::from(checksum::sum(&header)));
        put_word(&mut header, ipv4::CHECKSUM, sum);
        let body = datagram.get_mut(room.head..)?;
        let (ethernet, body) = body.split_at_mut_checked(head.len())?;
        ethernet.copy_from_slice(head);
        let (place, body) = body.split_at_mut_checked(HEADER)?;
        place.copy_from_slice(&header);
        body.get_mut(..piece_bytes.len())?.copy_from_slice(piece_bytes);
    }
    Some(Segments { count, stride, len })
}

/// IPv4, and a header without options
const VERSION_AND_LENGTH: u8 = 0x45;
/// What offsets count in
const UNIT: usize = 8;
const MORE: u16 = 0x2000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An untagged UDP packet of this payload, its header's checksum right
    fn frame(payload: &[u8], fragment: u16) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
        let mut header = [
            0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        put_word(&mut header, 2, (HEADER + payload.len()) as u16);
        put_word(&mut header, 6, fragment);
        let sum = checksum::complement(u64::from(checksum::sum(&header)));
        put_word(&mut header, 10, sum);
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        frame
    }

    proptest! {
        #[test]
        fn pieces_fit_and_make_the_packet_again(
            payload in prop::collection::vec(any::<u8>(), 1..9000),
            mtu in 68u16..9000,
            sealed: bool,
            earlier in 0u16..100,
            more: bool,
        ) {
            let before = earlier | if more { MORE } else { 0 };
            let whole = frame(&payload, before);
            let room = if sealed { Room::SEALED } else { Room::CLEAR };
            let mut out = vec![0; 1 << 20];
            let segments = fragment_ipv4(&whole, mtu, room, &mut out).unwrap();
            let mut again = vec![];
            let datagrams: Vec<&[u8]> = out[..segments.len].chunks(segments.stride).collect();
            prop_assert_eq!(datagrams.len(), segments.count);
            for (index, datagram) in datagrams.iter().enumerate() {
                let piece = &datagram[room.head..datagram.len() - room.tail];
                prop_assert!(piece.len() <= usize::from(mtu) + ETHERNET);
                prop_assert_eq!(&piece[..ETHERNET], &whole[..ETHERNET]);
                let header = &piece[ETHERNET..ETHERNET + HEADER];
                prop_assert_eq!(checksum::sum(header), 0xffff);
                prop_assert_eq!(usize::from(word(header, 2).unwrap()), piece.len() - ETHERNET);
                let field = word(header, 6).unwrap();
                prop_assert_eq!(usize::from(field & OFFSET) * UNIT, usize::from(earlier) * UNIT + again.len());
                let last = index + 1 == segments.count;
                prop_assert_eq!(field & MORE != 0, !last || more);
                again.extend_from_slice(&piece[ETHERNET + HEADER..]);
            }
            prop_assert_eq!(again, payload);
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), mtu: u16) {
            let mut out = vec![0; 4096];
            let _ = fragment_ipv4(&bytes, mtu, Room::SEALED, &mut out);
        }
    }

    #[test]
    fn what_is_not_plain_ipv4_is_left_to_others() {
        let mut out = vec![0; 4096];
        let mut arp = frame(&[0; 100], 0);
        arp[13] = 0x06;
        assert_eq!(fragment_ipv4(&arp, 68, Room::CLEAR, &mut out), None);
        let mut options = frame(&[0; 100], 0);
        options[14] = 0x46;
        assert_eq!(fragment_ipv4(&options, 68, Room::CLEAR, &mut out), None);
        assert_eq!(
            fragment_ipv4(&frame(&[0; 100], 0), 27, Room::CLEAR, &mut out),
            None
        );
    }
}
