use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::testing::{ip, name, named_container, on_a_host, run};

#[test]
fn a_persistent_tap_is_adopted_with_its_index() {
    on_a_host(|_links| async {
        let tap = name("weave-sleeve");
        let options = TapOptions {
            queues: 2,
            ..TapOptions::default()
        };
        let first = Tap::open(&tap, options).unwrap();
        assert!(!first.adopted);
        assert_eq!(first.queues.len(), 2);
        let made = ip(&["-d", "link", "show", "weave-sleeve"])[0].clone();
        let settings = &made["linkinfo"]["info_data"];
        assert_eq!(settings["type"], "tap");
        assert_eq!(settings["vnet_hdr"], true);
        assert_eq!(settings["pi"], false);
        assert_eq!(settings["multi_queue"], true);
        assert_eq!(settings["numqueues"], 2);
        assert_eq!(settings["persist"], true);
        drop(first);

        let second = Tap::open(&tap, options).unwrap();
        assert!(second.adopted);
        assert_eq!(
            ip(&["link", "show", "weave-sleeve"])[0]["ifindex"],
            made["ifindex"]
        );
        drop(second);
        Tap::remove(&tap).unwrap();
        assert!(!run("ip", &["link"]).contains("weave-sleeve"));
        Tap::remove(&tap).unwrap();
    });
}

#[test]
fn a_tap_is_adopted_with_any_number_of_queues() {
    on_a_host(|_links| async {
        let tap = name("weave-sleeve");
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        let mut index = None;
        for queues in [1, 3, 2, 1, 4] {
            let options = TapOptions {
                queues,
                ..TapOptions::default()
            };
            let opened = Tap::open(&tap, options).unwrap();
            assert_eq!(opened.queues.len(), queues);
            let seen = ip(&["-d", "link", "show", "weave-sleeve"])[0].clone();
            assert_eq!(seen["linkinfo"]["info_data"]["numqueues"], queues);
            if opened.adopted {
                assert_eq!(seen["master"], "br0");
            } else {
                run("ip", &["link", "set", "weave-sleeve", "master", "br0", "up"]);
            }
            assert_eq!(
                *index.get_or_insert_with(|| seen["ifindex"].clone()),
                seen["ifindex"]
            );
        }
        Tap::remove(&tap).unwrap();
    });
}

#[test]
fn a_flow_stays_on_its_queue_when_it_is_answered() {
    on_a_host(|_links| async {
        let options = TapOptions {
            queues: 3,
            ..TapOptions::default()
        };
        let tap = Tap::open(&name("tap0"), options).unwrap();
        run("sysctl", &["-qw", "net.ipv6.conf.tap0.disable_ipv6=1"]);
        run("ip", &["addr", "add", "10.9.0.1/24", "dev", "tap0"]);
        run("ip", &["link", "set", "tap0", "up"]);
        let station = "02:00:00:00:00:02";
        run(
            "ip",
            &["neigh", "add", "10.9.0.2", "lladdr", station, "dev", "tap0"],
        );
        let flows: Vec<UdpSocket> = (0..64)
            .map(|_flow| {
                let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
                socket.connect("10.9.0.2:7000").unwrap();
                socket
            })
            .collect();

        let mut homes = BTreeMap::new();
        for _round in 0..4 {
            for flow in &flows {
                flow.send(b"question").unwrap();
            }
            for (queue, frame) in frames(&tap) {
                let home = homes.entry(source_port(&frame)).or_insert(queue);
                assert_eq!(*home, queue, "a flow has moved");
                nix::unistd::write(&tap.writer, &answer(&frame)).unwrap();
            }
        }

        for flow in &flows {
            let mut answer = [0; 64];
            assert_eq!(flow.recv(&mut answer).unwrap(), b"question".len());
        }
        assert_eq!(homes.len(), flows.len());
        let used: BTreeSet<usize> = homes.into_values().collect();
        assert_eq!(used, BTreeSet::from([0, 1, 2]));
    });
}

/// Everything that waits, with the number of the queue
fn frames(tap: &Tap) -> Vec<(usize, Vec<u8>)> {
    let mut frames = Vec::new();
    for (number, queue) in tap.queues.iter().enumerate() {
        let mut buffer = [0; 256];
        while let Ok(length) = nix::unistd::read(queue, &mut buffer) {
            frames.push((number, buffer[..length].to_vec()));
        }
    }
    frames
}

const ETHERNET: usize = VNET_HEADER_LEN;
const IP: usize = ETHERNET + 14;
const UDP: usize = IP + 20;

fn source_port(frame: &[u8]) -> [u8; 2] {
    [frame[UDP], frame[UDP + 1]]
}

/// The same, from the other side; without a UDP checksum, which IPv4 allows
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut answer = frame.to_vec();
    for (from, length) in [(ETHERNET, 6), (IP + 12, 4), (UDP, 2)] {
        let (left, right) = answer[from..from + 2 * length].split_at_mut(length);
        left.swap_with_slice(right);
    }
    answer[..VNET_HEADER_LEN].fill(0);
    answer[UDP + 6..UDP + 8].fill(0);
    answer
}

#[test]
fn a_passing_tap_goes_with_its_queue() {
    on_a_host(|_links| async {
        for queues in [1, 2] {
            let options = TapOptions {
                persist: false,
                queues,
                ..TapOptions::default()
            };
            let tap = Tap::open(&name("tap0"), options).unwrap();
            assert!(run("ip", &["link"]).contains("tap0"));
            drop(tap);
            // A program that another test is just starting may still hold the descriptor.
            while run("ip", &["link"]).contains("tap0") {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn each_reason_not_to_open_is_its_own_error() {
    on_a_host(|_links| async {
        let tap = name("tap0");
        let open = || Tap::open(&tap, TapOptions::default());
        let held = open().unwrap();
        assert!(matches!(open().unwrap_err(), TapError::Busy(_)));
        assert!(matches!(Tap::remove(&tap).unwrap_err(), TapError::Busy(_)));
        drop(held);
        Tap::remove(&tap).unwrap();

        for other in [
            &["link", "add", "tap0", "type", "bridge"][..],
            &["tuntap", "add", "tap0", "mode", "tun"],
            &["tuntap", "add", "tap0", "mode", "tap"],
        ] {
            run("ip", other);
            assert!(matches!(open().unwrap_err(), TapError::OtherKind(_)), "{other:?}");
            assert!(
                matches!(Tap::remove(&tap).unwrap_err(), TapError::OtherKind(_)),
                "{other:?}"
            );
            run("ip", &["link", "del", "tap0"]);
        }

        run("mount", &["-t", "tmpfs", "tmpfs", "/dev/net"]);
        assert!(matches!(open().unwrap_err(), TapError::NoTun));
        std::fs::write("/dev/net/tun", "").unwrap();
        std::fs::remove_file("/dev/net/tun").unwrap();
        std::fs::create_dir("/dev/net/tun").unwrap();
        assert!(matches!(open().unwrap_err(), TapError::OpenTun(_)));
    });
}

#[test]
fn a_read_of_a_quiet_nonblocking_tap_does_not_wait() {
    on_a_host(|links| async move {
        let tap = Tap::open(&name("tap0"), TapOptions::default()).unwrap();
        run("sysctl", &["-qw", "net.ipv6.conf.tap0.disable_ipv6=1"]);
        links.ensure_up(&name("tap0")).await.unwrap();
        let error = nix::unistd::read(tap.queues[0].as_fd(), &mut [0; 64]).unwrap_err();
        assert_eq!(error, Errno::EAGAIN);
    });
}

/// One TCP stream between two namespaces, each with a TAP; this test is the cable between the TAPs
#[test]
fn large_frames_cross_between_two_namespaces() {
    on_a_host(|_links| async {
        let mut taps = Vec::new();
        let mut ends = Vec::new();
        for (place, address) in [("h1", "10.9.0.1/24"), ("h2", "10.9.0.2/24")] {
            let netns = named_container(place).open().unwrap();
            let tap = netns
                .run(|| Tap::open(&name("tap0"), TapOptions::default()).unwrap())
                .await
                .unwrap();
            run("ip", &["-n", place, "addr", "add", address, "dev", "tap0"]);
            run("ip", &["-n", place, "link", "set", "tap0", "mtu", "1400", "up"]);
            taps.push(tap);
            ends.push(netns);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let cable = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || carry(&taps[0].queues[0], &taps[1].queues[0], &stop)
        });

        let data: Vec<u8> = (0..4_000_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        let listener = ends[1]
            .run(|| TcpListener::bind("10.9.0.2:7000").unwrap())
            .await
            .unwrap();
        let sent = data.clone();
        let sender = std::thread::spawn({
            let client = ends[0]
                .run(|| TcpStream::connect("10.9.0.2:7000").unwrap())
                .await
                .unwrap();
            move || {
                let mut client = client;
                client.write_all(&sent).unwrap();
            }
        });
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        let seen = cable.join().unwrap();

        assert!(received == data, "the stream arrives unchanged");
        assert!(seen.largest > 1400 * 4, "largest frame {}", seen.largest);
        assert!(seen.gso > 0, "no frame was left to be segmented");
    });
}

struct Seen {
    largest: usize,
    gso: usize,
}

fn carry(a: &OwnedFd, b: &OwnedFd, stop: &AtomicBool) -> Seen {
    let mut seen = Seen { largest: 0, gso: 0 };
    let mut buffer = vec![0; VNET_HEADER_LEN + 65536 + 14];
    while !stop.load(Ordering::Relaxed) {
        let mut fds = [
            PollFd::new(a.as_fd(), PollFlags::POLLIN),
            PollFd::new(b.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::from(50_u8)).unwrap();
        for (from, to) in [(a, b), (b, a)] {
            while let Ok(length) = nix::unistd::read(from.as_fd(), &mut buffer) {
                const GSO_TYPE: usize = 1;
                seen.largest = seen.largest.max(length - VNET_HEADER_LEN);
                seen.gso += usize::from(buffer[GSO_TYPE] != 0);
                // A full receiver drops the frame, as any cable may; TCP sends it again.
                let _ = nix::unistd::write(to.as_fd(), &buffer[..length]);
            }
        }
    }
    seen
}
