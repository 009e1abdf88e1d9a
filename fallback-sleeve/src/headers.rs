//! Where the headers of a frame lie, and the words in them that are read and patched.
//!
//! Offsets within a header carry the names of the RFC's fields.

use crate::checksum;
use crate::vlan;

/// Bytes of an Ethernet header without tags
pub(crate) const ETHERNET: usize = 14;
/// Both Ethernet addresses
pub(crate) const ADDRESSES: usize = 12;
/// Bytes of an IPv4 header without options
pub(crate) const IPV4: usize = 20;
/// Bytes of an IPv6 header
pub(crate) const IPV6: usize = 40;
/// Bytes of a UDP header
pub(crate) const UDP: usize = 8;
/// Bytes of a TCP header without options
pub(crate) const TCP: usize = 20;

pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;

pub(crate) const IPPROTO_ICMP: u8 = 1;
pub(crate) const IPPROTO_TCP: u8 = 6;
pub(crate) const IPPROTO_UDP: u8 = 17;
pub(crate) const IPPROTO_ICMPV6: u8 = 58;

/// IPv4 fields
pub(crate) mod ipv4 {
    pub(crate) const TOTAL_LENGTH: usize = 2;
    pub(crate) const IDENTIFICATION: usize = 4;
    pub(crate) const FRAGMENT: usize = 6;
    pub(crate) const PROTOCOL: usize = 9;
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const SOURCE: usize = 12;
    pub(crate) const DESTINATION: usize = 16;
    /// Don't Fragment
    pub(crate) const DF: u16 = 0x4000;
    /// More Fragments and the offset
    pub(crate) const FRAGMENTED: u16 = 0x3fff;
    /// The offset
    pub(crate) const OFFSET: u16 = 0x1fff;
}

/// IPv6 fields
pub(crate) mod ipv6 {
    pub(crate) const PAYLOAD_LENGTH: usize = 4;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const SOURCE: usize = 8;
    pub(crate) const DESTINATION: usize = 24;
}

/// TCP fields
pub(crate) mod tcp {
    pub(crate) const SEQUENCE: usize = 4;
    pub(crate) const ACKNOWLEDGMENT: usize = 8;
    pub(crate) const OFFSET_FLAGS: usize = 12;
    pub(crate) const WINDOW: usize = 14;
    pub(crate) const CHECKSUM: usize = 16;
    pub(crate) const URGENT: usize = 18;
    pub(crate) const FIN: u16 = 0x001;
    pub(crate) const SYN: u16 = 0x002;
    pub(crate) const RST: u16 = 0x004;
    pub(crate) const PSH: u16 = 0x008;
    pub(crate) const ACK: u16 = 0x010;
    pub(crate) const URG: u16 = 0x020;
    pub(crate) const CWR: u16 = 0x080;
}

/// UDP fields
pub(crate) mod udp {
    pub(crate) const LENGTH: usize = 4;
    pub(crate) const CHECKSUM: usize = 6;
}

/// The versions of IP
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

/// Where the network header is, and of which version
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// Offset of the IP header
    pub(crate) l3: usize,
    pub(crate) version: Version,
}

impl Network {
    /// Finds the whole IP header of a frame behind its tags; `None` for other frames
    pub(crate) fn find(frame: &[u8]) -> Option<Self> {
        let mut at = ADDRESSES;
        let mut ethertype = word(frame, at)?;
        for _ in 0..MAX_TAGS {
            if !vlan::is_tag(ethertype) {
                break;
            }
            at = at.wrapping_add(vlan::TAG);
            ethertype = word(frame, at)?;
        }
        let l3 = at.wrapping_add(2);
        let first = *frame.get(l3)?;
        let version = match (ethertype, first >> 4) {
            (ETH_P_IP, 4) if usize::from(first & 0xf) * 4 >= IPV4 => Version::V4,
            (ETH_P_IPV6, 6) => Version::V6,
            _ => return None,
        };
        let network = Self { l3, version };
        (frame.len() >= l3.wrapping_add(network.fixed_len(first))).then_some(network)
    }

    /// The protocol named by the IP header itself
    pub(crate) fn protocol(self, frame: &[u8]) -> Option<u8> {
        let at = match self.version {
            Version::V4 => ipv4::PROTOCOL,
            Version::V6 => ipv6::NEXT_HEADER,
        };
        frame.get(self.l3.wrapping_add(at)).copied()
    }

    /// Where the IP header ends, options included and extension headers not
    pub(crate) fn header_end(self, frame: &[u8]) -> Option<usize> {
        Some(self.l3.wrapping_add(self.fixed_len(*frame.get(self.l3)?)))
    }

    /// Where the packet ends by its own length field
    pub(crate) fn packet_end(self, frame: &[u8]) -> Option<usize> {
        Some(match self.version {
            Version::V4 => self
                .l3
                .wrapping_add(word(frame, self.l3.wrapping_add(ipv4::TOTAL_LENGTH))?.into()),
            Version::V6 => self
                .l3
                .wrapping_add(IPV6)
                .wrapping_add(word(frame, self.l3.wrapping_add(ipv6::PAYLOAD_LENGTH))?.into()),
        })
    }

    /// Both addresses, one after the other
    pub(crate) fn addresses(self, frame: &[u8]) -> Option<&[u8]> {
        match self.version {
            Version::V4 => frame.get(self.l3.wrapping_add(ipv4::SOURCE)..self.l3.wrapping_add(IPV4)),
            Version::V6 => frame.get(self.l3.wrapping_add(ipv6::SOURCE)..self.l3.wrapping_add(IPV6)),
        }
    }

    /// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) without the length
    pub(crate) fn pseudo_sum(self, frame: &[u8], protocol: u8) -> Option<u64> {
        Some(u64::from(checksum::sum(self.addresses(frame)?)).wrapping_add(protocol.into()))
    }

    fn fixed_len(self, first: u8) -> usize {
        match self.version {
            Version::V4 => usize::from(first & 0xf) * 4,
            Version::V6 => IPV6,
        }
    }
}

/// The big-endian word at `at`
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*pair))
}

/// The big-endian double word at `at`
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

/// Stores a big-endian word at `at`, which the caller has found to be inside
pub(crate) fn put_word(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(pair) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *pair = value.to_be_bytes();
    }
}

/// Stores a big-endian double word at `at`, which the caller has found to be inside
pub(crate) fn put_long(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(four) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *four = value.to_be_bytes();
    }
}

/// Two that name peers and two of the container's
const MAX_TAGS: usize = 4;
