use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket as Plain};
use std::time::Duration;

use fallback_sleeve::datagram::{Header, Kind, SessionId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quinn_udp::RecvMeta;

use super::*;
use crate::sleeve::UdpSocket;

const SOCKETS: u16 = 3;

#[test]
fn a_datagram_comes_to_the_socket_of_its_slot() {
    let (sockets, to) = bound(SOCKETS);
    let from = Plain::bind("127.0.0.1:0").unwrap();
    for slot in (0..9).chain([SessionId::SLOTS - 2, SessionId::SLOTS - 1]) {
        for random in [0, u64::MAX] {
            let header = Header {
                kind: Kind::Data,
                sealed: false,
                session: SessionId::new(slot, random),
                counter: u64::MAX,
            };
            let datagram = [&header.emit()[..], &[0xff; 100]].concat();
            from.send_to(&datagram, to).unwrap();

            let (socket, len) = arrival(&sockets);

            assert_eq!(socket, usize::from(slot % SOCKETS), "slot {slot}");
            assert_eq!(socket, socket_of(slot, sockets.len()), "slot {slot}");
            assert_eq!(len, datagram.len());
        }
    }
}

#[test]
fn a_datagram_without_a_slot_comes_to_the_first_socket() {
    let (sockets, to) = bound(SOCKETS);
    let from = Plain::bind("127.0.0.1:0").unwrap();
    for len in 0..3 {
        from.send_to(&[0xff; 3][..len], to).unwrap();
        assert_eq!(arrival(&sockets), (0, len));
    }
    from.send_to(&[0xff; 3], to).unwrap();
    assert_eq!(arrival(&sockets), (0xffff % usize::from(SOCKETS), 3));
}

#[test]
fn a_port_is_never_shared_with_another_weaved() {
    for (mine, theirs) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
        let (_sockets, to) = bound(mine);
        let refused = UdpSocket::bind(to, theirs).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{mine} and {theirs}");
    }
    let (sockets, to) = bound(SOCKETS);
    drop(sockets);
    UdpSocket::bind(to, SOCKETS).unwrap();
}

fn bound(count: u16) -> (Vec<UdpSocket>, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = UdpSocket::bind(any, count).unwrap();
    assert_eq!(sockets.len(), usize::from(count));
    let to = sockets[0].address();
    (sockets, to)
}

/// The socket that something has come to, and how long that is
fn arrival(sockets: &[UdpSocket]) -> (usize, usize) {
    let mut fds: Vec<_> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let limit = PollTimeout::try_from(Duration::from_secs(5)).unwrap();
    assert_eq!(poll(&mut fds, limit).unwrap(), 1, "one socket has it");
    let at = fds.iter().position(|fd| fd.any() == Some(true)).unwrap();
    let mut buffer = [0; 256];
    let mut metas = [RecvMeta::default()];
    let received = sockets[at].receive(&mut [IoSliceMut::new(&mut buffer)], &mut metas);
    assert_eq!(received.unwrap(), 1);
    (at, metas[0].len)
}
