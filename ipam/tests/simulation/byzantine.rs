//! Random histories of honest hosts beside one that signs whatever it likes.
//!
//! The hostile host runs the honest program too, by which it owns addresses and votes; in its name, and
//! with its key, arbitrary parts are told to the honest ones. `IPAM_SEED`, `IPAM_SEEDS` as for
//! [`crate::chaos`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use gossip::{Identity, Signature};
use ipam::{Incarnation, Owner, Status};
use rand::RngExt as _;

use crate::chaos::each_seed;
use crate::forged::{
    At, Ballot, Body, Decision, Heir, Ledger, Part, Piece, Record, Register, Roll, Span, Value, Vote, lacked,
    word,
};
use crate::world::{World, config, consensus, identity, name};

/// How many histories a run of the tests goes through; before a release `IPAM_SEEDS=10000`
const SEEDS: u64 = 400;
const RANGE: &str = "10.0.0.0/26";

#[test]
fn honest_hosts_keep_what_they_own_beside_one_that_signs_anything() {
    each_seed(SEEDS, &[], run);
}

struct History {
    world: World,
    /// The hostile host, which is the last one
    hostile: usize,
    /// What any honest host has ever held to be the hostile one's
    tainted: BTreeSet<Ipv4Addr>,
}

fn run(seed: u64, trace: bool) {
    let mut history = History::new(seed, trace);
    let before = history.owned();
    for _ in 0..history.world.rng.random_range(5..40) {
        history.act();
        let pause = history.world.rng.random_range(1..3000);
        history.world.advance(Duration::from_millis(pause));
        history.look();
    }
    history.world.advance(Duration::from_secs(90));
    history.look();
    history.judge(&before);
}

impl History {
    fn new(seed: u64, trace: bool) -> Self {
        let mut world = World::new(seed);
        world.trace = trace;
        world.pinned = true;
        let lease = (world.rng.random_range(0..4) > 0).then_some(300);
        world.judge.lease = lease.map(Duration::from_secs);
        let honest = world.rng.random_range(3..5);
        for n in 0..=honest {
            world.add(config(n, RANGE, consensus(honest + 1), lease));
        }
        world.join_all();
        world.advance(Duration::from_secs(10));
        for n in 0..=honest {
            for _ in 0..2 {
                world.allocate(n, RANGE);
            }
        }
        world.advance(Duration::from_secs(20));
        let mut history = Self {
            world,
            hostile: honest,
            tainted: BTreeSet::new(),
        };
        history.look();
        history
    }

    fn honest(&self) -> std::ops::Range<usize> {
        0..self.hostile
    }

    /// What each honest host owns by its own word
    fn owned(&self) -> BTreeMap<Ipv4Addr, usize> {
        let mut owned = BTreeMap::new();
        for n in self.honest() {
            let own = addresses(&self.world.status(n), |owner| owner.name == name(n));
            owned.extend(own.into_iter().map(|address| (address, n)));
        }
        owned
    }

    fn look(&mut self) {
        for n in self.honest() {
            let hostile = name(self.hostile);
            let theirs = addresses(&self.world.status(n), |owner| owner.name == hostile);
            self.tainted.extend(theirs);
        }
    }

    fn act(&mut self) {
        match self.world.rng.random_range(0..10) {
            0 => {
                let n = self.world.rng.random_range(0..self.hostile);
                self.world.allocate(n, RANGE);
            }
            1 => {
                // The disk of a host survives what it was told.
                let n = self.world.rng.random_range(0..self.hostile);
                self.world.crash(n);
                self.world.start(n, false);
            }
            _ => {
                let to = self.world.rng.random_range(0..self.hostile);
                let key = identity(self.hostile);
                let body = self.body(to, &key);
                let bytes = lacked(&Part {
                    range: RANGE.parse().unwrap(),
                    teller: name(self.hostile),
                    keys: (0..=self.hostile).map(|n| (name(n), key.key())).collect(),
                    body,
                });
                self.world.inject(name(self.hostile), to, &bytes);
            }
        }
    }

    fn number(&mut self, near: u64) -> u64 {
        match self.world.rng.random_range(0..6) {
            0 => u64::MAX,
            1 => (1 << 62) - 1,
            2 => self.world.rng.random(),
            3 => near,
            _ => near.saturating_add(self.world.rng.random_range(1..4)),
        }
    }

    fn owner(&mut self, to: usize) -> Owner {
        let status = self.world.status(to);
        let n = self.world.rng.random_range(0..status.voters.len().max(1) + 3);
        if let Some(voter) = status.voters.get(n) {
            return *voter;
        }
        let n = self.world.rng.random_range(0..=self.hostile);
        let incarnation = self.number(1 << 58);
        Owner {
            name: name(n),
            incarnation: Incarnation(incarnation),
        }
    }

    fn own(&self) -> Owner {
        self.world.status(self.hostile).owner
    }

    fn owners(&mut self, to: usize, most: usize) -> Vec<Owner> {
        let count = self.world.rng.random_range(0..=most);
        let owners: BTreeSet<Owner> = (0..count).map(|_| self.owner(to)).collect();
        owners.into_iter().collect()
    }

    fn body(&mut self, to: usize, key: &Identity) -> Body {
        match self.world.rng.random_range(0..4) {
            0 => Body::Space(self.pieces(to, key)),
            1 => Body::Ledger(self.ledger(to, key)),
            _ => Body::Records(
                (0..self.world.rng.random_range(1..4))
                    .map(|_| self.record(to, key))
                    .collect(),
            ),
        }
    }

    fn at(&mut self, to: usize) -> At {
        let status = self.world.status(to);
        let lineage = match self.world.rng.random_range(0..3) {
            0 => status.lineage.unwrap_or(0),
            1 => {
                (1 << 63)
                    - (self
                        .world
                        .rng
                        .random_range(1_577_836_800_000u64..1_900_000_000_000)
                        << 20)
            }
            _ => self.number(1 << 63),
        };
        let index = self.number(status.index);
        At { lineage, index }
    }

    fn pieces(&mut self, to: usize, key: &Identity) -> Vec<Piece> {
        let count = self.world.rng.random_range(1..20);
        let status = self.world.status(to);
        let base: ipnetwork::Ipv4Network = RANGE.parse().unwrap();
        let mut pieces = Vec::new();
        for _ in 0..count {
            let entry = status.entries[self.world.rng.random_range(0..status.entries.len())];
            let first = u32::from(base.network()) + self.world.rng.random_range(0..base.size());
            let last = u32::from(base.broadcast());
            let span = match self.world.rng.random_range(0..3) {
                0 => Span { first, last: first },
                1 => Span { first, last },
                _ => Span {
                    first: entry.first.into(),
                    last: entry.last.into(),
                },
            };
            let by = if self.world.rng.random_range(0..3) == 0 {
                entry.owner
            } else {
                self.own()
            };
            let register = Register {
                lineage: if self.world.rng.random_range(0..4) == 0 {
                    self.at(to).lineage
                } else {
                    status.lineage.unwrap_or(0)
                },
                epoch: self.number(entry.epoch),
                version: self.number(entry.version),
                owner: self.owner(to),
                by,
            };
            pieces.push(Piece::signed(span, register, key));
        }
        pieces
    }

    fn value(&mut self, to: usize) -> Value {
        if self.world.rng.random_range(0..3) == 0 {
            let lineage = self.at(to).lineage;
            return Value::First {
                lineage,
                voters: self.owners(to, 5),
            };
        }
        let remove = self.owners(to, 3).into_iter().map(|owner| {
            let heir = Heir {
                generation: self.number(0),
                heir: self.own(),
            };
            (owner, Some(heir), self.world.rng.random_range(0..2) == 0)
        });
        let remove = remove.collect();
        Value::Next {
            add: self.owners(to, 3),
            remove,
        }
    }

    fn ballot(&mut self, to: usize) -> Ballot {
        let proposer = if self.world.rng.random_range(0..2) == 0 {
            self.own()
        } else {
            self.owner(to)
        };
        Ballot {
            round: self.number(1),
            proposer,
        }
    }

    fn ledger(&mut self, to: usize, key: &Identity) -> Ledger {
        let at = self.at(to);
        let own = self.own();
        let voters = match self.world.rng.random_range(0..3) {
            0 => vec![own],
            _ => self.owners(to, 6),
        };
        let first = self.owners(to, 4);
        let gone = self.owners(to, 5).into_iter().map(|owner| {
            let generation = self.number(0);
            (
                owner,
                Heir {
                    generation,
                    heir: own,
                },
            )
        });
        let gone = gone.collect();
        let status = self.world.status(to);
        let next = At {
            lineage: status.lineage.unwrap_or(0),
            index: status.index + 1,
        };
        let (ballot, value) = (self.ballot(to), self.value(to));
        let signed = Vote::signed(own, next, ballot, value.clone(), key);
        let mine = signed
            .accepted
            .map_or_else(Signature::default, |(.., signature)| signature);
        let others = status.voters.iter().map(|voter| (*voter, mine));
        let decision = Decision {
            at: next,
            ballot,
            value,
            by: others.collect(),
        };
        let words = self
            .owners(to, 3)
            .into_iter()
            .map(|owner| word(owner, 0, own, key));
        Ledger {
            roll: Some(Roll { at, first, voters }),
            gone,
            decisions: vec![decision],
            words: words.collect(),
        }
    }

    fn record(&mut self, to: usize, key: &Identity) -> Record {
        let own = self.own();
        let owner = if self.world.rng.random_range(0..3) == 0 {
            self.owner(to)
        } else {
            own
        };
        let mut record = Record::new(owner, key);
        record.born = self.number(own.incarnation.0);
        record.version = self.number(1000);
        record.elector = self.world.rng.random_range(0..2) == 0;
        record.calls = self.world.rng.random_range(0..2) == 0;
        record.free = self.world.rng.random_range(0..=255);
        let status = self.world.status(to);
        let next = At {
            lineage: status.lineage.unwrap_or(0),
            index: status.index + 1,
        };
        record.at = self.at(to);
        if self.world.rng.random_range(0..2) == 0 {
            let at = if self.world.rng.random_range(0..3) == 0 {
                self.at(to)
            } else {
                next
            };
            let (ballot, value) = (self.ballot(to), self.value(to));
            record.vote = Some(Vote::signed(owner, at, ballot, value, key));
        }
        record.question = self.number(1);
        record.repeats = self.owners(to, 6).into_iter().map(|owner| (owner, 7)).collect();
        let here = At {
            lineage: next.lineage,
            index: status.index,
        };
        record.lapsed = (here, self.owners(to, 6));
        record.said = self.owners(to, 6);
        record.inherits = self.owners(to, 6);
        record.acks = self.owners(to, 6);
        record.refused = self
            .owners(to, 6)
            .into_iter()
            .map(|owner| (owner, 1, true))
            .collect();
        record.sign(key)
    }

    fn judge(&mut self, before: &BTreeMap<Ipv4Addr, usize>) {
        let hostile = name(self.hostile);
        for n in self.honest() {
            for (address, owner) in before {
                let status = self.world.status(n);
                let now = status
                    .entries
                    .iter()
                    .find(|entry| (entry.first..=entry.last).contains(address));
                let now = now.expect("every address has an owner").owner.name;
                assert_ne!(
                    now, hostile,
                    "{n} says that {address}, which was {owner}'s, is the hostile one's"
                );
            }
            let status = self.world.status(n);
            for budget in status.budgets {
                assert!(budget.used <= budget.most, "{n}: {budget:?}");
            }
        }
        let mut had: BTreeMap<Ipv4Addr, usize> = BTreeMap::new();
        for n in self.honest() {
            let addresses: Vec<Ipv4Addr> = self.world.hosts[n]
                .containers
                .values()
                .map(|(has, _)| *has)
                .collect();
            let status = self.world.status(n);
            for address in addresses {
                let twice = had
                    .insert(address, n)
                    .filter(|_| !self.tainted.contains(&address));
                assert_eq!(twice, None, "{address} is had twice");
                let entry = status
                    .entries
                    .iter()
                    .find(|entry| (entry.first..=entry.last).contains(&address));
                let own = entry.is_some_and(|entry| entry.owner.name == name(n));
                assert!(
                    own || self.tainted.contains(&address),
                    "{n} lost {address}: {entry:?}"
                );
            }
        }
        for n in self.honest() {
            let free = self.free(n);
            let ticket = self.world.allocate(n, RANGE);
            self.world.advance(Duration::from_secs(60));
            let status = self.world.status(n);
            assert!(
                self.world.answered(n, ticket) || free == 0,
                "{n} with {free} free: {status:?}"
            );
        }
    }

    /// The addresses that honest hosts could give
    fn free(&self, n: usize) -> usize {
        let owned = addresses(&self.world.status(n), |owner| owner.name != name(self.hostile));
        let base: ipnetwork::Ipv4Network = RANGE.parse().unwrap();
        let used: BTreeSet<Ipv4Addr> = self
            .world
            .hosts
            .iter()
            .flat_map(|host| host.containers.values().map(|(has, _)| *has))
            .chain([base.network(), base.broadcast()])
            .collect();
        owned.iter().filter(|address| !used.contains(address)).count()
    }
}

fn addresses(status: &Status, of: impl Fn(Owner) -> bool) -> Vec<Ipv4Addr> {
    let entries = status.entries.iter().filter(|entry| of(entry.owner));
    entries
        .flat_map(|entry| u32::from(entry.first)..=u32::from(entry.last))
        .map(Ipv4Addr::from)
        .collect()
}
