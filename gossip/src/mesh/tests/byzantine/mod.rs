//! Honest peers among hostile ones, which say whatever the format lets them say, signed by themselves, and replay
//! what honest ones say.
//!
//! `MESH_SEED=n` runs that history alone, `MESH_SEEDS=n` so many: a few without it.

mod hostile;
mod world;

use rand::RngExt as _;

use super::*;
use crate::bans::MAX_ORDERS;
use crate::records::{MAX_PEERS, PeerRecord};
use crate::table::MAX_LINKS;
use world::{HONEST, HostId, World};

/// Number of histories in a run of the tests
const SEEDS: u64 = 200;

#[test]
fn honest_peers_keep_each_other_whatever_hostile_ones_say() {
    if let Ok(seed) = std::env::var("MESH_SEED") {
        return run(seed.parse().unwrap());
    }
    let seeds = std::env::var("MESH_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            println!("replay with MESH_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.run_for(Duration::from_secs(5));
    judge_routes(&world, "before anything hostile was said");
    world.start_hostile();
    for _ in 0..world.rng.random_range(5..30) {
        act(&mut world);
        judge(&world);
    }
    world.silence_hostile();
    // The operators take back the bans that they did not give. Some are known only to hosts that were banned, and
    // spread once those are back.
    world.run_for(Duration::from_secs(1));
    for _ in 0..HONEST {
        if world.lift_bans() {
            world.run_for(Duration::from_secs(60));
        }
    }
    world.run_for(Duration::from_secs(60));
    judge(&world);
    judge_the_end(&world);
}

fn act(world: &mut World) {
    match world.rng.random_range(0..20) {
        0..=1 => {
            let wait = [20, 700, 5000][world.rng.random_range(0..3)];
            world.run_for(Duration::from_millis(wait));
        }
        2 => {
            let id = world.rng.random_range(0..HONEST);
            let network = [[192, 0, 2, 0], [198, 51, 100, 0]][world.rng.random_range(0..2)];
            let network = IpNetwork::new(network.into(), 24).unwrap();
            world.with(id, |mesh, now| mesh.set_internal_networks(vec![network], now));
        }
        3 => {
            // Only where all have found each other is a restart nobody's loss.
            world.run_for(Duration::from_secs(8));
            let id = world.rng.random_range(0..HONEST);
            world.restart(id);
            world.run_for(Duration::from_secs(8));
        }
        _ => {
            let id = world.rng.random_range(HONEST..world.hosts.len());
            for _ in 0..world.rng.random_range(1..8) {
                world.say(id);
            }
            world.run_for(Duration::from_millis(30));
        }
    }
}

/// All is within bounds, and nobody believes of an honest peer what that never said
fn judge(world: &World) {
    for id in 0..HONEST {
        let mesh = &world.hosts[id].mesh;
        let links: usize = mesh.table.iter().map(|record| record.connections.len()).sum();
        assert!(mesh.table.len() <= MAX_PEERS && links <= MAX_LINKS);
        assert!(mesh.pins().count() <= 2 * MAX_PEERS && mesh.bans().count() <= MAX_ORDERS);
        assert!(mesh.connections.len() <= 64 && mesh.unreachable.len() <= mesh.table.len());
        assert!(mesh.announced.len() <= MAX_PEERS && mesh.requests.len() <= mesh.connections.len());
        for other in 0..HONEST {
            if let Some(record) = mesh.table.get(world.name(other)) {
                assert!(world.has_said(other, record), "{id} of {other}: {record:?}");
            }
        }
    }
    if !world.bans_honest {
        judge_routes(world, "while hostile peers speak");
    }
}

/// Each honest peer has a way to each other one
fn judge_routes(world: &World, when: &str) {
    for id in 0..HONEST {
        for other in (0..HONEST).filter(|other| *other != id) {
            let way = world.hosts[id].mesh.topology().unicast(world.name(other));
            assert!(way.is_some(), "no way from {id} to {other} {when}");
        }
    }
    for (id, lost) in &world.losses {
        assert!(world.bans_honest, "{id} lost {lost} {when}");
    }
}

/// All honest peers know each other's last record, keys and short ids
fn judge_the_end(world: &World) {
    judge_routes(world, "in the end");
    let everybody: Vec<HostId> = (0..HONEST).collect();
    for id in &everybody {
        let mesh = &world.hosts[*id].mesh;
        for other in &everybody {
            let (name, owner) = (world.name(*other), &world.hosts[*other].mesh);
            let own = owner.table.get(name).unwrap();
            let told = mesh.table.get(name).map(|record| PeerRecord::clone(record));
            assert_eq!(told.as_ref(), Some(&**own), "{id} of {other}");
            let key = owner.config.identity.key();
            assert_eq!(mesh.keys().binding(name, &key), Binding::Bound, "{id} of {other}");
            let by_id = mesh.topology().by_short_id(owner.short_id());
            assert_eq!(by_id, Some(name), "{id} of {other}");
        }
        // The targets of the operator lead somewhere.
        for other in world.hosts[*id].targets.iter().filter(|other| **other < HONEST) {
            assert!(mesh.neighbours.is_up(world.name(*other)), "{id} to {other}");
        }
    }
}
