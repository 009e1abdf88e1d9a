//! Questions about addresses and names: those that take their time, and those that do not.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use api::{ApiError, ErrorKind, NameEntry, OwnershipChange};
use dns::{Names, Zone};
use ipam::{Event, Ipam, Refusal, Ticket, Why};
use ipnetwork::Ipv4Network;
use model::PeerName;
use tokio::sync::{oneshot, watch};

use super::command::Answer;
use super::input::{ForAddresses, ForNames, Ungranted};
use super::plane::Plane;
use crate::store::{self, Store};
use crate::views::{self, Directory};

/// Changes of ownership that are remembered for the report
const MAX_HISTORY: usize = 256;

/// What the API waits for, and what it is told of what went on
#[derive(Debug, Default)]
pub(crate) struct Asked {
    waiting: BTreeMap<Ticket, Reply>,
    history: VecDeque<OwnershipChange>,
}

#[derive(Debug)]
enum Reply {
    Address(oneshot::Sender<Result<Ipv4Network, Ungranted>>),
    Primed(oneshot::Sender<Result<(), ApiError>>),
    Removed(oneshot::Sender<Result<u64, ApiError>>),
}

impl Reply {
    // Who has gone meanwhile needs no answer.
    fn fail(self, error: ApiError) {
        match self {
            Self::Address(reply) => drop(reply.send(Err(error.into()))),
            Self::Primed(reply) => drop(reply.send(Err(error))),
            Self::Removed(reply) => drop(reply.send(Err(error))),
        }
    }

    /// The answer is not on disk
    fn unkept(self, answer: &Answer, store: &Store) {
        let error = ApiError::new(ErrorKind::Internal, store::line(store.why()));
        match (self, answer) {
            (Self::Address(reply), Answer::Granted(address)) => {
                let chosen = Some(*address);
                drop(reply.send(Err(Ungranted { error, chosen })));
            }
            (reply, _) => reply.fail(error),
        }
    }
}

impl Asked {
    /// A question about addresses
    pub(super) fn addresses(
        &mut self,
        question: ForAddresses,
        plane: &mut Plane,
        store: &Store,
        now: Instant,
    ) {
        match question {
            ForAddresses::Status(reply) => return drop(reply.send(views::ipam(plane, now))),
            ForAddresses::History(reply) => return drop(reply.send(self.history.iter().cloned().collect())),
            ForAddresses::GiveUpDisk(ticket) => {
                if let Some(answer) = plane.gate.give_up(ticket) {
                    self.unkept(ticket, &answer, store);
                }
                return;
            }
            ForAddresses::GiveUp(ticket) => return self.give_up(ticket, plane, store, now),
            ForAddresses::Release { .. }
            | ForAddresses::Pass { .. }
            | ForAddresses::Allocate { .. }
            | ForAddresses::Claim { .. }
            | ForAddresses::Prime { .. }
            | ForAddresses::Remove { .. } => {}
        }
        let default_subnet = plane.facts.default_subnet;
        let directory = Directory::of(plane);
        let ipam = plane.ipam.as_mut().map(|ipam| &mut ipam.state);
        self.ask(question, ipam, default_subnet, &directory, now);
    }

    fn ask(
        &mut self,
        question: ForAddresses,
        ipam: Option<&mut Ipam>,
        default_subnet: Option<Ipv4Network>,
        directory: &Directory,
        now: Instant,
    ) {
        let (ticket, reply) = match question {
            ForAddresses::Status(_)
            | ForAddresses::History(_)
            | ForAddresses::GiveUp(_)
            | ForAddresses::GiveUpDisk(_) => return,
            ForAddresses::Release { container, address } => {
                if let Some(ipam) = ipam {
                    ipam.release(&container, address, now);
                }
                return;
            }
            ForAddresses::Pass { address, to } => {
                if let Some(ipam) = ipam {
                    ipam.reclaim(to, address, now);
                }
                return;
            }
            ForAddresses::Allocate {
                ticket,
                container,
                subnet,
                reply,
            } => match (ipam, subnet.or(default_subnet)) {
                (Some(ipam), Some(subnet)) => {
                    ipam.allocate(ticket, container, subnet, now);
                    (ticket, Reply::Address(reply))
                }
                (None, _) | (_, None) => return Reply::Address(reply).fail(is_off()),
            },
            ForAddresses::Claim {
                ticket,
                container,
                address,
                reply,
            } => match ipam {
                Some(ipam) => {
                    ipam.claim(ticket, container, address, now);
                    (ticket, Reply::Address(reply))
                }
                None => return Reply::Address(reply).fail(is_off()),
            },
            ForAddresses::Prime { ticket, reply } => match ipam {
                Some(ipam) => {
                    ipam.prime(ticket, now);
                    (ticket, Reply::Primed(reply))
                }
                None => return Reply::Primed(reply).fail(is_off()),
            },
            ForAddresses::Remove { ticket, peer, reply } => match ipam {
                None => return Reply::Removed(reply).fail(is_off()),
                Some(ipam) => {
                    let named = directory.named(&peer);
                    match named.or_else(|error| owner(ipam, &peer).ok_or(error)) {
                        Err(error) => return Reply::Removed(reply).fail(error),
                        Ok(name) => {
                            ipam.remove_peer(ticket, name, now);
                            (ticket, Reply::Removed(reply))
                        }
                    }
                }
            },
        };
        self.waiting.insert(ticket, reply);
    }

    /// What was asked under this ticket has its answer
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Refusal>, plane: &Plane) {
        let Some(reply) = self.waiting.remove(&ticket) else {
            return;
        };
        let answer = answer.map_err(|refusal| refused(&refusal, &Directory::of(plane)));
        match (reply, answer) {
            (reply, Err(error)) => reply.fail(error),
            (Reply::Address(reply), Ok(Answer::Granted(address))) => drop(reply.send(Ok(address))),
            (Reply::Primed(reply), Ok(Answer::Primed)) => drop(reply.send(Ok(()))),
            (Reply::Removed(reply), Ok(Answer::Removed(addresses))) => drop(reply.send(Ok(addresses))),
            (reply, Ok(_other)) => reply.fail(ApiError::new(
                ErrorKind::Internal,
                "an answer to another question",
            )),
        }
    }

    /// The disk refused what the answer to this ticket follows from
    pub(super) fn unkept(&mut self, ticket: Ticket, answer: &Answer, store: &Store) {
        if let Some(reply) = self.waiting.remove(&ticket) {
            reply.unkept(answer, store);
        }
    }

    /// Whether somebody waits
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The disk refuses, and until it does no more nobody hears what this host has to say of addresses: whoever waits
    /// for others, or for time, would wait for ever
    pub(super) fn refuse_all(&mut self, plane: &mut Plane, store: &Store, now: Instant) {
        let refused = self.waiting.keys().filter(|ticket| !plane.gate.has(**ticket));
        let refused: Vec<Ticket> = refused.copied().collect();
        for ticket in refused {
            let Some(reply) = self.waiting.remove(&ticket) else {
                continue;
            };
            if let Some(ipam) = &mut plane.ipam {
                ipam.state.cancel(ticket, now);
            }
            reply.fail(ApiError::new(ErrorKind::Internal, store::line(store.why())));
        }
    }

    /// Who asked has waited for long enough
    fn give_up(&mut self, ticket: Ticket, plane: &mut Plane, store: &Store, now: Instant) {
        let Some(reply) = self.waiting.remove(&ticket) else {
            return;
        };
        if let Some(answer) = plane.gate.give_up(ticket) {
            return reply.unkept(&answer, store);
        }
        let Some(ipam) = &mut plane.ipam else { return };
        let pending = ipam.state.status(now).pending;
        let waits = pending.into_iter().find(|pending| pending.ticket == ticket);
        ipam.state.cancel(ticket, now);
        let why = match waits {
            Some(pending) => views::waits(&pending.waits, &Directory::of(plane)),
            None => "no answer yet".to_owned(),
        };
        reply.fail(ApiError::new(ErrorKind::NotReady, why));
    }

    /// Something happened that an operator may want to know
    pub(super) fn note(&mut self, event: Event, plane: &Plane) {
        let directory = Directory::of(plane);
        let peer = |name| directory.peer(name).to_string();
        match event {
            Event::Moved {
                first,
                last,
                from,
                to,
                why,
                epoch,
            } => {
                if self.history.len() == MAX_HISTORY {
                    self.history.pop_front();
                }
                self.history.push_back(OwnershipChange {
                    at_ms: unix_ms(),
                    first,
                    last,
                    from: from.map(|owner| directory.peer(owner.name)),
                    to: directory.peer(to.name),
                    why: right(why).to_owned(),
                    epoch,
                });
                log::debug!("{first} to {last} belong to {} ({})", peer(to.name), right(why));
            }
            Event::Conflict {
                address,
                container,
                peer: other,
            } => log::error!(
                "{address} is in use twice: by container {container} here and by one at {}; give one of them \
                 another address",
                peer(other)
            ),
            Event::OtherRange { peer: other, range } => log::error!(
                "{} hands out of {range}, not of this host's range: start both with the same --ipalloc-range",
                peer(other)
            ),
            Event::Fenced => log::warn!(
                "too few peers were seen for too long: others may have taken over this host's addresses, so it hands \
                 out none"
            ),
            Event::Unfenced => log::info!("enough peers are seen again: addresses are handed out"),
            Event::Ready { voters } => {
                let voters: Vec<String> = voters.iter().map(|owner| peer(owner.name)).collect();
                log::info!("the range was first divided between {}", voters.join(", "));
            }
            Event::Joined => log::warn!(
                "this network met one that had begun apart; who owns which addresses follows the other one, those in \
                 use stay"
            ),
            Event::Renewed { before, now } => log::warn!(
                "the addresses of {before} went to others, or its state was lost: this host begins anew as {now}"
            ),
            Event::Gone { owner, heir } => log::info!(
                "{} is gone; {} has its addresses",
                peer(owner.name),
                peer(heir.name)
            ),
            Event::Unreadable => log::error!("what was kept about addresses cannot be read, and is not used"),
            Event::Left { heir } => match heir {
                Some(heir) => log::info!("this host's addresses went to {}", peer(heir.name)),
                None => log::info!("nobody is there to take this host's addresses"),
            },
        }
    }
}

/// A question about names, which has its answer at once
///
/// Who asks for a change may ask for a name next: what changed is answered before that is told.
pub(super) fn names(question: ForNames, plane: &mut Plane, zone: &watch::Sender<Zone>) {
    let publish = |names: &mut Names| {
        if let Some(changed) = names.take_zone() {
            zone.send_replace(changed);
        }
    };
    let directory = Directory::of(plane);
    let names = plane.facts.has_names.then_some(&mut plane.names.state);
    match (question, names) {
        (ForNames::List(reply), None) => drop(reply.send(None)),
        (ForNames::List(reply), Some(names)) => {
            let entry = |listed: dns::Listed<'_>| views::name(&listed, &directory);
            drop(reply.send(Some(names.entries().map(entry).collect())));
        }
        (ForNames::Of { reply, .. }, None) => drop(reply.send(None)),
        (ForNames::Of { container, reply }, Some(names)) => {
            let of = names.names_of(&container);
            let each = of.map(|entry| (entry.name.as_str().to_owned(), entry.address));
            drop(reply.send(Some(each.collect())));
        }
        (ForNames::Add { reply, .. }, None) => drop(reply.send(Err(no_names()))),
        (ForNames::Remove { reply, .. }, None) => drop(reply.send(Err(no_names()))),
        (ForNames::Lookup { reply, .. }, None) => drop(reply.send(Err(no_names()))),
        (
            ForNames::Add {
                name,
                container,
                addresses,
                reply,
            },
            Some(names),
        ) => {
            let added: Result<Vec<Ipv4Addr>, dns::AddError> = addresses
                .into_iter()
                .filter_map(|address| match names.add(&name, container.clone(), address) {
                    Ok(true) => Some(Ok(address)),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                })
                .collect();
            let entries = added.map(|added| {
                let of = names
                    .names_of(&container)
                    .filter(|entry| added.contains(&entry.address));
                let own = |entry: &dns::Entry| NameEntry {
                    name: entry.name.to_string(),
                    address: entry.address,
                    container: entry.container.clone(),
                    peer: directory.own(),
                };
                of.map(own).collect()
            });
            publish(names);
            drop(reply.send(entries.map_err(|error| bad(&error))));
        }
        (ForNames::Remove { filter, reply }, Some(names)) => {
            let removed = names.remove(&filter);
            publish(names);
            drop(reply.send(removed.map_err(|error| bad(&error))));
        }
        (ForNames::Lookup { name, reply }, Some(names)) => {
            let found = plane.facts.dns_domain.complete(&name).map(|name| {
                let addresses = names.zone().addresses(name.as_str());
                addresses.collect()
            });
            drop(reply.send(found.map_err(|error| bad(&error))));
        }
    }
}

fn bad(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorKind::BadInput, error.to_string())
}

fn is_off() -> ApiError {
    ApiError::new(
        ErrorKind::NotReady,
        "no addresses are handed out on this host (--ipalloc-range= is empty); give an address",
    )
}

fn no_names() -> ApiError {
    ApiError::new(ErrorKind::NotReady, "there are no names on this host (--no-dns)")
}

fn refused(refusal: &Refusal, directory: &Directory) -> ApiError {
    let kind = match refusal {
        Refusal::HostBits(_) | Refusal::TooSmall(_) | Refusal::OutOfBounds { .. } => ErrorKind::BadInput,
        Refusal::OwnedByPeer { .. }
        | Refusal::OwnedByContainer { .. }
        | Refusal::Reachable(_)
        | Refusal::Itself(_) => ErrorKind::Conflict,
        Refusal::TooMany(_) | Refusal::Left => ErrorKind::NotReady,
    };
    let text = match refusal {
        Refusal::OwnedByPeer { address, peer } => {
            format!(
                "address {address} is owned by other peer {}",
                directory.peer(*peer)
            )
        }
        Refusal::HostBits(_)
        | Refusal::TooSmall(_)
        | Refusal::OutOfBounds { .. }
        | Refusal::OwnedByContainer { .. }
        | Refusal::Reachable(_)
        | Refusal::Itself(_)
        | Refusal::TooMany(_)
        | Refusal::Left => refusal.to_string(),
    };
    ApiError::new(kind, text)
}

const fn right(why: Why) -> &'static str {
    match why {
        Why::First => "first",
        Why::Given => "given away",
        Why::Inherited => "its owner is gone",
        Why::Joined => "another network was joined",
    }
}

fn unix_ms() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    clock.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The owner of this name, of which only the address space knows
fn owner(ipam: &Ipam, text: &str) -> Option<PeerName> {
    text.parse().ok().filter(|name| ipam.knows(*name))
}

/// The peer that people mean
impl Directory {
    /// The peer of this name or nickname, reachable or gone
    pub(super) fn named(&self, text: &str) -> Result<PeerName, ApiError> {
        let by_name = text.parse::<PeerName>().ok().filter(|name| self.knows(*name));
        let mut by_nickname = self.nicknamed(text);
        let unknown = || ApiError::new(ErrorKind::NotFound, format!("no peer is called {text:?}"));
        match (by_name, by_nickname.as_slice()) {
            (Some(name), _) => Ok(name),
            (None, [_]) => by_nickname.pop().ok_or_else(unknown),
            (None, []) => Err(unknown()),
            (None, several) => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                let text = format!("{text:?} could be each of {}: give the name", names.join(", "));
                Err(ApiError::new(ErrorKind::Conflict, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gossip::Identity;
    use ipam::{Config, Init, Timers};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn an_owner_named_by_seed_that_never_ran_can_be_removed_by_name() {
        let (here, absent) = ("02:00:00:00:00:11", "02:00:00:00:00:99");
        let name: PeerName = here.parse().unwrap();
        let config = Config {
            name,
            identity: Identity::from_seed([1; 32].into()),
            range: "10.32.0.0/12".parse().unwrap(),
            init: Init::Seed([name, absent.parse().unwrap()].into()),
            expected_peers: 1,
            lease: None,
            timers: Timers::default(),
        };
        let rng = StdRng::seed_from_u64(1);
        let ipam = Ipam::new(config, None, None, 1_800_000_000_000, rng, Instant::now());
        assert_eq!(owner(&ipam, absent), absent.parse().ok());
        assert_eq!(owner(&ipam, "02:00:00:00:00:98"), None);
    }
}
