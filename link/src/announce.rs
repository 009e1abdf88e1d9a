//! Telling the neighbours where an address lives: gratuitous ARP and unsolicited neighbour
//! advertisements.
//!
//! ```text
//! gratuitous ARP, request form (RFC 5227 section 3)     neighbour advertisement (RFC 4861 section 4.4)
//!   dst ff:ff:ff:ff:ff:ff  src MAC  type 0x0806            dst 33:33:00:00:00:01  src MAC  type 0x86dd
//!   htype 1  ptype 0x0800  hlen 6  plen 4  op 1            IPv6: hop limit 255, src IP, dst ff02::1
//!   sha MAC  spa IP  tha 0  tpa IP                         ICMPv6 136: override, target IP, option 2: MAC
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use model::{IfName, Mac};
use nix::errno::Errno;

use crate::netns::{EnterError, Netns};
use crate::packet::PacketSocket;

/// Sends one announcement per address from `device` inside `netns`
///
/// The frames bypass the queueing discipline, so they go out even if the device came up this very
/// moment. Send them once the device's other end is in the overlay.
pub async fn announce(
    netns: &Netns,
    device: &IfName,
    mac: Mac,
    addresses: &[IpNetwork],
) -> Result<(), AnnounceError> {
    let frames: Vec<Vec<u8>> = addresses.iter().map(|address| frame(mac, address.ip())).collect();
    let device = device.clone();
    netns
        .run(move || {
            let socket = PacketSocket::open(&device)?;
            frames.iter().try_for_each(|frame| socket.send(frame))
        })
        .await?
        .map_err(AnnounceError::Send)
}

/// The neighbours were not told; they will find out when their caches age
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// No thread in the namespace
    #[error("cannot enter the network namespace")]
    Enter(#[from] EnterError),
    /// The device is down or gone, or `CAP_NET_RAW` is missing
    #[error("cannot send an announcement")]
    Send(#[source] Errno),
}

/// The whole Ethernet frame that announces `address` at `mac`
fn frame(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => gratuitous_arp(mac, ip),
        IpAddr::V6(ip) => neighbour_advertisement(mac, ip),
    }
}

fn gratuitous_arp(mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(Mac::BROADCAST.octets());
    frame.extend(mac.octets());
    frame.extend([0x08, 0x06]);
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac.octets());
    frame.extend(ip.octets());
    frame.extend(Mac::ZERO.octets());
    frame.extend(ip.octets());
    frame
}

fn neighbour_advertisement(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];
    let mut icmp = vec![136, 0, 0, 0, OVERRIDE, 0, 0, 0];
    icmp.extend(ip.octets());
    icmp.extend(TARGET_LINK_LAYER_ADDRESS);
    icmp.extend(mac.octets());
    let checksum = icmpv6_checksum(ip, ALL_NODES, &icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&checksum);

    let mut frame = Vec::with_capacity(86);
    frame.extend(ALL_NODES_MAC);
    frame.extend(mac.octets());
    frame.extend([0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, icmp.len() as u8, NEXT_HEADER_ICMPV6, 255]);
    frame.extend(ip.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(icmp);
    frame
}

/// RFC 4443 section 2.3, over the pseudo-header and a message of even length
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks_exact(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum()
    };
    let mut sum = words(&source.octets()) + words(&destination.octets()) + words(message);
    sum += message.len() as u32 + u32::from(NEXT_HEADER_ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const NEXT_HEADER_ICMPV6: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac::new([0x7a, 0xc0, 0, 0x12, 0x34, 0x56]);

    /// As `arping -U` of iputils sends it, less the padding
    #[test]
    fn a_gratuitous_arp_asks_for_its_own_address() {
        #[rustfmt::skip]
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,     // to everybody
            0x7a, 0xc0, 0x00, 0x12, 0x34, 0x56,     // from us
            0x08, 0x06,                             // ARP
            0x00, 0x01, 0x08, 0x00, 0x06, 0x04,     // Ethernet, IPv4
            0x00, 0x01,                             // request
            0x7a, 0xc0, 0x00, 0x12, 0x34, 0x56,     // sender hardware address
            10, 32, 0, 5,                           // sender protocol address
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00,     // target hardware address
            10, 32, 0, 5,                           // target protocol address
        ];
        assert_eq!(frame(MAC, "10.32.0.5".parse().unwrap()), expected);
    }

    #[test]
    fn the_checksum_of_an_advertisement_adds_up() {
        let frame = frame(MAC, "fd00::5".parse().unwrap());
        assert_eq!(frame.len(), 86);
        let source = "fd00::5".parse().unwrap();
        // Over a message with its checksum in place, the sum is zero.
        assert_eq!(icmpv6_checksum(source, ALL_NODES, &frame[54..]), 0);
    }
}
