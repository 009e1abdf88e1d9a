//! Frames for tests, built field by field and summed by the definition: the oracle of what the fast code
//! makes.

use proptest::prelude::*;

use crate::checksum::tests::simple;
use crate::vnet::VnetHeader;

/// A TCP or UDP frame in words
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) tags: Vec<[u8; 4]>,
    pub(crate) v6: bool,
    pub(crate) tcp: bool,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) df: bool,
    pub(crate) id: u16,
    pub(crate) port: u16,
    pub(crate) sequence: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const ECE: u8 = 0x40;
pub(crate) const CWR: u8 = 0x80;

impl Spec {
    pub(crate) fn tcp4(payload: usize) -> Self {
        Self {
            tags: Vec::new(),
            v6: false,
            tcp: true,
            tos: 0,
            ttl: 64,
            df: true,
            id: 0xfffe,
            port: 40_000,
            sequence: 0xffff_ff00,
            ack: 77,
            flags: ACK,
            window: 501,
            options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            payload: pattern(payload),
        }
    }

    pub(crate) fn udp4(payload: usize) -> Self {
        Self {
            tcp: false,
            ..Self::tcp4(payload)
        }
    }

    /// Offset of the IP header
    pub(crate) fn l3(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    pub(crate) fn l4(&self) -> usize {
        self.l3() + if self.v6 { 40 } else { 20 }
    }

    pub(crate) fn headers(&self) -> usize {
        self.l4() + if self.tcp { 20 + self.options.len() } else { 8 }
    }

    /// The finished frame
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = self.unsummed();
        let at = self.l4() + if self.tcp { 16 } else { 6 };
        let mut sum = !simple(&[&self.pseudo()[..], &frame[self.l4()..]].concat());
        if sum == 0 && !self.tcp {
            sum = 0xffff;
        }
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// What the kernel would give a TAP for it: the checksum left to do, and segmentation if `size` is not
    /// zero
    pub(crate) fn offloaded(&self, size: u16) -> (VnetHeader, Vec<u8>) {
        let mut frame = self.unsummed();
        let offset = if self.tcp { 16 } else { 6 };
        let at = self.l4() + offset;
        frame[at..at + 2].copy_from_slice(&simple(&self.pseudo()).to_be_bytes());
        let gso_type = match (size, self.tcp, self.v6) {
            (0, _, _) => VnetHeader::GSO_NONE,
            (_, true, false) => VnetHeader::GSO_TCPV4,
            (_, true, true) => VnetHeader::GSO_TCPV6,
            (_, false, _) => VnetHeader::GSO_UDP_L4,
        };
        let vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type,
            hdr_len: self.headers() as u16,
            gso_size: size,
            csum_start: self.l4() as u16,
            csum_offset: offset as u16,
        };
        (vnet, frame)
    }

    /// The frames that it means when cut into segments of `size`
    pub(crate) fn segments(&self, size: usize) -> Vec<Self> {
        let count = self.payload.chunks(size).count();
        let segment = |(i, piece): (usize, &[u8])| {
            let mut flags = self.flags;
            if i + 1 < count {
                flags &= !(FIN | PSH);
            }
            if i > 0 {
                flags &= !CWR;
            }
            Self {
                id: self.id.wrapping_add(i as u16),
                sequence: self.sequence.wrapping_add((i * size) as u32),
                flags,
                payload: piece.to_vec(),
                ..self.clone()
            }
        };
        self.payload.chunks(size).enumerate().map(segment).collect()
    }

    fn transport_len(&self) -> usize {
        self.headers() - self.l4() + self.payload.len()
    }

    fn addresses(&self) -> Vec<u8> {
        if self.v6 {
            [[0xfd; 16], [0xfe; 16]].concat()
        } else {
            vec![10, 7, 0, 1, 10, 7, 0, 2]
        }
    }

    fn pseudo(&self) -> Vec<u8> {
        let protocol = if self.tcp { 6 } else { 17 };
        let len = (self.transport_len() as u16).to_be_bytes();
        [&self.addresses()[..], &[0, protocol], &len].concat()
    }

    /// The frame with a zero transport checksum
    fn unsummed(&self) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a];
        out.extend(self.tags.iter().flatten());
        let protocol = if self.tcp { 6 } else { 17 };
        let len = self.transport_len() as u16;
        if self.v6 {
            out.extend([0x86, 0xdd, 0x60 | self.tos >> 4, self.tos << 4 | 0x0e, 0xf7, 0x95]);
            out.extend(len.to_be_bytes());
            out.extend([protocol, self.ttl]);
            out.extend(self.addresses());
        } else {
            out.extend([0x08, 0x00]);
            let mut ip = vec![0x45, self.tos];
            ip.extend((len + 20).to_be_bytes());
            ip.extend(self.id.to_be_bytes());
            ip.extend([if self.df { 0x40 } else { 0 }, 0, self.ttl, protocol, 0, 0]);
            ip.extend(self.addresses());
            let sum = !simple(&ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            out.extend(ip);
        }
        out.extend(self.port.to_be_bytes());
        out.extend(5001u16.to_be_bytes());
        if self.tcp {
            out.extend(self.sequence.to_be_bytes());
            out.extend(self.ack.to_be_bytes());
            out.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
            out.extend(self.window.to_be_bytes());
            out.extend([0; 4]);
            out.extend(&self.options);
        } else {
            out.extend(len.to_be_bytes());
            out.extend([0; 2]);
        }
        out.extend(&self.payload);
        out
    }
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tags,
            v6,
            tcp,
            tos,
            ttl,
            df,
            id,
            port,
            ..
        } = self;
        let Self {
            sequence,
            ack,
            flags,
            window,
            options,
            payload,
            ..
        } = self;
        write!(
            f,
            "tags {tags:x?} v6 {v6} tcp {tcp} tos {tos} ttl {ttl} df {df} id {id} port {port} "
        )?;
        write!(
            f,
            "seq {sequence} ack {ack} flags {flags:#x} window {window} options {options:x?} "
        )?;
        write!(f, "payload {} from {:?}", payload.len(), payload.first())
    }
}

/// Bytes in which no two places near each other look alike
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// Any frame that the kernel may want to be cut up
pub(crate) fn any_spec(tcp: impl Strategy<Value = bool>, max_payload: usize) -> impl Strategy<Value = Spec> {
    let tag = prop_oneof![Just([0x81, 0, 0x20, 5]), Just([0x88, 0xa8, 0x10, 9])];
    let flags = prop_oneof![
        Just(ACK),
        Just(ACK | PSH),
        Just(ACK | FIN),
        Just(ACK | ECE),
        Just(ACK | PSH | CWR)
    ];
    let options = prop::collection::vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat());
    (
        (prop::collection::vec(tag, 0..=2), any::<bool>(), tcp),
        (
            any::<u8>(),
            any::<u8>(),
            any::<bool>(),
            any::<u16>(),
            any::<u16>(),
        ),
        (any::<u32>(), any::<u32>(), flags, any::<u16>(), options),
        (1..max_payload, any::<u8>()),
    )
        .prop_map(|((tags, v6, tcp), ip, transport, (len, first))| {
            let (tos, ttl, df, id, port) = ip;
            let (sequence, ack, flags, window, options) = transport;
            let mut payload = pattern(len);
            payload[0] = first;
            Spec {
                tags,
                v6,
                tcp,
                tos,
                ttl,
                df,
                id,
                port,
                sequence,
                ack,
                flags,
                window,
                options,
                payload,
            }
        })
}
