//! At which underlay addresses neighbours have proved themselves for fastdp.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Instant;

use model::PeerName;

use super::Switch;
use crate::{DropReason, Routes};

/// Neighbours by name and by proved address
#[derive(Debug, Default)]
pub(super) struct Proved {
    by_peer: BTreeMap<PeerName, Ipv4Addr>,
    by_address: BTreeMap<Ipv4Addr, BTreeSet<PeerName>>,
}

impl Proved {
    /// Takes a neighbour's address, or that it has none; returns the one before
    fn set(&mut self, peer: PeerName, address: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let before = match address {
            Some(address) => self.by_peer.insert(peer, address),
            None => self.by_peer.remove(&peer),
        };
        if let Some(before) = before
            && let Some(peers) = self.by_address.get_mut(&before)
        {
            peers.remove(&peer);
            if peers.is_empty() {
                self.by_address.remove(&before);
            }
        }
        if let Some(address) = address {
            self.by_address.entry(address).or_default().insert(peer);
        }
        before
    }

    /// Whether a frame that came from `outer` may be one of `source`, which has sent it directly or by a relay
    pub(super) fn admits(
        &self,
        outer: Ipv4Addr,
        source: PeerName,
        routes: &dyn Routes,
    ) -> Result<(), DropReason> {
        let neighbours = self.by_address.get(&outer).ok_or(DropReason::UnprovedAddress)?;
        if !neighbours.contains(&source) && routes.comes_directly(source) {
            return Err(DropReason::WrongRelay);
        }
        Ok(())
    }

    /// Whether any neighbour has proved itself at this address
    pub(super) fn is_anybodys(&self, outer: Ipv4Addr) -> bool {
        self.by_address.contains_key(&outer)
    }
}

impl Switch {
    /// The underlay address at which a neighbour has proved itself for fastdp; none where it has not, or may
    /// not use it
    ///
    /// Frames by the VXLAN port are accepted from these addresses only, whichever path frames *to* the
    /// neighbour take: each side chooses for itself.
    pub fn set_ingress(&mut self, neighbour: PeerName, address: Option<Ipv4Addr>, now: Instant) {
        let before = self.state.proved.set(neighbour, address);
        self.drop_adopted_from_elsewhere(neighbour, address);
        if before == address {
            return;
        }
        let hangs_on = |outer: Ipv4Addr| Some(outer) == before || Some(outer) == address;
        let touched = self
            .flows
            .select(|flow| flow.key.tunnel.is_some_and(|tunnel| hangs_on(tunnel.src)));
        for ufid in touched {
            self.reconsider(&ufid, now);
        }
    }

    /// Adopted flows wait for their neighbours, but not where it is certain that the neighbour is elsewhere
    fn drop_adopted_from_elsewhere(&mut self, neighbour: PeerName, address: Option<Ipv4Addr>) {
        if self.settled {
            return;
        }
        let Some(id) = self.state.routes.short_id(neighbour) else {
            return;
        };
        let elsewhere = self.flows.select(|flow| {
            let from = flow.key.tunnel.filter(|_| flow.adopted);
            from.is_some_and(|tunnel| Some(tunnel.src) != address)
                && self.state.vni(&flow.key).is_ok_and(|vni| vni.source() == id)
        });
        for ufid in elsewhere {
            self.delete(&ufid);
        }
    }
}
