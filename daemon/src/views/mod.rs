//! The state of the machines, in the words of the API.

mod addresses;
mod flows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{
    Banned, BroadcastRoute, Connection, ConnectionCounts, ConnectionState, NameDispute, NamesFill,
    PasswordState, Peer, PeerConnection, PeerCounts, PeerRef, Protocol, RouterStatus, Security, StatusReport,
    UnicastRoute,
};
use dns::Refused;
use gossip::{ConnectionStatus, Topology, Versions};
use model::{NickName, PeerName, ShortId};

pub(crate) use self::addresses::{ipam, name, waits};
pub(crate) use self::flows::{flows, macs};
use crate::control::Plane;
use crate::network::Keys;

/// Who has which name and short id, for pages that show them
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    topology: Arc<Topology>,
    /// Also those of peers that are gone
    nicknames: Arc<BTreeMap<PeerName, NickName>>,
}

impl Directory {
    pub(crate) fn of(plane: &Plane) -> Self {
        Self {
            topology: Arc::clone(&plane.topology),
            nicknames: Arc::clone(&plane.nicknames),
        }
    }

    /// This host
    pub(crate) fn own(&self) -> PeerRef {
        self.peer(self.topology.name())
    }

    /// Whether anything is known of a peer of this name
    pub(crate) fn knows(&self, name: PeerName) -> bool {
        self.topology.peers.contains_key(&name) || self.nicknames.contains_key(&name)
    }

    /// The peers that go, or went, by this nickname
    pub(crate) fn nicknamed(&self, nickname: &str) -> Vec<PeerName> {
        let all = self.nicknames.iter();
        let called = all.filter(|(_, called)| called.as_str() == nickname);
        called.map(|(name, _)| *name).collect()
    }

    pub(crate) fn peer(&self, name: PeerName) -> PeerRef {
        PeerRef {
            name,
            nickname: self.nickname(name),
        }
    }

    fn nickname(&self, name: PeerName) -> NickName {
        let reachable = self.topology.peers.get(&name).map(|record| &record.nickname);
        match reachable.or_else(|| self.nicknames.get(&name)) {
            Some(nickname) => nickname.clone(),
            // Its name is a valid nickname too.
            None => name.to_string().parse().unwrap_or_else(|_impossible| unknown()),
        }
    }

    fn by_short_id(&self, id: ShortId) -> Option<(PeerName, NickName)> {
        let name = self.topology.by_short_id(id)?;
        Some((name, self.nickname(name)))
    }
}

#[expect(clippy::expect_used, reason = "a constant")]
fn unknown() -> NickName {
    "unknown".parse().expect("a word is a nickname")
}

pub(crate) fn status(plane: &Plane, keys: &Keys, now: Instant) -> StatusReport {
    let connections: ConnectionCounts = plane
        .mesh
        .connections(now)
        .iter()
        .map(|connection| state(&connection.state).0)
        .collect();
    let topology = &plane.topology;
    let mut peers = PeerCounts {
        total: topology.peers.len(),
        established: 0,
        pending: 0,
    };
    for link in topology
        .peers
        .values()
        .flat_map(|record| record.connections.values())
    {
        match link.established {
            true => peers.established += 1,
            false => peers.pending += 1,
        }
    }
    let own = topology.peers.get(&plane.facts.name);
    let facts = &plane.facts;
    StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        router: RouterStatus {
            protocol: Protocol {
                min: Versions::OURS.min,
                max: Versions::OURS.max,
            },
            name: facts.name,
            nickname: facts.nickname.clone(),
            uid: facts.uid,
            short_id: own.map(|own| own.short_id),
            port: facts.port,
            encryption: facts.encryption,
            peer_discovery: facts.discovery,
            targets: plane.mesh.targets().len(),
            connections,
            peers,
            trusted_subnets: facts.trusted_subnets.clone(),
        },
        security: security(plane, keys),
        datapath: api::Datapath::Bridge {
            name: facts.datapath.clone(),
            reason: String::new(),
        },
        overlay_mtu: facts.overlay_mtu,
        sleeve_threads: facts.sleeve_threads,
        drops: mesh_drops(plane),
        ipam: ipam(plane, now),
        dns: None,
        host: None,
        store: None,
        names: Some(names_fill(plane)),
    }
}

/// Who may join the network, and whom it refuses
fn security(plane: &Plane, keys: &Keys) -> Security {
    let directory = Directory::of(plane);
    let banned = plane.mesh.bans().filter(|ban| ban.refused);
    let disputes = plane.topology.peers.values().flat_map(|record| {
        let at = directory.peer(record.name);
        record.disputes.iter().map(move |dispute| NameDispute {
            name: dispute.name,
            claimant: dispute.claimant.to_string(),
            at: at.clone(),
        })
    });
    Security {
        network: plane.facts.network.to_string(),
        password: password(keys),
        weak_password: plane.facts.weak_password,
        banned: banned
            .map(|ban| Banned {
                peer: ban.name,
                key: ban.key.to_string(),
            })
            .collect(),
        disputes: disputes.collect(),
    }
}

/// Whether the network has a password
pub(crate) const fn password(keys: &Keys) -> PasswordState {
    match (keys.is_some(), keys.is_rotating()) {
        (false, _) => PasswordState::Open,
        (true, false) => PasswordState::Set,
        (true, true) => PasswordState::Rotating,
    }
}

/// The mesh's odd events that an operator should see beside dropped packets
fn mesh_drops(plane: &Plane) -> BTreeMap<String, u64> {
    let counters = plane.mesh.counters();
    let addresses = plane.ipam.as_ref().map_or(0, |ipam| ipam.malformed());
    let names = plane.names.malformed();
    [
        ("gossip: connections that speak something else", counters.foreign),
        ("gossip: connections refused", counters.refused),
        ("gossip: forged messages", counters.forged),
        ("gossip: malformed messages", counters.malformed),
        ("gossip: oversized messages", counters.oversized),
        ("gossip: malformed messages about addresses", addresses),
        ("gossip: malformed messages about names", names),
        ("addresses_awaiting_disk", plane.gate.dropped()),
        ("gossip: handshakes not completed", counters.handshake_timeouts),
        ("gossip: peers beyond the limit", counters.records_dropped),
        ("gossip: values out of bounds", counters.out_of_bounds),
        ("gossip: records without their signature", counters.unsigned),
        ("gossip: records of refused keys", counters.records_refused),
        ("gossip: connections from banned keys", counters.banned),
        ("gossip: wrong passwords", counters.wrong_passwords),
        (
            "gossip: connections refused for wrong passwords",
            counters.guesses_refused,
        ),
        ("gossip: connections beyond the limit", counters.not_accepted),
        ("gossip: requests beyond the limit", counters.requests_dropped),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| (name.to_owned(), count))
    .chain(refused_names(plane))
    .chain(rejected_addresses(plane))
    .collect()
}

fn names_fill(plane: &Plane) -> NamesFill {
    let fill = plane.names.state.fill();
    NamesFill {
        origins: fill.origins,
        entries: fill.entries,
        bytes: fill.weight,
        max_bytes: fill.max_weight,
        waiting_bytes: fill.waiting_bytes,
    }
}

/// What was told of names and not taken over
fn refused_names(plane: &Plane) -> impl Iterator<Item = (String, u64)> {
    let refused = plane.names.state.fill().refused;
    // Names of an origin that is not reached yet are asked for when it is: nothing is lost.
    let lost = |(reason, _count): &(Refused, u64)| *reason != Refused::Unreachable;
    refused
        .into_iter()
        .filter(lost)
        .map(|(reason, count)| (format!("names: {reason}"), count))
}

/// What was told of addresses and not taken over
fn rejected_addresses(plane: &Plane) -> impl Iterator<Item = (String, u64)> {
    let rejected = plane.ipam.iter().flat_map(|ipam| ipam.state.rejections());
    rejected.map(|(reason, count)| (format!("addresses: {reason}"), count))
}

pub(crate) fn connections(plane: &Plane, now: Instant) -> Vec<Connection> {
    let directory = Directory::of(plane);
    plane
        .mesh
        .connections(now)
        .into_iter()
        .map(|status| connection(status, plane, &directory))
        .collect()
}

fn connection(status: ConnectionStatus, plane: &Plane, directory: &Directory) -> Connection {
    let (state, error, retry_in) = state(&status.state);
    let view = status.peer.and_then(|peer| plane.neighbours.view(peer));
    let connected = matches!(
        state,
        ConnectionState::Established | ConnectionState::Held | ConnectionState::Pending
    );
    Connection {
        outbound: status.outbound,
        address: status.address,
        state,
        peer: status.peer.map(|name| match status.nickname {
            Some(nickname) => PeerRef { name, nickname },
            None => directory.peer(name),
        }),
        path: view.as_ref().and_then(|view| view.path),
        reason: view.as_ref().and_then(|view| view.reason.clone()),
        mtu: view.as_ref().and_then(|view| view.mtu),
        encrypted: (plane.facts.encryption && connected).then_some(status.encrypted),
        rtt_us: view.as_ref().and_then(|view| view.rtt).map(micros),
        error,
        retry_in_ms: retry_in.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        traffic: view.map(|view| view.traffic).unwrap_or_default(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn state(state: &gossip::ConnectionState) -> (ConnectionState, Option<String>, Option<Duration>) {
    use gossip::ConnectionState as Mesh;

    match state {
        Mesh::Connecting => (ConnectionState::Connecting, None, None),
        Mesh::Retrying { error } => (ConnectionState::Retrying, Some(error.clone()), None),
        Mesh::Failed { error, retry_in } => (ConnectionState::Failed, Some(error.clone()), *retry_in),
        Mesh::Pending => (ConnectionState::Pending, None, None),
        Mesh::Established => (ConnectionState::Established, None, None),
        Mesh::Held { left } => (ConnectionState::Held, None, Some(*left)),
    }
}

pub(crate) fn peers(plane: &Plane) -> Vec<Peer> {
    let directory = Directory::of(plane);
    let view = |record: &gossip::PeerRecord| Peer {
        name: record.name,
        nickname: record.nickname.clone(),
        uid: record.uid,
        short_id: Some(record.short_id),
        version: record.version,
        software: None,
        connections: record
            .connections
            .iter()
            .map(|(peer, link)| PeerConnection {
                peer: directory.peer(*peer),
                address: link.address,
                outbound: link.outbound,
                established: link.established,
            })
            .collect(),
    };
    plane.topology.peers.values().map(|record| view(record)).collect()
}

pub(crate) fn routes(directory: &Directory) -> (Vec<UnicastRoute>, Vec<BroadcastRoute>) {
    let topology = &directory.topology;
    let names = || topology.peers.keys().copied();
    let unicast = names().filter_map(|name| {
        let via = topology.unicast(name)?;
        Some(UnicastRoute {
            destination: directory.peer(name),
            via: directory.peer(via),
        })
    });
    let broadcast = names().map(|name| BroadcastRoute {
        source: directory.peer(name),
        via: topology
            .broadcast(name)
            .iter()
            .map(|via| directory.peer(*via))
            .collect(),
    });
    (unicast.collect(), broadcast.collect())
}

#[cfg(test)]
mod tests;
