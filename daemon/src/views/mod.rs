//! The state of the machines, in the words of the API.

mod flows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{
    BroadcastRoute, Connection, ConnectionCounts, ConnectionState, Peer, PeerConnection, PeerCounts, PeerRef,
    Protocol, RouterStatus, StatusReport, UnicastRoute,
};
use gossip::{ConnectionStatus, Topology, Versions};
use model::{NickName, PeerName, ShortId};

pub(crate) use self::flows::{flows, macs};
use crate::control::Plane;

/// Who has which name and short id, for pages that show them
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    topology: Arc<Topology>,
}

impl Directory {
    pub(crate) const fn new(topology: Arc<Topology>) -> Self {
        Self { topology }
    }

    fn peer(&self, name: PeerName) -> PeerRef {
        PeerRef {
            name,
            nickname: self.nickname(name),
        }
    }

    fn nickname(&self, name: PeerName) -> NickName {
        match self.topology.peers.get(&name) {
            Some(record) => record.nickname.clone(),
            // A peer that has just left: its name is a valid nickname too.
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

pub(crate) fn status(plane: &Plane, now: Instant) -> StatusReport {
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
        datapath: api::Datapath::Bridge {
            name: facts.datapath.clone(),
            reason: String::new(),
        },
        overlay_mtu: facts.overlay_mtu,
        sleeve_threads: facts.sleeve_threads,
        drops: mesh_drops(plane),
    }
}

/// The mesh's odd events that an operator should see beside dropped packets
fn mesh_drops(plane: &Plane) -> BTreeMap<String, u64> {
    let counters = plane.mesh.counters();
    [
        ("gossip: connections that speak something else", counters.foreign),
        ("gossip: connections refused", counters.refused),
        ("gossip: forged messages", counters.forged),
        ("gossip: malformed messages", counters.malformed),
        ("gossip: oversized messages", counters.oversized),
        ("gossip: handshakes not completed", counters.handshake_timeouts),
        ("gossip: peers beyond the limit", counters.records_dropped),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

pub(crate) fn connections(plane: &Plane, now: Instant) -> Vec<Connection> {
    let directory = Directory::new(Arc::clone(&plane.topology));
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

pub(crate) fn peers(topology: &Arc<Topology>) -> Vec<Peer> {
    let directory = Directory::new(Arc::clone(topology));
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
    topology.peers.values().map(|record| view(record)).collect()
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
