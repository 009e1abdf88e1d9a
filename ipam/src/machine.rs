//! The machine: what it consists of, and what it can be told.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ipnetwork::Ipv4Network;
use model::{ContainerId, PeerName};
use rand::rngs::StdRng;

use crate::config::Config;
use crate::gone::Gone;
use crate::ledger::{Decision, Roll, Word};
use crate::links::Links;
use crate::output::{Event, Output, Refusal, Ticket, Why};
use crate::owner::{Incarnation, Owner};
use crate::range::Span;
use crate::record::{MOST_OWNERS, Record, Records};
use crate::rejection::Rejections;
use crate::requests::{Ask, Kind, MOST_REQUESTS, Request};
use crate::ring::Ring;
use crate::sight::Sight;
use crate::space::{Piece, Register, Space};
use crate::state::{Held, State};
use crate::status::{Conflict, Waits};
use crate::wire::Ledger;

/// One peer's part in handing out the addresses
#[derive(Debug)]
pub struct Ipam {
    pub(crate) config: Config,
    pub(crate) range: Span,
    pub(crate) rng: StdRng,
    /// The time of day at `started`
    pub(crate) day: u64,
    pub(crate) started: Instant,

    pub(crate) me: Owner,
    /// When this state was made
    pub(crate) born: Incarnation,
    /// It heard of itself what it does not know
    pub(crate) forgot: bool,
    pub(crate) left: bool,
    /// It knows, or knew, of another peer
    pub(crate) met: bool,
    /// Before this nothing is handed out
    pub(crate) hold_until: Instant,

    pub(crate) space: Space,
    pub(crate) links: Links,
    /// Signed pieces whose writers' right is not known as yet
    pub(crate) untitled: VecDeque<Piece>,
    pub(crate) ring: Ring,
    pub(crate) roll: Option<Roll>,
    /// Since when the roll is known
    pub(crate) learned: Instant,
    /// The last ones that led to the roll
    pub(crate) decisions: Vec<Decision>,
    /// The voters of the rolls that led here, by their place in the chain
    pub(crate) past: BTreeMap<u64, BTreeSet<Owner>>,
    /// Of operators, where nobody could decide: of an owner that is gone, by the heir
    pub(crate) words: BTreeMap<(Owner, Owner), Word>,
    /// For each owner that is gone all whom a word or a decision named its heir
    pub(crate) named: BTreeMap<Owner, BTreeSet<Owner>>,
    pub(crate) gone: Gone,
    /// Of those, who was removed while this peer was cut off from a quorum: what it heard of since, heirs
    /// may not have heard of
    pub(crate) missed: BTreeSet<Owner>,
    /// Rolls without enough support as yet
    pub(crate) rivals: VecDeque<Ledger>,
    /// The newest record of each owner, this one's as it was told last
    pub(crate) records: Records,
    /// This one's record as it will be told
    pub(crate) draft: Record,
    /// Who is dead, as anybody says
    pub(crate) said: BTreeSet<Owner>,
    pub(crate) sight: Sight,
    pub(crate) fenced: Option<Instant>,
    /// When this owner was made, if it was in this run: nobody can have removed it before a lease was over
    pub(crate) young_since: Option<Instant>,

    pub(crate) held: BTreeMap<u32, Held>,
    pub(crate) requests: Vec<Request>,
    pub(crate) asks: BTreeMap<(Span, bool), Ask>,
    /// The last request of another peer
    pub(crate) number: u64,
    pub(crate) answered: BTreeSet<(Owner, u64)>,
    /// When what another had can be taken over
    pub(crate) ready: BTreeMap<Owner, Instant>,
    /// Until when the vote is left to others
    pub(crate) patience: Option<Instant>,
    /// How often each proposer was promised something in this ballot's place of the chain
    pub(crate) promised: BTreeMap<Owner, u32>,
    pub(crate) conflicts: BTreeSet<Conflict>,
    pub(crate) other_ranges: BTreeMap<PeerName, Ipv4Network>,
    pub(crate) rejections: Rejections,

    /// Of the state as it is, once somebody wanted it
    pub(crate) summary: OnceCell<Vec<u8>>,
    pub(crate) tick_at: Option<Instant>,
    pub(crate) dirty: Dirty,
    pub(crate) outputs: VecDeque<Output>,
}

/// What was changed and is not kept, or not told
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) keep_space: bool,
    pub(crate) keep_ledger: bool,
    pub(crate) keep_record: bool,
    pub(crate) keep_heard: bool,
    pub(crate) addresses: Vec<(Ipv4Addr, Option<Held>)>,
    pub(crate) tell_space: Vec<Span>,
    pub(crate) tell_ledger: bool,
    pub(crate) tell_record: bool,
    /// Something of this may follow from it
    pub(crate) work: bool,
    /// What is to be done once all that is kept
    pub(crate) later: Vec<Output>,
}

impl Ipam {
    /// The machine of one peer
    ///
    /// - `state`: what was kept; none at the first start, or if it was lost.
    /// - `away`: how long ago the last [`Output::Keep`] was carried out, by a clock that goes on while
    ///   the machine sleeps and that nobody sets (`CLOCK_BOOTTIME`); none after a reboot.
    /// - `unix_ms`: the time of day, which is only to order this peer's incarnations.
    pub fn new(
        config: Config,
        state: Option<State>,
        away: Option<Duration>,
        unix_ms: u64,
        rng: StdRng,
        now: Instant,
    ) -> Self {
        let mut ipam = Self::restored(config, state, away, unix_ms, rng, now);
        ipam.step(now);
        ipam
    }

    /// Wants the lowest free host address of the subnet; the same container gets the same one again
    pub fn allocate(&mut self, ticket: Ticket, container: ContainerId, subnet: Ipv4Network, now: Instant) {
        let why = if subnet.network() != subnet.ip() {
            Some(Refusal::HostBits(subnet))
        } else if subnet.prefix() > 30 {
            Some(Refusal::TooSmall(subnet))
        } else if !self.range.covers(Span::of(subnet)) {
            Some(self.out_of_bounds(subnet))
        } else {
            None
        };
        if let Some(why) = why {
            self.refuse_ticket(ticket, why);
        } else if let Some(address) = self.held_in(&container, subnet) {
            self.outputs.push_back(Output::Granted { ticket, address });
        } else {
            self.request(ticket, Some(container), Kind::Subnet(subnet));
        }
        self.step(now);
    }

    fn out_of_bounds(&self, subnet: Ipv4Network) -> Refusal {
        Refusal::OutOfBounds {
            subnet,
            range: self.config.range,
        }
    }

    /// Wants this address: in the range it may have to be asked of its owner, outside it is noted here only
    pub fn claim(&mut self, ticket: Ticket, container: ContainerId, address: Ipv4Network, now: Instant) {
        let at = u32::from(address.ip());
        if let Some(held) = self.held.get(&at).map(|held| held.container.clone()) {
            let output = self.held_already(ticket, &container, address, held);
            self.outputs.push_back(output);
        } else if self.range.contains(at) {
            self.request(ticket, Some(container), Kind::Address(address));
        } else {
            self.hold(Held {
                container,
                network: address,
            });
            self.dirty.later.push(Output::Granted { ticket, address });
        }
        self.step(now);
    }

    /// Says that a running container has this address, whoever owns it
    pub fn reclaim(&mut self, container: ContainerId, address: Ipv4Network, now: Instant) {
        let held = Held {
            container,
            network: address,
        };
        if self.held.get(&address.ip().into()) != Some(&held) {
            self.hold(held);
        }
        self.step(now);
    }

    /// Wants nothing any more under this ticket
    pub fn cancel(&mut self, ticket: Ticket, now: Instant) {
        self.requests.retain(|request| request.ticket != ticket);
        self.step(now);
    }

    /// Says that the container has this address no more, or none at all; which those were
    pub fn release(
        &mut self,
        container: &ContainerId,
        address: Option<Ipv4Addr>,
        now: Instant,
    ) -> Vec<Ipv4Network> {
        let meant = |held: &Held| {
            held.container == *container && address.is_none_or(|address| held.network.ip() == address)
        };
        let released: Vec<Ipv4Network> = {
            let held = self.held.values().filter(|held| meant(held));
            held.map(|held| held.network).collect()
        };
        for network in &released {
            self.held.remove(&network.ip().into());
            self.dirty.addresses.push((network.ip(), None));
        }
        self.step(now);
        released
    }

    /// Whom the mesh reaches: at each change, and as often as the driver likes
    pub fn reachable(&mut self, peers: &BTreeSet<PeerName>, now: Instant) {
        let Self { sight, records, .. } = self;
        if sight.set(peers, |name| records.latest(name), now) {
            self.step(now);
        }
    }

    /// Whether the peer owns, or may come to own, addresses
    pub fn knows(&self, name: PeerName) -> bool {
        self.signs().any(|owner| owner.name == name)
    }

    /// Removes a peer that is dead, by the operator's word
    pub fn remove_peer(&mut self, ticket: Ticket, name: PeerName, now: Instant) {
        let owners: BTreeSet<Owner> = self
            .known()
            .into_iter()
            .filter(|owner| owner.name == name)
            .collect();
        if name == self.config.name {
            self.refuse_ticket(ticket, Refusal::Itself(name));
        } else if self.sight.reaches(name) {
            self.refuse_ticket(ticket, Refusal::Reachable(name));
        } else if owners.is_empty() || self.roll.is_none() {
            self.dirty.later.push(Output::Removed { ticket, addresses: 0 });
        } else {
            for owner in &owners {
                if !self.draft.said.contains(owner) && self.draft.said.len() < MOST_OWNERS {
                    self.draft.said.push(*owner);
                }
            }
            let holdings = self.space.holdings().iter();
            let theirs = holdings.filter(|(owner, _)| owners.contains(&self.gone.resolve(**owner)));
            let addresses = theirs.map(|(_, count)| count).sum();
            self.request(
                ticket,
                None,
                Kind::Removal {
                    name,
                    owners,
                    addresses,
                },
            );
        }
        self.step(now);
    }

    /// Gives everything away, for good: the kept state is to be deleted after this
    pub fn leave(&mut self, now: Instant) {
        if self.left {
            return;
        }
        self.step(now);
        let sure = self.sure(now);
        self.left = true;
        self.draft.left = true;
        for request in std::mem::take(&mut self.requests) {
            self.refuse_ticket(request.ticket, Refusal::Left);
        }
        let heir = self.heir(Some(self.me));
        if let Some(heir) = heir.filter(|_| sure) {
            let own: Vec<(Span, Register)> = self.own_within(self.range).collect();
            for (span, register) in own {
                self.write(span, register.given(heir), Why::Given, true);
            }
        }
        self.dirty.later.push(Output::Event(Event::Left { heir }));
        self.step(now);
    }

    /// Wants to know when every address has an owner
    pub fn prime(&mut self, ticket: Ticket, now: Instant) {
        self.request(ticket, None, Kind::First);
        self.step(now);
    }

    fn request(&mut self, ticket: Ticket, container: Option<ContainerId>, kind: Kind) {
        if self.left {
            self.refuse_ticket(ticket, Refusal::Left);
        } else if self.requests.len() >= MOST_REQUESTS {
            self.refuse_ticket(ticket, Refusal::TooMany(self.requests.len()));
        } else {
            self.requests.push(Request {
                ticket,
                container,
                kind,
                waits: Waits::Consensus,
            });
        }
    }

    fn refuse_ticket(&mut self, ticket: Ticket, why: Refusal) {
        self.dirty.later.push(Output::Refused { ticket, why });
    }

    /// Does what is due
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.tick_at.is_some_and(|at| at <= now) {
            self.tick_at = None;
            self.sight.trust();
            self.dirty.keep_heard = true;
            if self.sure(now) {
                let tick = self.tick();
                self.sight.trust_after(tick, now);
            }
            self.tidy(now);
        }
        self.step(now);
    }

    /// When to call [`Ipam::handle_timeout`]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ready = self.ready.values().copied();
        let once = [self.tick_at, self.patience, self.asks_until()];
        let hold = (!self.requests.is_empty()).then_some(self.hold_until);
        let hold = hold.filter(|until| *until > self.ran());
        once.into_iter().flatten().chain(ready).chain(hold).min()
    }

    pub(crate) fn ran(&self) -> Instant {
        self.sight.ran()
    }

    /// What to do next
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The time of day, not minding that somebody sets the clock
    pub(crate) fn unix_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started).as_millis();
        self.day.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}
