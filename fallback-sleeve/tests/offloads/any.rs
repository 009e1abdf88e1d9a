//! Any packet that the kernel may hand to a TAP or that may arrive.

use etherparse::{
    EtherType, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, TcpOptionElement, UdpHeader, ip_number,
};
use proptest::prelude::*;

use crate::packet::{Ip, Packet, Transport};

/// A packet, and the size of its segments: payloads of nothing, of one byte, and of a byte less or more than
/// so many segments, besides all between
pub(crate) fn train(
    ip: impl Strategy<Value = Ip>,
    tcp: impl Strategy<Value = bool>,
) -> impl Strategy<Value = (Packet, u16)> {
    let size = prop_oneof![1 => 1..40u16, 8 => 500..1400u16, 1 => 7000..8900u16];
    let length = prop_oneof![
        Just((0, 0)),
        Just((0, 1)),
        (1..12usize, -1..=1i32),
        (0..12usize, 1..1400i32),
    ];
    (tags(), ip, transport(tcp), size, length, any::<u8>()).prop_map(
        |(tags, ip, transport, size, (whole, more), first)| {
            let most = 65_535 - 40 - 60 - 300;
            let length = (whole * usize::from(size))
                .saturating_add_signed(more as isize)
                .min(most)
                .min(1500 * usize::from(size));
            let payload = (0..length).map(|at| (at % 251) as u8 ^ first).collect();
            let packet = Packet {
                tags,
                ip,
                transport,
                payload,
            };
            (packet, size)
        },
    )
}

/// IPv4 with options and IPv6 with extension headers, too
pub(crate) fn ip() -> impl Strategy<Value = Ip> {
    let options = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(any::<[u8; 4]>(), 1..=10)];
    let extension = (
        prop_oneof![
            Just(ip_number::IPV6_HOP_BY_HOP),
            Just(ip_number::IPV6_DEST_OPTIONS),
            Just(ip_number::IPV6_ROUTE),
        ],
        0..4usize,
        any::<u8>(),
    );
    let extensions = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(extension, 1..=2)];
    (plain_ip(), options, extensions).prop_map(|(ip, options, extensions)| match ip {
        Ip::V4(mut ip) => {
            ip.options = options.concat().as_slice().try_into().unwrap();
            Ip::V4(ip)
        }
        Ip::V6(ip, _) => {
            let mut seen = Vec::new();
            let body = |(number, units, fill): (IpNumber, usize, u8)| {
                // Each kind once, hop-by-hop first: other orders have no meaning.
                let first = number != ip_number::IPV6_HOP_BY_HOP || seen.is_empty();
                let fresh = first && !seen.contains(&number);
                seen.push(number);
                // No segments left in a routing header: the addresses are the final ones.
                let mut bytes = vec![fill; units * 8 + 6];
                bytes[1] = 0;
                fresh.then_some((number, bytes))
            };
            Ip::V6(ip, extensions.into_iter().filter_map(body).collect())
        }
    })
}

/// Without options and extension headers
pub(crate) fn plain_ip() -> impl Strategy<Value = Ip> {
    let v4 = (any::<(u8, bool, u16, u8)>(), any::<([u8; 4], [u8; 4])>()).prop_map(
        |((tos, df, id, ttl), (source, destination))| {
            let mut ip = Ipv4Header::new(0, ttl, ip_number::TCP, source, destination).unwrap();
            ip.dscp = (tos >> 2).try_into().unwrap();
            ip.ecn = (tos & 3).try_into().unwrap();
            ip.dont_fragment = df;
            ip.identification = id;
            Ip::V4(ip)
        },
    );
    let v6 = (any::<(u8, u8)>(), 0..1u32 << 20, any::<([u8; 16], [u8; 16])>()).prop_map(
        |((traffic_class, hop_limit), flow_label, (source, destination))| {
            let ip = Ipv6Header {
                traffic_class,
                flow_label: flow_label.try_into().unwrap(),
                hop_limit,
                source,
                destination,
                ..Ipv6Header::default()
            };
            Ip::V6(ip, vec![])
        },
    );
    prop_oneof![v4, v6]
}

/// None, 802.1Q, QinQ, and 802.1Q in 802.1Q
pub(crate) fn tags() -> impl Strategy<Value = Vec<(EtherType, u16)>> {
    let (q, ad) = (EtherType(0x8100), EtherType(0x88a8));
    prop_oneof![
        3 => Just(vec![]),
        1 => any::<u16>().prop_map(move |tag| vec![(q, tag)]),
        1 => any::<(u16, u16)>().prop_map(move |(one, two)| vec![(ad, one), (q, two)]),
        1 => any::<(u16, u16)>().prop_map(move |(one, two)| vec![(q, one), (q, two)]),
    ]
}

fn transport(tcp: impl Strategy<Value = bool>) -> impl Strategy<Value = Transport> {
    (
        tcp,
        any::<(u16, u16)>(),
        any::<(u32, u32, u16)>(),
        any::<(bool, bool, bool, bool, bool)>(),
        options(),
    )
        .prop_map(|(tcp, (source, destination), numbers, flags, options)| {
            if !tcp {
                return Transport::Udp(UdpHeader {
                    source_port: source,
                    destination_port: destination,
                    ..UdpHeader::default()
                });
            }
            let (sequence, acknowledgment, window) = numbers;
            let mut header = TcpHeader::new(source, destination, sequence, window);
            header.acknowledgment_number = acknowledgment;
            header.ack = true;
            (header.psh, header.fin, header.ece, header.cwr, header.ns) = flags;
            match options {
                Options::Known(elements) => header.set_options(&elements).unwrap(),
                Options::Raw(bytes) => header.set_options_raw(&bytes).unwrap(),
            }
            Transport::Tcp(header)
        })
}

#[derive(Debug, Clone)]
enum Options {
    Known(Vec<TcpOptionElement>),
    /// Anything at all, padded to a multiple of four
    Raw(Vec<u8>),
}

fn options() -> impl Strategy<Value = Options> {
    use TcpOptionElement::{Noop, SelectiveAcknowledgement, Timestamp};
    let timestamp = any::<(u32, u32)>().prop_map(|(value, echo)| Timestamp(value, echo));
    let block = any::<(u32, u32)>();
    let sack = (block, prop::collection::vec(block, 0..=2)).prop_map(|(first, more)| {
        let mut others = [None; 3];
        for (to, from) in others.iter_mut().zip(more) {
            *to = Some(from);
        }
        SelectiveAcknowledgement(first, others)
    });
    prop_oneof![
        Just(Options::Known(vec![])),
        timestamp
            .clone()
            .prop_map(|timestamp| Options::Known(vec![Noop, Noop, timestamp])),
        // Padded after the options and not before them.
        timestamp
            .clone()
            .prop_map(|timestamp| Options::Known(vec![timestamp])),
        (timestamp, sack).prop_map(|(timestamp, sack)| Options::Known(vec![timestamp, Noop, sack])),
        prop::collection::vec(any::<u8>(), 1..=40).prop_map(Options::Raw),
    ]
}

/// Frames that are no IP: any ethertype but those that mean IP or a tag, behind any tags
pub(crate) fn not_ip() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(0x0806u16), // ARP
        Just(0x88cc),    // LLDP
        Just(0x8847),    // MPLS
        0..1501u16,      // a length, as 802.3 has it
        any::<u16>(),
    ];
    let kind = kind.prop_filter("IP or a tag", |kind| {
        !matches!(kind, 0x0800 | 0x86dd | 0x8100 | 0x88a8)
    });
    (tags(), kind, prop::collection::vec(any::<u8>(), 0..1400)).prop_map(|(tags, kind, body)| {
        let mut frame = vec![0xff; 12];
        for (protocol, control) in tags {
            frame.extend(protocol.0.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(body);
        frame
    })
}
