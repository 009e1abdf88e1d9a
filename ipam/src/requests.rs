//! What containers are to have, and what other peers are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Instant;

use ipnetwork::Ipv4Network;
use model::{ContainerId, PeerName};
use rand::RngExt;

use crate::gone::Heir;
use crate::ledger::Word;
use crate::machine::Ipam;
use crate::output::{Output, Refusal, Ticket};
use crate::owner::Owner;
use crate::range::Span;
use crate::record::{MOST_WANTS, Want};
use crate::space::Register;
use crate::state::Held;
use crate::status::{Waits, Wanted};
use crate::time::after;

/// Something that was asked for and is not granted yet
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ticket: Ticket,
    pub(crate) container: Option<ContainerId>,
    pub(crate) kind: Kind,
    pub(crate) waits: Waits,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Subnet(Ipv4Network),
    Address(Ipv4Network),
    First,
    Removal {
        name: PeerName,
        owners: BTreeSet<Owner>,
        addresses: u64,
    },
}

impl Kind {
    pub(crate) const fn wanted(&self) -> Wanted {
        match self {
            Self::Subnet(subnet) => Wanted::Subnet(*subnet),
            Self::Address(address) => Wanted::Address(*address),
            Self::First => Wanted::First,
            Self::Removal { name, .. } => Wanted::Removal(*name),
        }
    }
}

/// The most that waits at once
pub(crate) const MOST_REQUESTS: usize = 4096;

/// Addresses of which others have to be asked: one after the other, until one gives
#[derive(Debug, Default)]
pub(crate) struct Ask {
    to: Option<(Owner, u64)>,
    /// Those that had nothing: the request stands, so they give as soon as they have
    refused: Vec<(Owner, u64)>,
    /// When to ask another, or all again
    until: Option<Instant>,
    /// How often all were asked
    rounds: u32,
    in_use: Option<PeerName>,
}

impl Ask {
    fn has_refused(&self, owner: Owner) -> bool {
        self.refused.iter().any(|(refused, _)| *refused == owner)
    }
}

/// How often the wait for another round doubles
const MOST_DOUBLINGS: u32 = 4;

/// What became of a request
enum Outcome {
    Done(Output),
    Waits(Waits),
    /// For something of these to come
    Asks(Span, bool),
}

impl Ipam {
    /// Grants what can be, and asks for what cannot
    pub(crate) fn serve(&mut self, now: Instant) {
        let mut needed = BTreeSet::new();
        let mut rest = Vec::new();
        for mut request in std::mem::take(&mut self.requests) {
            match self.outcome(&request, now) {
                Outcome::Done(output) => {
                    self.dirty.later.push(output);
                    self.dirty.work = true;
                    continue;
                }
                Outcome::Waits(waits) => request.waits = waits,
                Outcome::Asks(span, exact) => {
                    needed.insert((span, exact));
                    request.waits = self.ask_of(span, exact);
                }
            }
            rest.push(request);
        }
        self.requests = rest;
        self.asks.retain(|key, _| needed.contains(key));
        for key in needed {
            if self.asks.len() < MOST_WANTS {
                self.asks.entry(key).or_default();
            }
        }
        self.drive_asks(now);
    }

    fn outcome(&mut self, request: &Request, now: Instant) -> Outcome {
        let Request {
            ticket,
            container,
            kind,
            ..
        } = request;
        match (kind, container) {
            (Kind::First, _) if self.roll.is_some() => Outcome::Done(Output::Primed { ticket: *ticket }),
            (
                Kind::Removal {
                    owners, addresses, ..
                },
                _,
            ) => self.removal(*ticket, owners, *addresses),
            _ if self.roll.is_none() => Outcome::Waits(Waits::Consensus),
            _ if !self.sure(now) => Outcome::Waits(Waits::Fence),
            (Kind::Subnet(subnet), Some(container)) => self.subnet(*ticket, container.clone(), *subnet),
            (Kind::Address(address), Some(container)) => self.address(*ticket, container.clone(), *address),
            (Kind::Subnet(_) | Kind::Address(_) | Kind::First, _) => Outcome::Waits(Waits::Consensus),
        }
    }

    fn subnet(&mut self, ticket: Ticket, container: ContainerId, subnet: Ipv4Network) -> Outcome {
        if let Some(address) = self.held_in(&container, subnet) {
            return Outcome::Done(Output::Granted { ticket, address });
        }
        let Some(hosts) = Span::hosts(subnet) else {
            let why = Refusal::TooSmall(subnet);
            return Outcome::Done(Output::Refused { ticket, why });
        };
        match self.lowest_free(hosts) {
            Some(address) => Outcome::Done(self.grant(ticket, container, address, subnet.prefix())),
            None => Outcome::Asks(Span::of(subnet), false),
        }
    }

    fn address(&mut self, ticket: Ticket, container: ContainerId, address: Ipv4Network) -> Outcome {
        let at = u32::from(address.ip());
        let key = (Span::one(at), true);
        if let Some(held) = self.held.get(&at) {
            let held = held.container.clone();
            return Outcome::Done(self.held_already(ticket, &container, address, held));
        }
        if let Some(peer) = self.asks.get(&key).and_then(|ask| ask.in_use) {
            let why = Refusal::OwnedByPeer { address, peer };
            return Outcome::Done(Output::Refused { ticket, why });
        }
        if self.own(at).is_some() {
            return Outcome::Done(self.grant(ticket, container, at, address.prefix()));
        }
        Outcome::Asks(key.0, true)
    }

    pub(crate) fn held_already(
        &self,
        ticket: Ticket,
        container: &ContainerId,
        address: Ipv4Network,
        by: ContainerId,
    ) -> Output {
        if by == *container {
            return Output::Granted { ticket, address };
        }
        let why = Refusal::OwnedByContainer {
            address: address.ip(),
            container: by,
        };
        Output::Refused { ticket, why }
    }

    fn removal(&mut self, ticket: Ticket, owners: &BTreeSet<Owner>, addresses: u64) -> Outcome {
        if owners.iter().all(|owner| self.gone.contains(*owner)) {
            return Outcome::Done(Output::Removed { ticket, addresses });
        }
        if !self.can_decide() {
            // Nobody can decide it, so the operator's word counts.
            let heir = Heir {
                generation: 0,
                heir: self.me,
            };
            for owner in owners {
                if self.take_gone(*owner, heir) {
                    let word = Word::sign(*owner, heir.generation, self.me, &self.config.identity);
                    self.words.insert((*owner, self.me), word);
                    self.list_heirs();
                    self.dirty.tell_ledger = true;
                }
            }
            return Outcome::Done(Output::Removed { ticket, addresses });
        }
        Outcome::Waits(Waits::Vote)
    }

    /// The address that the container has in the subnet
    pub(crate) fn held_in(&self, container: &ContainerId, subnet: Ipv4Network) -> Option<Ipv4Network> {
        let hosts = Span::hosts(subnet)?;
        let held = self.held.range(hosts.first..=hosts.last);
        let mut held = held.filter(|(_, held)| held.container == *container);
        held.next()
            .and_then(|(at, _)| Ipv4Network::new(Ipv4Addr::from(*at), subnet.prefix()).ok())
    }

    /// The lowest free address there; one that came from a peer that is gone only if there is no other,
    /// and of these the highest, since containers may yet run there that had the lowest
    fn lowest_free(&self, hosts: Span) -> Option<u32> {
        let elsewhere = self.used_elsewhere(hosts);
        let taken = |address: &u32| self.held.contains_key(address) || elsewhere.contains(address);
        let (first_hand, inherited): (Vec<_>, Vec<_>) = self
            .own_within(hosts)
            .partition(|(_, register)| register.epoch == 0);
        let lowest = |(span, _): &(Span, Register)| (span.first..=span.last).find(|address| !taken(address));
        let highest =
            |(span, _): &(Span, Register)| (span.first..=span.last).rfind(|address| !taken(address));
        first_hand
            .iter()
            .find_map(lowest)
            .or_else(|| inherited.iter().rev().find_map(highest))
    }

    fn grant(&mut self, ticket: Ticket, container: ContainerId, address: u32, prefix: u8) -> Output {
        let address = Ipv4Addr::from(address);
        let network = Ipv4Network::new(address, prefix).unwrap_or_else(|_| Ipv4Network::from(address));
        self.hold(Held { container, network });
        Output::Granted {
            ticket,
            address: network,
        }
    }

    /// A container has the address
    pub(crate) fn hold(&mut self, held: Held) {
        let address = held.network.ip();
        self.dirty.addresses.push((address, Some(held.clone())));
        self.held.insert(address.into(), held);
        self.dirty.work = true;
    }

    /// What a request for these waits for
    fn ask_of(&self, span: Span, exact: bool) -> Waits {
        if let Some((to, _)) = self.asks.get(&(span, exact)).and_then(|ask| ask.to) {
            return Waits::Answer(to.name);
        }
        let owners = self.owners_of(span);
        let unreachable = |owner: &&Owner| **owner != self.me && !self.reaches(**owner);
        let unreachable: BTreeSet<PeerName> = owners
            .keys()
            .filter(unreachable)
            .map(|owner| owner.name)
            .collect();
        if unreachable.is_empty() {
            Waits::Full
        } else {
            Waits::Unreachable(unreachable.into_iter().collect())
        }
    }

    /// How many addresses of these each owner has, heirs in place of those that are gone
    fn owners_of(&self, span: Span) -> BTreeMap<Owner, u64> {
        let mut owners = BTreeMap::new();
        for piece in self.space.within(span) {
            let owner = self.gone.resolve(piece.register.owner);
            let count: &mut u64 = owners.entry(owner).or_default();
            *count = count.saturating_add(piece.span.len());
        }
        owners
    }

    /// Reads the answers, and asks again or others
    fn drive_asks(&mut self, now: Instant) {
        let keys: Vec<(Span, bool)> = self.asks.keys().copied().collect();
        let each = MOST_WANTS.checked_div(keys.len()).unwrap_or(MOST_WANTS);
        let mut wants = Vec::new();
        for (span, exact) in keys {
            let mut ask = self.asks.remove(&(span, exact)).unwrap_or_default();
            self.read_answer(&mut ask, exact);
            self.go_on_asking(&mut ask, (span, exact), now);
            let asked = ask.to.iter().chain(ask.refused.iter().rev());
            wants.extend(asked.take(each).map(|(of, number)| Want {
                number: *number,
                of: *of,
                span,
                exact,
            }));
            self.asks.insert((span, exact), ask);
        }
        self.draft.wants = wants;
    }

    fn go_on_asking(&mut self, ask: &mut Ask, key: (Span, bool), now: Instant) {
        if ask.until.is_some_and(|until| until <= now) {
            if ask.to.take().is_none() {
                ask.refused.clear();
            }
            ask.until = None;
        }
        if ask.to.is_some() {
            return;
        }
        let donor = self.donor(key, ask);
        if donor.is_none() && ask.until.is_some() {
            return;
        }
        ask.to = donor.map(|donor| {
            self.number = self.number.saturating_add(1);
            (donor, self.number)
        });
        let retry = self.config.timers.retry;
        let wait = if ask.to.is_some() {
            retry
        } else {
            ask.rounds = ask.rounds.saturating_add(1).min(MOST_DOUBLINGS);
            retry.saturating_mul(1 << ask.rounds.saturating_sub(1))
        };
        ask.until = Some(after(now, wait));
    }

    fn read_answer(&mut self, ask: &mut Ask, exact: bool) {
        let Some((donor, number)) = ask.to else { return };
        let record = self.records.get(donor);
        let refused = record.and_then(|record| {
            let mut refused = record.refused.iter();
            refused.find(|refused| refused.to == self.me && refused.number == number)
        });
        if let Some(refused) = refused {
            if refused.in_use && exact {
                ask.in_use = Some(donor.name);
                self.dirty.work = true;
            }
            ask.refused.push((donor, number));
        } else if self.reaches(donor) && !self.is_dead(donor) {
            return;
        }
        ask.to = None;
        ask.until = None;
    }

    /// Whom to ask: at random, those more often who have more; none if there is nobody
    fn donor(&mut self, (span, exact): (Span, bool), ask: &Ask) -> Option<Owner> {
        let owners = self.owners_of(span);
        let may_give = |owner: &Owner| {
            *owner != self.me
                && !ask.has_refused(*owner)
                && !self.is_dead(*owner)
                && self.reaches(*owner)
                && (exact || self.records.get(*owner).is_some_and(|record| record.free > 0))
        };
        let owners: Vec<(Owner, u64)> = owners.into_iter().filter(|(owner, _)| may_give(owner)).collect();
        let total: u64 = owners.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return None;
        }
        let mut at = self.rng.random_range(0..total);
        for (owner, count) in owners {
            match at.checked_sub(count) {
                Some(rest) => at = rest,
                None => return Some(owner),
            }
        }
        None
    }

    /// Something came: what is still lacking is asked for anew
    pub(crate) fn came(&mut self, span: Span) {
        for ((asked, _), ask) in &mut self.asks {
            if asked.meet(span).is_some() {
                *ask = Ask::default();
            }
        }
    }

    /// When an answer is overdue
    pub(crate) fn asks_until(&self) -> Option<Instant> {
        self.asks.values().filter_map(|ask| ask.until).min()
    }
}
