//! One frame in the making.

use std::io::IoSlice;
use std::ops::Range;

use super::candidate::Candidate;
use crate::checksum;
use crate::headers::{
    ADDRESSES, ETHERNET, IPPROTO_TCP, IPV4, IPV6, TCP, UDP, Version, ipv4, ipv6, put_word, tcp, udp, word,
};
use crate::vlan::{TAG, Tags};
use crate::vnet::VnetHeader;

/// A flow's first frame, and the payloads that follow it
pub(super) struct Slot {
    /// The first frame in the arena
    first: Range<usize>,
    tags: Tags,
    candidate: Candidate,
    /// Payloads in the arena after the first frame's
    more: Vec<Range<usize>>,
    /// Bytes of all payloads
    total: usize,
    /// The last one's PSH and FIN
    end_flags: u16,
}

/// What became of a segment of the slot's flow
pub(super) enum Joined {
    /// In; more may follow
    Open,
    /// In, as the last
    Complete,
    /// It does not follow
    No,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            first: 0..0,
            tags: Tags::NONE,
            candidate: Candidate::NONE,
            more: Vec::with_capacity(MAX_PIECES),
            total: 0,
            end_flags: 0,
        }
    }

    pub(super) fn start(&mut self, first: Range<usize>, tags: Tags, candidate: &Candidate) {
        self.more.clear();
        self.first = first;
        self.tags = tags;
        self.candidate = *candidate;
        self.total = candidate.len;
        self.end_flags = 0;
    }

    /// Whether a frame has this slot's link, network and transport addresses
    pub(super) fn is_flow(&self, arena: &[u8], frame: &[u8], other: &Candidate, tags: &Tags) -> bool {
        let own = &self.candidate;
        let Some(first) = arena.get(self.first.clone()) else {
            return false;
        };
        let ports = |frame: &[u8]| {
            frame
                .get(own.l4..)
                .and_then(|rest| rest.first_chunk::<4>())
                .copied()
        };
        own.network == other.network
            && own.l4 == other.l4
            && own.protocol == other.protocol
            && self.tags == *tags
            && ports(first) == ports(frame)
            && own.network.addresses(first) == own.network.addresses(frame)
            && first.get(..own.network.l3) == frame.get(..own.network.l3)
    }

    /// Takes a segment of this slot's flow, which lies at `start` in the arena, if it follows
    pub(super) fn join(&mut self, arena: &[u8], frame: &[u8], start: usize, other: &Candidate) -> Joined {
        let own = &self.candidate;
        let headers = own.payload.wrapping_sub(own.network.l3);
        let follows = other.len <= own.len
            && other.payload == own.payload
            && other.sequence == own.sequence.wrapping_add(self.sequence_len())
            && other.identification == own.identification.wrapping_add(self.identification_len())
            && self.more.len() < MAX_PIECES
            && headers.saturating_add(self.total).saturating_add(other.len) <= MAX_PACKET;
        let Some(first) = arena.get(self.first.clone()).filter(|_| follows) else {
            return Joined::No;
        };
        if !self.agrees(first, frame) {
            return Joined::No;
        }
        let payload = start.wrapping_add(other.payload);
        self.more.push(payload..payload.wrapping_add(other.len));
        self.total = self.total.saturating_add(other.len);
        if other.ends {
            let flags = word(frame, other.l4.wrapping_add(tcp::OFFSET_FLAGS)).unwrap_or_default();
            self.end_flags = flags & (tcp::PSH | tcp::FIN);
        }
        if other.ends || other.len < self.candidate.len {
            Joined::Complete
        } else {
            Joined::Open
        }
    }

    /// Writes the frame
    pub(super) fn write(&mut self, arena: &[u8], write: &mut impl FnMut(&[IoSlice<'_>])) {
        let Some(first) = arena.get(self.first.clone()) else {
            return;
        };
        if self.more.is_empty() {
            return super::pass(first, &self.tags, write);
        }
        let mut head = [0; MAX_HEAD];
        let Some((head, payload)) = self.head(first, &mut head) else {
            return;
        };
        let mut slices = [IoSlice::new(&[]); 2 + MAX_PIECES];
        let pieces = [head, payload].into_iter();
        let more = self.more.iter().filter_map(|range| arena.get(range.clone()));
        for (slice, piece) in slices.iter_mut().zip(pieces.chain(more)) {
            *slice = IoSlice::new(piece);
        }
        write(
            slices
                .get(..self.more.len().saturating_add(2))
                .unwrap_or_default(),
        );
    }

    /// The vnet header and the headers of the whole frame, and the first payload
    fn head<'a, 'b>(&self, first: &'a [u8], head: &'b mut [u8; MAX_HEAD]) -> Option<(&'b [u8], &'a [u8])> {
        let Candidate {
            network,
            l4,
            payload: start,
            protocol,
            len,
            ..
        } = self.candidate;
        let (headers, payload) = first.split_at_checked(start)?;
        let tags = self.tags.as_bytes();
        let (addresses, rest) = headers.split_at_checked(ADDRESSES)?;
        let is_tcp = protocol == IPPROTO_TCP;
        let vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type: match (is_tcp, network.version) {
                (true, Version::V4) => VnetHeader::GSO_TCPV4,
                (true, Version::V6) => VnetHeader::GSO_TCPV6,
                (false, _) => VnetHeader::GSO_UDP_L4,
            },
            hdr_len: start.wrapping_add(tags.len()) as u16,
            gso_size: len as u16,
            csum_start: l4.wrapping_add(tags.len()) as u16,
            csum_offset: if is_tcp { tcp::CHECKSUM } else { udp::CHECKSUM } as u16,
        };
        let shift = tags.len().wrapping_add(VnetHeader::LEN);
        let used = start.wrapping_add(shift);
        let out = head.get_mut(..used)?;
        let mut left = &mut *out;
        for part in [&vnet.emit()[..], addresses, tags, rest] {
            let (place, behind) = left.split_at_mut_checked(part.len())?;
            place.copy_from_slice(part);
            left = behind;
        }
        let (l3, l4) = (network.l3.wrapping_add(shift), l4.wrapping_add(shift));
        let transport = start.wrapping_sub(self.candidate.l4).wrapping_add(self.total) as u16;
        match network.version {
            Version::V4 => {
                put_word(
                    out,
                    l3.wrapping_add(ipv4::TOTAL_LENGTH),
                    transport.wrapping_add(IPV4 as u16),
                );
                put_word(out, l3.wrapping_add(ipv4::CHECKSUM), 0);
                let sum = checksum::sum(out.get(l3..l3.wrapping_add(IPV4))?);
                put_word(
                    out,
                    l3.wrapping_add(ipv4::CHECKSUM),
                    checksum::complement(u64::from(sum)),
                );
            }
            Version::V6 => put_word(out, l3.wrapping_add(ipv6::PAYLOAD_LENGTH), transport),
        }
        let pseudo = network
            .pseudo_sum(first, protocol)?
            .wrapping_add(transport.into());
        let partial = checksum::fold(pseudo);
        if is_tcp {
            let flags = word(out, l4.wrapping_add(tcp::OFFSET_FLAGS))?;
            put_word(out, l4.wrapping_add(tcp::OFFSET_FLAGS), flags | self.end_flags);
            put_word(out, l4.wrapping_add(tcp::CHECKSUM), partial);
        } else {
            put_word(out, l4.wrapping_add(udp::LENGTH), transport);
            put_word(out, l4.wrapping_add(udp::CHECKSUM), partial);
        }
        Some((out, payload))
    }

    /// Whether all header fields agree that segmentation copies from the first frame
    fn agrees(&self, first: &[u8], frame: &[u8]) -> bool {
        let Candidate {
            network,
            l4,
            payload,
            protocol,
            ..
        } = self.candidate;
        let l3 = network.l3;
        let same = |range: Range<usize>| first.get(range.clone()) == frame.get(range);
        let network_agrees = match network.version {
            Version::V4 => {
                same(l3..l3.wrapping_add(ipv4::TOTAL_LENGTH))
                    && same(l3.wrapping_add(ipv4::FRAGMENT)..l3.wrapping_add(ipv4::CHECKSUM))
            }
            Version::V6 => {
                same(l3..l3.wrapping_add(ipv6::PAYLOAD_LENGTH))
                    && same(l3.wrapping_add(ipv6::NEXT_HEADER)..l3.wrapping_add(ipv6::SOURCE))
            }
        };
        if protocol != IPPROTO_TCP {
            return network_agrees;
        }
        let flags = |frame: &[u8]| {
            word(frame, l4.wrapping_add(tcp::OFFSET_FLAGS)).map(|flags| flags & !(tcp::PSH | tcp::FIN))
        };
        network_agrees
            && flags(first) == flags(frame)
            && same(l4.wrapping_add(tcp::ACKNOWLEDGMENT)..l4.wrapping_add(tcp::OFFSET_FLAGS))
            && same(l4.wrapping_add(tcp::WINDOW)..l4.wrapping_add(tcp::CHECKSUM))
            && same(l4.wrapping_add(tcp::URGENT)..payload)
    }

    /// How far the next segment's sequence number is from the first's
    fn sequence_len(&self) -> u32 {
        if self.candidate.protocol == IPPROTO_TCP {
            self.total as u32
        } else {
            0
        }
    }

    /// How far the next segment's IPv4 identification is from the first's
    fn identification_len(&self) -> u16 {
        match self.candidate.network.version {
            Version::V4 => (self.more.len() as u16).wrapping_add(1),
            Version::V6 => 0,
        }
    }
}

/// Payloads after the first: with it, the 64 that `UDP_MAX_SEGMENTS` of older kernels allows
const MAX_PIECES: usize = 63;
/// The largest IP packet that its own length field can tell
const MAX_PACKET: usize = 65_535;
/// The longest head: vnet header, Ethernet with our two tags and four more, IPv6, TCP with all options
const MAX_HEAD: usize = VnetHeader::LEN + ETHERNET + 6 * TAG + IPV6 + 60;

const _: () = assert!(TCP <= 60 && UDP <= 60 && IPV4 <= IPV6);
