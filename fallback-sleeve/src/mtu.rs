//! From the MTU of a path to the MTU of the overlay on it.

use model::PathKind;

use crate::Suite;

/// Outer headers around an inner IP packet on a fastdp path: IPv4 20, UDP 8, VXLAN 8, Ethernet 14
pub const FASTDP_OVERHEAD: u16 = 50;
/// Outer headers around an inner IP packet in clear sleeve datagrams: IPv4 20, UDP 8, header 16, inner
/// header 4, Ethernet 14
pub const SLEEVE_OVERHEAD: u16 = 62;
/// IPv4 and UDP headers: what a socket does not count
pub const IP_UDP: u16 = 28;

/// What a path takes from the packets on it
pub const fn overhead(kind: PathKind, suite: Suite) -> u16 {
    match kind {
        PathKind::Fastdp => FASTDP_OVERHEAD,
        PathKind::Sleeve => SLEEVE_OVERHEAD.saturating_add(suite.tag_len() as u16),
    }
}

/// The largest inner IP packet where the largest outer one is `path_mtu`
pub const fn inner_mtu(path_mtu: u16, kind: PathKind, suite: Suite) -> u16 {
    path_mtu.saturating_sub(overhead(kind, suite))
}

/// Bytes of UDP payload that make an outer IP packet of `size`: what a sleeve heartbeat is padded to
pub const fn sleeve_datagram_len(size: u16) -> usize {
    size.saturating_sub(IP_UDP) as usize
}

/// Bytes of inner Ethernet frame that make an outer IP packet of `size`: what a fastdp heartbeat is
/// padded to
pub const fn fastdp_frame_len(size: u16) -> usize {
    size.saturating_sub(FASTDP_OVERHEAD - ETHERNET) as usize
}

/// The outer IP packet that brought a UDP payload of `len` bytes
pub fn sleeve_packet_size(len: usize) -> u16 {
    u16::try_from(len).map_or(u16::MAX, |len| len.saturating_add(IP_UDP))
}

/// The outer IP packet that brought an inner Ethernet frame of `len` bytes over VXLAN
pub fn fastdp_packet_size(len: usize) -> u16 {
    u16::try_from(len).map_or(u16::MAX, |len| len.saturating_add(FASTDP_OVERHEAD - ETHERNET))
}

const ETHERNET: u16 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_1500_leaves_what_users_know() {
        assert_eq!(inner_mtu(1500, PathKind::Fastdp, Suite::Clear), 1450);
        assert_eq!(inner_mtu(1500, PathKind::Sleeve, Suite::Clear), 1438);
        assert_eq!(inner_mtu(1500, PathKind::Sleeve, Suite::Aes256Gcm), 1422);
        assert_eq!(inner_mtu(40, PathKind::Sleeve, Suite::Clear), 0);
    }

    #[test]
    fn heartbeat_lengths_are_those_of_full_size_traffic() {
        let frame = usize::from(inner_mtu(1500, PathKind::Fastdp, Suite::Clear)) + 14;
        assert_eq!(fastdp_frame_len(1500), frame);
        assert_eq!(fastdp_packet_size(frame), 1500);
        assert_eq!(sleeve_datagram_len(1500), 1472);
        assert_eq!(sleeve_packet_size(1472), 1500);
        assert_eq!(sleeve_packet_size(usize::MAX), u16::MAX);
    }
}
