//! What fuzz targets reach of this crate; only `cargo fuzz` builds it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use gossip::{DerivedKeys, Identity, Replica as _};
use model::fuzz::Input;
use model::{ContainerId, PeerName};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::answer::{self, Answer, Authority, Transport};
use crate::budget::{MAX_WAITING_BYTES, MAX_WEIGHT, Refused};
use crate::domain::Domain;
use crate::entry::Filter;
use crate::names::Names;
use crate::part::Part;
use crate::proof::Proof;
use crate::told::{Lent, Told, decode, decode_summary, encode, encode_summary};
use crate::upstream::{Came, Forward, MAX_SERVERS, servers};

/// Reads a message and a summary of names; each is the same after it was written and read again
pub fn told(bytes: &[u8]) {
    if let Ok(told) = decode(bytes) {
        assert_eq!(decode(&encode(&told)), Ok(told.clone()));
        let _entries = match told {
            Told::Delta(delta) => delta.take().map(drop),
            Told::Whole(whole) => whole.take().map(drop),
        };
    }
    if let Ok(stamps) = decode_summary(bytes) {
        assert_eq!(decode_summary(&encode_summary(&stamps)), Ok(stamps));
    }
}

/// Tells a table of names what the script says: parts of others, own names, whom the mesh reaches, the time
pub fn names(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut now = Instant::now();
    let mut names = table(0);
    names.reachable(&[name(1), name(2)].into(), now);
    while !input.is_empty() {
        let op = input.byte();
        match op & 7 {
            0..=3 => {
                let mut part = input.piece().to_vec();
                if op & 1 == 0
                    && let Ok(told) = decode(&part)
                    && let Some(signed) = signed(&names, told)
                {
                    part = signed;
                }
                let teller = name(op >> 6);
                let merged = names.merge(teller, &part, &DerivedKeys, now);
                let summary = names.summary();
                let again = names.merge(teller, &part, &DerivedKeys, now);
                assert_eq!(merged.is_err(), again.is_err());
                if merged.is_ok() {
                    assert_eq!(again, Ok(None), "what is known already is no news");
                }
                assert_eq!(names.summary(), summary, "what is known already changes nothing");
            }
            4 => {
                let peers = (0..4).filter(|n| op & (16 << n) != 0).map(name);
                names.reachable(&peers.collect(), now);
            }
            5 => {
                let by = Duration::from_millis(u64::from(input.u16()) << 4);
                now = now.checked_add(by).expect("some hours");
                names.handle_timeout(now);
            }
            6 => {
                let text = String::from_utf8_lossy(input.piece()).into_owned();
                let container = container(op >> 4);
                let _added = names.add(&text, container, Ipv4Addr::from(input.u32()));
            }
            _ => {
                let filter = Filter {
                    container: Some(container(op >> 4)),
                    ..Filter::default()
                };
                let _removed = names.remove(&filter);
            }
        }
    }
    check(&mut names, now);
}

/// Asks the bytes of the tables of names; each way to answer takes them
pub fn query(bytes: &[u8]) {
    static ZONE: LazyLock<crate::Zone> = LazyLock::new(|| {
        let mut names = table(0);
        for n in 0..40 {
            let name = if n < 30 { "many" } else { "c1.sub" };
            let _added = names.add(name, container(n), Ipv4Addr::new(10, 32, 0, n));
        }
        names.zone().clone()
    });
    let authority = Authority {
        networks: vec!["10.32.0.0/12".parse().expect("a network")],
        ..Authority::default()
    };
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut rng = StdRng::seed_from_u64(1);
        let Answer::Reply(reply) = authority.answer(bytes, transport, &ZONE, &mut rng) else {
            continue;
        };
        assert_eq!(reply[..2], bytes[..2], "the id is the asker's");
        assert!(reply[2] & 0x80 != 0, "it is an answer");
        assert!(reply.len() <= 0xffff, "{} bytes", reply.len());
        hickory_proto::op::Message::from_vec(&reply).expect("an answer can be read");
    }
    for answer in [answer::servfail(bytes), answer::refused(bytes)]
        .into_iter()
        .flatten()
    {
        hickory_proto::op::Message::from_vec(&answer).expect("an answer can be read");
    }
}

/// Asks others a question, the first piece of the script, and hears what the other pieces say
pub fn forward(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let mut now = Instant::now();
    let servers = [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 53)));
    let question = input.piece();
    let mut rng = StdRng::seed_from_u64(1);
    let count = usize::from(how & 3);
    let Some(mut forward) = Forward::new(question, &servers[..count], how & 4 != 0, &mut rng, now) else {
        return;
    };
    while !input.is_empty() && !forward.is_over(now) {
        while forward.poll_ask(now).is_some() {}
        let op = input.byte();
        let server = servers[usize::from(op) % servers.len()];
        let mut answer = input.piece().to_vec();
        if op & 4 != 0
            && let (Some(theirs), Some(ours)) = (answer.get_mut(..2), forward.query().get(..2))
        {
            theirs.copy_from_slice(ours);
        }
        if op & 8 != 0 {
            forward.failed(server, now);
        } else if let Came::Answer(answer) = forward.came(server, &answer, now) {
            assert_eq!(answer[..2], question[..2], "the id is the asker's");
            return;
        }
        if op & 16 != 0 {
            now = forward.poll_timeout().max(now);
        }
    }
    if let Some(refusal) = forward.into_refusal() {
        assert_eq!(refusal[..2], question[..2], "the id is the asker's");
    }
}

/// Reads a `resolv.conf`
pub fn resolv_conf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let own = |address| address == Ipv4Addr::LOCALHOST;
    let servers = servers(&text, own, |name| (name == "eth0").then_some(2));
    assert!(servers.len() <= MAX_SERVERS);
    let _domain = text.parse::<Domain>();
    let _name = text.parse::<crate::HostName>();
}

/// Signs what is told for one of three peers, such that it fits what is known of that one
fn signed(names: &Names, mut told: Told<Lent<'_>>) -> Option<Vec<u8>> {
    let head = match &mut told {
        Told::Delta(delta) => &mut delta.head,
        Told::Whole(whole) => &mut whole.head,
    };
    let number = head.origin.mac().octets()[5];
    head.origin = name(number);
    let (origin, stamp) = (head.origin, head.stamp);
    let digest = match told.clone() {
        Told::Delta(delta) => {
            let fresh = Part::new(stamp.epoch);
            let known = names.copy(origin).filter(|part| part.stamp.epoch == stamp.epoch);
            known.unwrap_or(&fresh).outcome(delta.take().ok()?).digest()
        }
        Told::Whole(whole) => {
            let entries = whole.take().ok()?.entries;
            Part::whole(stamp, entries.into_iter().collect()).ok()?.digest()
        }
    };
    let proof = Proof::sign(identity(number), origin, stamp, digest);
    match &mut told {
        Told::Delta(delta) => delta.head.proof = proof,
        Told::Whole(whole) => whole.head.proof = proof,
    }
    Some(encode(&told))
}

/// Checks that the table is within its bounds, and that another takes all that this one tells
fn check(names: &mut Names, now: Instant) {
    let fill = names.fill();
    assert!(
        fill.weight <= MAX_WEIGHT && fill.waiting_bytes <= MAX_WAITING_BYTES,
        "{fill:?}"
    );
    let mut other = table(9);
    let all: BTreeSet<PeerName> = (0..4).map(name).collect();
    other.reachable(&all, now);
    let told = names.take_changes();
    let lacked = names.missing(&other.summary()).expect("a summary of our own");
    for part in told.iter().chain(&lacked) {
        other
            .merge(name(0), part, &DerivedKeys, now)
            .expect("nobody is told what no peer would send");
    }
    let refused = other.fill().refused;
    assert!(!refused.contains_key(&Refused::Digest), "{refused:?}");
    let list = |names: &Names| -> Vec<String> {
        let mut all: Vec<String> = names.entries().map(|listed| format!("{listed:?}")).collect();
        all.sort();
        all
    };
    assert_eq!(list(names), list(&other), "both know the same");
}

fn table(n: u8) -> Names {
    let identity = identity(n).clone();
    Names::new(identity.peer_name(), identity, 1, Domain::default())
}

fn identity(n: u8) -> &'static Identity {
    static IDENTITIES: LazyLock<[Identity; 5]> =
        LazyLock::new(|| [0, 1, 2, 3, 9].map(|seed| Identity::from_seed([seed; 32].into())));
    &IDENTITIES[if n == 9 { 4 } else { usize::from(n & 3) }]
}

fn name(n: u8) -> PeerName {
    identity(n & 3).peer_name()
}

fn container(n: u8) -> ContainerId {
    format!("c{n}").parse().expect("an id")
}
