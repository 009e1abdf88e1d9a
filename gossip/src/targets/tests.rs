use std::collections::BTreeSet;

use rand::SeedableRng;

use super::*;
use crate::records::tests::{name, record};

#[test]
fn a_target_whose_peer_is_connected_is_not_dialled() {
    let mut targets = Dials::new(2);
    targets.set(&["192.0.2.1:6783"]);
    let dials = targets.due();
    assert_eq!(dials.len(), 1);
    let conn = ConnId(0);
    assert!(targets.inner.dialled(dials[0].0, Ok(conn), targets.now));
    targets.up(conn, 1, "192.0.2.1:6783");

    // The same peer by another address that the operator names.
    targets.set(&["host1"]);
    let dials = targets.due();
    assert_eq!(dials[0].1.host, "host1");
    targets.inner.dialled(dials[0].0, Ok(ConnId(1)), targets.now);
    targets.inner.found(ConnId(1), name(1), targets.now);
    targets.pass(60);
    assert!(targets.due().is_empty());

    // Both are dialled when it goes, one after the other.
    targets.connected.clear();
    targets.inner.lost(name(1), "gone", false, targets.now);
    assert_eq!(targets.due().len(), 1);
}

#[test]
fn an_address_without_port_is_satisfied_by_who_listens_there() {
    let mut targets = Dials::new(2);
    targets.up(ConnId(0), 1, "192.0.2.1:6783");
    targets.set(&["192.0.2.1"]);
    targets
        .inner
        .up(ConnId(0), name(1), "192.0.2.1:6783".parse().unwrap(), targets.now);
    targets.pass(60);
    assert!(targets.due().is_empty());
}

#[test]
fn peers_that_others_speak_of_are_dialled_and_the_higher_name_waits() {
    let delay = |us: u16| {
        let mut targets = Dials::new(us);
        targets.discover(&[(5, "192.0.2.5:6783")]);
        targets.inner.timeout().unwrap() - targets.now
    };
    let courtesy = Timers::default().courtesy;
    assert!(delay(1) < Duration::from_millis(100));
    assert!(delay(9) >= courtesy);
}

#[test]
fn one_address_of_a_peer_is_dialled_at_a_time() {
    let mut targets = Dials::new(1);
    targets.discover(&[(5, "192.0.2.5:6783"), (5, "198.51.100.5:6783")]);
    targets.pass(1);
    let first = targets.due();
    assert_eq!(first.len(), 1);
    assert!(targets.due().is_empty());
    targets
        .inner
        .dialled(first[0].0, Err("no route to host".into()), targets.now);
    targets.pass(1);
    assert!(!targets.due().is_empty());
}

#[test]
fn addresses_go_when_nobody_speaks_of_them_unless_they_once_worked() {
    let mut targets = Dials::new(1);
    targets.discover(&[(5, "192.0.2.5:6783"), (6, "192.0.2.6:6783")]);
    targets.connected.insert(name(5));
    targets
        .inner
        .up(ConnId(0), name(5), "192.0.2.5:6783".parse().unwrap(), targets.now);
    targets.connected.clear();
    targets.inner.lost(name(5), "gone", false, targets.now);
    targets.discover(&[]);
    let left = |targets: &Dials| targets.inner.iter().count();
    assert_eq!(left(&targets), 1);
    targets.pass(3601);
    targets.discover(&[]);
    assert_eq!(left(&targets), 0);

    targets.discover(&[(5, "192.0.2.5:6783")]);
    targets
        .inner
        .up(ConnId(0), name(5), "192.0.2.5:6783".parse().unwrap(), targets.now);
    targets
        .inner
        .lost(name(5), "the peer has left", false, targets.now);
    targets.inner.left(name(5));
    assert_eq!(left(&targets), 0);
}

#[test]
fn addresses_that_mean_another_host_here_are_not_dialled() {
    let mut targets = Dials::new(1);
    targets.discover(&[
        (5, "127.0.0.1:6783"),
        (5, "0.0.0.0:6783"),
        (5, "224.0.0.1:6783"),
        (5, "[fe80::1]:6783"),
        (5, "192.0.2.1:0"),
        (5, "192.0.2.99:6783"),
    ]);
    assert_eq!(targets.inner.iter().count(), 0);
}

#[test]
fn a_changed_network_shortens_every_wait() {
    let mut targets = Dials::new(1);
    targets.set(&["192.0.2.1"]);
    for _ in 0..9 {
        let dials = targets.due();
        targets
            .inner
            .dialled(dials[0].0, Err("no route to host".into()), targets.now);
        targets.now = targets.inner.timeout().unwrap();
    }
    let dials = targets.due();
    targets
        .inner
        .dialled(dials[0].0, Err("no route to host".into()), targets.now);
    assert!(targets.inner.timeout().unwrap() > targets.now + Duration::from_secs(5));
    targets.inner.hurry(targets.now);
    targets.pass(1);
    assert_eq!(targets.due().len(), 1);
}

#[test]
fn a_dial_that_nobody_answers_fails_and_its_late_answer_is_not_wanted() {
    let mut targets = Dials::new(1);
    targets.set(&["192.0.2.1"]);
    let dials = targets.due();
    targets.pass(10);
    targets.due();
    assert!(!targets.inner.dialled(dials[0].0, Ok(ConnId(0)), targets.now));
}

#[test]
fn beyond_the_connection_limit_nothing_is_dialled() {
    let mut targets = Dials::new(1);
    targets.limit = Some(3);
    targets.set(&["192.0.2.1"]);
    assert!(targets.due().is_empty());
    let (_, entry) = targets.inner.iter().next().unwrap();
    assert_eq!(entry.error.as_deref(), Some("connection limit reached (3)"));
}

/// Targets with a clock and a set of peers that are connected
struct Dials {
    inner: Targets,
    now: Instant,
    connected: BTreeSet<PeerName>,
    limit: Option<u32>,
}

impl Dials {
    fn new(us: u16) -> Self {
        Self {
            inner: Targets::new(name(us), 6783, Timers::default(), StdRng::seed_from_u64(1)),
            now: Instant::now(),
            connected: BTreeSet::new(),
            limit: None,
        }
    }

    fn set(&mut self, targets: &[&str]) {
        let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        self.inner.set(targets, false, self.now);
    }

    fn discover(&mut self, addresses: &[(u16, &str)]) {
        let records: Vec<PeerRecord> = addresses
            .iter()
            .map(|(n, address)| PeerRecord {
                addresses: vec![address.parse().unwrap()],
                ..record(*n, 1, &[])
            })
            .collect();
        let own = ["192.0.2.99:6783".parse().unwrap()];
        self.inner.discover(
            &own,
            records.iter(),
            |peer| self.connected.contains(&peer),
            self.now,
        );
    }

    fn up(&mut self, conn: ConnId, peer: u16, address: &str) {
        self.connected.insert(name(peer));
        self.inner
            .up(conn, name(peer), address.parse().unwrap(), self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn due(&mut self) -> Vec<(DialId, Target)> {
        let is_up = |peer| self.connected.contains(&peer);
        let circumstances = Circumstances {
            is_up: &is_up,
            limit: self.limit,
        };
        self.inner.due(&circumstances, self.now)
    }
}
