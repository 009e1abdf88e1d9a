//! What the segmenter emits is what the sender meant.

use fallback_sleeve::VnetHeader;
use fallback_sleeve::datagram::Room;
use fallback_sleeve::segment::{SegmentError, Segmenter};
use fallback_sleeve::vlan::{PeerTags, Tags};
use model::ShortId;
use proptest::prelude::*;

use crate::any;
use crate::judge::{cut, right};
use crate::packet::{Ip, Packet, Transport};

const JUMBO: u16 = 9300;
const BUFFER: usize = 65_536;

fn frames(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(Packet::frame).collect()
}

proptest! {
    #[test]
    fn every_packet_is_cut_as_the_kernel_cuts_it(
        (packet, size) in any::train(any::ip(), any::<bool>()),
        sealed: bool,
    ) {
        let (vnet, frame) = packet.offloaded(size);
        let room = if sealed { Room::SEALED } else { Room::CLEAR };
        let cut = cut((vnet, &frame), 0, JUMBO, room, BUFFER).unwrap();
        for frame in &cut {
            right(frame);
        }
        prop_assert_eq!(cut, frames(&packet.segments(usize::from(size))));
    }

    #[test]
    fn with_the_tags_of_peers_before_the_containers_own_it_is_the_same(
        (packet, size) in any::train(any::ip(), any::<bool>()),
        (peer, other) in (0..4096u16, 0..4096u16),
        two: bool,
    ) {
        let (peer, other) = (ShortId::truncated(peer), ShortId::truncated(other));
        let peers = if two {
            PeerTags::Two { destination: peer, source: other }
        } else {
            PeerTags::One(peer)
        };
        let tags = Tags::from(peers);
        let (mut vnet, mut frame) = packet.offloaded(size);
        frame.splice(12..12, tags.as_bytes().iter().copied());
        vnet.csum_start += tags.as_bytes().len() as u16;
        vnet.hdr_len += tags.as_bytes().len() as u16;
        let cut = cut((vnet, &frame), peers.count(), JUMBO, Room::CLEAR, BUFFER).unwrap();
        prop_assert_eq!(cut, frames(&packet.segments(usize::from(size))));
    }

    #[test]
    fn tcp_too_large_for_the_path_is_cut_to_fit_it(
        (packet, size) in any::train(any::ip(), Just(true)),
        mtu in 600..1500u16,
    ) {
        let (vnet, frame) = packet.offloaded(size);
        let fits = usize::from(mtu) + 14 - packet.headers();
        let cut = cut((vnet, &frame), 0, mtu, Room::SEALED, BUFFER).unwrap();
        for frame in &cut {
            right(frame);
            prop_assert!(frame.len() <= usize::from(mtu) + 14);
        }
        let size = if packet.payload.len().min(usize::from(size)) > fits { fits } else { usize::from(size) };
        prop_assert_eq!(cut, frames(&packet.segments(size)));
    }

    #[test]
    fn datagrams_too_large_for_the_path_are_refused_and_others_are_not(
        (packet, size) in any::train(any::ip(), Just(false)),
        mtu in 600..1500u16,
    ) {
        let (vnet, frame) = packet.offloaded(size);
        let longest = packet.headers() + packet.payload.len().min(usize::from(size));
        let limit = usize::from(mtu) + 14;
        let cut = cut((vnet, &frame), 0, mtu, Room::SEALED, BUFFER);
        if longest > limit {
            prop_assert_eq!(cut, Err(SegmentError::TooBig { len: longest, limit }));
        } else {
            prop_assert_eq!(cut.unwrap(), frames(&packet.segments(usize::from(size))));
        }
    }

    #[test]
    fn small_buffers_change_nothing(
        (packet, size) in any::train(any::ip(), any::<bool>()),
        more in 0..4000usize,
    ) {
        let (vnet, frame) = packet.offloaded(size);
        let one = Segmenter::new(vnet, &frame, 0, JUMBO, Room::SEALED).unwrap().stride();
        let cut = cut((vnet, &frame), 0, JUMBO, Room::SEALED, one + more).unwrap();
        prop_assert_eq!(cut, frames(&packet.segments(usize::from(size))));
    }

    #[test]
    fn checksums_that_come_out_as_zero_are_written_as_each_protocol_wants(
        (packet, size) in any::train(any::ip(), any::<bool>()),
    ) {
        let packet = Packet { payload: packet.payload[..packet.payload.len().min(usize::from(size))].to_vec(), ..packet };
        let packet = packet.summing_to_zero();
        let (vnet, frame) = packet.offloaded(size);
        let cut = cut((vnet, &frame), 0, JUMBO, Room::CLEAR, BUFFER).unwrap();
        right(&cut[0]);
        let at = usize::from(vnet.csum_start + vnet.csum_offset);
        let expected = if packet.is_tcp() { [0, 0] } else { [0xff, 0xff] };
        prop_assert!(packet.payload.len() < 2 || cut[0][at..at + 2] == expected);
        prop_assert_eq!(cut, [packet.frame()]);
    }

    #[test]
    fn a_missing_checksum_is_put_in((packet, _) in any::train(any::ip(), any::<bool>())) {
        let (vnet, frame) = packet.offloaded(0);
        let cut = cut((vnet, &frame), 0, u16::MAX, Room::CLEAR, 66_000).unwrap();
        prop_assert_eq!(cut.len(), 1);
        prop_assert_eq!(right(&cut[0]).payload, packet.payload);
        prop_assert_eq!(cut[0].len(), frame.len());
    }

    #[test]
    fn what_is_no_ip_is_left_alone(frame in any::not_ip()) {
        let cut = cut((VnetHeader::default(), &frame), 0, JUMBO, Room::SEALED, BUFFER).unwrap();
        prop_assert_eq!(cut, [frame]);
    }
}

/// By hand, what the properties take from one model: that the model says what it should
#[test]
fn identifications_count_with_df_too_and_bits_go_where_they_belong() {
    let mut ip =
        etherparse::Ipv4Header::new(0, 64, etherparse::ip_number::TCP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
    (ip.dont_fragment, ip.identification) = (true, 0xffff);
    ip.ecn = etherparse::IpEcn::CongestionExperienced;
    let mut tcp = etherparse::TcpHeader::new(1, 2, u32::MAX - 500, 3);
    (tcp.cwr, tcp.ece, tcp.psh, tcp.fin, tcp.ack) = (true, true, true, true, true);
    let packet = Packet {
        tags: vec![],
        ip: Ip::V4(ip),
        transport: Transport::Tcp(tcp),
        payload: vec![7; 2001],
    };
    let (vnet, frame) = packet.offloaded(1000);
    let cut = cut((vnet, &frame), 0, 1500, Room::CLEAR, BUFFER).unwrap();
    let seen: Vec<_> = cut
        .iter()
        .map(|frame| {
            let id = u16::from_be_bytes([frame[18], frame[19]]);
            let sequence = u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
            (frame.len() - 54, frame[15], id, frame[20], sequence, frame[47])
        })
        .collect();
    // Length, TOS: CE; identification, DF, sequence number; CWR 80, ECE 40, ACK 10, PSH 08, FIN 01.
    let expected = [
        (1000, 0x03, 0xffff, 0x40, u32::MAX - 500, 0xd0),
        (1000, 0x03, 0x0000, 0x40, 499, 0x50),
        (1, 0x03, 0x0001, 0x40, 1499, 0x59),
    ];
    assert_eq!(seen, expected);
}
