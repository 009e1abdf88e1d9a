//! What the coalescer writes means the frames that came.

use std::collections::BTreeMap;

use etherparse::IpEcn;
use fallback_sleeve::VnetHeader;
use fallback_sleeve::coalesce::{Coalescer, Received};
use fallback_sleeve::datagram::Room;
use fallback_sleeve::vlan::Tags;
use proptest::prelude::*;

use crate::any;
use crate::judge::{cut, right};
use crate::packet::{Ip, Packet, Transport};

/// What the coalescer writes for these frames
pub(crate) fn join(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut arena = Vec::new();
    let mut received = Vec::new();
    for frame in frames {
        let start = arena.len();
        arena.extend_from_slice(frame);
        received.push(Received {
            frame: start..arena.len(),
            tags: Tags::NONE,
        });
    }
    let mut written = Vec::new();
    Coalescer::new(true).coalesce(&arena, &received, |pieces| {
        written.push(pieces.iter().flat_map(|piece| piece.iter().copied()).collect());
    });
    written
}

/// The frames that a kernel makes of what was written: not by our own segmenter
pub(crate) fn meant(written: &[u8]) -> Vec<Vec<u8>> {
    let (vnet, frame) = VnetHeader::split(written).unwrap();
    if vnet == VnetHeader::default() {
        return vec![frame.to_vec()];
    }
    let packet = Packet::parse(frame);
    let offloaded = packet.offloaded(vnet.gso_size);
    assert!(
        (vnet, frame) == (offloaded.0, &offloaded.1[..]),
        "{vnet:?} {packet:?} is not what a kernel would have given"
    );
    let segments = packet.segments(usize::from(vnet.gso_size));
    segments.iter().map(Packet::frame).collect()
}

fn all_meant(written: &[Vec<u8>]) -> Vec<Vec<u8>> {
    written.iter().flat_map(|written| meant(written)).collect()
}

/// Whether joining has to leave a segment alone that says its checksum as the other zero
fn has_other_zero(frame: &[u8]) -> bool {
    match Packet::parse(frame) {
        Packet { ip: Ip::V4(ip), .. } if ip.header_checksum == 0xffff => true,
        Packet {
            transport: Transport::Tcp(tcp),
            ..
        } => tcp.checksum == 0xffff,
        _ => false,
    }
}

fn without_cwr(mut packet: Packet) -> Packet {
    if let Transport::Tcp(tcp) = &mut packet.transport {
        tcp.cwr = false;
    }
    packet
}

proptest! {
    #[test]
    fn segments_become_the_packet_that_they_were_cut_from(
        (packet, size) in any::train(any::plain_ip(), any::<bool>()),
    ) {
        let packet = without_cwr(packet);
        let (vnet, frame) = packet.offloaded(size);
        let segments = cut((vnet, &frame), 0, 9300, Room::CLEAR, 65_536).unwrap();
        let written = join(&segments);
        prop_assert_eq!(all_meant(&written), &segments[..]);
        for written in &written {
            let (vnet, frame) = VnetHeader::split(written).unwrap();
            for again in cut((vnet, frame), 0, u16::MAX, Room::CLEAR, 66_000).unwrap() {
                right(&again);
            }
        }
        if segments.len() > 1 && !segments.iter().any(|frame| has_other_zero(frame)) {
            let packets = segments.len().div_ceil(64);
            prop_assert_eq!(written.len(), packets, "{} segments", segments.len());
            if packets == 1 {
                prop_assert_eq!(&written[0], &[&vnet.emit()[..], &frame].concat());
            }
        }
    }

    #[test]
    fn options_and_extension_headers_pass_unjoined(
        (packet, size) in any::train(any::ip(), any::<bool>()),
    ) {
        let segments: Vec<_> = packet.segments(usize::from(size)).iter().map(Packet::frame).collect();
        let written = join(&segments);
        prop_assert_eq!(all_meant(&written), &segments[..]);
        let plain = match &packet.ip {
            Ip::V4(ip) => ip.options.is_empty(),
            Ip::V6(_, extensions) => extensions.is_empty(),
        };
        prop_assert!(plain || written.len() == segments.len());
    }

    #[test]
    fn a_mark_of_congestion_stays_where_it_is(
        (packet, size) in any::train(any::plain_ip(), any::<bool>()),
        at: prop::sample::Index,
        echo: bool,
    ) {
        // From a sender that takes part, and marked on the way; or acknowledged so.
        let mut packet = without_cwr(packet);
        set_ecn(&mut packet.ip, IpEcn::Ect0);
        let mut segments = packet.segments(usize::from(size));
        let marked = at.get_mut(&mut segments);
        match &mut marked.transport {
            Transport::Tcp(tcp) if echo => tcp.cwr = true,
            Transport::Tcp(_) | Transport::Udp(_) => set_ecn(&mut marked.ip, IpEcn::CongestionExperienced),
        }
        let marked = marked.frame();
        let segments: Vec<_> = segments.iter().map(Packet::frame).collect();
        let written = join(&segments);
        prop_assert_eq!(all_meant(&written), segments);
        let alone = [&VnetHeader::default().emit()[..], &marked].concat();
        prop_assert!(written.contains(&alone), "the mark was joined to others");
    }

    #[test]
    fn segments_that_differ_in_more_than_they_may_stay_as_they_are(
        (packet, size) in any::train(any::plain_ip(), any::<bool>()),
        which in prop::collection::vec(any::<bool>(), 1..12),
        change in 0..CHANGES,
    ) {
        let mut segments = packet.segments(usize::from(size));
        for (segment, _) in segments.iter_mut().zip(which.iter().cycle()).filter(|(_, which)| **which) {
            differ(segment, change);
        }
        let segments: Vec<_> = segments.iter().map(Packet::frame).collect();
        let written = join(&segments);
        prop_assert_eq!(by_flow(&all_meant(&written)), by_flow(&segments));
    }

    #[test]
    fn either_zero_of_a_checksum_is_given_back(
        (packet, size) in any::train(any::plain_ip(), any::<bool>()),
        at: prop::sample::Index,
        (other_ip, other_tcp) in any::<(bool, bool)>(),
    ) {
        let mut segments = without_cwr(packet).segments(usize::from(size));
        let at = at.index(segments.len());
        segments[at] = segments[at].clone().summing_to_zero();
        // The next ones count on from there.
        let mut before = None;
        for segment in &mut segments[at..] {
            if let Ip::V4(ip) = &mut segment.ip {
                ip.identification = before.map_or(ip.identification, |id: u16| id.wrapping_add(1));
                before = Some(ip.identification);
            }
        }
        let (l3, l4) = (14 + 4 * segments[at].tags.len(), segments[at].headers() - segments[at].transport_header());
        let (is_v4, is_tcp) = (matches!(segments[at].ip, Ip::V4(_)), segments[at].is_tcp());
        let mut frames: Vec<_> = segments.iter().map(Packet::frame).collect();
        if is_v4 && other_ip {
            prop_assert_eq!(&frames[at][l3 + 10..l3 + 12], &[0, 0]);
            frames[at][l3 + 10..l3 + 12].fill(0xff);
        }
        if is_tcp && other_tcp && segments[at].payload.len() >= 2 {
            prop_assert_eq!(&frames[at][l4 + 16..l4 + 18], &[0, 0]);
            frames[at][l4 + 16..l4 + 18].fill(0xff);
        }
        let written = join(&frames);
        prop_assert_eq!(all_meant(&written), frames);
    }

    #[test]
    fn what_a_rough_wire_makes_of_trains_means_the_same(
        trains in prop::collection::vec(any::train(any::ip(), any::<bool>()), 1..6),
        strangers in prop::collection::vec(any::not_ip(), 0..4),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        doubled in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        swapped in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..12),
        damaged in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..3),
    ) {
        let mut frames: Vec<Vec<u8>> = strangers;
        for (packet, size) in &trains {
            frames.extend(packet.segments(usize::from(*size)).iter().take(40).map(Packet::frame));
        }
        for at in doubled {
            frames.push(at.get(&frames).clone());
        }
        for [one, other] in swapped {
            let (one, other) = (one.index(frames.len()), other.index(frames.len()));
            frames.swap(one, other);
        }
        for [frame, at] in damaged {
            let frame = frame.get_mut(&mut frames);
            *at.get_mut(frame) ^= 0x10;
        }
        for at in lost {
            if frames.len() > 1 {
                frames.remove(at.index(frames.len()));
            }
        }
        let written = join(&frames);
        // Flows may change places; within one, which its addresses and ports tell, nothing may.
        prop_assert_eq!(by_flow(&all_meant(&written)), by_flow(&frames));
    }

    #[test]
    fn what_is_no_ip_passes_in_its_place(frames in prop::collection::vec(any::not_ip(), 0..20)) {
        let written = join(&frames);
        let head = VnetHeader::default().emit();
        let expected: Vec<_> = frames.iter().map(|frame| [&head[..], frame].concat()).collect();
        prop_assert_eq!(written, expected);
    }
}

const CHANGES: usize = 12;

/// One field is another; which, `change` tells
fn differ(packet: &mut Packet, change: usize) {
    match &mut packet.transport {
        Transport::Tcp(tcp) => match change {
            0 => tcp.cwr = true,
            1 => tcp.ece = !tcp.ece,
            2 => tcp.ns = !tcp.ns,
            3 => tcp.urgent_pointer ^= 1,
            4 => tcp.window_size ^= 0x100,
            5 => tcp.acknowledgment_number ^= 0x8000,
            6 => tcp.set_options_raw(&[2, 4, 5, 0xb4]).unwrap(),
            7 => tcp.destination_port ^= 1,
            _ => {}
        },
        Transport::Udp(udp) => udp.source_port ^= u16::from(change < 4),
    }
    match (&mut packet.ip, change) {
        (Ip::V4(ip), 8) => ip.time_to_live ^= 1,
        (Ip::V4(ip), 9) => ip.dont_fragment = !ip.dont_fragment,
        (Ip::V4(ip), 10) => ip.ecn = IpEcn::CongestionExperienced,
        (Ip::V4(ip), 11) => ip.destination[3] ^= 1,
        (Ip::V6(ip, _), 8) => ip.hop_limit ^= 1,
        (Ip::V6(ip, _), 9) => ip.flow_label = 77u32.try_into().unwrap(),
        (Ip::V6(ip, _), 10) => ip.set_ecn(IpEcn::CongestionExperienced),
        (Ip::V6(ip, _), 11) => ip.source[15] ^= 1,
        _ => packet.tags.iter_mut().take(change / 7).for_each(|tag| tag.1 ^= 1),
    }
}

fn set_ecn(ip: &mut Ip, ecn: IpEcn) {
    match ip {
        Ip::V4(ip) => ip.ecn = ecn,
        Ip::V6(ip, _) => ip.set_ecn(ecn),
    }
}

/// Frames by their first bytes without what differs within a flow: everything up to the ports, but for
/// lengths, identifications, and the like
fn by_flow(frames: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut flows = BTreeMap::<_, Vec<_>>::new();
    for frame in frames {
        flows.entry(flow(frame)).or_default().push(frame.clone());
    }
    flows
}

fn flow(frame: &[u8]) -> Vec<u8> {
    let mut l3 = 14;
    while matches!(frame.get(l3 - 2..l3), Some([0x81, 0x00] | [0x88, 0xa8])) {
        l3 += 4;
    }
    let parts = match frame.get(l3 - 2..=l3) {
        Some([0x08, 0x00, 0x45]) => [l3 + 9..l3 + 10, l3 + 12..l3 + 24],
        Some([0x86, 0xdd, 0x60..=0x6f]) => [l3 + 6..l3 + 7, l3 + 8..l3 + 44],
        // All that is not understood is one flow: none of it may overtake another.
        _ => return vec![],
    };
    let parts = parts.into_iter().map(|part| frame.get(part).unwrap_or_default());
    let mut flow = frame[..l3.min(frame.len())].to_vec();
    parts.for_each(|part| flow.extend_from_slice(part));
    flow
}
