//! Stations that are only addresses, and the socket that speaks for them.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use lab::namespace::Namespace;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::{PATIENCE, RECEIVE_BUFFER};

/// A station's address
pub(super) type Mac = [u8; 6];

pub(super) const EVERYBODY: Mac = [0xff; 6];

/// An address that this program has not used
pub(super) fn fresh() -> Mac {
    static USED: AtomicU32 = AtomicU32::new(0);
    let [_, a, b, c] = USED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // Another run may still be remembered: its process had another number.
    let [.., run] = std::process::id().to_be_bytes();
    [0x02, 0xbe, run, a, b, c]
}

/// A socket that sends frames as they are on one device, and hears all of the device's
#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    pub(super) fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace.enter(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::EthAll,
            )?;
            // The addresses that the kernel lists include a packet address with the device's index.
            let mut addresses = getifaddrs()?.filter(|found| found.interface_name == device);
            let address = addresses
                .find_map(|found| found.address?.as_link_addr().copied())
                .with_context(|| format!("there is no device {device}"))?;
            bind(socket.as_raw_fd(), &address)?;
            setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
            setsockopt(&socket, sockopt::SndBufForce, &RECEIVE_BUFFER)?;
            let patience = TimeVal::milliseconds(i64::try_from(PATIENCE.as_millis())?);
            setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
            Ok(Self(socket))
        })
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A frame that these measurements sent
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) to: Mac,
    pub(super) from: Mac,
    /// What the sender calls it
    pub(super) number: u32,
}

impl Frame {
    /// Ethernet, IPv4, UDP to the port for things discarded, a mark and the number
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.to, self.from].concat();
        bytes.extend(HEADERS);
        bytes.extend(MARK);
        bytes.extend(self.number.to_be_bytes());
        bytes.resize(60, 0);
        bytes
    }

    /// Reads one; none where it is somebody else's
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (to, rest) = bytes.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let rest = rest.strip_prefix(&HEADERS)?.strip_prefix(&MARK)?;
        let (number, _padding) = rest.split_first_chunk()?;
        Some(Self {
            to: *to,
            from: *from,
            number: u32::from_be_bytes(*number),
        })
    }
}

const HEADERS: [u8; 30] = [
    0x08, 0x00, // IPv4
    0x45, 0x00, 0x00, 0x2e, // 46 bytes
    0x00, 0x00, 0x40, 0x00, // DF
    0x40, 0x11, 0x26, 0x7d, // TTL 64, UDP, checksum
    0x0a, 0x20, 0x00, 0x01, // from 10.32.0.1
    0x0a, 0x20, 0x00, 0x02, // to 10.32.0.2
    0x00, 0x09, 0x00, 0x09, 0x00, 0x1a, 0x00, 0x00, // UDP, no checksum
];
const MARK: [u8; 4] = *b"meas";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_others_are_not() {
        let frame = Frame {
            to: [2, 0, 0, 0, 0, 1],
            from: [2, 0, 0, 0, 0, 2],
            number: 0x0102_0304,
        };
        let mut bytes = frame.bytes();
        assert_eq!(Frame::read(&bytes), Some(frame));
        bytes[13] = 6;
        assert_eq!(Frame::read(&bytes), None);
        assert_eq!(Frame::read(&bytes[..40]), None);
    }

    #[test]
    fn the_ip_header_sums_to_nothing() {
        let words = HEADERS[2..22]
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
