//! What outlives a restart.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use model::ContainerId;
use serde::{Deserialize, Serialize};

/// What is to be made durable at once; what is none is as it was
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who this is, and who owns what
    pub space: Option<Vec<u8>>,
    /// Who votes, and who is gone
    pub ledger: Option<Vec<u8>>,
    /// What this peer says of itself
    pub record: Option<Vec<u8>>,
    /// What the others said of themselves, and when they were seen
    pub heard: Option<Vec<u8>>,
    /// Addresses that a container got, or that none has any more
    pub addresses: Vec<(Ipv4Addr, Option<Held>)>,
}

impl Change {
    /// Whether it changes nothing
    pub fn is_empty(&self) -> bool {
        self.space.is_none()
            && self.ledger.is_none()
            && self.record.is_none()
            && self.heard.is_none()
            && self.addresses.is_empty()
    }
}

/// Everything that was kept: what the changes came to
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The last [`Change::space`]
    pub space: Option<Vec<u8>>,
    /// The last [`Change::ledger`]
    pub ledger: Option<Vec<u8>>,
    /// The last [`Change::record`]
    pub record: Option<Vec<u8>>,
    /// The last [`Change::heard`]
    pub heard: Option<Vec<u8>>,
    /// Which container has which address
    pub addresses: BTreeMap<Ipv4Addr, Held>,
}

impl State {
    /// Carries out a change
    pub fn apply(&mut self, change: Change) {
        let Change {
            space,
            ledger,
            record,
            heard,
            addresses,
        } = change;
        for (kept, new) in [
            (&mut self.space, space),
            (&mut self.ledger, ledger),
            (&mut self.record, record),
            (&mut self.heard, heard),
        ] {
            if new.is_some() {
                *kept = new;
            }
        }
        for (address, held) in addresses {
            match held {
                Some(held) => self.addresses.insert(address, held),
                None => self.addresses.remove(&address),
            };
        }
    }
}

/// An address that a container has
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The container
    pub container: ContainerId,
    /// The address with its subnet's prefix length
    pub network: Ipv4Network,
}
