//! Measures what names take of memory and of time: `cargo run --release -p dns --example weight`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]

use std::net::Ipv4Addr;
use std::time::Instant;

use dns::{Domain, MAX_ENTRIES, Names};
use gossip::{DerivedKeys, Identity, Replica as _};

fn main() {
    let keys: Vec<Identity> = (1..=20).map(|n| Identity::from_seed([n; 32].into())).collect();
    let names = |n: usize| Names::new(keys[n].peer_name(), keys[n].clone(), 1, Domain::default());
    let mut here = names(0);
    here.reachable(&keys.iter().map(Identity::peer_name).collect(), Instant::now());
    let before = resident();
    for (n, key) in keys.iter().enumerate().skip(1) {
        let (mut told, mut longest) = (Vec::new(), 0);
        {
            let mut origin = names(n);
            for entry in 0..MAX_ENTRIES {
                let (name, id) = (format!("c{n}-{entry}"), format!("{entry:064x}"));
                let address = Ipv4Addr::from_bits((n * MAX_ENTRIES + entry) as u32);
                origin.add(&name, id.parse().unwrap(), address).unwrap();
            }
            told.extend(origin.take_changes());
        }
        for part in told {
            let start = Instant::now();
            here.merge(key.peer_name(), &part, &DerivedKeys, start).unwrap();
            longest = longest.max(start.elapsed().as_millis());
        }
        let zone = here.take_zone();
        let fill = here.fill();
        println!(
            "{} entries weigh {} MiB; {} MiB more are resident; {longest} ms at most for a message; zone: {}",
            fill.entries,
            fill.weight >> 20,
            resident().saturating_sub(before) >> 20,
            zone.is_some()
        );
    }
    let mut one = names(0);
    let start = Instant::now();
    for n in 0..10_000 {
        one.add(
            &format!("c{n}"),
            format!("{n}").parse().unwrap(),
            Ipv4Addr::from_bits(n),
        )
        .unwrap();
        drop(one.take_changes());
    }
    println!("10,000 names one by one, each told: {:?}", start.elapsed());
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
