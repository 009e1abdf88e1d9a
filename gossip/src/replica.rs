//! State that every peer has a copy of, and how the copies become one.
//!
//! A protocol above this one brings the state ([`Replica`]); an [`Exchange`] says which messages make
//! the neighbours' copies equal to it.
//!
//! - A change made here goes to every neighbour at once. Who hears it passes it on only to those of its
//!   neighbours that the peer it comes from is not connected to, so in a full mesh nobody does.
//! - When a neighbour comes, and every 30 s after that, it is told a hash of everything here. If its own
//!   is another, it answers with a summary, and gets what it lacks.
//! - So it is when a neighbour has lost another peer: what that one said last was lost with the connection
//!   between them, and nobody passed it on.
//!
//! Messages are bincode of [`Message`]; see `docs/wire/gossip.md`.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use model::{PeerName, bump, later};
use serde::{Deserialize, Serialize};

use crate::identity::Keys;
use crate::wire::{self, MAX_CHANNEL_BYTES};

/// How often neighbours are told the hash of everything
pub const COMPARE: Duration = Duration::from_secs(30);

/// Until those that may have missed something are compared with: of many connections that end at once,
/// word comes one by one
const SOON: Duration = Duration::from_millis(100);

/// The longest part of a state that travels as one: what is around it has room beside it in a message
pub const MAX_PART_BYTES: usize = MAX_CHANNEL_BYTES - 64;

/// State that is the same on every peer once all have heard of everything
///
/// Merging is a join: associative, commutative, idempotent, and unable to fail other than for bytes
/// that no peer would send.
pub trait Replica {
    /// What changed here and was told to nobody, in parts of at most [`MAX_PART_BYTES`]; empties it
    fn take_changes(&mut self) -> Vec<Vec<u8>>;

    /// Equal for equal states, and for no others: what [`Replica::missing`] needs to know of this one
    fn summary(&self) -> Vec<u8>;

    /// What is here and, by its summary, not there, in parts of at most [`MAX_PART_BYTES`]
    ///
    /// # Errors
    ///
    /// If no peer would send such a summary.
    fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed>;

    /// Takes over what a neighbour told; what of it was news here, if anything was
    ///
    /// `teller` is the neighbor. `keys` tells which key speaks for which name: only with its signature is
    /// taken over what a peer wrote.
    ///
    /// # Errors
    ///
    /// If no peer would send such a part; nothing of it is taken over.
    fn merge(
        &mut self,
        teller: PeerName,
        part: &[u8],
        keys: &dyn Keys,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Malformed>;
}

/// Bytes that no peer would send
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What neighbours tell each other of one state
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Message {
    /// BLAKE3 of the teller's summary
    Hash([u8; 32]),
    /// The teller's summary; with `answer`, the hearer's is wanted in return
    Summary { answer: bool, summary: Vec<u8> },
    /// Something that changed at `origin`
    Change { origin: PeerName, part: Vec<u8> },
    /// Something that the hearer lacked, by its summary
    Lacked(Vec<u8>),
}

/// Keeps neighbours' copies equal to one state
///
/// After every call that takes `&mut self`: [`Exchange::poll_send`] until there is nothing.
#[derive(Debug)]
pub struct Exchange {
    name: PeerName,
    neighbours: BTreeSet<PeerName>,
    compare_at: Option<Instant>,
    /// Neighbours that may have missed something, and when they are compared with
    doubtful: BTreeSet<PeerName>,
    doubtful_at: Option<Instant>,
    sends: VecDeque<(PeerName, Vec<u8>)>,
    malformed: u64,
}

impl Exchange {
    /// The exchange of the peer of this name
    pub const fn new(name: PeerName) -> Self {
        Self {
            name,
            neighbours: BTreeSet::new(),
            compare_at: None,
            doubtful: BTreeSet::new(),
            doubtful_at: None,
            sends: VecDeque::new(),
            malformed: 0,
        }
    }

    /// A neighbour can be spoken to, perhaps anew
    pub fn up(&mut self, neighbour: PeerName, state: &impl Replica, now: Instant) {
        self.neighbours.insert(neighbour);
        self.compare_at.get_or_insert_with(|| later(now, COMPARE));
        self.send(neighbour, &Message::Hash(hash(&state.summary())));
    }

    /// A neighbour cannot be spoken to
    pub fn down(&mut self, neighbour: PeerName) {
        self.neighbours.remove(&neighbour);
        if self.neighbours.is_empty() {
            self.compare_at = None;
        }
    }

    /// A neighbour may have missed what another peer said: it is compared with soon
    pub fn doubt(&mut self, neighbour: PeerName, now: Instant) {
        if self.neighbours.contains(&neighbour) {
            self.doubtful.insert(neighbour);
            self.doubtful_at.get_or_insert_with(|| later(now, SOON));
        }
    }

    /// Compares with every neighbor soon, as any of them may have what is missing here
    pub fn doubt_all(&mut self, now: Instant) {
        if !self.neighbours.is_empty() {
            self.doubtful.clone_from(&self.neighbours);
            self.doubtful_at.get_or_insert_with(|| later(now, SOON));
        }
    }

    /// A neighbour sent this; `reaches(a, b)` is whether the peer `a` is a neighbour of `b`
    ///
    /// # Errors
    ///
    /// If no peer would send such a message; it is counted, and changed nothing.
    pub fn heard(
        &mut self,
        from: PeerName,
        bytes: &[u8],
        state: &mut impl Replica,
        keys: &dyn Keys,
        reaches: impl Fn(PeerName, PeerName) -> bool,
        now: Instant,
    ) -> Result<(), Malformed> {
        let heard = parse(bytes).and_then(|message| self.handle(from, message, state, keys, reaches, now));
        if heard.is_err() {
            bump(&mut self.malformed);
        }
        heard
    }

    fn handle(
        &mut self,
        from: PeerName,
        message: Message,
        state: &mut impl Replica,
        keys: &dyn Keys,
        reaches: impl Fn(PeerName, PeerName) -> bool,
        now: Instant,
    ) -> Result<(), Malformed> {
        match message {
            Message::Hash(theirs) => {
                let summary = state.summary();
                if hash(&summary) != theirs {
                    self.send(
                        from,
                        &Message::Summary {
                            answer: true,
                            summary,
                        },
                    );
                }
            }
            Message::Summary { answer, summary } => {
                let parts = state.missing(&summary)?;
                if answer {
                    let summary = state.summary();
                    self.send(
                        from,
                        &Message::Summary {
                            answer: false,
                            summary,
                        },
                    );
                }
                for part in parts {
                    self.send(from, &Message::Lacked(part));
                }
            }
            Message::Change { origin, part } => {
                if let Some(part) = state.merge(from, &part, keys, now)? {
                    self.pass_on(origin, from, part, reaches);
                }
            }
            Message::Lacked(part) => {
                if let Some(part) = state.merge(from, &part, keys, now)? {
                    // The neighbours of who told it may have lacked it too: it spreads as from here.
                    self.pass_on(self.name, from, part, |_, _| false);
                }
            }
        }
        Ok(())
    }

    /// Tells the neighbours what changed here
    pub fn flood(&mut self, state: &mut impl Replica) {
        for part in state.take_changes() {
            let origin = self.name;
            self.pass_on(origin, origin, part, |_, _| false);
        }
    }

    fn pass_on(
        &mut self,
        origin: PeerName,
        teller: PeerName,
        part: Vec<u8>,
        reaches: impl Fn(PeerName, PeerName) -> bool,
    ) {
        let lacks = |neighbour: &&PeerName| {
            **neighbour != teller && **neighbour != origin && !reaches(origin, **neighbour)
        };
        let bytes = emit(&Message::Change { origin, part });
        for neighbour in self.neighbours.iter().filter(lacks) {
            self.sends.push_back((*neighbour, bytes.clone()));
        }
    }

    /// Compares with the neighbours, if it is time
    pub fn handle_timeout(&mut self, state: &impl Replica, now: Instant) {
        let is_due = |at: &mut Instant| *at <= now;
        let all = self.compare_at.take_if(is_due).is_some();
        let some = self.doubtful_at.take_if(is_due).is_some();
        if all {
            self.compare_at = Some(later(now, COMPARE));
        } else if !some {
            return;
        }
        let message = emit(&Message::Hash(hash(&state.summary())));
        let doubtful = std::mem::take(&mut self.doubtful);
        for neighbour in &self.neighbours {
            if all || doubtful.contains(neighbour) {
                self.sends.push_back((*neighbour, message.clone()));
            }
        }
    }

    /// When to call [`Exchange::handle_timeout`]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.compare_at.into_iter().chain(self.doubtful_at).min()
    }

    /// What to send next, and to which neighbour
    pub fn poll_send(&mut self) -> Option<(PeerName, Vec<u8>)> {
        self.sends.pop_front()
    }

    /// How many messages came that no peer would send
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    fn send(&mut self, neighbour: PeerName, message: &Message) {
        self.sends.push_back((neighbour, emit(message)));
    }
}

fn hash(summary: &[u8]) -> [u8; 32] {
    *blake3::hash(summary).as_bytes()
}

fn emit(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    wire::append(&mut out, message);
    out
}

fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    wire::value(bytes).map_err(|_error| Malformed("not one message of a replica"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::identity::DerivedKeys;
    use crate::records::tests::name;

    /// A map from keys to the greatest value heard
    #[derive(Debug, Default, Clone)]
    struct Greatest {
        values: BTreeMap<u8, u8>,
        changed: Vec<u8>,
    }

    impl Greatest {
        fn set(&mut self, key: u8, value: u8) {
            if self.values.get(&key).is_none_or(|known| *known < value) {
                self.values.insert(key, value);
                self.changed.push(key);
            }
        }
    }

    impl Replica for Greatest {
        fn take_changes(&mut self) -> Vec<Vec<u8>> {
            let changed = std::mem::take(&mut self.changed);
            changed.iter().map(|key| vec![*key, self.values[key]]).collect()
        }

        fn summary(&self) -> Vec<u8> {
            self.values
                .iter()
                .flat_map(|(key, value)| [*key, *value])
                .collect()
        }

        fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
            let (pairs, []) = summary.as_chunks::<2>() else {
                return Err(Malformed("half a pair"));
            };
            let theirs: BTreeMap<u8, u8> = pairs.iter().map(|[key, value]| (*key, *value)).collect();
            let lacks = |(key, value): &(&u8, &u8)| theirs.get(key) < Some(value);
            Ok(self
                .values
                .iter()
                .filter(lacks)
                .map(|(key, value)| vec![*key, *value])
                .collect())
        }

        fn merge(
            &mut self,
            _teller: PeerName,
            part: &[u8],
            _keys: &dyn Keys,
            _now: Instant,
        ) -> Result<Option<Vec<u8>>, Malformed> {
            let [key, value] = part else {
                return Err(Malformed("no pair"));
            };
            if self.values.get(key) >= Some(value) {
                return Ok(None);
            }
            self.values.insert(*key, *value);
            Ok(Some(part.to_vec()))
        }
    }

    /// Peers with states and exchanges, and the links between them
    struct Peers {
        all: BTreeMap<PeerName, (Greatest, Exchange)>,
        links: BTreeSet<(PeerName, PeerName)>,
        now: Instant,
        delivered: usize,
    }

    impl Peers {
        fn new(count: u16) -> Self {
            let peer = |n| (name(n), (Greatest::default(), Exchange::new(name(n))));
            Self {
                all: (0..count).map(peer).collect(),
                links: BTreeSet::new(),
                now: Instant::now(),
                delivered: 0,
            }
        }

        fn link(&mut self, a: u16, b: u16) {
            for (from, to) in [(a, b), (b, a)] {
                self.links.insert((name(from), name(to)));
                let (state, exchange) = self.all.get_mut(&name(from)).unwrap();
                exchange.up(name(to), state, self.now);
            }
        }

        fn cut(&mut self, a: u16, b: u16) {
            for (from, to) in [(a, b), (b, a)] {
                self.links.remove(&(name(from), name(to)));
                self.all.get_mut(&name(from)).unwrap().1.down(name(to));
            }
        }

        fn set(&mut self, n: u16, key: u8, value: u8) {
            let (state, exchange) = self.all.get_mut(&name(n)).unwrap();
            state.set(key, value);
            exchange.flood(state);
        }

        /// Until nobody has anything to say
        fn settle(&mut self) {
            loop {
                let mut sends = Vec::new();
                for (from, (_, exchange)) in &mut self.all {
                    while let Some((to, bytes)) = exchange.poll_send() {
                        sends.push((*from, to, bytes));
                    }
                }
                if sends.is_empty() {
                    return;
                }
                for (from, to, bytes) in sends {
                    if !self.links.contains(&(from, to)) {
                        continue;
                    }
                    self.delivered += 1;
                    let links = &self.links;
                    let (state, exchange) = self.all.get_mut(&to).unwrap();
                    let reaches = |a, b| links.contains(&(a, b));
                    exchange
                        .heard(from, &bytes, state, &DerivedKeys, reaches, self.now)
                        .unwrap();
                }
            }
        }

        fn values(&self) -> Vec<&BTreeMap<u8, u8>> {
            self.all.values().map(|(state, _)| &state.values).collect()
        }

        fn agree(&self) -> bool {
            let values = self.values();
            values.windows(2).all(|pair| pair[0] == pair[1])
        }
    }

    #[test]
    fn in_a_full_mesh_a_change_is_told_once_to_each() {
        let mut peers = Peers::new(5);
        for a in 0..5 {
            for b in 0..a {
                peers.link(a, b);
            }
        }
        peers.settle();
        peers.delivered = 0;
        peers.set(2, 7, 1);
        peers.settle();
        assert!(peers.agree());
        assert_eq!(peers.delivered, 4);
    }

    #[test]
    fn along_a_line_a_change_is_passed_on() {
        let mut peers = Peers::new(4);
        for a in 0..3 {
            peers.link(a, a + 1);
        }
        peers.settle();
        peers.set(0, 7, 1);
        peers.settle();
        assert!(peers.agree());
    }

    #[test]
    fn a_neighbour_that_comes_gets_what_it_lacks_and_so_do_those_behind_it() {
        let mut peers = Peers::new(4);
        peers.link(0, 1);
        peers.link(2, 3);
        for key in 0..50 {
            peers.set(0, key, 1);
            peers.set(3, key, key % 3);
        }
        peers.settle();
        assert!(!peers.agree());
        peers.link(1, 2);
        peers.settle();
        assert!(peers.agree(), "{:?}", peers.values());
    }

    #[test]
    fn what_was_lost_is_found_at_the_next_comparison() {
        let mut peers = Peers::new(2);
        peers.link(0, 1);
        peers.settle();
        let (state, exchange) = peers.all.get_mut(&name(0)).unwrap();
        state.set(1, 1);
        exchange.flood(state);
        while exchange.poll_send().is_some() {}
        peers.settle();
        assert!(!peers.agree());
        let (state, exchange) = peers.all.get_mut(&name(0)).unwrap();
        let due = exchange.poll_timeout().unwrap();
        exchange.handle_timeout(state, due);
        peers.settle();
        assert!(peers.agree());
    }

    #[test]
    fn what_was_lost_with_a_link_comes_by_others_soon() {
        let mut peers = Peers::new(3);
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            peers.link(a, b);
        }
        peers.settle();
        // Said while nobody knows yet that the link is cut
        peers.set(0, 1, 1);
        let (_, exchange) = peers.all.get_mut(&name(0)).unwrap();
        exchange.sends.retain(|(to, _)| *to != name(2));
        peers.settle();
        peers.cut(0, 2);
        peers.settle();
        assert!(!peers.agree());
        let (now, (state, exchange)) = (peers.now, peers.all.get_mut(&name(1)).unwrap());
        exchange.doubt(name(2), now);
        let due = exchange.poll_timeout().unwrap();
        assert_eq!(due, later(now, SOON));
        exchange.handle_timeout(state, due);
        assert_eq!(exchange.poll_timeout(), Some(later(now, COMPARE)));
        peers.settle();
        assert!(peers.agree(), "{:?}", peers.values());
    }

    #[test]
    fn what_no_peer_would_send_is_counted_and_changes_nothing() {
        let mut state = Greatest::default();
        let mut exchange = Exchange::new(name(0));
        let now = Instant::now();
        exchange.up(name(1), &state, now);
        let half = emit(&Message::Change {
            origin: name(1),
            part: vec![1],
        });
        for wrong in [&[][..], &[9], &half] {
            assert!(
                exchange
                    .heard(name(1), wrong, &mut state, &DerivedKeys, |_, _| false, now)
                    .is_err()
            );
        }
        assert_eq!((exchange.malformed(), state.values.len()), (3, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut exchange = Exchange::new(name(0));
            let (mut state, now) = (Greatest::default(), Instant::now());
            let _ = exchange.heard(name(1), &bytes, &mut state, &DerivedKeys, |_, _| false, now);
        }

        #[test]
        fn after_any_links_and_cuts_those_who_are_joined_agree(
            acts in prop::collection::vec((0..6u16, 0..6u16, 0..8u8, 0..9u8, 0..3u8), 0..60),
        ) {
            let mut peers = Peers::new(6);
            for (a, b, key, value, act) in acts {
                match act {
                    0 if a != b => peers.link(a, b),
                    1 if a != b => peers.cut(a, b),
                    _ => peers.set(a, key, value),
                }
                if value % 2 == 0 {
                    peers.settle();
                }
            }
            for a in 0..5 {
                peers.link(a, a + 1);
            }
            peers.settle();
            prop_assert!(peers.agree());
        }
    }
}
