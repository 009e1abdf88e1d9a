//! Who owns which addresses, and what they are called.

use std::time::Instant;

use api::{AddressOwner, IpamState, IpamStatus, NameEntry, PendingAddress};
use ipam::{Phase, Status, Waits, Wanted};

use super::Directory;
use crate::control::Plane;

/// `status ipam`; none where no addresses are handed out
pub(crate) fn ipam(plane: &Plane, now: Instant) -> Option<IpamStatus> {
    let status = plane.ipam.as_ref()?.state.status(now);
    let directory = Directory::of(plane);
    let owners = status.owners.iter().map(|owner| AddressOwner {
        peer: directory.peer(owner.owner.name),
        addresses: u32::try_from(owner.addresses).unwrap_or(u32::MAX),
        reachable: owner.reachable,
    });
    let pending = status.pending.iter().filter_map(|pending| {
        Some(PendingAddress {
            container: pending.container.as_ref()?.to_string(),
            wanted: match pending.wanted {
                Wanted::Subnet(subnet) => format!("net:{subnet}"),
                Wanted::Address(address) => address.to_string(),
                Wanted::First | Wanted::Removal(_) => return None,
            },
        })
    });
    let conflicts = status.conflicts.iter().map(|conflict| {
        format!(
            "{} is in use by container {} here and by one at {}",
            conflict.address,
            conflict.container,
            directory.peer(conflict.peer)
        )
    });
    Some(IpamStatus {
        state: state(status.phase),
        why: why(&status, &directory),
        range: status.range,
        default_subnet: plane.facts.default_subnet.unwrap_or(status.range),
        active: u32::try_from(status.active).unwrap_or(u32::MAX),
        owners: owners.collect(),
        pending: pending.collect(),
        conflicts: conflicts.collect(),
    })
}

const fn state(phase: Phase) -> IpamState {
    match phase {
        Phase::Idle => IpamState::Idle,
        Phase::AwaitingConsensus { .. } => IpamState::AwaitingConsensus,
        Phase::Priming => IpamState::Priming,
        Phase::Ready => IpamState::Ready,
        Phase::Waiting => IpamState::Waiting,
        Phase::AllUnreachable => IpamState::Unreachable,
        Phase::Fenced { .. } => IpamState::Fenced,
        Phase::Left => IpamState::Left,
    }
}

fn why(status: &Status, directory: &Directory) -> Option<String> {
    match status.phase {
        Phase::AwaitingConsensus { quorum, known } => Some(format!("quorum: {quorum}, known: {known}")),
        Phase::Fenced { since } => Some(format!(
            "too few peers seen for {} s: others may have taken over this host's addresses",
            since.as_secs()
        )),
        Phase::Waiting | Phase::AllUnreachable => {
            let first = status.pending.first()?;
            Some(waits(&first.waits, directory))
        }
        Phase::Idle | Phase::Priming | Phase::Ready | Phase::Left => None,
    }
}

/// What a request waits for
pub(crate) fn waits(waits: &Waits, directory: &Directory) -> String {
    match waits {
        Waits::Answer(peer) => format!(
            "{} was asked for addresses and has not answered",
            directory.peer(*peer)
        ),
        Waits::Unreachable(peers) => {
            let peers: Vec<String> = peers
                .iter()
                .map(|peer| directory.peer(*peer).to_string())
                .collect();
            format!(
                "all IP ranges there are owned by unreachable peers ({}); use 'weavectl rmpeer' if they are dead",
                peers.join(", ")
            )
        }
        Waits::Consensus | Waits::Fence | Waits::Full | Waits::Vote => waits.to_string(),
    }
}

/// A name and its address
pub(crate) fn name(listed: &dns::Listed<'_>, directory: &Directory) -> NameEntry {
    NameEntry {
        name: listed.hostname.to_owned(),
        address: listed.entry.address,
        container: listed.entry.container.clone(),
        peer: directory.peer(listed.origin),
    }
}
