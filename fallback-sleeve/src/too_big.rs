//! What to do with a frame that does not fit its path: say so to its sender, where the rules of ICMP
//! allow, or let the sleeve fragment it.
//!
//! The reply comes from the packet's destination, as no router is there to send it: "fragmentation
//! needed" (RFC 792, RFC 1191) or "packet too big" (RFC 4443), with the same tags, back to the station
//! that sent the frame.
//!
//! A frame that may not be answered is fragmented below IP, where neither DF nor IPv6 forbid it
//! (RFC 8200 section 5 even asks a link of less than 1280 bytes for it): slow, but not lost.

#[cfg(test)]
mod tests;

use crate::checksum;
use crate::headers::{
    ADDRESSES, ETHERNET, IPPROTO_ICMP, IPPROTO_ICMPV6, IPV4, IPV6, Network, Version, ipv4, ipv6, put_word,
    word,
};

/// The answer to a frame that exceeds its path
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TooBig {
    /// Send this frame to where the big one came from, and drop that
    Reply(Vec<u8>),
    /// Its sender must not or need not be told: fragment it
    MayFragment,
    /// It is no frame: drop it
    Nothing,
}

/// The answer to `frame`, peers' tags stripped, on a path with this inner MTU
pub fn too_big(frame: &[u8], mtu: u16) -> TooBig {
    if frame.len() < ETHERNET {
        return TooBig::Nothing;
    }
    match reply(frame, mtu) {
        Some(reply) => TooBig::Reply(reply),
        None => TooBig::MayFragment,
    }
}

fn reply(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let network = Network::find(frame)?;
    // A container's own tags are part of what the path carries.
    let mtu = mtu.saturating_sub(network.l3.saturating_sub(ETHERNET) as u16);
    let packet = frame.get(network.l3..)?;
    let stations = frame.get(..ADDRESSES)?;
    let from_group = stations.get(6)? & 1 != 0;
    let to_group = stations.first()? & 1 != 0;
    if from_group || to_group {
        return None;
    }
    match network.version {
        Version::V4 => reply_v4(frame, network, packet, mtu),
        Version::V6 => reply_v6(frame, network, packet, mtu),
    }
}

fn reply_v4(frame: &[u8], network: Network, packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let fragment = word(packet, ipv4::FRAGMENT)?;
    let source = *packet.get(ipv4::SOURCE..)?.first_chunk::<4>()?;
    let destination = *packet.get(ipv4::DESTINATION..)?.first_chunk::<4>()?;
    // RFC 1122 section 3.2.2: never about an ICMP error, a later fragment, or other than one host's packet.
    if fragment & ipv4::DF == 0
        || fragment & ipv4::OFFSET != 0
        || !is_host_v4(source)
        || !is_host_v4(destination)
        || is_icmp_error(network, packet)
    {
        return None;
    }
    let quoted = packet.get(..packet.len().min(MAX_V4 - IPV4 - ICMP))?;
    let total = quoted.len().saturating_add(IPV4 + ICMP);
    let mut reply = turned(frame, network, total)?;
    let at = reply.len();
    let total = total as u16;
    // Internetwork control precedence, as RFC 1812 section 4.3.2.5 wants of ICMP errors.
    reply.extend_from_slice(&[0x45, 0xc0]);
    reply.extend_from_slice(&total.to_be_bytes());
    reply.extend_from_slice(&[0, 0, 0, 0, TTL, IPPROTO_ICMP, 0, 0]);
    reply.extend_from_slice(&destination);
    reply.extend_from_slice(&source);
    let sum = checksum::sum(reply.get(at..)?);
    put_word(
        &mut reply,
        at.saturating_add(ipv4::CHECKSUM),
        checksum::complement(u64::from(sum)),
    );
    let at = reply.len();
    reply.extend_from_slice(&[DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0]);
    reply.extend_from_slice(&mtu.max(MIN_V4).to_be_bytes());
    reply.extend_from_slice(quoted);
    let sum = checksum::sum(reply.get(at..)?);
    put_word(
        &mut reply,
        at.saturating_add(2),
        checksum::complement(u64::from(sum)),
    );
    Some(reply)
}

fn reply_v6(frame: &[u8], network: Network, packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let source = *packet.get(ipv6::SOURCE..)?.first_chunk::<16>()?;
    let destination = *packet.get(ipv6::DESTINATION..)?.first_chunk::<16>()?;
    // RFC 4443 section 2.4 (e). It allows an answer to multicast, but not one from a multicast address,
    // and there is no other. Nobody may be told to send less than 1280.
    if packet.len() <= usize::from(MIN_V6)
        || !is_host_v6(source)
        || !is_host_v6(destination)
        || is_icmp_error(network, packet)
    {
        return None;
    }
    let quoted = packet.get(..packet.len().min(usize::from(MIN_V6).saturating_sub(IPV6 + ICMP)))?;
    let len = quoted.len().saturating_add(ICMP);
    let mut reply = turned(frame, network, len.saturating_add(IPV6))?;
    reply.extend_from_slice(&[0x60, 0, 0, 0]);
    reply.extend_from_slice(&(len as u16).to_be_bytes());
    reply.extend_from_slice(&[IPPROTO_ICMPV6, TTL]);
    let addresses = reply.len();
    reply.extend_from_slice(&destination);
    reply.extend_from_slice(&source);
    let at = reply.len();
    reply.extend_from_slice(&[PACKET_TOO_BIG, 0, 0, 0]);
    reply.extend_from_slice(&u32::from(mtu.max(MIN_V6)).to_be_bytes());
    reply.extend_from_slice(quoted);
    let pseudo = u64::from(IPPROTO_ICMPV6).saturating_add(len as u64);
    let sum = pseudo.saturating_add(checksum::sum(reply.get(addresses..)?).into());
    put_word(&mut reply, at.saturating_add(2), checksum::complement(sum));
    Some(reply)
}

/// The link header of `frame`, tags included, turned around
fn turned(frame: &[u8], network: Network, capacity: usize) -> Option<Vec<u8>> {
    let mut reply = Vec::with_capacity(network.l3.saturating_add(capacity));
    reply.extend_from_slice(frame.get(6..ADDRESSES)?);
    reply.extend_from_slice(frame.get(..6)?);
    reply.extend_from_slice(frame.get(ADDRESSES..network.l3)?);
    Some(reply)
}

/// Whether the packet is an ICMP error, or may be one as far as its extension headers can be read
fn is_icmp_error(network: Network, packet: &[u8]) -> bool {
    let own = Network { l3: 0, ..network };
    match network.version {
        Version::V4 => {
            let kind = own.header_end(packet).and_then(|at| packet.get(at));
            packet.get(ipv4::PROTOCOL) == Some(&IPPROTO_ICMP)
                && !kind.is_some_and(|kind| V4_QUERIES.contains(kind))
        }
        Version::V6 => {
            let mut next = packet.get(ipv6::NEXT_HEADER).copied();
            let mut at = IPV6;
            loop {
                let len = match (next, packet.get(at.saturating_add(1))) {
                    (Some(IPPROTO_ICMPV6), _) => return packet.get(at).is_none_or(|kind| kind & 0x80 == 0),
                    (Some(HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS), Some(len)) => {
                        usize::from(*len).saturating_add(1).saturating_mul(8)
                    }
                    (Some(FRAGMENT), Some(_))
                        if word(packet, at.saturating_add(2)).is_some_and(|offset| offset >> 3 == 0) =>
                    {
                        8
                    }
                    (Some(_) | None, _) => return false,
                };
                next = packet.get(at).copied();
                at = at.saturating_add(len);
            }
        }
    }
}

/// Whether one host can have this address: RFC 1122 section 3.2.1.3
fn is_host_v4(address: [u8; 4]) -> bool {
    !matches!(address, [0 | 127 | 224.., ..])
}

fn is_host_v6(address: [u8; 16]) -> bool {
    address[0] != 0xff
        && address
            .split_last()
            .is_some_and(|(last, rest)| *last > 1 || rest != [0; 15])
}

/// Bytes of an ICMP header
const ICMP: usize = 8;
const DESTINATION_UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
/// The ICMP messages that are no errors: echo, router discovery, timestamp, information, address mask
const V4_QUERIES: [u8; 10] = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18];
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
const TTL: u8 = 64;
/// As much of the packet is quoted as makes 576 bytes (RFC 1812 section 4.3.2.3)
const MAX_V4: usize = 576;
/// The least MTU of an IPv4 link
const MIN_V4: u16 = 68;
/// The least MTU of an IPv6 link
const MIN_V6: u16 = 1280;
