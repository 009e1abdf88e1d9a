//! Which frames may be joined at all.

use crate::checksum;
use crate::headers::{
    IPPROTO_TCP, IPPROTO_UDP, IPV4, Network, TCP, UDP, Version, ipv4, long, tcp, udp, word,
};

/// What a received frame is to the coalescer
pub(super) enum Class {
    /// A segment with payload and right checksums: it may be joined
    Segment(Candidate),
    /// Of a flow that is understood, but not to be joined: an empty segment, SYN, a wrong checksum
    Alone(Candidate),
    /// Anything else
    Other,
}

/// Where the headers of a TCP or UDP frame lie, and what joining looks at
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) network: Network,
    pub(super) l4: usize,
    pub(super) payload: usize,
    pub(super) protocol: u8,
    /// Bytes of payload
    pub(super) len: usize,
    /// IPv4 identification
    pub(super) identification: u16,
    /// TCP sequence number
    pub(super) sequence: u32,
    /// It can only be the last of a frame: PSH or FIN
    pub(super) ends: bool,
}

impl Candidate {
    /// A slot's before its first use
    pub(super) const NONE: Self = Self {
        network: Network {
            l3: 0,
            version: Version::V4,
        },
        l4: 0,
        payload: 0,
        protocol: 0,
        len: 0,
        identification: 0,
        sequence: 0,
        ends: false,
    };

    pub(super) fn classify(frame: &[u8]) -> Class {
        let Some((candidate, joinable)) = Self::read(frame) else {
            return Class::Other;
        };
        if joinable && candidate.checksums_are_right(frame) {
            Class::Segment(candidate)
        } else {
            Class::Alone(candidate)
        }
    }

    /// Reads a frame without IP options, extension headers, or padding that is no IP fragment; and whether
    /// its transport header allows joining
    fn read(frame: &[u8]) -> Option<(Self, bool)> {
        let network = Network::find(frame)?;
        let l3 = network.l3;
        let l4 = network.header_end(frame)?;
        let protocol = network.protocol(frame)?;
        if network.packet_end(frame)? != frame.len() {
            return None;
        }
        let mut identification = 0;
        if network.version == Version::V4 {
            if l4 != l3.wrapping_add(IPV4)
                || word(frame, l3.wrapping_add(ipv4::FRAGMENT))? & ipv4::FRAGMENTED != 0
            {
                return None;
            }
            identification = word(frame, l3.wrapping_add(ipv4::IDENTIFICATION))?;
        }
        let (payload, sequence, ends, joinable) = match protocol {
            IPPROTO_TCP => {
                let flags = word(frame, l4.wrapping_add(tcp::OFFSET_FLAGS))?;
                let payload = l4.wrapping_add(usize::from(flags >> 12).wrapping_mul(4));
                if payload < l4.wrapping_add(TCP) {
                    return None;
                }
                let odd = tcp::SYN | tcp::RST | tcp::URG | tcp::CWR;
                let ends = flags & (tcp::PSH | tcp::FIN) != 0;
                let plain = flags & (odd | tcp::ACK) == tcp::ACK;
                let joinable = plain && word(frame, l4.wrapping_add(tcp::CHECKSUM))? != OTHER_ZERO;
                (
                    payload,
                    long(frame, l4.wrapping_add(tcp::SEQUENCE))?,
                    ends,
                    joinable,
                )
            }
            IPPROTO_UDP => {
                let whole =
                    usize::from(word(frame, l4.wrapping_add(udp::LENGTH))?) == frame.len().wrapping_sub(l4);
                let summed = word(frame, l4.wrapping_add(udp::CHECKSUM))? != 0;
                (l4.wrapping_add(UDP), 0, false, whole && summed)
            }
            _ => return None,
        };
        let len = frame.len().checked_sub(payload)?;
        let candidate = Self {
            network,
            l4,
            payload,
            protocol,
            len,
            identification,
            sequence,
            ends,
        };
        Some((candidate, joinable && len != 0))
    }

    fn checksums_are_right(&self, frame: &[u8]) -> bool {
        let Self { network, l4, .. } = *self;
        let (Some(ip), Some(transport), Some(pseudo)) = (
            frame.get(network.l3..l4),
            frame.get(l4..),
            network.pseudo_sum(frame, self.protocol),
        ) else {
            return false;
        };
        let total = pseudo
            .wrapping_add(checksum::sum(transport).into())
            .wrapping_add(transport.len() as u64);
        let ip_is_right = match network.version {
            Version::V4 => checksum::sum(ip) == 0xffff && word(ip, ipv4::CHECKSUM) != Some(OTHER_ZERO),
            Version::V6 => true,
        };
        ip_is_right && checksum::fold(total) == 0xffff
    }
}

/// One's complement has two zeros, and a checksum of zero is written 0x0000: what came as 0xffff would not
/// be given back
const OTHER_ZERO: u16 = 0xffff;
