//! What neighbours tell each other.

use std::time::Instant;

use gossip::{Keys, MAX_PART_BYTES, Malformed, Replica};
use model::PeerName;

use crate::gone::Heir;
use crate::ledger::{Lineage, Roll};
use crate::machine::Ipam;
use crate::output::{Event, Output, Why};
use crate::owner::Owner;
use crate::record::Record;
use crate::space::{Moved, Piece};
use crate::wire::{Body, MOST_PIECES, Part, Summary, buckets, encode};

/// Of how many peers with another range is told
const MOST_OTHERS: usize = 64;

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
        let pieces = differ.flat_map(|(span, _)| self.space.within(span)).collect();
        let mut parts = self.space_parts(pieces);
        if theirs.lineage < ours.lineage {
            // They take nothing of an order of things that they have not heard of.
            parts.insert(0, self.ledger_part());
        } else if theirs.ledger != ours.ledger {
            parts.push(self.ledger_part());
        }
        let there: std::collections::BTreeMap<Owner, _> = theirs
            .records
            .iter()
            .map(|(owner, born, version)| (*owner, (std::cmp::Reverse(*born), *version)))
            .collect();
        let newer = |record: &&Record| {
            let stamp = there.get(&record.owner);
            stamp.is_none_or(|stamp| *stamp < record.stamp())
        };
        parts.extend(self.record_parts(self.records.iter().filter(newer)));
        Ok(parts)
    }

    fn merge(
        &mut self,
        _neighbor: PeerName,
        part: &[u8],
        _keys: &dyn Keys,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Malformed> {
        let Part { range, teller, body } = Part::parse(part)?;
        if range != self.config.range {
            self.other_range(teller, range);
            self.step(now);
            return Ok(None);
        }
        let news = match body {
            Body::Nothing => None,
            Body::Space(pieces) => self.merge_space(pieces),
            Body::Ledger(roll, gone) => self.merge_ledger(roll, gone, now),
            Body::Records(records) => self.merge_records(records, now),
        };
        if news.is_some() || self.forgot || self.dirty.work {
            self.step(now);
        } else {
            self.advance(now);
        }
        Ok(news.map(|body| encode(&Part { range, teller, body })))
    }
}

impl Ipam {
    fn part(&self, body: Body) -> Vec<u8> {
        encode(&Part {
            range: self.config.range,
            teller: self.me.name,
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
        self.part(Body::Ledger(self.roll.clone(), self.gone.iter().collect()))
    }

    fn record_parts<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Vec<Vec<u8>> {
        let mut parts: Vec<(usize, Vec<Record>)> = Vec::new();
        for record in records {
            let len = encode(record).len();
            match parts.last_mut() {
                Some((total, part)) if *total + len < MAX_PART_BYTES / 2 => {
                    *total += len;
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
        let mut ledger = [0; 16];
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&encode(&(&self.roll, gone)))
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

    fn lineage(&self) -> Option<Lineage> {
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

    fn merge_space(&mut self, pieces: Vec<Piece>) -> Option<Body> {
        let mut news = Vec::new();
        // Of an order of things without its roll, nobody could say who decides in it.
        let lineage = self.lineage();
        let known = |piece: &Piece| Some(piece.register.lineage) <= lineage;
        for Piece { span, register } in pieces.into_iter().filter(known) {
            let moved = self.space.join(span, register);
            for moved in &moved {
                self.moved(std::slice::from_ref(moved), why(moved));
                news.push(Piece {
                    span: moved.span,
                    register,
                });
            }
            self.hand_back(&moved);
        }
        (!news.is_empty()).then_some(Body::Space(news))
    }

    fn merge_ledger(&mut self, roll: Option<Roll>, gone: Vec<(Owner, Heir)>, now: Instant) -> Option<Body> {
        let mut news = false;
        for (owner, heir) in &gone {
            news |= self.take_gone(*owner, *heir);
        }
        let later = |roll: &&Roll| {
            self.roll
                .as_ref()
                .is_none_or(|known| known.order() < roll.order())
        };
        if let Some(roll) = roll.as_ref().filter(later) {
            self.take_roll(roll.clone(), now);
            news = true;
        }
        news.then_some(Body::Ledger(roll, gone))
    }

    fn merge_records(&mut self, records: Vec<Record>, now: Instant) -> Option<Body> {
        let mut news = Vec::new();
        for record in records {
            let owner = record.owner;
            if owner.name == self.me.name {
                let own = self.records.get(self.me).map(Record::stamp);
                self.forgot |= owner > self.me || (owner == self.me && own < Some(record.stamp()));
                if owner == self.me {
                    continue;
                }
            }
            if self.gone.contains(owner) || self.is_forgettable(owner) || !self.records.is_news(&record) {
                continue;
            }
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
}

/// By what right another peer changed registers, as far as it can be seen
fn why(moved: &Moved) -> Why {
    match moved.before {
        None => Why::First,
        Some(before) if before.lineage != moved.after.lineage => Why::Joined,
        Some(before) if before.epoch != moved.after.epoch => Why::Inherited,
        Some(_) => Why::Given,
    }
}
