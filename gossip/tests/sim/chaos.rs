//! Random disturbances: restarts, departures, partitions, resets, starvation; then peace, after which
//! everybody must have found everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Once;
use std::time::Duration;

use gossip::{ConnectionState, Departure, Stamp};
use model::{PeerName, ShortId};
use rand::RngExt;

use crate::world::{HostId, World};

#[test]
fn seeds_0_to_49_converge() {
    for_seeds(0..50);
}

#[test]
fn seeds_50_to_99_converge() {
    for_seeds(50..100);
}

#[test]
fn seeds_100_to_149_converge() {
    for_seeds(100..150);
}

#[test]
fn seeds_150_to_199_converge() {
    for_seeds(150..200);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3] {
        assert_eq!(disturb(seed).trace(), disturb(seed).trace(), "seed {seed}");
    }
    assert_ne!(disturb(1).trace(), disturb(2).trace());
}

fn for_seeds(seeds: Range<u64>) {
    fail_on_error_logs();
    for seed in asked_for().unwrap_or(seeds) {
        let run = std::panic::catch_unwind(|| check(&disturb(seed)));
        if let Err(panic) = run {
            println!("WEAVE_SIM_SEED={seed} repeats this");
            std::panic::resume_unwind(panic);
        }
    }
}

/// `WEAVE_SIM_SEED=n` or `WEAVE_SIM_SEED=n-m`
fn asked_for() -> Option<Range<u64>> {
    let seeds = std::env::var("WEAVE_SIM_SEED").ok()?;
    let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
    Some(first.parse().unwrap()..last.parse::<u64>().unwrap() + 1)
}

/// A network that is disturbed for a while, and then left alone for two minutes
fn disturb(seed: u64) -> World {
    let count = 2 + (seed % 5) as usize;
    let mut world = World::new(seed, count);
    let password = world.rng.random_bool(0.5).then_some(1);
    let cramped = world.rng.random_bool(0.3);
    for id in 0..count {
        let host = &mut world.hosts[id];
        host.password = password;
        // A line of targets: the rest is found by discovery.
        host.targets = if id == 0 { vec![] } else { vec![id - 1] };
        if cramped {
            host.short_id = Some(ShortId::truncated(5));
        }
    }
    for id in 0..count {
        let delay = Duration::from_millis(world.rng.random_range(0..2000));
        world.start_after(id, delay);
    }
    for _ in 0..world.rng.random_range(2..12) {
        let pause = Duration::from_millis(world.rng.random_range(10..4000));
        world.run_for(pause);
        let host = world.rng.random_range(0..count);
        let absence = Duration::from_millis(world.rng.random_range(10..8000));
        match world.rng.random_range(0..8) {
            0 | 1 => restart(&mut world, host, None, absence),
            2 => restart(&mut world, host, Some(Departure::Restart), absence),
            3 => restart(&mut world, host, Some(Departure::Leave), absence),
            4 => world.reset_one(),
            5 => world.starve(host, absence),
            6 => {
                world.with(host, |mesh, now| mesh.network_changed(now));
            }
            _ => isolate(&mut world, host, absence),
        }
    }
    world.run_for(Duration::from_secs(120));
    world
}

fn restart(world: &mut World, host: HostId, departure: Option<Departure>, absence: Duration) {
    world.stop(host, departure);
    world.start_after(host, absence);
}

fn isolate(world: &mut World, host: HostId, how_long: Duration) {
    let others: Vec<HostId> = (0..world.hosts.len()).filter(|other| *other != host).collect();
    for other in &others {
        world.cut(host, *other);
    }
    world.run_for(how_long);
    for other in &others {
        world.heal(host, *other);
    }
}

/// Everybody is up, knows the same, and is connected to everybody
fn check(world: &World) {
    let everybody: BTreeSet<PeerName> = world.hosts.iter().map(|host| host.name).collect();
    let mut tables: BTreeSet<Vec<(PeerName, Stamp)>> = BTreeSet::new();
    for mesh in world.running() {
        let topology = mesh.topology();
        let known: BTreeSet<PeerName> = topology.peers.keys().copied().collect();
        assert_eq!(known, everybody, "what {} knows", mesh.name());
        tables.insert(
            topology
                .peers
                .values()
                .map(|record| (record.name, record.stamp()))
                .collect(),
        );

        let ids: BTreeMap<ShortId, PeerName> = topology
            .peers
            .values()
            .map(|record| (record.short_id, record.name))
            .collect();
        assert_eq!(ids.len(), everybody.len(), "short ids are unique");

        let states: Vec<ConnectionState> = mesh
            .connections(world.now)
            .into_iter()
            .map(|connection| connection.state)
            .collect();
        assert_eq!(
            states,
            vec![ConnectionState::Established; everybody.len() - 1],
            "at {}",
            mesh.name()
        );
        for peer in everybody.iter().filter(|peer| **peer != mesh.name()) {
            assert_eq!(
                topology.unicast(*peer),
                Some(*peer),
                "in a full mesh everybody is next"
            );
        }

        let counters = mesh.counters();
        let odd = [
            counters.forged,
            counters.malformed,
            counters.oversized,
            counters.foreign,
            counters.refused,
        ];
        assert_eq!(odd, [0; 5], "{counters:?}");
    }
    assert_eq!(world.running().count(), everybody.len());
    assert_eq!(tables.len(), 1, "all tables are equal: {tables:#?}");
}

fn fail_on_error_logs() {
    struct FailOnError;
    impl log::Log for FailOnError {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            assert!(record.level() > log::Level::Error, "{}", record.args());
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&FailOnError).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}
