//! Single stories, each with its own claim.

mod admission;
mod departures;
mod messages;
mod targets;

use std::time::Duration;

use gossip::{ConnectionState, Counters, Event, PeerRecord, Topology};
use model::PeerName;

use crate::world::{HostId, World};

/// So many hosts, connected to each other, with nothing told yet
pub(super) fn full_mesh(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count);
    for id in 1..count {
        world.hosts[id].targets = vec![0];
    }
    start_all(&mut world);
    for id in 0..count {
        assert_eq!(established(&world, id), count - 1, "the mesh is full");
    }
    world.forget_events();
    world
}

pub(super) fn start_all(world: &mut World) {
    for id in 0..world.hosts.len() {
        world.start(id);
    }
    world.run_for(secs(15));
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn counters(world: &World, id: HostId) -> &Counters {
    world.hosts[id].mesh.as_ref().map(gossip::Mesh::counters).unwrap()
}

pub(super) fn established(world: &World, id: HostId) -> usize {
    let Some(mesh) = &world.hosts[id].mesh else {
        return 0;
    };
    let connections = mesh.connections(world.now);
    connections
        .iter()
        .filter(|connection| connection.state == ConnectionState::Established)
        .count()
}

/// What the status says of the only target, and when it is dialled again
pub(super) fn failure(world: &World, id: HostId) -> (String, Option<Duration>) {
    let mesh = world.hosts[id].mesh.as_ref().unwrap();
    let failed = mesh
        .connections(world.now)
        .into_iter()
        .find_map(|connection| match connection.state {
            ConnectionState::Failed { error, retry_in } => Some((error, retry_in)),
            _ => None,
        });
    failed.unwrap()
}

pub(super) fn stamp(world: &World, id: HostId, of: PeerName) -> gossip::Stamp {
    PeerRecord::stamp(&world.hosts[id].topology().peers[&of])
}

pub(super) fn topologies(events: &[Event]) -> impl Iterator<Item = &Topology> {
    events.iter().filter_map(|event| match event {
        Event::TopologyChanged(topology) => Some(&**topology),
        _ => None,
    })
}

/// Whether the peer resumed, for each time that it came up
pub(super) fn ups(world: &World, at: PeerName, of: PeerName) -> Vec<bool> {
    let host = world.hosts.iter().find(|host| host.name == at).unwrap();
    let resumed = |event: &Event| match event {
        Event::NeighbourUp { peer, resumed, .. } if *peer == of => Some(*resumed),
        _ => None,
    };
    host.events.iter().filter_map(resumed).collect()
}
