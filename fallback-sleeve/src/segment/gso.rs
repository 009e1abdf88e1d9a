//! The headers of a frame to be cut up: read once, patched in every segment.

use crate::checksum;
use crate::headers::{
    IPPROTO_TCP, IPPROTO_UDP, IPV6, Network, TCP, UDP, Version, ipv4, ipv6, long, put_long, put_word, tcp,
    udp, word,
};

/// What the kernel left to be done
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offload {
    /// TCP segmentation (TSO)
    Tcp(Version),
    /// UDP segmentation (USO)
    Udp,
}

/// What the segments of one frame have in common, and where they differ
#[derive(Debug)]
pub(super) struct Gso {
    l3: usize,
    l4: usize,
    payload: usize,
    version: Version,
    /// The first segment's IPv4 identification
    identification: u16,
    /// Sum of the IPv4 header without length, identification, and checksum
    ip_sum: u64,
    /// Sum of transport header and pseudo header without what differs between segments
    transport_sum: u64,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Tcp { sequence: u32, offset_flags: u16 },
    Udp,
}

impl Gso {
    /// Reads the headers at the start of a frame of `len` bytes, of which `head` are known, and zeroes in
    /// `head` what differs between segments; `None` if they are not what the kernel says they are
    pub(super) fn read(
        head: &mut [u8],
        len: usize,
        offload: Offload,
        csum_start: Option<usize>,
    ) -> Option<Self> {
        let network = Network::find(head)?;
        let Network { l3, version } = network;
        let protocol = match offload {
            Offload::Tcp(expected) if expected == version => IPPROTO_TCP,
            Offload::Tcp(_) => return None,
            Offload::Udp => IPPROTO_UDP,
        };
        let fixed_end = network.header_end(head)?;
        let plain = network.protocol(head)? == protocol;
        // Behind IPv6 extension headers, only the kernel's word says where the transport header is.
        let l4 = match (plain, version) {
            (true, _) => fixed_end,
            (false, Version::V6) => csum_start?,
            (false, Version::V4) => return None,
        };
        if l4 < fixed_end || csum_start.is_some_and(|start| start != l4) {
            return None;
        }
        let payload = match offload {
            Offload::Tcp(_) => l4.wrapping_add(
                usize::from(word(head, l4.wrapping_add(tcp::OFFSET_FLAGS))? >> 12).wrapping_mul(4),
            ),
            Offload::Udp => l4.wrapping_add(UDP),
        };
        let least = match offload {
            Offload::Tcp(_) => TCP,
            Offload::Udp => UDP,
        };
        if payload < l4.wrapping_add(least) || payload > head.len() {
            return None;
        }
        let pseudo = if plain {
            network.pseudo_sum(head, protocol)?
        } else {
            // A routing header hides the final destination; the kernel's partial sum knows it. Subtract the
            // length that it contains.
            let field = match offload {
                Offload::Tcp(_) => tcp::CHECKSUM,
                Offload::Udp => udp::CHECKSUM,
            };
            let length = checksum::fold(len.wrapping_sub(l4) as u64);
            u64::from(word(head, l4.wrapping_add(field))?).wrapping_add(u64::from(!length))
        };
        let identification = match version {
            Version::V4 => word(head, l3.wrapping_add(ipv4::IDENTIFICATION))?,
            Version::V6 => 0,
        };
        let transport = match offload {
            Offload::Tcp(_) => Transport::Tcp {
                sequence: long(head, l4.wrapping_add(tcp::SEQUENCE))?,
                offset_flags: word(head, l4.wrapping_add(tcp::OFFSET_FLAGS))?,
            },
            Offload::Udp => Transport::Udp,
        };
        if version == Version::V4 {
            put_word(head, l3.wrapping_add(ipv4::TOTAL_LENGTH), 0);
            put_word(head, l3.wrapping_add(ipv4::IDENTIFICATION), 0);
            put_word(head, l3.wrapping_add(ipv4::CHECKSUM), 0);
        }
        match transport {
            Transport::Tcp { .. } => {
                put_long(head, l4.wrapping_add(tcp::SEQUENCE), 0);
                put_word(head, l4.wrapping_add(tcp::OFFSET_FLAGS), 0);
                put_word(head, l4.wrapping_add(tcp::CHECKSUM), 0);
            }
            Transport::Udp => {
                put_word(head, l4.wrapping_add(udp::LENGTH), 0);
                put_word(head, l4.wrapping_add(udp::CHECKSUM), 0);
            }
        }
        Some(Self {
            l3,
            l4,
            payload,
            version,
            identification,
            ip_sum: u64::from(checksum::sum(head.get(l3..fixed_end)?)),
            transport_sum: pseudo.wrapping_add(checksum::sum(head.get(l4..payload)?).into()),
            transport,
        })
    }

    /// Where the payload starts
    pub(super) fn payload_start(&self) -> usize {
        self.payload
    }

    /// Makes a copy of the template and a piece of the payload a frame of its own: number `index`,
    /// `at` bytes into the payload
    pub(super) fn patch(&self, frame: &mut [u8], index: usize, at: usize, last: bool) {
        let Self { l3, l4, .. } = *self;
        match self.version {
            Version::V4 => {
                let length = frame.len().wrapping_sub(l3) as u16;
                let identification = self.identification.wrapping_add(index as u16);
                let sum = self
                    .ip_sum
                    .wrapping_add(length.into())
                    .wrapping_add(identification.into());
                put_word(frame, l3.wrapping_add(ipv4::TOTAL_LENGTH), length);
                put_word(frame, l3.wrapping_add(ipv4::IDENTIFICATION), identification);
                put_word(frame, l3.wrapping_add(ipv4::CHECKSUM), checksum::complement(sum));
            }
            Version::V6 => {
                let length = frame.len().wrapping_sub(l3).wrapping_sub(IPV6) as u16;
                put_word(frame, l3.wrapping_add(ipv6::PAYLOAD_LENGTH), length);
            }
        }
        let length = frame.len().wrapping_sub(l4) as u16;
        let payload = checksum::sum(frame.get(self.payload..).unwrap_or_default());
        let sum = self
            .transport_sum
            .wrapping_add(payload.into())
            .wrapping_add(length.into());
        match self.transport {
            Transport::Tcp {
                sequence,
                mut offset_flags,
            } => {
                if !last {
                    offset_flags &= !(tcp::FIN | tcp::PSH);
                }
                if index != 0 {
                    offset_flags &= !tcp::CWR;
                }
                let sequence = sequence.wrapping_add(at as u32);
                let sum = sum
                    .wrapping_add(sequence.into())
                    .wrapping_add(offset_flags.into());
                put_long(frame, l4.wrapping_add(tcp::SEQUENCE), sequence);
                put_word(frame, l4.wrapping_add(tcp::OFFSET_FLAGS), offset_flags);
                put_word(frame, l4.wrapping_add(tcp::CHECKSUM), checksum::complement(sum));
            }
            Transport::Udp => {
                let sum = sum.wrapping_add(length.into());
                put_word(frame, l4.wrapping_add(udp::LENGTH), length);
                put_word(
                    frame,
                    l4.wrapping_add(udp::CHECKSUM),
                    checksum::complement_nonzero(sum),
                );
            }
        }
    }
}
