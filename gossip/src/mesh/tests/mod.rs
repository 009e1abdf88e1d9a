mod byzantine;
mod hostile;

use std::time::Duration;

use ipnetwork::IpNetwork;
use model::Uid;
use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::config::{Entropy, Offer, Timers};
use crate::doorkeeper::MAX_HANDSHAKES;
use crate::identity::Identity;
use crate::network::NetworkName;
use crate::prologue::{Prologue, VERSIONS};
use crate::records::PeerRecord;

#[test]
fn a_mesh_of_one_tells_its_short_id_and_itself_and_then_rests() {
    let now = Instant::now();
    let mut mesh = mesh(None, now);
    let events = events(&mut mesh);
    assert!(matches!(
        events[..],
        [Event::ShortIdChanged(_), Event::TopologyChanged(_)]
    ));
    assert_eq!(mesh.topology().by_short_id(mesh.short_id()), Some(mesh.name()));
    assert_eq!(mesh.poll_timeout().map(|(_, why)| why), Some("digest"));
}

#[test]
fn strangers_are_many_only_up_to_a_limit_and_for_five_seconds() {
    let mut now = Instant::now();
    let mut mesh = mesh(None, now);
    for n in 0..MAX_HANDSHAKES {
        assert!(mesh.accepted(LOCAL, remote(n), now).is_ok());
    }
    assert_eq!(
        mesh.accepted(LOCAL, remote(1), now),
        Err(Refusal::Handshakes(MAX_HANDSHAKES))
    );
    while mesh.counters().handshake_timeouts < MAX_HANDSHAKES as u64 {
        let (due, _why) = mesh.poll_timeout().unwrap();
        now = now.max(due);
        mesh.handle_timeout(now);
    }
    let closed = outputs(&mut mesh)
        .into_iter()
        .filter(|output| matches!(output, Output::Close { .. }));
    assert_eq!(closed.count(), MAX_HANDSHAKES);
    assert!(mesh.accepted(LOCAL, remote(1), now).is_ok());
    assert_eq!(mesh.counters().not_accepted, 1);
}

#[test]
fn after_its_end_a_mesh_wants_nothing() {
    let now = Instant::now();
    let mut mesh = mesh(None, now);
    let conn = mesh.accepted(LOCAL, remote(1), now).unwrap();
    mesh.set_targets(vec!["192.0.2.9".parse().unwrap()], false, now);
    mesh.handle_timeout(now);
    let dials = outputs(&mut mesh).into_iter().find_map(|output| match output {
        Output::Dial { dial, .. } => Some(dial),
        Output::Send { .. } | Output::Close { .. } | Output::Event(_) => None,
    });
    mesh.shut_down(Departure::Leave, now);
    assert_eq!(outputs(&mut mesh), [Output::Close { conn }]);
    assert_eq!(mesh.poll_timeout(), None);
    assert_eq!(mesh.accepted(LOCAL, remote(2), now), Err(Refusal::ShutDown));
    assert_eq!(mesh.dialled(dials.unwrap(), Ok((LOCAL, remote(3))), now), None);
    mesh.handle_input(conn, b"weave", now);
    mesh.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(outputs(&mut mesh), []);
}

#[test]
fn neighbours_of_before_a_restart_are_in_the_record_and_dialled_at_once() {
    let mut now = Instant::now();
    let peer = PeerName::from_public_key(&[9; 32]);
    let address = remote(1);
    let mut mesh = mesh(Some(Held { peer, address }), now);
    assert!(mesh.topology().peers[&mesh.name()].connections[&peer].established);
    assert_eq!(mesh.held(), [peer]);
    assert_eq!(mesh.neighbors_to_hold(), [Held { peer, address }]);

    mesh.handle_timeout(now);
    let dialled =
        |output: &Output| matches!(output, Output::Dial { target, .. } if *target == address.into());
    assert!(outputs(&mut mesh).iter().any(dialled));

    let until = now + Timers::default().restart_grace;
    while now < until {
        now = mesh.poll_timeout().unwrap().0;
        mesh.handle_timeout(now);
    }
    let reason = DownReason::GraceOver;
    assert!(events(&mut mesh).contains(&Event::NeighbourDown { peer, reason }));
    assert!(mesh.held().is_empty());
}

#[test]
fn a_claim_on_our_name_is_outbid_and_not_more_often_than_once_a_second() {
    let now = Instant::now();
    let mut mesh = mesh(None, now);
    let name = mesh.name();
    let claim = |mesh: &Mesh| {
        let mut record = PeerRecord::clone(&mesh.topology.peers[&mesh.config.name]);
        record.epoch += 5;
        record.uid = Uid(1234);
        record.sign(&mesh.config.identity);
        record
    };
    let conn = ConnId(0);
    let stamp = |mesh: &Mesh| mesh.table.get(name).unwrap().stamp();

    let first = claim(&mesh);
    mesh.heard_records(
        conn,
        PeerName::from_public_key(&[9; 32]),
        vec![first.clone()],
        now,
    );
    mesh.handle_timeout(now);
    assert!(stamp(&mesh) > first.stamp());
    assert_eq!(mesh.epoch(), first.epoch);
    assert_eq!(mesh.table.get(name).unwrap().uid, mesh.config.uid);

    let mut second = PeerRecord {
        epoch: first.epoch + 1,
        ..first
    };
    second.sign(&mesh.config.identity);
    mesh.heard_records(
        conn,
        PeerName::from_public_key(&[9; 32]),
        vec![second.clone()],
        now,
    );
    mesh.handle_timeout(now);
    assert!(stamp(&mesh) < second.stamp());
    mesh.handle_timeout(now + Timers::default().refute);
    assert!(stamp(&mesh) > second.stamp());
    assert_eq!(mesh.counters().refutations, 2);
}

#[test]
fn a_claim_of_the_last_version_goes_on_in_the_next_epoch() {
    let mut own = Own::new(ShortId::truncated(1), 3);
    own.outbid(crate::Stamp {
        epoch: 3,
        version: COUNTER_LIMIT - 1,
        uid: Uid(1),
    });
    assert_eq!(own.epoch, 4);
}

#[derive(Debug, Clone)]
enum Step {
    Accept,
    Input(u8, bool, Vec<u8>),
    Disconnect(u8),
    Dial(bool),
    Target(u8),
    Path(bool),
    Send(Vec<u8>),
    Remove,
    NetworkChanged,
    Wait(u16),
    Timer,
}

proptest! {
    #[test]
    fn whatever_happens_nothing_panics_or_spins(steps in prop::collection::vec(step(), 0..60)) {
        let mut now = Instant::now();
        let peer = PeerName::from_public_key(&[9; 32]);
        let mut mesh = mesh(Some(Held { peer, address: remote(1) }), now);
        let mut dials = vec![];
        for step in steps {
            match step {
                Step::Accept => drop(mesh.accepted(LOCAL, remote(7), now)),
                Step::Input(conn, prologue, bytes) => {
                    if prologue {
                        mesh.handle_input(ConnId(conn.into()), &hello_bytes(), now);
                    }
                    mesh.handle_input(ConnId(conn.into()), &bytes, now);
                }
                Step::Disconnect(conn) => mesh.disconnected(ConnId(conn.into()), Disconnect::Eof, now),
                Step::Dial(succeeds) => if let Some(dial) = dials.pop() {
                    let result = if succeeds { Ok((LOCAL, remote(8))) } else { Err("refused".to_owned()) };
                    mesh.dialled(dial, result, now);
                },
                Step::Target(n) => mesh.set_targets(vec![remote(n.into()).into()], n % 2 == 0, now),
                Step::Path(up) => mesh.path_established(peer, up, now),
                Step::Send(bytes) => drop(mesh.send(peer, Channel(1), bytes, now)),
                Step::Remove => drop(mesh.remove_peer(peer, now)),
                Step::NetworkChanged => mesh.network_changed(now),
                Step::Wait(ms) => now += Duration::from_millis(ms.into()),
                Step::Timer => {
                    if let Some((due, _why)) = mesh.poll_timeout() {
                        now = now.max(due);
                    }
                    mesh.handle_timeout(now);
                    let next = mesh.poll_timeout();
                    prop_assert!(next.is_none_or(|(due, _)| due > now), "{next:?} is still due");
                }
            }
            for output in outputs(&mut mesh) {
                if let Output::Dial { dial, .. } = output {
                    dials.push(dial);
                }
            }
            mesh.connections(now);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Accept),
        (0..8u8, any::<bool>(), any::<Vec<u8>>())
            .prop_map(|(conn, prologue, bytes)| Step::Input(conn, prologue, bytes)),
        (0..8u8).prop_map(Step::Disconnect),
        any::<bool>().prop_map(Step::Dial),
        any::<u8>().prop_map(Step::Target),
        any::<bool>().prop_map(Step::Path),
        any::<Vec<u8>>().prop_map(Step::Send),
        Just(Step::Remove),
        Just(Step::NetworkChanged),
        (0..4000u16).prop_map(Step::Wait),
        Just(Step::Timer),
    ]
}

fn mesh(held: Option<Held>, now: Instant) -> Mesh {
    mesh_of(1, held, now)
}

/// The mesh of the peer number `n`
fn mesh_with(n: u64, now: Instant) -> Mesh {
    mesh_of(n, None, now)
}

fn mesh_of(n: u64, held: Option<Held>, now: Instant) -> Mesh {
    let mut rng = StdRng::seed_from_u64(n);
    let identity = Identity::generate(&mut rng);
    let config = Config {
        name: identity.peer_name(),
        nickname: "host1".parse().unwrap(),
        identity,
        network: NetworkName::default(),
        passwords: Passwords::default(),
        entropy: Entropy::new(StdRng::seed_from_u64(n + 100)),
        pins: vec![],
        bans: vec![],
        unix_ms: 0,
        short_id: None,
        epoch: 1,
        uid: Uid(7 * n),
        control_port: 6783,
        version: "v".repeat(100),
        discovery: true,
        conn_limit: None,
        trusted_subnets: vec![],
        offer: Offer {
            fastdp: false,
            vxlan_port: 6784,
            sleeve_port: 6783,
            overlay_mtu: 1400,
        },
        held: held.into_iter().collect(),
        timers: Timers::default(),
    };
    Mesh::new(config, rng, now)
}

fn hello_bytes() -> Vec<u8> {
    let prologue = Prologue {
        versions: VERSIONS,
        password: false,
        network: NetworkName::default(),
        puzzle: None,
    };
    prologue.emit()
}

fn outputs(mesh: &mut Mesh) -> Vec<Output> {
    let all = std::iter::from_fn(|| mesh.poll_output());
    // The prologue of each connection is of no interest here.
    all.filter(|output| !matches!(output, Output::Send { .. }))
        .collect()
}

fn events(mesh: &mut Mesh) -> Vec<Event> {
    let events = outputs(mesh).into_iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        Output::Dial { .. } | Output::Send { .. } | Output::Close { .. } => None,
    });
    events.collect()
}

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 6783);

fn remote(n: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, (n % 256) as u8], 6783))
}
