//! `struct virtio_net_hdr`: what a TAP with `IFF_VNET_HDR` puts before each frame.
//!
//! ```text
//!  0        1          2..4      4..6       6..8         8..10        in the host's byte order
//! +--------+----------+---------+----------+------------+-------------+
//! | flags  | gso_type | hdr_len | gso_size | csum_start | csum_offset |
//! +--------+----------+---------+----------+------------+-------------+
//! ```
//! `csum_start` counts from the start of the frame, `csum_offset` from `csum_start`.

/// The header, field by field as the kernel names them
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// [`NEEDS_CSUM`](Self::NEEDS_CSUM), [`DATA_VALID`](Self::DATA_VALID)
    pub flags: u8,
    /// One of the `GSO_` constants, perhaps with [`GSO_ECN`](Self::GSO_ECN)
    pub gso_type: u8,
    /// Length of all headers; a hint only
    pub hdr_len: u16,
    /// Payload bytes of each segment
    pub gso_size: u16,
    /// Where checksumming starts
    pub csum_start: u16,
    /// Where the checksum goes, from `csum_start`
    pub csum_offset: u16,
}

impl VnetHeader {
    /// Bytes before each frame
    pub const LEN: usize = 10;
    /// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum field holds the pseudo header's sum only
    pub const NEEDS_CSUM: u8 = 0x01;
    /// `VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified
    pub const DATA_VALID: u8 = 0x02;
    /// `VIRTIO_NET_HDR_GSO_NONE`
    pub const GSO_NONE: u8 = 0;
    /// `VIRTIO_NET_HDR_GSO_TCPV4`
    pub const GSO_TCPV4: u8 = 1;
    /// `VIRTIO_NET_HDR_GSO_TCPV6`
    pub const GSO_TCPV6: u8 = 4;
    /// `VIRTIO_NET_HDR_GSO_UDP_L4`
    pub const GSO_UDP_L4: u8 = 5;
    /// `VIRTIO_NET_HDR_GSO_ECN`, or'ed to a TCP type: the frame has CWR set
    pub const GSO_ECN: u8 = 0x80;

    /// The header at the start of what was read from the TAP, and the frame after it
    pub fn split(read: &[u8]) -> Option<(Self, &[u8])> {
        let (&[flags, gso_type, a, b, c, d, e, f, g, h], frame) =
            read.split_first_chunk::<{ Self::LEN }>()?;
        let header = Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        };
        Some((header, frame))
    }

    /// The bytes to write before a frame
    pub const fn emit(self) -> [u8; Self::LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    /// Whether the frame still lacks its transport checksum
    pub const fn needs_csum(self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Read from a TAP of Linux 6.18 (x86-64), before 3000 bytes of TCP over IPv4 with an MTU of 1400
    const TCP4: [u8; 10] = [
        0x01, // flags: NEEDS_CSUM
        0x01, // gso_type: TCPV4
        0x42, 0x00, // hdr_len: 66
        0x44, 0x05, // gso_size: 1348
        0x22, 0x00, // csum_start: 34
        0x10, 0x00, // csum_offset: 16
    ];

    #[test]
    #[cfg(target_endian = "little")]
    fn a_tcp_header_reads_and_writes() {
        let header = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type: VnetHeader::GSO_TCPV4,
            hdr_len: 66,
            gso_size: 1348,
            csum_start: 34,
            csum_offset: 16,
        };
        assert_eq!(VnetHeader::split(&TCP4), Some((header, &[][..])));
        assert_eq!(header.emit(), TCP4);
    }

    proptest! {
        #[test]
        fn any_bytes_split_or_are_too_few(read in prop::collection::vec(any::<u8>(), 0..40)) {
            match VnetHeader::split(&read) {
                Some((header, frame)) => {
                    prop_assert_eq!(&header.emit()[..], &read[..VnetHeader::LEN]);
                    prop_assert_eq!(frame, &read[VnetHeader::LEN..]);
                }
                None => prop_assert!(read.len() < VnetHeader::LEN),
            }
        }
    }
}
