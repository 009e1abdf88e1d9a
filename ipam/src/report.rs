//! How things stand, for people.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Instant;

use crate::MAX_OWNERS;
use crate::config::Init;
use crate::links::MOST_LINKS;
use crate::machine::Ipam;
use crate::owner::Owner;
use crate::record::MOST_RECORD_BYTES;
use crate::rejection::Rejection;
use crate::status::{Budget, Entry, Inheriting, OwnerStatus, Pending, Phase, Status, Waits};
use crate::title::{MOST_PIECES_IN_ALL, MOST_UNTITLED};
use crate::vote::{Electorate, MOST_PAST_VOTERS};
use crate::wire::{MOST_DECISIONS, MOST_GONE};

impl Ipam {
    /// How often something that peers told was not taken over, by reason
    pub fn rejections(&self) -> impl Iterator<Item = (Rejection, u64)> {
        self.rejections.iter().map(|(reason, count)| (*reason, *count))
    }

    /// What an operator is shown
    pub fn status(&self, now: Instant) -> Status {
        let pending = self.requests.iter().map(|request| Pending {
            ticket: request.ticket,
            container: request.container.clone(),
            wanted: request.kind.wanted(),
            waits: request.waits.clone(),
        });
        Status {
            range: self.config.range,
            owner: self.me,
            phase: self.phase(now),
            owners: self.owners(),
            active: self.held.range(self.range.first..=self.range.last).count(),
            pending: pending.collect(),
            lineage: self.roll.as_ref().map(|roll| roll.at.lineage.0),
            index: self.roll.as_ref().map_or(0, |roll| roll.at.index),
            voters: self
                .roll
                .iter()
                .flat_map(|roll| roll.voters.iter().copied())
                .collect(),
            inheriting: self.inheriting(now),
            entries: self.entries(),
            conflicts: self.conflicts.iter().cloned().collect(),
            rejections: self.rejections.clone(),
            budgets: self.budgets(),
        }
    }

    fn budgets(&self) -> Vec<Budget> {
        let budget = |name, used, most| Budget { name, used, most };
        vec![
            budget("records", self.records.len(), MAX_OWNERS),
            budget("record_bytes", self.records.bytes(), MOST_RECORD_BYTES),
            budget("pieces", self.space.len(), MOST_PIECES_IN_ALL),
            budget("links", self.links.len(), MOST_LINKS),
            budget("gone", self.gone.len(), MOST_GONE),
            budget("decisions", self.decisions.len(), MOST_DECISIONS),
            budget("words", self.words.len(), MOST_DECISIONS),
            budget("past_voters", self.past_voters(), MOST_PAST_VOTERS),
            budget("untitled", self.untitled.len(), MOST_UNTITLED),
        ]
    }

    fn phase(&self, now: Instant) -> Phase {
        if self.left {
            return Phase::Left;
        }
        if self.roll.is_none() {
            return self.phase_before_first();
        }
        if let Some(since) = self.fenced.filter(|_| self.is_fenced(now)) {
            return Phase::Fenced {
                since: now.saturating_duration_since(since),
            };
        }
        let waits = || self.requests.iter().map(|request| &request.waits);
        if waits().any(|waits| matches!(waits, Waits::Unreachable(_))) {
            Phase::AllUnreachable
        } else if waits().next().is_some() {
            Phase::Waiting
        } else {
            Phase::Ready
        }
    }

    fn phase_before_first(&self) -> Phase {
        let called = self.records.iter().any(|record| record.calls);
        match self.electorate() {
            Electorate::First { electors, quorum } if called => {
                let known = electors.len();
                if known < quorum || !matches!(self.config.init, Init::Consensus { .. }) {
                    Phase::AwaitingConsensus { quorum, known }
                } else {
                    Phase::Priming
                }
            }
            Electorate::First { .. } | Electorate::Next { .. } => Phase::Idle,
        }
    }

    fn owners(&self) -> Vec<OwnerStatus> {
        let status = |(owner, addresses): (&Owner, &u64)| OwnerStatus {
            owner: *owner,
            addresses: *addresses,
            reachable: *owner == self.me || self.reaches(*owner),
        };
        let mut owners: Vec<OwnerStatus> = self.space.holdings().iter().map(status).collect();
        owners.sort_by_key(|status| (status.owner != self.me, status.owner));
        owners
    }

    fn inheriting(&self, now: Instant) -> Vec<Inheriting> {
        let holders = self
            .space
            .holdings()
            .keys()
            .copied()
            .filter(|owner| self.gone.contains(*owner));
        let inheriting = holders.map(|owner| {
            let heir = self.gone.resolve(owner);
            let unheard = if heir == self.me {
                self.unheard(owner, now)
            } else {
                BTreeSet::new()
            };
            Inheriting {
                owner,
                heir,
                unheard: unheard.into_iter().map(|owner| owner.name).collect(),
            }
        });
        inheriting.collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let entries = self.space.pieces().map(|piece| Entry {
            first: Ipv4Addr::from(piece.span.first),
            last: Ipv4Addr::from(piece.span.last),
            owner: self.gone.resolve(piece.register.owner),
            epoch: piece.register.epoch,
            version: piece.register.version,
        });
        entries.collect()
    }
}
