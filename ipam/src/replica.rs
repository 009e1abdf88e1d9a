//! What neighbours tell each other.

use std::collections::BTreeSet;
use std::time::Instant;

use gossip::{Keys, MAX_PART_BYTES, Malformed, Replica};
use model::PeerName;

use crate::MAX_OWNERS;
use crate::gone::Heir;
use crate::ledger::Lineage;
use crate::machine::Ipam;
use crate::output::{Event, Output};
use crate::owner::Owner;
use crate::range::Span;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::space::Piece;
use crate::wire::{Body, Ledger, MOST_PIECES, Part, Summary, buckets, encode};

/// Of how many peers with another range is told
const MOST_OTHERS: usize = 64;

/// The most records of one name
const MOST_INCARNATIONS: usize = 8;

/// The most records of owners that the mesh does not reach, and that neither own anything nor vote
const MOST_STRANGERS: usize = 512;

impl Replica for Ipam {
    fn take_changes(&mut self) -> Vec<Vec<u8>> {
        // Who hears of a vote, or of an heir, has to have heard of the addresses before.
        let mut spans = std::mem::take(&mut self.dirty.tell_space);
        spans.sort_unstable();
        spans.dedup();
        let pieces = spans
            .into_iter()
            .flat_map(|span| self.space.within(span))
            .collect();
        let mut parts = self.space_parts(pieces);
        if std::mem::take(&mut self.dirty.tell_ledger) {
            parts.push(self.ledger_part());
        }
        if std::mem::take(&mut self.dirty.tell_record) {
            parts.extend(self.record_parts(self.records.get(self.me).into_iter()));
        }
        parts
    }

    fn summary(&self) -> Vec<u8> {
        self.summary.get_or_init(|| encode(&self.summarised())).clone()
    }

    fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        let theirs = Summary::parse(summary)?;
        if theirs.range != self.config.range {
            return Ok(vec![self.part(Body::Nothing)]);
        }
        let ours = self.summarised();
        let spans = buckets(self.range).zip(ours.space.iter().enumerate());
        let differ = spans.filter(|(_, (n, digest))| theirs.space.get(*n) != Some(*digest));
        let differ: Vec<Span> = differ.map(|(span, _)| span).collect();
        // What leads from an earlier owner to the present one comes first.
        let links = differ.iter().flat_map(|span| self.links.within(*span));
        let present = differ.iter().flat_map(|span| self.space.within(*span));
        let signed = links.chain(present).filter(|piece| piece.deed.is_some());
        let mut pieces: Vec<Piece> = signed.collect();
        pieces.sort_by_key(|piece| piece.register);
        let space = self.space_parts(pieces);
        let ledger = (theirs.ledger != ours.ledger).then(|| self.ledger_part());
        let there: std::collections::BTreeMap<Owner, _> = theirs
            .records
            .iter()
            .map(|(owner, born, version)| (*owner, (std::cmp::Reverse(*born), *version)))
            .collect();
        let newer = |record: &&Record| {
            let stamp = there.get(&record.owner);
            stamp.is_none_or(|stamp| *stamp < record.stamp())
        };
        let records = self.record_parts(self.records.iter().filter(newer));
        if theirs.lineage == ours.lineage {
            // Again after the ledger: what heirs took is taken over once it is known whose heirs they are.
            let again = if ledger.is_some() { space.clone() } else { vec![] };
            let parts = space.into_iter().chain(ledger).chain(again).chain(records);
            return Ok(parts.collect());
        }
        // They take nothing of an order of things before they have heard of it, and of whom it is.
        Ok(records.into_iter().chain(ledger).chain(space).collect())
    }

    fn merge(
        &mut self,
        _neighbor: PeerName,
        part: &[u8],
        keys: &dyn Keys,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let Part {
            range,
            teller,
            keys: hints,
            body,
        } = Part::parse(part)?;
        if range != self.config.range {
            self.other_range(teller, range);
            self.step(now);
            return Ok(None);
        }
        let news = match body {
            Body::Nothing => None,
            Body::Space(pieces) => {
                let news = self.merge_pieces(pieces, &hints, keys);
                (!news.is_empty()).then_some(Body::Space(news))
            }
            Body::Ledger(ledger) => {
                let news = self.merge_ledger(&ledger, &hints, keys, now);
                news.then_some(Body::Ledger(ledger))
            }
            Body::Records(records) => self.merge_records(records, keys, now),
        };
        if news.is_some() || self.forgot || self.dirty.work {
            self.step(now);
        } else {
            self.advance(now);
        }
        let part = news.map(|body| Part {
            range,
            teller,
            keys: hints,
            body,
        });
        Ok(part.map(|part| encode(&part)))
    }
}

impl Ipam {
    fn part(&self, body: Body) -> Vec<u8> {
        let signers: BTreeSet<PeerName> = match &body {
            Body::Nothing | Body::Records(_) => BTreeSet::new(),
            Body::Space(pieces) => pieces.iter().map(|piece| piece.register.by.name).collect(),
            Body::Ledger(ledger) => {
                let voters = ledger.decisions.iter().flat_map(|decision| &decision.by);
                let voters = voters.map(|(voter, _)| voter.name);
                voters
                    .chain(ledger.words.iter().map(|word| word.by.name))
                    .collect()
            }
        };
        let key = |name: PeerName| {
            let own = (name == self.me.name).then(|| self.config.identity.key());
            own.or_else(|| self.ring.known(name)).map(|key| (name, key))
        };
        encode(&Part {
            range: self.config.range,
            teller: self.me.name,
            keys: signers.into_iter().filter_map(key).collect(),
            body,
        })
    }

    fn space_parts(&self, pieces: Vec<Piece>) -> Vec<Vec<u8>> {
        let parts = pieces.chunks(MOST_PIECES);
        parts
            .map(|pieces| self.part(Body::Space(pieces.to_vec())))
            .collect()
    }

    fn ledger_part(&self) -> Vec<u8> {
        self.part(Body::Ledger(Ledger {
            roll: self.roll.clone(),
            gone: self.gone.iter().collect(),
            decisions: self.decisions.clone(),
            words: self.words.values().copied().collect(),
        }))
    }

    fn record_parts<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Vec<Vec<u8>> {
        let mut parts: Vec<(usize, Vec<Record>)> = Vec::new();
        for record in records {
            let len = encode(record).len();
            match parts.last_mut() {
                Some((total, part)) if total.saturating_add(len) < MAX_PART_BYTES / 2 => {
                    *total = total.saturating_add(len);
                    part.push(record.clone());
                }
                Some(_) | None => parts.push((len, vec![record.clone()])),
            }
        }
        parts
            .into_iter()
            .map(|(_, records)| self.part(Body::Records(records)))
            .collect()
    }

    fn summarised(&self) -> Summary {
        let gone: Vec<(Owner, Heir)> = self.gone.iter().collect();
        let words: Vec<&(Owner, Owner)> = self.words.keys().collect();
        let mut ledger = [0; 16];
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&encode(&(&self.roll, gone, words)))
            .finalize_xof()
            .fill(&mut ledger);
        Summary {
            range: self.config.range,
            space: buckets(self.range).map(|span| self.space.digest(span)).collect(),
            ledger,
            lineage: self.lineage(),
            records: self
                .records
                .iter()
                .map(|record| (record.owner, record.born, record.version))
                .collect(),
        }
    }

    pub(crate) fn lineage(&self) -> Option<Lineage> {
        self.roll.as_ref().map(|roll| roll.at.lineage)
    }

    fn other_range(&mut self, peer: PeerName, range: ipnetwork::Ipv4Network) {
        let known = self.other_ranges.get(&peer) == Some(&range);
        if known || (self.other_ranges.len() >= MOST_OTHERS && !self.other_ranges.contains_key(&peer)) {
            return;
        }
        self.other_ranges.insert(peer, range);
        self.dirty
            .later
            .push(Output::Event(Event::OtherRange { peer, range }));
    }

    fn merge_records(&mut self, records: Vec<Record>, keys: &dyn Keys, now: Instant) -> Option<Body> {
        let mut news = Vec::new();
        for record in records {
            let owner = record.owner;
            // A later one of this peer's own name tells that it lost a state.
            let own = owner.name == self.me.name && owner > self.me;
            let over = self.gone.contains(owner) && !own && !self.is_elsewhere(&record);
            if over || self.is_forgettable(owner) || !self.records.is_news(&record) {
                continue;
            }
            if let Err(why) = self.check(&record, keys) {
                self.reject(why);
                continue;
            }
            if owner.name == self.me.name {
                self.forgot = true;
                if owner == self.me {
                    continue;
                }
            }
            self.ring.remember(owner.name, record.key);
            self.records.put(record.clone());
            if self.records.latest(owner.name) == Some(owner) {
                self.sight.heard(owner, now);
            }
            if !self.met {
                self.met = true;
                self.dirty.keep_ledger = true;
            }
            news.push(record);
        }
        (!news.is_empty()).then_some(Body::Records(news))
    }

    fn check(&self, record: &Record, keys: &dyn Keys) -> Result<(), Rejection> {
        let Record { owner, key, .. } = record;
        if self.key_of(owner.name, Some(*key), keys) != Some(*key) {
            return Err(Rejection::ForeignKey);
        }
        let known = self.records.get(*owner).is_some();
        if !self.records.has_room_for(record) || !(known || self.has_room_for(*owner)) {
            return Err(Rejection::OverBudget);
        }
        if record.is_signed() {
            Ok(())
        } else {
            Err(Rejection::BadSignature)
        }
    }

    /// Whether one more record fits; the last places are for those that the mesh reaches, or that own something
    fn has_room_for(&self, owner: Owner) -> bool {
        let is_stranger = |owner: Owner| {
            let votes = self
                .roll
                .as_ref()
                .is_some_and(|roll| roll.voters.contains(&owner));
            !self.sight.reaches(owner.name) && !votes && self.space.held_by(owner) == 0
        };
        let strangers = || {
            self.records
                .iter()
                .filter(|record| is_stranger(record.owner))
                .count()
        };
        self.records.len() < MAX_OWNERS
            && self.records.of(owner.name).count() < MOST_INCARNATIONS
            && (!is_stranger(owner) || strangers() < MOST_STRANGERS)
    }
}
