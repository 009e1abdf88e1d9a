//! Addresses kept for containers that ended: one that comes back within `--ipalloc-hold` has those again that
//! weaved chose for it, and until then nobody else has them.
//!
//! What was asked for by address is free at once: who had it asks for it again, and it may have moved to
//! another host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use api::{AddressSpec, Addresses, ApiError};
use ipnetwork::IpNetwork;
use model::ContainerId;

use super::{Attachments, Record};
use crate::common::ipv4;

/// The containers that ended, and what is kept for them
#[derive(Debug, Default)]
pub(super) struct Resting {
    containers: BTreeMap<ContainerId, Rest>,
    /// The number of the latest, so that an alarm knows whether it is meant
    latest: u64,
}

/// Addresses for a container that is about to have them
#[derive(Debug)]
pub(super) struct Got {
    pub(super) addresses: Addresses,
    /// What it had before
    pub(super) had: Vec<IpNetwork>,
    /// Some of them were kept for it
    was_kept: bool,
}

#[derive(Debug)]
struct Rest {
    number: u64,
    addresses: Vec<Ipv4Addr>,
}

impl Resting {
    /// Keeps addresses for a container; the number by which they end
    pub(super) fn begin(&mut self, id: ContainerId, addresses: Vec<Ipv4Addr>) -> u64 {
        self.latest += 1;
        let number = self.latest;
        self.containers.insert(id, Rest { number, addresses });
        number
    }

    /// The container is back, or will not come; whether something was kept for it
    fn end(&mut self, id: &ContainerId) -> bool {
        self.containers.remove(id).is_some()
    }

    /// The same, if it has not come back and ended again since
    fn end_by_time(&mut self, id: &ContainerId, number: u64) -> bool {
        let is_meant = self.containers.get(id).is_some_and(|rest| rest.number == number);
        is_meant && self.end(id)
    }

    /// Takes an address from a container other than this, where it is kept for one; which that was
    fn take(&mut self, address: Ipv4Addr, but: &ContainerId) -> Option<ContainerId> {
        let mut all = self.containers.iter_mut();
        let (id, rest) = all.find(|(id, rest)| *id != but && rest.addresses.contains(&address))?;
        rest.addresses.retain(|kept| *kept != address);
        Some(id.clone())
    }

    /// Those that something is kept for
    pub(super) fn ids(&self) -> Vec<ContainerId> {
        self.containers.keys().cloned().collect()
    }
}

impl Record {
    /// Whether something is kept for the container once it has ended
    pub(super) fn rests(&self, hold: Duration) -> bool {
        !hold.is_zero() && !self.chosen.is_empty()
    }
}

impl Attachments {
    /// A container ended: its names go, and its addresses, as soon as nobody has asked for them in time
    pub(super) async fn end(&self, record: &Record) {
        let network = &self.0.network;
        network.forget_names(&record.id).await;
        if !record.rests(self.0.hold) {
            network.release(&record.id, None).await;
            return;
        }
        // The others go at once.
        network
            .give_back(&record.id, &record.addresses, &record.chosen)
            .await;
        let number = {
            let mut resting = self.0.resting.lock().await;
            resting.begin(record.id.clone(), ipv4(&record.chosen))
        };
        self.wake_later(record.id.clone(), number);
    }

    /// Frees what is kept, when it has been kept for long enough
    pub(super) fn wake_later(&self, id: ContainerId, number: u64) {
        let attachments = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(attachments.0.hold).await;
            if attachments.0.resting.lock().await.end_by_time(&id, number) {
                attachments.0.network.release(&id, None).await;
            }
        });
    }

    /// Gets a container the addresses that are asked for, those among them that are kept for it
    pub(super) async fn get(&self, id: &ContainerId, asked: &[AddressSpec]) -> Result<Got, ApiError> {
        let had = self.addresses_of(id).await;
        self.free_for(id, asked).await;
        // It is back: what is kept for it is its own again.
        let was_kept = self.0.resting.lock().await.end(id);
        match self.0.network.acquire(id, asked, &had).await {
            Ok(addresses) => Ok(Got {
                addresses,
                had,
                was_kept,
            }),
            Err(error) => {
                self.give_up_on(id, was_kept).await;
                Err(error)
            }
        }
    }

    /// Gives back what was got for a container that could not be attached
    pub(super) async fn put_back(&self, id: &ContainerId, got: &Got) {
        self.0.network.give_back(id, &got.addresses, &got.had).await;
        self.give_up_on(id, got.was_kept).await;
    }

    /// It did not come back after all
    async fn give_up_on(&self, id: &ContainerId, was_kept: bool) {
        if was_kept {
            self.0.network.release(id, None).await;
        }
    }

    /// The container exists no more: nothing is kept for it
    pub(crate) async fn forget(&self, id: &ContainerId) {
        if self.0.resting.lock().await.end(id) {
            self.0.network.release(id, None).await;
        }
    }

    /// Who asks for an address by itself has it before one for whom it is only kept
    pub(super) async fn free_for(&self, id: &ContainerId, wanted: &[AddressSpec]) {
        for spec in wanted {
            let AddressSpec::Address(IpNetwork::V4(address)) = spec else {
                continue;
            };
            let holder = self.0.resting.lock().await.take(address.ip(), id);
            if let Some(holder) = holder {
                self.0.network.release(&holder, Some(address.ip())).await;
            }
        }
    }

    /// Those that something is kept for
    pub(crate) async fn resting(&self) -> Vec<ContainerId> {
        self.0.resting.lock().await.ids()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContainerId {
        text.parse().unwrap()
    }

    #[test]
    fn an_alarm_of_an_earlier_end_frees_nothing() {
        let mut resting = Resting::default();
        let first = resting.begin(id("c1"), vec![[10, 32, 0, 1].into()]);
        assert!(resting.end(&id("c1")), "it is back");
        let second = resting.begin(id("c1"), vec![[10, 32, 0, 1].into()]);
        assert!(!resting.end_by_time(&id("c1"), first));
        assert!(resting.end_by_time(&id("c1"), second));
        assert!(!resting.end_by_time(&id("c1"), second));
    }

    #[test]
    fn what_is_kept_goes_to_who_asks_for_it_by_itself() {
        let mut resting = Resting::default();
        resting.begin(id("c1"), vec![[10, 32, 0, 1].into(), [10, 32, 0, 2].into()]);
        assert_eq!(resting.take([10, 32, 0, 1].into(), &id("c1")), None, "its own");
        assert_eq!(resting.take([10, 32, 0, 1].into(), &id("c2")), Some(id("c1")));
        assert_eq!(resting.take([10, 32, 0, 1].into(), &id("c3")), None, "taken");
        assert_eq!(resting.ids(), [id("c1")], "the other is kept");
    }
}
