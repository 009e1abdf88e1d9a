//! What is kept, and how a machine goes on from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnetwork::Ipv4Network;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Init};
use crate::gone::{Gone, Heir};
use crate::ledger::{Lineage, Roll};
use crate::machine::{Dirty, Ipam};
use crate::output::{Event, Output};
use crate::owner::{Incarnation, Owner};
use crate::range::Span;
use crate::record::{LIMIT, Record, Records};
use crate::sight::Sight;
use crate::space::{Piece, Space};
use crate::state::{Change, Held, State};
use crate::wire::{Body, Part, decode, encode};

#[derive(Serialize, Deserialize)]
struct KeptSpace {
    range: Ipv4Network,
    owner: Owner,
    born: Incarnation,
    pieces: Vec<Piece>,
}

#[derive(Serialize, Deserialize)]
struct KeptLedger {
    roll: Option<Roll>,
    gone: Vec<(Owner, Heir)>,
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
                body,
            };
            Part::parse(&encode(&part)).is_ok()
        };
        let records = std::iter::once(record).chain(&heard.records);
        record.owner == space.owner
            && space.born <= Incarnation::MAX
            && can_be_told(Body::Space(space.pieces.clone()))
            && can_be_told(Body::Ledger(ledger.roll.clone(), ledger.gone.clone()))
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
        let tick = config.lease.map_or(config.timers.tick, |lease| lease / 20);
        let doubt_after = config.lease.map(|lease| lease / 2);
        let mut sight = Sight::new(tick * 3, doubt_after, now);
        // Nobody repeats what an earlier run asked.
        sight.begin_questions(rng.random_range(1..LIMIT));
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
            roll: None,
            learned: now,
            gone: Gone::default(),
            records: Records::default(),
            draft: Record::new(me, me.incarnation, elector),
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
            conflicts: BTreeSet::new(),
            other_ranges: BTreeMap::new(),
            summary: std::cell::OnceCell::new(),
            tick_at: None,
            dirty: Dirty::default(),
            outputs: std::collections::VecDeque::new(),
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
            self.hold_until = now + self.config.timers.settle;
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
        for Piece { span, register } in space.pieces {
            self.space.join(span, register);
        }
        self.roll = ledger.roll;
        self.met = ledger.met;
        for (owner, heir) in ledger.gone {
            self.gone.join(owner, heir);
        }
        self.number = record.version << 8;
        let elector = self.draft.elector;
        self.records.put(record.clone());
        self.draft = Record {
            elector,
            wants: vec![],
            ..record
        };
        for record in heard.records {
            self.records.put(record);
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
            .map_or(self.config.timers.tick, |lease| lease / 20)
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
            space: space.then(|| self.kept_space()),
            ledger: ledger.then(|| self.kept_ledger()),
            record: record.then(|| encode(&self.draft)),
            heard: heard.then(|| self.kept_heard(now)),
        }
    }

    fn kept_space(&self) -> Vec<u8> {
        encode(&KeptSpace {
            range: self.config.range,
            owner: self.me,
            born: self.born,
            pieces: self.space.pieces().collect(),
        })
    }

    fn kept_ledger(&self) -> Vec<u8> {
        encode(&KeptLedger {
            roll: self.roll.clone(),
            gone: self.gone.iter().collect(),
            met: self.met,
        })
    }

    fn kept_heard(&self, now: Instant) -> Vec<u8> {
        let ago = |at: Instant| now.saturating_duration_since(at).as_millis() as u64;
        encode(&KeptHeard {
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
    use model::{Mac, PeerName};
    use rand::SeedableRng as _;

    use super::*;
    use crate::config::Timers;
    use crate::space::Register;

    #[test]
    fn a_state_out_of_bounds_is_unreadable() {
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
            };
            State {
                space: Some(encode(&KeptSpace {
                    range: range(),
                    owner: owner(),
                    born: owner().incarnation,
                    pieces: vec![piece],
                })),
                ledger: Some(encode(&KeptLedger {
                    roll: None,
                    gone: vec![],
                    met: false,
                })),
                record: Some(encode(&Record::new(owner(), owner().incarnation, true))),
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

    fn owner() -> Owner {
        Owner {
            name: PeerName::from(Mac::new([2, 0, 0, 0, 0, 1])),
            incarnation: Incarnation(1),
        }
    }

    fn range() -> Ipv4Network {
        "10.32.0.0/24".parse().unwrap()
    }
}
