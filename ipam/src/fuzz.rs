//! What fuzz targets reach of this crate; only `cargo fuzz` builds it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gossip::{DerivedKeys, Identity, Replica as _};
use ipnetwork::Ipv4Network;
use model::fuzz::Input;
use model::{ContainerId, Mac, PeerName};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::MAX_OWNERS;
use crate::config::{Config, Init, Timers};
use crate::machine::Ipam;
use crate::output::{Output, Ticket};
use crate::state::{Held, State};
use crate::wire::{Part, Summary, decode, encode};

/// Reads a part and a summary of the state; each is the same after it was written and read again
pub fn wire(bytes: &[u8]) {
    if let Ok(part) = Part::parse(bytes) {
        assert_eq!(Part::parse(&encode(&part)), Ok(part));
    }
    if let Ok(summary) = Summary::parse(bytes) {
        assert_eq!(Summary::parse(&encode(&summary)), Ok(summary));
    }
}

/// Tells a machine what the script says: parts of the state, whom the mesh reaches, wishes, how time goes on
pub fn told(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let mut now = Instant::now();
    let mut ipam = Ipam::new(config(how), None, None, UNIX_MS, StdRng::seed_from_u64(1), now);
    while !input.is_empty() {
        act(&mut ipam, &mut input, &mut now);
        while ipam.poll_output().is_some() {}
    }
    let _status = ipam.status(now);
    check(&mut ipam, now);
}

/// Starts a machine with a state of which the parts, each with its length in two bytes before it, are these
pub fn kept(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let mut part = || Some(input.piece().to_vec()).filter(|part| !part.is_empty());
    let state = State {
        space: part(),
        ledger: part(),
        record: part(),
        heard: part(),
        addresses: [(
            [10, 32, 0, 7].into(),
            Held {
                container: container(1),
                network: network([10, 32, 0, 7], 24),
            },
        )]
        .into(),
    };
    let mut now = Instant::now();
    let away = (how & 4 != 0).then_some(Duration::from_secs(1));
    let rng = StdRng::seed_from_u64(1);
    let mut ipam = Ipam::new(config(how), Some(state), away, UNIX_MS, rng, now);
    while !input.is_empty() {
        act(&mut ipam, &mut input, &mut now);
        while ipam.poll_output().is_some() {}
    }
    check(&mut ipam, now);
}

fn act(ipam: &mut Ipam, input: &mut Input<'_>, now: &mut Instant) {
    let op = input.byte();
    let ticket = Ticket(u64::from(op >> 4));
    match op & 0xf {
        0..=6 => {
            let mut part = input.piece().to_vec();
            if let Some(mut told) = decode::<Part>(&part)
                && op & 1 == 0
            {
                told.range = ipam.config.range;
                part = encode(&told);
            }
            let before = ipam.merge(name(1), &part, &DerivedKeys, *now);
            let summary = ipam.summary();
            let again = ipam.merge(name(2), &part, &DerivedKeys, *now);
            // What it answers for itself may be another thing than before; what others said is not.
            if before.is_err() {
                assert_eq!(again, before);
                assert_eq!(ipam.summary(), summary, "what is malformed changes nothing");
            } else {
                assert_eq!(again, Ok(None), "what is known already is no news");
            }
        }
        7 => {
            *now = later(*now, Duration::from_millis(u64::from(input.u16()) << 4));
            ipam.handle_timeout(*now);
        }
        8 => {
            if let Some(due) = ipam.poll_timeout() {
                *now = due.max(*now);
                ipam.handle_timeout(*now);
            }
        }
        9 => {
            let mask = input.byte();
            let peers: BTreeSet<PeerName> = (0..8).filter(|n| mask & (1 << n) != 0).map(name).collect();
            ipam.reachable(&peers, *now);
        }
        10 => ipam.allocate(ticket, container(op >> 4), network([10, 32, 0, 0], 24), *now),
        11 => {
            let address = network([10, 32, 0, input.byte()], 24);
            ipam.claim(ticket, container(op >> 4), address, *now);
        }
        12 => {
            ipam.release(&container(op >> 4), None, *now);
        }
        13 => ipam.remove_peer(ticket, name(op >> 4), *now),
        14 => ipam.prime(ticket, *now),
        _ => ipam.leave(*now),
    }
}

/// Checks that the machine is within its bounds, and that another takes all that this one tells
fn check(ipam: &mut Ipam, now: Instant) {
    assert!(ipam.records.iter().count() <= MAX_OWNERS + 1, "too many records");
    let addresses: u64 = ipam.space.holdings().values().sum();
    let owned: u64 = ipam.space.pieces().map(|piece| piece.span.len()).sum();
    assert_eq!(addresses, owned, "the count of holdings is that of the pieces");
    assert!(owned <= ipam.range.len(), "more addresses than there are");
    let other = Config {
        name: name(9),
        ..config(2)
    };
    let mut other = Ipam::new(other, None, None, UNIX_MS, StdRng::seed_from_u64(2), now);
    let told = ipam.take_changes();
    let lacked = ipam.missing(&other.summary()).expect("a summary of our own");
    for part in told.iter().chain(&lacked) {
        other
            .merge(ipam.me.name, part, &DerivedKeys, now)
            .expect("nobody is told what no peer would send");
    }
    while let Some(output) = ipam.poll_output() {
        if let Output::Keep(change) = output {
            let mut state = State::default();
            state.apply(change);
        }
    }
}

fn config(how: u8) -> Config {
    let init = match how & 3 {
        0 => Init::Consensus { peers: Some(3) },
        1 => Init::Seed([name(0), name(1)].into()),
        2 => Init::Observer,
        _ => Init::Consensus { peers: Some(1) },
    };
    Config {
        name: name(0),
        identity: Identity::from_seed([1; 32].into()),
        range: network([10, 32, 0, 0], 22),
        init,
        expected_peers: 1,
        lease: (how & 8 != 0).then_some(Duration::from_secs(600)),
        timers: Timers::default(),
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).expect("some hours")
}

fn name(n: u8) -> PeerName {
    PeerName::from(Mac::new([2, 0, 0, 0, 0, n]))
}

fn container(n: u8) -> ContainerId {
    format!("c{n}").parse().expect("an id")
}

fn network(address: [u8; 4], prefix: u8) -> Ipv4Network {
    Ipv4Network::new(address.into(), prefix).expect("a prefix")
}

const UNIX_MS: u64 = 1_700_000_000_000;
