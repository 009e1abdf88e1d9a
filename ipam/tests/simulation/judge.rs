//! What must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use gossip::Replica as _;

use crate::host::Host;
use crate::network::Network;

/// What two hosts are connected for that long, they have told each other
const TOLD: Duration = Duration::from_secs(5);

/// Keeps account of who can have heard of whom, and of what must not be
#[derive(Debug, Default)]
pub struct Judge {
    /// When two were last together, so that they were told all until then
    heard: BTreeMap<(usize, usize), Duration>,
    /// Since when two can speak
    together: BTreeMap<(usize, usize), Duration>,
    /// When two met last that had been apart for a lease
    parted: BTreeMap<(usize, usize), Duration>,
    /// When each host's program became a new owner
    pub born: BTreeMap<usize, Duration>,
    pub lineages: BTreeSet<u64>,
    pub lease: Option<Duration>,
    pub excused: u64,
    pub violations: Vec<String>,
}

impl Judge {
    /// Time has come to `now`, without a change of the network since the last call
    pub fn sync(&mut self, network: &Network, runs: &[bool], now: Duration) {
        let count = runs.len();
        for a in 0..count {
            let component = if runs[a] {
                network.component(a, runs)
            } else {
                BTreeSet::new()
            };
            for b in (0..count).filter(|b| *b != a) {
                if component.contains(&b) {
                    if !self.together.contains_key(&(a, b)) && !self.met_lately(a, b, now) {
                        self.parted.insert((a, b), now);
                    }
                    self.together.entry((a, b)).or_insert(now);
                } else {
                    self.together.remove(&(a, b));
                }
            }
        }
        for (pair, since) in &self.together {
            if now >= *since + TOLD {
                self.heard.insert(*pair, now - TOLD);
            }
        }
    }

    fn met_lately(&self, a: usize, b: usize, now: Duration) -> bool {
        let lately = |lease: Duration| {
            self.heard
                .get(&(a, b))
                .is_some_and(|at| now - *at < lease.mul_f64(0.95))
        };
        a == b || self.lease.is_none_or(lately)
    }

    /// Whether a host was cut off for a lease from so many voters that the others may have removed it
    fn was_cut_off(&self, host: usize, voters: &[usize], now: Duration) -> bool {
        !is_quorum(voters, |voter| self.met_lately(host, voter, now))
    }

    /// Whether others may have taken over what it had at some time of a container's life
    fn may_have_lost(&self, host: usize, since: Duration, count: usize, now: Duration) -> bool {
        (0..count).any(|other| {
            let met_again = self.parted.get(&(host, other)).is_some_and(|at| *at >= since);
            met_again || !self.met_lately(host, other, now)
        })
    }

    /// Whether it may hand out an address that another has lost: it is young, was not cut off, or has
    /// heard what the others know of the address
    fn may_grant(
        &self,
        n: usize,
        address: Ipv4Addr,
        voters: &[usize],
        hosts: &[Host],
        now: Duration,
    ) -> bool {
        let Some(lease) = self.lease else { return true };
        let young = self
            .born
            .get(&n)
            .is_some_and(|at| now - *at < lease.mul_f64(0.85));
        let meets = |voter| self.together.contains_key(&(n, voter)) || self.met_lately(n, voter, now);
        let own = register(&hosts[n], address, now);
        let here = (0..hosts.len()).filter(|other| self.together.contains_key(&(n, *other)));
        let mut here = here.filter(|other| hosts[*other].runs());
        young
            || !self.was_cut_off(n, voters, now)
            || (is_quorum(voters, meets) && here.all(|other| register(&hosts[other], address, now) <= own))
    }

    /// A container of `n` got the address
    pub fn granted(&mut self, n: usize, address: Ipv4Addr, hosts: &[Host], now: Duration) {
        for (other, host) in hosts.iter().enumerate().filter(|(other, _)| *other != n) {
            let Some((container, (_, since))) = host.containers.iter().find(|(_, (has, _))| *has == address)
            else {
                continue;
            };
            let voters = hosts[n].ipam().status(hosts[n].local(now)).voters;
            let numbers = voters
                .iter()
                .filter_map(|voter| hosts.iter().rposition(|host| host.name() == voter.name));
            let voters: Vec<usize> = numbers.collect();
            let inherited = register(&hosts[n], address, now).is_some_and(|(epoch, _)| epoch > 0);
            // What a host has that was cut off goes to others; one that was cut off gives nothing itself.
            let lost = inherited && self.may_have_lost(other, *since, hosts.len(), now);
            let lost = lost || self.was_cut_off(other, &voters, now) || !self.met_lately(n, other, now);
            if (lost && self.may_grant(n, address, &voters, hosts, now)) || self.lineages.len() > 1 {
                self.excused += 1;
                continue;
            }
            self.violations.push(format!(
                "{address} was given to {n} at {now:?}, and {container} of {other} has it since {since:?}"
            ));
        }
    }

    /// What two containers have at the end, both hosts report; everybody knows the same; everything has an owner
    pub fn healed(&mut self, hosts: &[Host], now: Duration) {
        let alive: Vec<(usize, &Host)> = hosts.iter().enumerate().filter(|(_, host)| host.runs()).collect();
        let Some((_, first)) = alive.first() else { return };
        let names: BTreeSet<_> = alive.iter().map(|(_, host)| host.name()).collect();
        for (n, host) in &alive {
            if host.ipam().summary() != first.ipam().summary() {
                if std::env::var("IPAM_SEED").is_ok() {
                    println!("{n}: {:#?}", host.ipam());
                    println!("{}: {:#?}", alive[0].0, first.ipam());
                }
                self.violations
                    .push(format!("{n} knows something else than {}", alive[0].0));
            }
            let status = host.ipam().status(host.local(now));
            for owner in status
                .owners
                .iter()
                .filter(|owner| !names.contains(&owner.owner.name))
            {
                self.violations.push(format!(
                    "{n} says that {} addresses are {}'s",
                    owner.addresses, owner.owner
                ));
            }
            let owned: u64 = status.owners.iter().map(|owner| owner.addresses).sum();
            let size = u64::from(status.range.size());
            if owned != size {
                self.violations
                    .push(format!("{n} knows of owners of {owned} addresses of {size}"));
            }
        }
        for (n, one) in &alive {
            let conflicts = one.ipam().status(one.local(now)).conflicts;
            for (other, two) in alive.iter().filter(|(other, _)| other != n) {
                for (address, _) in one.containers.values() {
                    let both = two.containers.values().any(|(has, _)| has == address);
                    let told = conflicts
                        .iter()
                        .any(|c| c.address == *address && c.peer == two.name());
                    if both != told {
                        self.violations
                            .push(format!("{address} of {n} and {other}: both {both}, told {told}"));
                    }
                }
            }
        }
    }
}

/// The lowest of them is the first
fn is_quorum(voters: &[usize], meets: impl Fn(usize) -> bool) -> bool {
    let count = voters.iter().filter(|voter| meets(**voter)).count() * 2;
    count > voters.len() || (count == voters.len() && voters.first().is_some_and(|lowest| meets(*lowest)))
}

/// How often the address was inherited, and given since, as far as the host knows
fn register(host: &Host, address: Ipv4Addr, now: Duration) -> Option<(u64, u64)> {
    let entries = host.ipam().status(host.local(now)).entries;
    let mut entries = entries.iter();
    let entry = entries.find(|entry| (entry.first..=entry.last).contains(&address));
    entry.map(|entry| (entry.epoch, entry.version))
}
