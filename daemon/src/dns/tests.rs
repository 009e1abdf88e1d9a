//! The server on loopback, judged by `dig`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dns::{Domain, Names};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn dig_reads_what_is_answered() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    for (ask, status, flags, answer) in [
        (
            "c1.weave.local A",
            "NOERROR",
            "qr aa rd ra",
            "c1.weave.local. 1 IN A 10.32.0.1",
        ),
        (
            "C1.Weave.LOCAL A",
            "NOERROR",
            "qr aa rd ra",
            "C1.Weave.LOCAL. 1 IN A 10.32.0.1",
        ),
        (
            "c1.weave.local ANY",
            "NOERROR",
            "qr aa rd ra",
            "c1.weave.local. 1 IN A 10.32.0.1",
        ),
        ("c1. A", "NOERROR", "qr aa rd ra", "c1. 1 IN A 10.32.0.1"),
        (
            "-x 10.32.0.1",
            "NOERROR",
            "qr aa rd ra",
            "1.0.32.10.in-addr.arpa. 1 IN PTR C1.weave.local.",
        ),
        (
            "weave.local NS",
            "NOERROR",
            "qr aa rd ra",
            "weave.local. 1 IN NS weave.local.",
        ),
        ("c1.weave.local AAAA", "NOERROR", "qr aa rd ra", SOA),
        ("c1.weave.local MX", "NOERROR", "qr aa rd ra", SOA),
        ("b.weave.local A", "NOERROR", "qr aa rd ra", SOA),
        ("none.weave.local A", "NXDOMAIN", "qr aa rd ra", SOA),
        ("none. A", "NXDOMAIN", "qr aa rd ra", ""),
        (
            "-x 10.32.9.9",
            "NXDOMAIN",
            "qr aa rd ra",
            "32.10.in-addr.arpa. 1 IN SOA weave.local.",
        ),
        ("c1.weave.local A -c CH", "REFUSED", "qr aa rd ra", ""),
        (
            "c1.weave.local A +edns=1 +noednsneg",
            "BADVERS",
            "qr aa rd ra",
            "",
        ),
        ("c1.weave.local A +opcode=4", "NOTIMP", "qr rd", ""),
        ("www.example.com A", "SERVFAIL", "qr rd ra", ""),
    ] {
        for transport in ["", " +tcp"] {
            let dug = server
                .dig(&format!("{}{transport}", ask.replace("A -c CH", "-c CH -t A")))
                .await;
            assert_eq!(
                (dug.status.as_str(), dug.flags.as_str()),
                (status, flags),
                "{ask}: {}",
                dug.text
            );
            let text = dug.records.join("\n");
            assert!(
                text.starts_with(answer) && text.is_empty() == answer.is_empty(),
                "{ask}: {}",
                dug.text
            );
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_cut_and_comes_whole_on_a_connection() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    for (ask, records, cut, again) in [
        ("+noedns +ignore", 29, true, false),
        ("+bufsize=512 +ignore", 29, true, false),
        ("+bufsize=700 +ignore", 40, true, false),
        ("+bufsize=1232 +ignore", 50, false, false),
        ("+bufsize=4096 +ignore", 50, false, false),
        ("+noedns", 50, false, true),
        ("+bufsize=700", 50, false, true),
        ("+tcp", 50, false, false),
    ] {
        let dug = server.dig(&format!("many.weave.local A {ask}")).await;
        assert_eq!(dug.records.len(), records, "{ask}");
        assert_eq!(dug.flags.contains("tc"), cut, "{ask}");
        assert_eq!(dug.text.contains("Truncated, retrying in TCP"), again, "{ask}");
        assert_eq!(
            dug.text.contains("udp: 1232"),
            !ask.contains("noedns"),
            "{ask}: {}",
            dug.text
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_answered_by_others_as_they_say_it() {
    let mut names = Names::new(
        "02:00:00:00:00:09".parse().unwrap(),
        gossip::Identity::from_seed([7; 32].into()),
        1,
        "example.com".parse().unwrap(),
    );
    for n in 0..50 {
        names
            .add(
                "www",
                format!("{n}").parse().unwrap(),
                Ipv4Addr::new(192, 0, 2, n),
            )
            .unwrap();
    }
    let elsewhere = Running::start(names.take_zone().unwrap(), Upstreams::Given(vec![]));
    // Of three servers the first does not listen, and the second refuses.
    let refusing = Running::start(zone(), Upstreams::Given(vec![]));
    let upstreams = vec![unused(), refusing.address, elsewhere.address];
    let server = Running::start(zone(), Upstreams::Given(upstreams));
    for (ask, status, records) in [
        ("www.example.com A +tcp", "NOERROR", 50),
        ("www.example.com A +bufsize=1232", "NOERROR", 50),
        ("www.example.com A +noedns +ignore", "NOERROR", 29),
        ("www.example.com A +noedns", "NOERROR", 50),
        ("www.example.com AAAA", "NOERROR", 1),
        ("none.example.com A", "NXDOMAIN", 1),
        ("-x 192.0.2.7", "NOERROR", 1),
    ] {
        let (by_us, directly) = tokio::join!(server.dig(ask), elsewhere.dig(ask));
        assert_eq!(
            (by_us.status.as_str(), by_us.records.len()),
            (status, records),
            "{ask}: {}",
            by_us.text
        );
        assert_eq!(by_us.flags, directly.flags, "{ask}");
        let sorted = |dug: Dug| {
            let mut records = dug.records;
            records.sort();
            records
        };
        if records != 29 {
            assert_eq!(sorted(by_us), sorted(directly), "{ask}");
        }
    }
    assert_eq!(server.dig("c1.weave.local A").await.records.len(), 1);
    let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(counted(&server.counters.forwarded), 8);
    assert_eq!(counted(&server.counters.failed), 0);
    for server in [server, refusing, elsewhere] {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_a_failure_before_the_asker_gives_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Running::start(zone(), Upstreams::Given(vec![silent.local_addr().unwrap()]));
    let (other, local) = tokio::join!(server.dig("www.example.com A"), server.dig("c1.weave.local A"));
    assert_eq!(
        (other.status.as_str(), local.status.as_str()),
        ("SERVFAIL", "NOERROR")
    );
    assert!((4_000..5_000).contains(&other.took_ms()), "{}", other.text);
    assert!(local.took_ms() < 4_000, "{}", local.text);
    // It was asked twice, from one port, with an id that is not the asker's.
    let mut buffer = [0; 512];
    let (first, from) = silent.recv_from(&mut buffer).unwrap();
    let asked = buffer[..first].to_vec();
    let (second, again) = silent.recv_from(&mut buffer).unwrap();
    assert_eq!((&asked[..], from), (&buffer[..second], again));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_questions_than_others_can_be_asked_about_fail_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Running::start(zone(), Upstreams::Given(vec![silent.local_addr().unwrap()]));
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(server.address).unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    for id in 0..128_u16 {
        asker.send(&query(id, "www.example.com")).unwrap();
        while server.counters.forwarded.load(Ordering::Relaxed) <= id.into() {
            tokio::task::yield_now().await;
        }
    }
    for id in 128..138_u16 {
        asker.send(&query(id, "www.example.com")).unwrap();
        let mut buffer = [0; 512];
        assert_eq!(
            asker.recv(&mut buffer).unwrap(),
            query(id, "www.example.com").len()
        );
        assert_eq!((&buffer[..2], buffer[3] & 15), (&id.to_be_bytes()[..], 2));
    }
    // The end does not wait for those that are still asked about.
    let start = Instant::now();
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_whatever_they_ask() {
    let elsewhere = upstream();
    let server = Running::start(zone(), Upstreams::Given(vec![elsewhere]));
    for ask in [
        "c1.weave.local A",
        "c1. A",
        "-x 10.32.0.1",
        "live.example.com A",
        "live.example.com SOA",
    ] {
        for transport in ["", " +tcp"] {
            let stranger = server.dig(&format!("-b 127.0.0.9 {ask}{transport}")).await;
            assert_eq!(
                (stranger.status.as_str(), stranger.records.len()),
                ("REFUSED", 0),
                "{ask}{transport}: {}",
                stranger.text
            );
            let other = server.dig(&format!("-b 127.0.0.2 {ask}{transport}")).await;
            let is_forwarded_on_a_connection = ask.starts_with("live") && !transport.is_empty();
            let status = if is_forwarded_on_a_connection {
                "SERVFAIL"
            } else {
                "NOERROR"
            };
            assert_eq!(other.status, status, "{ask}{transport}: {}", other.text);
        }
    }
    assert_eq!(server.counters.refused.load(Ordering::Relaxed), 10);
    server.stop().await;
}

/// A stranger holds no connection after it heard so, and no more than a few before it asked
#[tokio::test(flavor = "multi_thread")]
async fn strangers_take_no_place_of_others_connections() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    let address = server.address;
    let idle = tokio::task::spawn_blocking(move || {
        let strangers: Vec<TcpStream> = (0..40).map(|_| connect([127, 0, 0, 9], address)).collect();
        let mut last = strangers.last().unwrap();
        let one = query(1, "c1.weave.local");
        last.write_all(&[&(one.len() as u16).to_be_bytes()[..], &one].concat())
            .unwrap();
        let mut all = Vec::new();
        last.read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), all[5] & 15), (2 + one.len(), 5));
        strangers
    });
    let strangers = idle.await.unwrap();
    assert_eq!(
        server.dig("-b 127.0.0.2 c1.weave.local A +tcp").await.status,
        "NOERROR"
    );
    assert!(server.counters.unheard.load(Ordering::Relaxed) >= 24);
    drop(strangers);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_what_nobody_answers_leaves_the_others_theirs() {
    let server = Running::start(zone(), Upstreams::Given(vec![upstream()]));
    let address = server.address;
    let greedy = tokio::task::spawn_blocking(move || {
        let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
        let start = Instant::now();
        for n in 0..2000_u16 {
            socket.send_to(&query(n, "dead.example.com"), address).unwrap();
            let due = start + Duration::from_micros(2500) * u32::from(n);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    let other = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(800));
        let socket = UdpSocket::bind("127.0.0.3:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        let mut took: [Vec<Duration>; 2] = Default::default();
        for n in 0..150_u16 {
            for (name, took) in ["c1.weave.local", "live.example.com"].into_iter().zip(&mut took) {
                let (asked_at, mut buffer) = (Instant::now(), [0; 512]);
                socket.send(&query(n, name)).unwrap();
                socket.recv(&mut buffer).unwrap();
                took.push(asked_at.elapsed());
                assert_eq!(
                    (&buffer[..2], buffer[3] & 15),
                    (&n.to_be_bytes()[..], 0),
                    "{name}"
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        took.map(|mut took| {
            took.sort_unstable();
            took[took.len() * 95 / 100]
        })
    });
    let p95 = other.await.unwrap();
    println!("p95 of names here, and of names of elsewhere: {p95:?}");
    greedy.await.unwrap();
    assert!(p95.iter().all(|p95| *p95 < Duration::from_millis(50)), "{p95:?}");
    assert!(server.counters.failed.load(Ordering::Relaxed) > 1000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_holds_all_connections_makes_room_for_others() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    let address = server.address;
    let held = tokio::task::spawn_blocking(move || {
        (0..128)
            .map(|_| connect([127, 0, 0, 2], address))
            .collect::<Vec<TcpStream>>()
    });
    let held = held.await.unwrap();
    for _ in 0..3 {
        let dug = server.dig("-b 127.0.0.3 c1.weave.local A +tcp").await;
        assert_eq!(dug.status, "NOERROR", "{}", dug.text);
    }
    assert!((1..=3).contains(&server.counters.unheard.load(Ordering::Relaxed)));
    let closed = tokio::task::spawn_blocking(move || {
        let mut first = &held[0];
        first.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let ended = first.read(&mut [0]);
        let mut last = held.last().unwrap();
        let one = query(1, "c1.weave.local");
        last.write_all(&[&(one.len() as u16).to_be_bytes()[..], &one].concat())
            .unwrap();
        (ended.ok(), last.read(&mut [0; 512]).unwrap() > 0)
    });
    assert_eq!(
        closed.await.unwrap(),
        (Some(0), true),
        "the oldest is closed, the youngest is not"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_with_an_error_or_not_at_all_and_the_rest_goes_on() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    let (address, asker) = (server.address, UdpSocket::bind("127.0.0.1:0").unwrap());
    let talk = tokio::task::spawn_blocking(move || {
        asker.connect(address).unwrap();
        asker.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        asker.send(b"").unwrap();
        asker.send(b"short").unwrap();
        asker.send(&[0xff; 4096]).unwrap();
        asker.send(&[7; 40]).unwrap();
        let mut buffer = [0; 512];
        // The third is an answer itself; the fourth has the opcode 0 and 1799 questions.
        assert_eq!(asker.recv(&mut buffer).unwrap(), 12);
        assert_eq!(
            (&buffer[..2], buffer[2] & 0x80, buffer[3] & 15),
            (&[7, 7][..], 0x80, 1)
        );
        // On a connection: two questions at once, then rubbish, which closes it.
        let mut stream = TcpStream::connect(address).unwrap();
        let one = query(1, "c1.weave.local");
        let framed = [&(one.len() as u16).to_be_bytes()[..], &one].concat();
        stream
            .write_all(&[&framed[..], &framed, &[0, 3, 1, 2, 3]].concat())
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 2 * (2 + one.len() + 16));
    });
    talk.await.unwrap();
    assert_eq!(server.dig("c1.weave.local A").await.status, "NOERROR");
    assert_eq!(server.counters.dropped.load(Ordering::Relaxed), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_change_while_it_serves() {
    let server = Running::start(zone(), Upstreams::Given(vec![]));
    let mut names = Names::new(
        "02:00:00:00:00:01".parse().unwrap(),
        gossip::Identity::from_seed([7; 32].into()),
        1,
        Domain::default(),
    );
    names
        .add("c1", "a".parse().unwrap(), Ipv4Addr::new(10, 32, 0, 77))
        .unwrap();
    server.zone.send_replace(names.take_zone().unwrap());
    assert_eq!(
        server.dig("c1.weave.local A").await.records,
        ["c1.weave.local. 1 IN A 10.32.0.77"]
    );
    // One address is taken, one is of no interface yet, one is free.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wanted = [
        taken.local_addr().unwrap(),
        "192.0.2.53:5353".parse().unwrap(),
        unused(),
    ];
    server.wanted.send_replace(wanted.to_vec());
    let asked = Running {
        address: wanted[2],
        ..server
    };
    let dug = asked.dig("c1.weave.local A +tries=5 +time=1").await;
    assert_eq!(dug.status, "NOERROR", "{}", dug.text);
    asked.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_cure() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = server(zone(), Upstreams::Given(vec![]), address).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot answer names on {address}; give a free one with --dns-listen-address, or --no-dns")
    );
}

/// The beginning of the SOA record
const SOA: &str = "weave.local. 1 IN SOA weave.local. hostmaster.weave.local.";

/// A server on loopback
struct Running {
    address: SocketAddr,
    zone: watch::Sender<Zone>,
    wanted: watch::Sender<Vec<SocketAddr>>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(zone: Zone, upstreams: Upstreams) -> Self {
        let (server, zone, wanted) = server(zone, upstreams, "127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, counters, stop) = (
            server.addresses()[0],
            Arc::clone(&server.answering.counters),
            CancellationToken::new(),
        );
        Self {
            address,
            zone,
            wanted,
            counters,
            serving: tokio::spawn(server.serve(stop.clone())),
            stop,
        }
    }

    /// Asks by dig
    async fn dig(&self, ask: &str) -> Dug {
        let ask = format!(
            "@{} -p {} +tries=1 +time=6 {ask}",
            self.address.ip(),
            self.address.port()
        );
        let dig = move || Command::new("dig").args(ask.split_whitespace()).output();
        let output = tokio::task::spawn_blocking(dig).await.unwrap();
        let output = output.expect("dig is there (apt-get install bind9-dnsutils)");
        Dug::read(String::from_utf8(output.stdout).unwrap())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// What dig says
struct Dug {
    status: String,
    flags: String,
    /// Answers and authorities, with single spaces
    records: Vec<String>,
    text: String,
}

impl Dug {
    fn read(text: String) -> Self {
        let between = |from: &str, to: char| {
            let rest = text.split(from).nth(1).unwrap_or_default();
            rest.split(to).next().unwrap_or_default().trim().to_owned()
        };
        let (status, flags) = (between("status: ", ','), between(";; flags: ", ';'));
        let records = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(';'));
        let records = records
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        Self {
            status,
            flags,
            records,
            text,
        }
    }

    /// How long the asker waited
    fn took_ms(&self) -> u64 {
        let after = self.text.split("Query time: ").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }
}

type Ends = (Server, watch::Sender<Zone>, watch::Sender<Vec<SocketAddr>>);

fn server(zone: Zone, upstreams: Upstreams, address: SocketAddr) -> Result<Ends, BindError> {
    let authority = Authority {
        ttl: 1,
        networks: networks(),
    };
    let (zone, zones) = watch::channel(zone);
    let (wanted, addresses) = watch::channel(vec![address]);
    let settings = Settings {
        authority,
        upstreams,
        clients: Clients::with_strangers(vec![std::net::IpAddr::from([127, 0, 0, 9]).into()]),
    };
    let server = Server::bind(settings, zones, addresses, StdRng::seed_from_u64(7))?;
    Ok((server, zone, wanted))
}

fn networks() -> Vec<ipnetwork::Ipv4Network> {
    vec!["10.32.0.0/12".parse().unwrap()]
}

fn zone() -> Zone {
    let mut names = Names::new(
        "02:00:00:00:00:01".parse().unwrap(),
        gossip::Identity::from_seed([7; 32].into()),
        1,
        Domain::default(),
    );
    let mut add = |name: &str, container: &str, address: Ipv4Addr| {
        names.add(name, container.parse().unwrap(), address).unwrap();
    };
    add("C1", "a", Ipv4Addr::new(10, 32, 0, 1));
    add("a.b.weave.local", "a", Ipv4Addr::new(10, 32, 0, 2));
    for n in 0..50 {
        add("many", &format!("{n}"), Ipv4Addr::new(10, 33, 0, n));
    }
    names.take_zone().unwrap()
}

/// A server that answers names that begin with `live`, by UDP, and no others
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if buffer[13..].starts_with(b"live") {
                // The question itself, with the flag of an answer and no records
                buffer[2] |= 0x80;
                buffer[10..12].copy_from_slice(&[0, 0]);
                let length = question_end(&buffer[..length]);
                socket.send_to(&buffer[..length], from).unwrap();
            }
        }
    });
    address
}

fn question_end(query: &[u8]) -> usize {
    let zero = query[12..].iter().position(|byte| *byte == 0).unwrap();
    12 + zero + 5
}

/// A connection from this address
fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// An address on which nobody listens
fn unused() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The bytes of a question for an address
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}
