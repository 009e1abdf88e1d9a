//! The machine.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gossip::{Malformed, Replica};
use ipnetwork::Ipv4Network;
use model::{ContainerId, PeerName};
use rand::rngs::StdRng;

use crate::config::Config;
use crate::output::{Output, Ticket};
use crate::state::State;
use crate::status::Status;

/// One peer's part in handing out the addresses
#[derive(Debug)]
pub struct Ipam {
    outputs: VecDeque<Output>,
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
        todo!("{config:?} {state:?} {away:?} {unix_ms} {rng:?} {now:?}")
    }

    /// Wants the lowest free host address of the subnet; the same container gets the same one again
    pub fn allocate(&mut self, ticket: Ticket, container: ContainerId, subnet: Ipv4Network, now: Instant) {
        todo!("{ticket:?} {container} {subnet} {now:?}")
    }

    /// Wants this address: in the range it may have to be asked of its owner, outside it is noted here only
    pub fn claim(&mut self, ticket: Ticket, container: ContainerId, address: Ipv4Network, now: Instant) {
        todo!("{ticket:?} {container} {address} {now:?}")
    }

    /// Says that a running container has this address, whoever owns it
    pub fn reclaim(&mut self, container: ContainerId, address: Ipv4Network, now: Instant) {
        todo!("{container} {address} {now:?}")
    }

    /// Wants nothing any more under this ticket
    pub fn cancel(&mut self, ticket: Ticket, now: Instant) {
        todo!("{ticket:?} {now:?}")
    }

    /// Says that the container has this address no more, or none at all; which those were
    pub fn release(
        &mut self,
        container: &ContainerId,
        address: Option<Ipv4Addr>,
        now: Instant,
    ) -> Vec<Ipv4Network> {
        todo!("{container} {address:?} {now:?}")
    }

    /// Whom the mesh reaches: at each change, and as often as the driver likes
    pub fn reachable(&mut self, peers: &BTreeSet<PeerName>, now: Instant) {
        todo!("{peers:?} {now:?}")
    }

    /// Removes a peer that is dead, by the operator's word
    pub fn remove_peer(&mut self, ticket: Ticket, name: PeerName, now: Instant) {
        todo!("{ticket:?} {name} {now:?}")
    }

    /// Gives everything away, for good: the kept state is to be deleted after this
    pub fn leave(&mut self, now: Instant) {
        todo!("{now:?}")
    }

    /// Wants to know when every address has an owner
    pub fn prime(&mut self, ticket: Ticket, now: Instant) {
        todo!("{ticket:?} {now:?}")
    }

    /// Does what is due
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!("{now:?}")
    }

    /// When to call [`Ipam::handle_timeout`]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What to do next
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What an operator is shown
    pub fn status(&self, now: Instant) -> Status {
        todo!("{now:?}")
    }
}

impl Replica for Ipam {
    fn take_changes(&mut self) -> Vec<Vec<u8>> {
        todo!()
    }

    fn summary(&self) -> Vec<u8> {
        todo!()
    }

    fn missing(&self, summary: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        todo!("{summary:?}")
    }

    fn merge(&mut self, part: &[u8], now: Instant) -> Result<Option<Vec<u8>>, Malformed> {
        todo!("{part:?} {now:?}")
    }
}
