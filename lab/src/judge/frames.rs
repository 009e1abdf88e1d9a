//! Frames made by hand, put on a device as they are.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, bind, send, setsockopt, socket, sockopt,
};

use crate::namespace::Namespace;

/// How long a full queue is left alone; a busy wait would take the time that empties it
const FULL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// A raw socket on one device
#[derive(Debug)]
pub struct Injector(OwnedFd);

impl Injector {
    /// Opens it
    pub fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace.enter(|| {
            // Protocol 0: it sends and receives nothing.
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
            // The addresses that the kernel lists include a packet address with the device's index.
            let mut addresses = getifaddrs()?.filter(|found| found.interface_name == device);
            let address = addresses
                .find_map(|found| found.address?.as_link_addr().copied())
                .with_context(|| format!("there is no device {device}"))?;
            bind(socket.as_raw_fd(), &address)?;
            setsockopt(&socket, sockopt::SndBuf, &(4 << 20))?;
            Ok(Self(socket))
        })
    }

    /// Sends a frame, from its destination address on; waits where the kernel's queues are full
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(sent) => {
                    ensure!(sent == frame.len(), "a frame was sent in part");
                    return Ok(());
                }
                Err(Errno::ENOBUFS) if Instant::now() < until => std::thread::sleep(FULL),
                Err(error) => return Err(error).context("cannot send a frame"),
            }
        }
    }
}

/// A broadcast frame of an ethertype for experiments from this station
pub fn frame_from(source: [u8; 6], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source);
    frame.extend(0x88b6_u16.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An ARP request as a frame: who has `wanted`, tell `source` at `station`
pub fn arp_request(station: [u8; 6], source: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(station);
    // ARP; Ethernet, IPv4, their lengths; request
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(station);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(wanted.octets());
    frame.resize(60, 0);
    frame
}

/// A captured Ethernet + IPv4 + UDP frame whose UDP payload was changed: lengths and checksums
/// made right again, so that only the payload is wrong
///
/// None if the frame is something else.
pub fn with_udp_payload(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    const ETHERNET: usize = 14;
    const HEADERS: usize = ETHERNET + 20 + 8;
    let is_plain = frame.get(12..15)? == [8, 0, 0x45] && frame.get(ETHERNET + 9)? == &17;
    let total = usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
    let mut payload = frame.get(HEADERS..ETHERNET + total)?.to_vec();
    change(&mut payload);
    let mut changed = frame.get(..HEADERS).filter(|_headers| is_plain)?.to_vec();
    changed.extend(&payload);
    let udp = u16::try_from(payload.len() + 8).ok()?;
    put(&mut changed, 16, &udp.checked_add(20)?.to_be_bytes())?;
    put(&mut changed, 24, &[0, 0])?;
    put(&mut changed, 38, &udp.to_be_bytes())?;
    // No UDP checksum: IPv4 allows that.
    put(&mut changed, 40, &[0, 0])?;
    let sum = internet_checksum(changed.get(ETHERNET..ETHERNET + 20)?);
    put(&mut changed, 24, &sum.to_be_bytes())?;
    Some(changed)
}

/// The TCP segment that could follow the one in this Ethernet + IPv4 frame, with another payload
///
/// None if the frame is something else, or has no payload itself.
pub fn next_tcp_segment(frame: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    const IP: usize = 14;
    const TCP: usize = IP + 20;
    let is_plain = frame.get(12..15)? == [8, 0, 0x45] && frame.get(IP + 9)? == &6;
    let total = usize::from(u16::from_be_bytes(array(frame, IP + 2)?));
    let body = TCP + usize::from(frame.get(TCP + 12)? >> 4) * 4;
    let length = (IP + total).checked_sub(body).filter(|length| *length > 0)?;
    let mut forged = frame.get(..body).filter(|_headers| is_plain)?.to_vec();
    let sequence = u32::from_be_bytes(array(frame, TCP + 4)?).wrapping_add(u32::try_from(length).ok()?);
    put(&mut forged, TCP + 4, &sequence.to_be_bytes())?;
    // A time stamp older than that of another segment meanwhile would be refused.
    if let Some(place) = timestamp(forged.get(TCP + 20..)?) {
        let place = TCP + 20 + place;
        let later = u32::from_be_bytes(array(&forged, place)?).wrapping_add(1000);
        put(&mut forged, place, &later.to_be_bytes())?;
    }
    forged.extend(payload);
    let total = u16::try_from(forged.len() - IP).ok()?;
    put(&mut forged, IP + 2, &total.to_be_bytes())?;
    put(&mut forged, IP + 10, &[0, 0])?;
    let sum = internet_checksum(forged.get(IP..TCP)?);
    put(&mut forged, IP + 10, &sum.to_be_bytes())?;
    put(&mut forged, TCP + 16, &[0, 0])?;
    let mut summed = forged.get(IP + 12..TCP)?.to_vec();
    summed.extend([0, 6]);
    summed.extend((total - 20).to_be_bytes());
    summed.extend(forged.get(TCP..)?);
    let sum = internet_checksum(&summed);
    put(&mut forged, TCP + 16, &sum.to_be_bytes())?;
    Some(forged)
}

/// Where the sender's time stamp stands in a TCP header's options
fn timestamp(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match options.get(at)? {
            0 => return None,
            1 => at += 1,
            8 => return Some(at + 2),
            _ => at += usize::from(*options.get(at + 1)?).max(2),
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
    Some(())
}

pub(super) fn internet_checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_payload_gets_right_lengths_and_a_right_checksum() {
        // Ethernet, then the IPv4 header of RFC 1071's best-known example with protocol UDP.
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend([
            0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199,
        ]);
        frame.extend([0x1a, 0x7f, 0x1a, 0x7f, 0, 12, 0xaa, 0xbb, 1, 2, 3, 4]);

        let changed = with_udp_payload(&frame, |payload| payload.truncate(3)).unwrap();

        assert_eq!(changed.len(), 14 + 20 + 8 + 3);
        assert_eq!((changed[17], changed[39]), (31, 11));
        assert_eq!(internet_checksum(&changed[14..34]), 0);
        assert!(with_udp_payload(&frame[..20], |_| {}).is_none());
    }

    #[test]
    fn a_forged_segment_follows_the_captured_one() {
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend([
            0x45, 0, 0, 57, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199,
        ]);
        // Ports, sequence, acknowledgement, 32 bytes with PSH and ACK, window, checksum, urgent.
        frame.extend([
            0x1a, 0x7f, 0x90, 0, 0, 0, 1, 0xfe, 0, 0, 0, 9, 0x80, 0x18, 1, 0, 0, 0, 0, 0,
        ]);
        frame.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
        frame.extend(b"hello");

        let forged = next_tcp_segment(&frame, b"garbage!").unwrap();

        assert_eq!(forged.len(), 14 + 20 + 32 + 8);
        assert_eq!(forged[38..42], [0, 0, 2, 3]);
        assert_eq!(forged[58..62], 1005_u32.to_be_bytes());
        assert_eq!(forged[16..18], 60_u16.to_be_bytes());
        assert_eq!(internet_checksum(&forged[14..34]), 0);
        let mut summed = forged[26..34].to_vec();
        summed.extend([0, 6, 0, 40]);
        summed.extend(&forged[34..]);
        assert_eq!(internet_checksum(&summed), 0);

        // Nothing but an acknowledgement.
        frame[17] = 52;
        assert!(next_tcp_segment(&frame, b"garbage!").is_none());
    }
}
