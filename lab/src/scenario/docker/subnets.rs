//! Docker's networks with subnets of their own, the same on two hosts: in the range that weaved hands out of,
//! and outside it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::two_hosts;
use crate::docker::Client;
use crate::topology::Lab;
use crate::weave::Launch;

/// The network, its subnet, and how its addresses begin
const NETWORKS: [(&str, &str, [u8; 3]); 2] = [
    ("inside", "10.32.7.0/24", [10, 32, 7]),
    ("outside", "10.3.0.0/24", [10, 3, 0]),
];

/// Containers of each host on each network
const EACH: usize = 3;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    let clients = [one.proxied(), two.proxied()];
    for (network, subnet, begins) in NETWORKS {
        for client in &clients {
            client.network(network, subnet)?;
        }
        let mut all: Vec<(String, &Client, Ipv4Addr)> = Vec::new();
        for number in 0..EACH {
            for (client, host) in clients.iter().zip(["near", "far"]) {
                let name = format!("{network}-{host}{number}");
                client.sleeper(&name, &["--net", network])?;
                let address = client.address(&name)?;
                all.push((name, client, address));
            }
        }
        let addresses: BTreeSet<Ipv4Addr> = all.iter().map(|(_name, _client, address)| *address).collect();
        ensure!(addresses.len() == all.len(), "an address twice: {all:?}");
        ensure!(
            addresses.iter().all(|address| address.octets()[..3] == begins),
            "not of {subnet}: {addresses:?}"
        );
        for (name, client, _address) in &all {
            for address in &addresses {
                client.ping(name, &address.to_string())?;
            }
        }
        let is_free = |address: &Ipv4Addr| !addresses.contains(address);
        let [a, b, c] = begins;
        let free = (200..250).map(|d| Ipv4Addr::new(a, b, c, d)).find(is_free);
        told(&clients, network, free.context("no address is free")?)?;
    }
    for client in &clients {
        let listed = client.run(&["ps", "--quiet", "--all"])?.ok()?;
        let containers: Vec<&str> = listed.split_whitespace().collect();
        client.remove(&containers)?;
        let names = NETWORKS.map(|(network, ..)| network);
        client.run(&[&["network", "rm"], &names[..]].concat())?.ok()?;
    }
    for docker in [&one, &two] {
        let active = docker.host().ipam()?.active;
        ensure!(
            active == 0,
            "{active} addresses of {} are in use still",
            docker.host()
        );
    }
    Ok(())
}

/// An address that is asked for, and the same one on the other host, which does not get it where weaved has a
/// say
fn told(clients: &[Client; 2], network: &str, address: Ipv4Addr) -> Result<()> {
    let [here, there] = clients;
    let text = address.to_string();
    let options = ["--net", network, "--ip", &text];
    here.sleeper(&format!("{network}-told"), &options)?;
    let has = here.address(&format!("{network}-told"))?;
    ensure!(has == address, "{address} was asked for, and {has} given");
    here.ping(&format!("{network}-told"), &text)?;
    there.ping(&format!("{network}-far0"), &text)?;
    if network == "inside" {
        let line = [
            "run",
            "--rm",
            "--net",
            network,
            "--ip",
            &text,
            crate::docker::IMAGE,
            "true",
        ];
        let refused = there.run(&line)?.refused()?;
        ensure!(refused.contains(&text), "{refused}");
    }
    Ok(())
}
