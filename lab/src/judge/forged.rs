//! UDP datagrams and VXLAN frames made by hand, with any source address.

use std::net::Ipv4Addr;

/// Who is who on the underlay's Ethernet
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// From this station
    pub station: [u8; 6],
    /// To this one
    pub towards: [u8; 6],
    /// With this source address, whoever's it is
    pub source: Ipv4Addr,
    /// To this address
    pub destination: Ipv4Addr,
}

/// A whole Ethernet frame with a UDP datagram from `port` to `port`
pub fn datagram(ends: Ends, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [ends.towards, ends.station].concat();
    frame.extend([8, 0]);
    frame.extend(packet(ends.source, ends.destination, port, payload));
    frame
}

/// A VXLAN frame that carries a UDP datagram for the station `to` of a container, under this VNI
pub fn vxlan(
    ends: Ends,
    port: u16,
    vni: u32,
    to: [u8; 6],
    inner: (Ipv4Addr, Ipv4Addr, u16, &[u8]),
) -> Vec<u8> {
    let (source, destination, inner_port, payload) = inner;
    let [_, a, b, c] = vni.to_be_bytes();
    let mut body = vec![8, 0, 0, 0, a, b, c, 0];
    body.extend(to);
    // Of a station that nobody has
    body.extend([0x02, 0, 0, 0, 0x66, 0x66]);
    body.extend([8, 0]);
    body.extend(packet(source, destination, inner_port, payload));
    datagram(ends, port, &body)
}

/// An IPv4 packet with a UDP datagram without a checksum
fn packet(source: Ipv4Addr, destination: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0];
    packet.extend(udp.saturating_add(20).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = super::frames::internet_checksum(&packet);
    for (place, byte) in packet.iter_mut().skip(10).zip(sum.to_be_bytes()) {
        *place = byte;
    }
    for word in [port, port, udp, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(payload);
    packet
}
