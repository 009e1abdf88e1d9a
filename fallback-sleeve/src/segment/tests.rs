use proptest::prelude::*;

use super::*;
use crate::checksum::tests::simple;
use crate::packets::{ACK, CWR, FIN, PSH, Spec, any_spec, pattern};
use crate::vlan::{PeerTags, Tags};

/// Cuts a frame up, in several fills if it must
fn cut(
    vnet: VnetHeader,
    frame: &[u8],
    strip: usize,
    mtu: u16,
    room: Room,
) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut segmenter = Segmenter::new(vnet, frame, strip, mtu, room)?;
    let mut out = vec![0xee; 65_536];
    let mut frames = Vec::new();
    while let Ok(Some(segments)) = segmenter.fill(&mut out) {
        assert!(segments.len <= MAX_LEN && segments.count <= Segmenter::MAX_SEGMENTS);
        let datagrams: Vec<_> = out[..segments.len].chunks(segments.stride).collect();
        assert_eq!(datagrams.len(), segments.count);
        assert!(segments.sends().eq(std::iter::once(0..segments.len)));
        for datagram in datagrams {
            let end = datagram.len() - room.tail;
            assert!(
                datagram[..room.head]
                    .iter()
                    .chain(&datagram[end..])
                    .all(|b| *b == 0xee),
                "room is left"
            );
            frames.push(datagram[room.head..end].to_vec());
        }
        out.fill(0xee);
    }
    assert_eq!(segmenter.left(), 0);
    Ok(frames)
}

fn frames(specs: &[Spec]) -> Vec<Vec<u8>> {
    specs.iter().map(Spec::frame).collect()
}

/// What Linux 6.18 gave a TAP for 3000 bytes of TCP over IPv4 with an MTU of 1400: vnet header, then the
/// frame's headers
const TCP4: [u8; 76] = [
    0x01, 0x01, 0x42, 0x00, 0x44, 0x05, 0x22, 0x00, 0x10, 0x00, // vnet: TCPV4, 66, 1348, 34, 16
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x0b, 0xec, 0xb6, 0xf6, 0x40, 0x00, 0x40, 0x06, 0x64,
    0x05, // IPv4: 3052, id, DF, TTL, sum
    0x0a, 0x07, 0x00, 0x01, 0x0a, 0x07, 0x00, 0x02, // 10.7.0.1 to 10.7.0.2
    0x9c, 0x40, 0x13, 0x89, 0xd1, 0x58, 0xd8, 0x47, 0xae, 0x3e, 0x36, 0x04, // ports, sequence, ack
    0x80, 0x18, 0x00, 0x40, 0x1f, 0xef, 0x00, 0x00, // PSH|ACK, window, partial sum
    0x01, 0x01, 0x08, 0x0a, 0x90, 0xaa, 0xeb, 0xeb, 0xf6, 0x72, 0x11, 0xc7, // timestamps
];

/// The same over IPv6
const TCP6: [u8; 96] = [
    0x01, 0x04, 0x56, 0x00, 0x30, 0x05, 0x36, 0x00, 0x10, 0x00, // vnet: TCPV6, 86, 1328, 54, 16
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x86, 0xdd, // Ethernet
    0x60, 0x0e, 0xf7, 0x95, 0x0b, 0xd8, 0x06, 0x40, // IPv6: flow label, 3032, TCP, hop limit
    0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // fd00::1
    0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // fd00::2
    0x9c, 0x40, 0x13, 0x89, 0x6a, 0x27, 0x8e, 0xeb, 0x8b, 0xe9, 0x0e, 0x71, // ports, sequence, ack
    0x80, 0x18, 0x00, 0x3f, 0x05, 0xe3, 0x00, 0x00, // PSH|ACK, window, partial sum
    0x01, 0x01, 0x08, 0x0a, 0xd2, 0x16, 0xcb, 0xba, 0x80, 0x98, 0x3b, 0x7d, // timestamps
];

/// And for 2500 bytes of UDP, sent with `UDP_SEGMENT` 1000
const UDP4: [u8; 52] = [
    0x01, 0x05, 0x2a, 0x00, 0xe8, 0x03, 0x22, 0x00, 0x06, 0x00, // vnet: UDP_L4, 42, 1000, 34, 6
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x09, 0xe0, 0xa0, 0x13, 0x00, 0x00, 0x40, 0x11, 0xbc, 0xe9, // IPv4: 2528, id, TTL, sum
    0x0a, 0x07, 0x00, 0x01, 0x0a, 0x07, 0x00, 0x02, // 10.7.0.1 to 10.7.0.2
    0x9c, 0x41, 0x00, 0x09, 0x09, 0xcc, 0x1d, 0xee, // ports, length, partial sum
];

#[test]
#[cfg(target_endian = "little")]
fn frames_captured_from_the_kernel_are_cut_as_it_asks() {
    for (captured, payload, size, v6, tcp) in [
        (&TCP4[..], 3000, 1348, false, true),
        (&TCP6[..], 3000, 1328, true, true),
        (&UDP4[..], 2500, 1000, false, false),
    ] {
        let read = [captured, &pattern(payload)].concat();
        let (vnet, frame) = VnetHeader::split(&read).unwrap();
        let cut = cut(vnet, frame, 0, 1400, Room::SEALED).unwrap();
        let mut joined = Vec::new();
        for (i, frame) in cut.iter().enumerate() {
            let l4 = if v6 { 54 } else { 34 };
            let headers = captured.len() - VnetHeader::LEN;
            let transport_len = (frame.len() - l4) as u16;
            let addresses = if v6 { &frame[22..54] } else { &frame[26..34] };
            let pseudo = [
                addresses,
                &[0, if tcp { 6 } else { 17 }],
                &transport_len.to_be_bytes(),
            ]
            .concat();
            let sum = simple(&[&pseudo[..], &frame[l4..]].concat());
            assert_eq!(sum, 0xffff, "transport checksum of segment {i}");
            if !v6 {
                assert_eq!(simple(&frame[14..34]), 0xffff, "IP checksum of segment {i}");
            }
            joined.extend_from_slice(&frame[headers..]);
        }
        assert_eq!(cut.len(), usize::div_ceil(payload, size));
        assert_eq!(joined, pattern(payload));
    }
}

#[test]
fn flags_go_to_the_first_and_to_the_last() {
    let spec = Spec {
        flags: ACK | PSH | FIN | CWR,
        ..Spec::tcp4(3000)
    };
    let (vnet, frame) = spec.offloaded(1000);
    let cut = cut(vnet, &frame, 0, 1500, Room::CLEAR).unwrap();
    let flags: Vec<u8> = cut.iter().map(|frame| frame[spec.l4() + 13]).collect();
    assert_eq!(flags, [ACK | CWR, ACK, ACK | PSH | FIN]);
}

#[test]
fn peers_tags_are_stripped_and_a_containers_own_kept() {
    let own = [0x81, 0x00, 0x20, 0x07];
    let inner = Spec {
        tags: vec![own],
        ..Spec::tcp4(2500)
    };
    for peers in [
        PeerTags::One("5".parse().unwrap()),
        PeerTags::Two {
            destination: "6".parse().unwrap(),
            source: "7".parse().unwrap(),
        },
    ] {
        let outer = Spec {
            tags: Tags::from(peers)
                .as_bytes()
                .chunks(4)
                .map(|tag| tag.try_into().unwrap())
                .chain([own])
                .collect(),
            ..inner.clone()
        };
        let (vnet, frame) = outer.offloaded(1000);
        assert_eq!(PeerTags::parse(&frame), Some(peers));
        let cut = cut(vnet, &frame, peers.count(), 1500, Room::CLEAR).unwrap();
        assert_eq!(cut, frames(&inner.segments(1000)));
    }
    let (vnet, frame) = Spec::tcp4(10).offloaded(0);
    assert_eq!(
        cut(vnet, &frame, 1, 1500, Room::CLEAR),
        Err(SegmentError::Untagged)
    );
}

#[test]
fn tcp_is_cut_to_fit_and_says_so() {
    let spec = Spec::tcp4(4000);
    let (vnet, frame) = spec.offloaded(1448);
    let fits = Segmenter::new(vnet, &frame, 0, 1500, Room::CLEAR).unwrap();
    assert!(!fits.shrunk());
    let shrunk = Segmenter::new(vnet, &frame, 0, 1400, Room::CLEAR).unwrap();
    assert!(shrunk.shrunk());
    let cut = cut(vnet, &frame, 0, 1400, Room::CLEAR).unwrap();
    assert_eq!(cut, frames(&spec.segments(1348)));
    assert_eq!(cut[0].len(), 1400 + ETHERNET);
}

#[test]
fn what_cannot_be_cut_to_fit_is_too_big() {
    let (vnet, frame) = Spec::udp4(4000).offloaded(1450);
    let too_big = SegmentError::TooBig {
        len: 1492,
        limit: 1414,
    };
    assert_eq!(cut(vnet, &frame, 0, 1400, Room::CLEAR), Err(too_big));
    let whole = Spec::tcp4(1400).frame();
    let too_big = SegmentError::TooBig {
        len: 1466,
        limit: 1414,
    };
    assert_eq!(
        cut(VnetHeader::default(), &whole, 0, 1400, Room::CLEAR),
        Err(too_big)
    );
    let (vnet, frame) = Spec::tcp4(400).offloaded(100);
    let too_big = SegmentError::TooBig { len: 166, limit: 64 };
    assert_eq!(cut(vnet, &frame, 0, 50, Room::CLEAR), Err(too_big));
}

#[test]
fn a_tag_of_the_containers_counts_as_part_of_the_packet() {
    let spec = Spec {
        tags: vec![[0x81, 0, 0, 5]],
        ..Spec::tcp4(1400)
    };
    let whole = spec.frame();
    let mtu = (whole.len() - ETHERNET) as u16;
    assert!(cut(VnetHeader::default(), &whole, 0, mtu, Room::CLEAR).is_ok());
    assert!(cut(VnetHeader::default(), &whole, 0, mtu - 1, Room::CLEAR).is_err());
}

#[test]
fn the_largest_frame_takes_two_fills() {
    let spec = Spec {
        df: false,
        ..Spec::tcp4(65_535 - 52)
    };
    let (vnet, frame) = spec.offloaded(1370);
    let mut segmenter = Segmenter::new(vnet, &frame, 0, 1422, Room::SEALED).unwrap();
    let mut out = vec![0; 65_536];
    let first = segmenter.fill(&mut out).unwrap().unwrap();
    assert_eq!((first.count, first.stride), (44, 1472));
    let second = segmenter.fill(&mut out).unwrap().unwrap();
    assert_eq!(first.count + second.count, 65_483usize.div_ceil(1370));
    assert_eq!(segmenter.fill(&mut out), Ok(None));
    assert_eq!(
        cut(vnet, &frame, 0, 1422, Room::SEALED).unwrap(),
        frames(&spec.segments(1370))
    );
}

#[test]
fn a_buffer_too_small_for_one_datagram_is_refused_and_nothing_lost() {
    let spec = Spec::tcp4(2000);
    let (vnet, frame) = spec.offloaded(1000);
    let mut segmenter = Segmenter::new(vnet, &frame, 0, 1500, Room::SEALED).unwrap();
    let needed = 1000 + spec.headers() + Room::SEALED.total();
    assert_eq!(segmenter.fill(&mut [0; 99]), Err(NoRoom { needed }));
    assert_eq!(segmenter.left(), 2);
}

#[test]
fn behind_extension_headers_the_kernels_partial_sum_is_trusted() {
    // An IPv6 frame with a destination options header before TCP.
    let plain = Spec {
        v6: true,
        ..Spec::tcp4(2500)
    };
    let extended = |frame: &[u8]| {
        let mut out = frame.to_vec();
        out.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
        let len = u16::from_be_bytes([out[18], out[19]]) + 8;
        out[18..20].copy_from_slice(&len.to_be_bytes());
        out[20] = 60;
        out
    };
    let (mut vnet, frame) = plain.offloaded(1000);
    vnet.csum_start += 8;
    let expected: Vec<_> = frames(&plain.segments(1000))
        .iter()
        .map(|frame| extended(frame))
        .collect();
    assert_eq!(
        cut(vnet, &extended(&frame), 0, 1500, Room::CLEAR).unwrap(),
        expected
    );
}

#[test]
fn frames_that_contradict_their_vnet_header_are_refused() {
    let (good, frame) = Spec::tcp4(2000).offloaded(1000);
    let refused = |vnet: VnetHeader| cut(vnet, &frame, 0, 1500, Room::CLEAR).unwrap_err();
    let gso_type = VnetHeader::GSO_TCPV6;
    assert_eq!(refused(VnetHeader { gso_type, ..good }), SegmentError::Headers);
    let gso_type = VnetHeader::GSO_UDP_L4;
    assert_eq!(refused(VnetHeader { gso_type, ..good }), SegmentError::Headers);
    assert_eq!(
        refused(VnetHeader { gso_type: 3, ..good }),
        SegmentError::GsoType(3)
    );
    assert_eq!(refused(VnetHeader { gso_size: 0, ..good }), SegmentError::Headers);
    assert_eq!(
        refused(VnetHeader {
            csum_start: 33,
            ..good
        }),
        SegmentError::Headers
    );
    let (good, frame) = Spec::tcp4(20).offloaded(0);
    let start = VnetHeader {
        csum_start: 99,
        ..good
    };
    assert_eq!(
        cut(start, &frame, 0, 1500, Room::CLEAR),
        Err(SegmentError::Headers)
    );
    assert_eq!(
        cut(good, &frame[..13], 0, 1500, Room::CLEAR),
        Err(SegmentError::TooShort(13))
    );
}

proptest! {
    #[test]
    fn large_frames_become_what_the_sender_meant(
        spec in any_spec(any::<bool>(), 20_000),
        size in 200..1400u16,
        sealed: bool,
    ) {
        let (vnet, frame) = spec.offloaded(size);
        let room = if sealed { Room::SEALED } else { Room::CLEAR };
        let cut = cut(vnet, &frame, 0, 1600, room).unwrap();
        prop_assert_eq!(cut, frames(&spec.segments(usize::from(size))));
    }

    #[test]
    fn frames_that_lack_only_a_checksum_get_it(spec in any_spec(any::<bool>(), 1400)) {
        let (vnet, frame) = spec.offloaded(0);
        let mut expected = spec.frame();
        let at = spec.l4() + usize::from(vnet.csum_offset);
        if expected[at..at + 2] == [0, 0] {
            // The kernel too writes the other zero where it only knows "a checksum".
            expected[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        }
        prop_assert_eq!(cut(vnet, &frame, 0, 1600, Room::CLEAR).unwrap(), [expected]);
    }

    #[test]
    fn frames_that_need_nothing_are_copied(frame in prop::collection::vec(any::<u8>(), 14..1500)) {
        let cut = cut(VnetHeader::default(), &frame, 0, 1500, Room::SEALED).unwrap();
        prop_assert_eq!(cut, [frame]);
    }

    #[test]
    fn any_bytes_never_panic(
        vnet: [u8; 10],
        frame in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0..7u8,
        shape in 0..4u8,
        strip in 0..4usize,
        mtu: u16,
        room in 0..3000usize,
    ) {
        let (mut vnet, _) = VnetHeader::split(&vnet).unwrap();
        vnet.gso_type = kind;
        let mut frame = frame;
        if frame.len() > 40 && shape > 0 {
            // Near enough to a real one to get past the first checks.
            let (ethertype, first) = if shape == 1 { ([0x08, 0x00], 0x45) } else { ([0x86, 0xdd], 0x60) };
            frame[12..14].copy_from_slice(&ethertype);
            frame[14] = first;
            frame[if shape == 1 { 23 } else { 20 }] = if kind == 5 { 17 } else { 6 };
            vnet.csum_start = if shape == 1 { 34 } else { 54 };
        }
        if let Ok(mut segmenter) = Segmenter::new(vnet, &frame, strip, mtu, Room::SEALED) {
            let mut out = vec![0; room];
            for _ in 0..4 {
                let _ = segmenter.fill(&mut out);
            }
        }
    }
}
