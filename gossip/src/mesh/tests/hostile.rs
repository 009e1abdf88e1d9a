//! Members that say well-formed things which are not true, or too much.

use super::*;
use crate::bans::Ban;
use crate::records::tests::{identity, name, record, signed};
use crate::records::{COUNTER_LIMIT, MAX_PEERS};

/// Two meshes with a connection between them, on one clock
struct Pair {
    honest: Mesh,
    hostile: Mesh,
    conn: ConnId,
    now: Instant,
    /// What the honest one told of the rest of the program
    events: Vec<Event>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut pair = Self {
            honest: mesh_of(1, now),
            hostile: mesh_of(2, now),
            conn: ConnId(0),
            now,
            events: vec![],
        };
        pair.connect();
        assert!(pair.is_up());
        pair
    }

    fn connect(&mut self) {
        self.hostile.set_targets(vec![LOCAL.into()], true, self.now);
        self.hostile.handle_timeout(self.now);
        let dials = outputs(&mut self.hostile)
            .into_iter()
            .filter_map(|output| match output {
                Output::Dial { dial, .. } => Some(dial),
                Output::Send { .. } | Output::Close { .. } | Output::Event(_) => None,
            });
        let dial = dials.last().unwrap();
        let dialled = self.hostile.dialled(dial, Ok((remote(2), LOCAL)), self.now);
        self.conn = dialled.unwrap();
        let accepted = self.honest.accepted(LOCAL, remote(2), self.now);
        assert_eq!(accepted.map(|conn| conn.0 % 1000), Ok(self.conn.0 % 1000));
        self.exchange();
    }

    /// Moves bytes until nobody has any
    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.hostile.poll_output() {
                if let Output::Send { bytes, .. } = output {
                    quiet = false;
                    self.honest.handle_input(self.conn, &bytes, self.now);
                }
            }
            while let Some(output) = self.honest.poll_output() {
                match output {
                    Output::Send { bytes, .. } => {
                        quiet = false;
                        self.hostile.handle_input(self.conn, &bytes, self.now);
                    }
                    Output::Event(event) => self.events.push(event),
                    Output::Close { .. } => {
                        self.hostile.disconnected(self.conn, Disconnect::Eof, self.now);
                    }
                    Output::Dial { .. } => {}
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn say(&mut self, message: &Message) {
        self.hostile.tell(self.conn, message);
        self.exchange();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((due, _)) = self.honest.poll_timeout().filter(|(due, _)| *due < until) {
            self.now = self.now.max(due);
            self.honest.handle_timeout(self.now);
            self.hostile.handle_timeout(self.now);
            self.exchange();
        }
        self.now = until;
    }

    fn is_up(&self) -> bool {
        self.honest.neighbours.is_up(self.hostile.name())
    }

    fn ended(&self) -> Option<Ended> {
        self.events.iter().find_map(|event| {
            let Event::NeighbourDown {
                reason: DownReason::Ended(ended),
                ..
            } = event
            else {
                return None;
            };
            Some(*ended)
        })
    }
}

fn mesh_of(n: u64, now: Instant) -> Mesh {
    let mut mesh = mesh_with(n, now);
    outputs(&mut mesh);
    mesh
}

#[test]
fn counters_without_room_for_a_greater_one_end_the_connection() {
    for (epoch, version) in [
        (u64::MAX, u64::MAX),
        (u64::MAX, u64::MAX - 1),
        (COUNTER_LIMIT, 1),
        (1, COUNTER_LIMIT),
    ] {
        let mut pair = Pair::new();
        let mut record = PeerRecord {
            epoch,
            version,
            ..signed(9, 1, &[])
        };
        record.sign(&identity(9));
        pair.say(&Message::Records(vec![record]));
        assert_eq!(pair.ended(), Some(Ended::OutOfBounds), "{epoch} {version}");
        assert_eq!(pair.honest.counters().out_of_bounds, 1);
        assert_eq!(pair.honest.table.len(), 2);
    }
}

#[test]
fn a_record_that_its_peer_did_not_sign_ends_the_connection_and_changes_nothing() {
    let mut pair = Pair::new();
    let own = pair.honest.table.get(pair.honest.name()).unwrap().clone();
    let poisoned = PeerRecord {
        nickname: "POISONED".parse().unwrap(),
        epoch: COUNTER_LIMIT - 1,
        ..PeerRecord::clone(&own)
    };
    pair.say(&Message::Records(vec![poisoned]));
    assert_eq!(pair.ended(), Some(Ended::Unsigned));
    let now = pair.honest.table.get(pair.honest.name()).unwrap();
    assert_eq!((now.epoch, &now.nickname), (own.epoch, &own.nickname));
    assert_eq!(pair.honest.epoch(), own.epoch);
}

#[test]
fn a_summary_alone_moves_nobodys_epoch() {
    let mut pair = Pair::new();
    let stamp = crate::Stamp {
        epoch: COUNTER_LIMIT - 1,
        version: COUNTER_LIMIT - 1,
        uid: Uid(7),
    };
    let before = pair.honest.epoch();
    pair.say(&Message::Summary(vec![(pair.honest.name(), stamp)]));
    pair.wait(Duration::from_secs(5));
    assert_eq!((pair.honest.epoch(), pair.is_up()), (before, true));
}

#[test]
fn a_name_stays_with_its_key_and_the_claim_is_told_to_all() {
    let mut pair = Pair::new();
    pair.say(&Message::Records(vec![signed(9, 1, &[])]));
    let mut claim = PeerRecord {
        key: identity(8).key(),
        version: 2,
        ..signed(9, 2, &[])
    };
    claim.sign(&identity(8));
    pair.say(&Message::Records(vec![claim]));
    assert!(pair.is_up(), "its own pins may differ from ours");
    assert_eq!(pair.honest.counters().records_refused, 1);
    assert_eq!(pair.honest.table.get(name(9)).unwrap().key, identity(9).key());
    pair.wait(Duration::from_millis(100));
    let told = pair.hostile.table.get(pair.honest.name()).unwrap();
    assert_eq!(told.disputes[0].name, name(9));
    assert_eq!(told.disputes[0].claimant, identity(8).key());
    pair.wait(Duration::from_secs(70));
    let told = pair.hostile.table.get(pair.honest.name()).unwrap();
    assert_eq!(told.disputes, []);
}

#[test]
fn invented_peers_are_taken_by_the_burst_and_then_some_a_second() {
    let mut pair = Pair::new();
    for thousand in 0..4 {
        let records = (0..1000).map(|n| signed(1000 * thousand + n, 1, &[])).collect();
        pair.say(&Message::Records(records));
    }
    assert!(pair.honest.table.len() <= 1026 + 2, "{}", pair.honest.table.len());
    assert!(pair.honest.counters().records_dropped >= 2900);
    // Their names are not pinned for ever, either.
    assert!(pair.honest.pins().count() <= 1026 + 2);
    assert!(pair.is_up());
}

#[test]
fn nobody_gets_the_table_again_and_again() {
    let mut pair = Pair::new();
    let records = (0..1000).map(|n| signed(n, 1, &[1, 2, 3])).collect();
    pair.say(&Message::Records(records));
    let wanted: Vec<PeerName> = (0..1000).map(name).collect();
    let before = pair.honest.counters().records_sent;
    for _again in 0..100 {
        pair.say(&Message::Want(wanted.clone()));
    }
    let sent = pair.honest.counters().records_sent - before;
    assert!((1000..9000).contains(&sent), "{sent}");
    assert!(pair.honest.counters().requests_dropped >= 90);
    assert!(pair.is_up());

    // Once is enough: repeated names are no request that a peer makes.
    pair.say(&Message::Want(vec![name(1); MAX_PEERS]));
    assert_eq!(pair.ended(), Some(Ended::OutOfBounds));
}

#[test]
fn a_banned_key_is_out_and_stays_out_over_a_restart() {
    let mut pair = Pair::new();
    let (key, banned) = (pair.hostile.config.identity.key(), pair.hostile.name());
    pair.honest.ban(key, banned, true, pair.now).unwrap();
    pair.exchange();
    assert_eq!(pair.ended(), Some(Ended::Banned));
    assert!(pair.honest.table.get(banned).is_none());
    assert!(pair.honest.keys().binding(banned, &key) == Binding::Other);

    let kept: Vec<Ban> = pair.honest.bans().copied().collect();
    pair.honest = mesh_of(1, pair.now);
    pair.honest.bans = Bans::new(pair.honest.config.identity.key(), kept);
    pair.hostile = mesh_of(2, pair.now);
    pair.events.clear();
    pair.connect();
    assert!(!pair.is_up());
    assert_eq!(pair.honest.counters().refused, 1);

    // Lifted, it may come back.
    pair.honest.ban(key, banned, false, pair.now).unwrap();
    pair.honest.next_conn = 0;
    pair.hostile = mesh_of(2, pair.now);
    pair.connect();
    assert!(pair.is_up());
}

#[test]
fn a_ban_of_somebody_else_is_heard_by_all() {
    let mut pair = Pair::new();
    pair.say(&Message::Records(vec![signed(9, 1, &[])]));
    let ban = Ban::new(&identity(7), identity(9).key(), name(9), true, 5);
    pair.say(&Message::Bans(vec![ban]));
    assert!(pair.honest.table.get(name(9)).is_none());
    let told = |event: &Event| matches!(event, Event::BansChanged(bans) if bans == &[ban]);
    assert!(pair.events.iter().any(told));
    pair.say(&Message::Records(vec![signed(9, 2, &[])]));
    assert!(pair.honest.table.get(name(9)).is_none());
}

#[test]
fn a_record_of_a_key_that_is_not_its_own_signature_is_noticed() {
    assert!(!record(1, 1, &[]).is_signed());
}
