//! What is kept, and how a machine goes on from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use gossip::IdentityKey;
use ipnetwork::Ipv4Network;
use model::PeerName;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Init};
use crate::gone::{Gone, Heir};
use crate::ledger::{Decision, Lineage, Roll, Word};
use crate::links::Links;
use crate::machine::{Dirty, Ipam};
use crate::output::{Event, Output};
use crate::owner::{Incarnation, Owner};
use crate::range::Span;
use crate::record::{LIMIT, Record, Records};
use crate::ring::Ring;
use crate::sight::Sight;
use crate::space::{Piece, Space};
use crate::state::{Change, Held, State};
use crate::time::{after, part};
use crate::wire::{Body, Ledger, MOST_BYTES, MOST_DECISIONS, MOST_GONE, Part, decode, encode};

#[derive(Serialize, Deserialize)]
struct KeptSpace {
    range: Ipv4Network,
    owner: Owner,
    born: Incarnation,
    pieces: Vec<Piece>,
    links: Vec<Piece>,
    /// Of the writers
    keys: Vec<(PeerName, IdentityKey)>,
}

#[derive(Serialize, Deserialize)]
struct KeptLedger {
    roll: Option<Roll>,
    gone: Vec<(Owner, Heir)>,
    decisions: Vec<Decision>,
    words: Vec<Word>,
    /// Of those who signed the decisions and words
    keys: Vec<(PeerName, IdentityKey)>,
    /// The voters of earlier rolls, by their place in the chain
    past: Vec<(u64, BTreeSet<Owner>)>,
    met: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptHeard {
    records: Vec<Record>,
    /// How many milliseconds ago each was seen
    seen: Vec<(Owner, u64)>,
}

/// All that can be read of a state
struct Kept {
    space: KeptSpace,
    ledger: KeptLedger,
    record: Record,
    heard: KeptHeard,
}

impl Kept {
    fn read(state: &State) -> Option<Self> {
        let kept = Self {
            space: decode(state.space.as_ref()?)?,
            ledger: decode(state.ledger.as_ref()?)?,
            record: decode(state.record.as_ref()?)?,
            heard: match &state.heard {
                Some(heard) => decode(heard)?,
                None => KeptHeard {
                    records: vec![],
                    seen: vec![],
                },
            },
        };
        kept.is_sound().then_some(kept)
    }

    /// Whether it is what a peer could tell: a machine counts on that whatever it knows is within its bounds
    fn is_sound(&self) -> bool {
        let Self {
            space,
            ledger,
            record,
            heard,
        } = self;
        let can_be_told = |body| {
            let part = Part {
                range: space.range,
                teller: space.owner.name,
                keys: vec![],
                body,
            };
            Part::parse(&encode(&part)).is_ok()
        };
        let records = std::iter::once(record).chain(&heard.records);
        record.owner == space.owner
            && space.born <= Incarnation::MAX
            && can_be_told(Body::Space(space.pieces.clone()))
            && can_be_told(Body::Space(space.links.clone()))
            && can_be_told(Body::Ledger(Ledger {
                roll: ledger.roll.clone(),
                ..Ledger::default()
            }))
            // More may be kept than one message has room for.
            && ledger.gone.chunks(MOST_GONE).all(|gone| {
                can_be_told(Body::Ledger(Ledger {
                    gone: gone.to_vec(),
                    ..Ledger::default()
                }))
            })
            && ledger.decisions.chunks(MOST_DECISIONS).all(|decisions| {
                can_be_told(Body::Ledger(Ledger {
                    decisions: decisions.to_vec(),
                    ..Ledger::default()
                }))
            })
            && ledger.words.chunks(MOST_DECISIONS).all(|words| {
                can_be_told(Body::Ledger(Ledger {
                    words: words.to_vec(),
                    ..Ledger::default()
                }))
            })
            && can_be_told(Body::Records(records.cloned().collect()))
    }
}

impl Ipam {
    pub(crate) fn restored(
        config: Config,
        state: Option<State>,
        away: Option<Duration>,
        unix_ms: u64,
        rng: StdRng,
        now: Instant,
    ) -> Self {
        let state = state.unwrap_or_default();
        let kept = Kept::read(&state);
        let unreadable = kept.is_none() && state.space.is_some();
        let held = state.addresses.into_values();
        let held = held.map(|held| (u32::from(held.network.ip()), held)).collect();
        let mut ipam = Self::empty(config, held, unix_ms, rng, now);
        if unreadable {
            ipam.dirty.later.push(Output::Event(Event::Unreadable));
        }
        let same =
            |kept: &Kept| kept.space.range == ipam.config.range && kept.space.owner.name == ipam.config.name;
        match kept.filter(same) {
            Some(kept) => ipam.go_on(kept, away, now),
            None => ipam.begin(now),
        }
        ipam
    }

    fn empty(config: Config, held: BTreeMap<u32, Held>, unix_ms: u64, mut rng: StdRng, now: Instant) -> Self {
        let me = Owner {
            name: config.name,
            incarnation: Incarnation::draw(unix_ms, None, &mut rng),
        };
        let elector = matches!(config.init, Init::Consensus { .. });
        let tick = config.lease.map_or(config.timers.tick, |lease| part(lease, 20));
        let doubt_after = config.lease.map(|lease| part(lease, 2));
        let mut sight = Sight::new(tick.saturating_mul(3), doubt_after, config.timers.retry, now);
        // Nobody repeats what an earlier run asked.
        sight.begin_questions(rng.random_range(1..LIMIT));
        let key = config.identity.key();
        Self {
            range: Span::of(config.range),
            config,
            rng,
            day: unix_ms,
            started: now,
            me,
            born: me.incarnation,
            forgot: false,
            left: false,
            met: false,
            hold_until: now,
            space: Space::default(),
            links: Links::default(),
            ring: Ring::default(),
            roll: None,
            learned: now,
            decisions: vec![],
            past: BTreeMap::new(),
            words: BTreeMap::new(),
            named: BTreeMap::new(),
            untitled: VecDeque::new(),
            missed: BTreeSet::new(),
            gone: Gone::default(),
            rivals: VecDeque::new(),
            records: Records::default(),
            draft: Record::new(me, me.incarnation, elector, key),
            said: BTreeSet::new(),
            sight,
            young_since: Some(now),
            fenced: None,
            held,
            requests: vec![],
            asks: BTreeMap::new(),
            number: 0,
            answered: BTreeSet::new(),
            ready: BTreeMap::new(),
            patience: None,
            promised: BTreeMap::new(),
            conflicts: BTreeSet::new(),
            other_ranges: BTreeMap::new(),
            rejections: BTreeMap::new(),
            summary: std::cell::OnceCell::new(),
            tick_at: None,
            dirty: Dirty::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The first start, or the state was lost, or is of another range
    fn begin(&mut self, now: Instant) {
        self.dirty.keep_space = true;
        self.dirty.keep_ledger = true;
        self.dirty.keep_record = true;
        self.dirty.keep_heard = true;
        let Init::Seed(names) = &self.config.init else {
            return;
        };
        let names = names.clone();
        if names.contains(&self.me.name) {
            self.me.incarnation = Incarnation::SEED;
            self.young_since = None;
            self.draft.owner = self.me;
            // Should the state have been lost, others have the time to say so.
            self.hold_until = after(now, self.config.timers.settle);
        }
        let voters: BTreeSet<Owner> = names
            .iter()
            .map(|name| Owner {
                name: *name,
                incarnation: Incarnation::SEED,
            })
            .collect();
        if voters.is_empty() {
            return;
        }
        let lineage = Lineage::seeded(&names);
        self.take_roll(Roll::first(lineage, voters), now);
        self.dirty.tell_ledger = true;
    }

    fn go_on(&mut self, kept: Kept, away: Option<Duration>, now: Instant) {
        let Kept {
            space,
            ledger,
            record,
            heard,
        } = kept;
        self.me = space.owner;
        self.young_since = None;
        self.born = space.born;
        for Piece { span, register, deed } in space.pieces {
            self.space.join(span, register, deed);
        }
        for link in space.links {
            self.links.keep(link);
        }
        self.roll = ledger.roll;
        self.decisions = ledger.decisions;
        let words = ledger.words.into_iter();
        self.words = words.map(|word| ((word.owner, word.by), word)).collect();
        self.met = ledger.met;
        for (owner, heir) in ledger.gone {
            self.gone.join(owner, heir);
        }
        self.list_heirs();
        self.number = record.version.saturating_mul(256);
        let Record { elector, key, .. } = self.draft;
        self.records.put(record.clone());
        self.draft = Record {
            elector,
            key,
            wants: vec![],
            ..record
        };
        self.past = ledger.past.into_iter().collect();
        for record in heard.records {
            self.ring.remember(record.owner.name, record.key);
            self.records.put(record);
        }
        for (name, key) in space.keys.into_iter().chain(ledger.keys) {
            self.ring.remember(name, key);
        }
        for (owner, ago) in heard.seen {
            let ago = away.and_then(|away| away.checked_add(Duration::from_millis(ago)));
            if let Some(seen) = ago.and_then(|ago| now.checked_sub(ago)) {
                self.sight.restore(owner, seen);
            }
        }
        // Whoever got no word of the last change gets it by this.
        self.dirty.tell_record = true;
        // How long ago others were seen counts from the last that is kept: so this is kept first.
        self.dirty.keep_heard = true;
    }

    /// How often sightings are kept
    pub(crate) fn tick(&self) -> Duration {
        self.config
            .lease
            .map_or(self.config.timers.tick, |lease| part(lease, 20))
    }

    /// What has to be made durable now
    pub(crate) fn change(&mut self, now: Instant) -> Change {
        let dirty = &mut self.dirty;
        let (space, ledger) = (
            std::mem::take(&mut dirty.keep_space),
            std::mem::take(&mut dirty.keep_ledger),
        );
        let (record, heard) = (
            std::mem::take(&mut dirty.keep_record),
            std::mem::take(&mut dirty.keep_heard),
        );
        Change {
            addresses: std::mem::take(&mut dirty.addresses),
            space: space.then(|| self.kept_space()).flatten(),
            ledger: ledger.then(|| self.kept_ledger()).flatten(),
            record: record.then(|| Self::kept(&self.draft)).flatten(),
            heard: heard.then(|| self.kept_heard(now)).flatten(),
        }
    }

    /// What can be read again, or nothing, so that what was kept before stays
    fn kept(value: &impl Serialize) -> Option<Vec<u8>> {
        let bytes = encode(value);
        if bytes.len() > MOST_BYTES {
            log::error!(
                "{} bytes of state are too many to be read again, and are not kept",
                bytes.len()
            );
            return None;
        }
        Some(bytes)
    }

    fn kept_space(&self) -> Option<Vec<u8>> {
        Self::kept(&KeptSpace {
            range: self.config.range,
            owner: self.me,
            born: self.born,
            pieces: self.space.pieces().collect(),
            links: self.links.iter().collect(),
            keys: self.ring.of(&self.writers()),
        })
    }

    fn kept_ledger(&self) -> Option<Vec<u8>> {
        Self::kept(&KeptLedger {
            roll: self.roll.clone(),
            gone: self.gone.iter().collect(),
            decisions: self.decisions.clone(),
            words: self.words.values().copied().collect(),
            keys: self.ring.of(&self.signers()),
            past: self
                .past
                .iter()
                .map(|(at, voters)| (*at, voters.clone()))
                .collect(),
            met: self.met,
        })
    }

    fn kept_heard(&self, now: Instant) -> Option<Vec<u8>> {
        let ago = |at: Instant| now.saturating_duration_since(at).as_millis() as u64;
        Self::kept(&KeptHeard {
            records: self
                .records
                .iter()
                .filter(|record| record.owner != self.me)
                .cloned()
                .collect(),
            seen: self.sight.seen().map(|(owner, at)| (owner, ago(at))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use gossip::Identity;
    use rand::SeedableRng as _;

    use super::*;
    use crate::config::Timers;
    use crate::space::Register;

    #[test]
    fn a_state_out_of_bounds_is_unreadable() {
        let key = identity().key();
        let kept = |span: Span| {
            let piece = Piece {
                span,
                register: Register {
                    lineage: Lineage(1),
                    epoch: 0,
                    version: 0,
                    owner: owner(),
                    by: owner(),
                },
                deed: None,
            };
            State {
                space: Some(encode(&KeptSpace {
                    range: range(),
                    owner: owner(),
                    born: owner().incarnation,
                    pieces: vec![piece],
                    links: vec![],
                    keys: vec![],
                })),
                ledger: Some(encode(&KeptLedger {
                    roll: None,
                    gone: vec![],
                    decisions: vec![],
                    words: vec![],
                    keys: vec![],
                    past: vec![],
                    met: false,
                })),
                record: Some(encode(&Record::new(owner(), owner().incarnation, true, key))),
                ..State::default()
            }
        };
        let [first, last] = [0x0a20_0000, 0x0a20_00ff];
        assert!(!is_unreadable(kept(Span { first, last })));
        let beyond = Span {
            first,
            last: last + 1,
        };
        assert!(is_unreadable(kept(beyond)), "it ends beyond the range");
        let turned = Span {
            first: last,
            last: first,
        };
        assert!(is_unreadable(kept(turned)), "it ends before it begins");
    }

    fn is_unreadable(state: State) -> bool {
        let config = Config {
            name: owner().name,
            identity: identity(),
            range: range(),
            init: Init::Observer,
            expected_peers: 1,
            lease: None,
            timers: Timers::default(),
        };
        let (rng, now) = (StdRng::seed_from_u64(1), Instant::now());
        let mut ipam = Ipam::new(config, Some(state), None, 0, rng, now);
        let mut outputs = std::iter::from_fn(|| ipam.poll_output());
        outputs.any(|output| matches!(output, Output::Event(Event::Unreadable)))
    }

    fn identity() -> Identity {
        Identity::from_seed([1; 32].into())
    }

    fn owner() -> Owner {
        Owner {
            name: identity().peer_name(),
            incarnation: Incarnation(1),
        }
    }

    fn range() -> Ipv4Network {
        "10.32.0.0/24".parse().unwrap()
    }
}
