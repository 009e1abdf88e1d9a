//! A wire that loses and reorders: two hosts joined by a router that does so, packet by packet.
//!
//! ```text
//! with netem:   one ── router ── other      the router's queues lose, delay, and let some pass first
//!
//! without:      one ── router ── other      the router drops some, and sends some the long way round,
//!                      │    │               through a queue so slow that others pass them
//!                      detour
//! ```
//! The hosts' kernels cut trains of datagrams up before they send them: what the router meets is what a
//! wire would carry, and one loss is one packet.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Fault, TABLES, execute};
use crate::namespace::Namespace;
use crate::topology::{ETHERNET, Host, Lab};

/// How bad a wire is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roughness {
    /// So many packets in a thousand are lost
    pub loss_per_mille: u16,
    /// So many in a hundred change places with others
    pub reorder_per_cent: u8,
    /// How long it takes the packets that are passed; without netem, it takes them as long as the queue
    /// of the detour is
    pub delay: Duration,
}

/// What became of the packets towards one end
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lost
    pub dropped: u64,
    /// Let pass before others, or sent the long way
    pub reordered: u64,
}

/// Two hosts, joined by a router
#[derive(Debug)]
pub struct Wire {
    ends: [Host; 2],
    router: Host,
    /// Where the kernel has no netem: the host on the long way
    detour: Option<Host>,
}

impl Wire {
    /// Joins two hosts that share no network
    pub fn join(lab: &mut Lab, one: &Host, other: &Host) -> Result<Self> {
        let router = lab.router("router")?;
        for end in [one, other] {
            lab.link(end, &router, ETHERNET)?;
            let device = end.leg_towards(&router)?.device;
            end.namespace()
                .ip(&["link", "set", "dev", &device, "gso_max_segs", "1"])?;
        }
        one.route(other.address_for(&router)?, &router)?;
        other.route(one.address_for(&router)?, &router)?;
        let detour = match has_netem(router.namespace())? {
            true => None,
            false => Some(long_way(lab, &router)?),
        };
        Ok(Self {
            ends: [one.clone(), other.clone()],
            router,
            detour,
        })
    }

    /// Makes it lose and reorder, in both directions, until that is healed
    pub fn disturb(&self, roughness: Roughness) -> Result<Rough<'_>> {
        let (fault, counters) = match &self.detour {
            None => (self.by_netem(roughness)?, Counters::Netem),
            Some(detour) => self.by_detour(detour, roughness)?,
        };
        Ok(Rough {
            wire: self,
            fault,
            counters,
        })
    }

    fn by_netem(&self, roughness: Roughness) -> Result<Fault> {
        let loss = format!("{}%", f64::from(roughness.loss_per_mille) / 10.0);
        let delay = format!("{}us", roughness.delay.as_micros());
        let reorder = format!("{}%", roughness.reorder_per_cent);
        // Room for more than any stream has under way: what is lost is lost on purpose.
        let netem = [
            "netem", "limit", "100000", "loss", &loss, "delay", &delay, "reorder", &reorder, "50%",
        ];
        let mut fault = Fault::none();
        for end in &self.ends {
            let device = self.router.leg_towards(end)?.device;
            fault = fault.and(queue(self.router.namespace(), &device, &netem)?);
        }
        Ok(fault)
    }

    fn by_detour(&self, detour: &Host, roughness: Roughness) -> Result<(Fault, Counters)> {
        let back = detour.leg_towards(&self.router)?.device;
        let slow = ["tbf", "rate", DETOUR_RATE, "burst", "1600", "limit", "10mb"];
        let mut fault = queue(detour.namespace(), &back, &slow)?;

        let table = format!("lab{}", TABLES.fetch_add(1, Ordering::Relaxed));
        let mut put = vec![
            format!("add table ip {table}"),
            format!("add chain ip {table} arriving {{ type filter hook prerouting priority -300 ; }}"),
        ];
        for [from, to] in self.directions() {
            let device = self.router.leg_towards(from)?.device;
            let to = to.name();
            let rule = format!("add rule ip {table} arriving iifname {device} numgen random mod");
            put.extend([
                format!("add counter ip {table} dropped-{to}"),
                format!("add counter ip {table} reordered-{to}"),
                format!(
                    "{rule} 1000 < {} counter name dropped-{to} drop",
                    roughness.loss_per_mille
                ),
                format!(
                    "{rule} 100 < {} counter name reordered-{to} meta mark set {MARK}",
                    roughness.reorder_per_cent
                ),
            ]);
        }
        let line = |what: String| vec!["nft".to_owned(), what];
        for what in put {
            execute(self.router.namespace(), &line(what))?;
        }
        fault = fault.and(Fault {
            undo: vec![(
                self.router.namespace().clone(),
                line(format!("delete table ip {table}")),
            )],
        });
        Ok((fault, Counters::Nft(table)))
    }

    fn directions(&self) -> [[&Host; 2]; 2] {
        let [one, other] = &self.ends;
        [[one, other], [other, one]]
    }
}

/// A wire that loses and reorders
#[derive(Debug)]
#[must_use = "a fault lasts until it is healed"]
pub struct Rough<'a> {
    wire: &'a Wire,
    fault: Fault,
    counters: Counters,
}

/// Who counts
#[derive(Debug)]
enum Counters {
    /// The router's queues
    Netem,
    /// The counters of this table on the router
    Nft(String),
}

impl Rough<'_> {
    /// What became of the packets towards this end since the fault began
    pub fn towards(&self, end: &Host) -> Result<Counts> {
        let router = self.wire.router.namespace();
        match &self.counters {
            Counters::Netem => {
                let device = self.wire.router.leg_towards(end)?.device;
                let queues = json(router, &["tc", "-s", "-j", "qdisc", "show", "dev", &device])?;
                let of = |name: &str| {
                    queues[0][name]
                        .as_u64()
                        .with_context(|| format!("no {name}: {queues}"))
                };
                Ok(Counts {
                    dropped: of("drops")?,
                    // What sch_netem counts where it puts a packet at the front of its queue.
                    reordered: of("requeues")?,
                })
            }
            Counters::Nft(table) => {
                let listed = json(router, &["nft", "-j", "list", "counters", "table", "ip", table])?;
                let of = |what: &str| {
                    let name = format!("{what}-{}", end.name());
                    let objects = listed["nftables"].as_array();
                    let mut counters = objects.into_iter().flatten().map(|object| &object["counter"]);
                    let counter = counters.find(|counter| counter["name"] == name.as_str());
                    let packets = counter.and_then(|counter| counter["packets"].as_u64());
                    packets.with_context(|| format!("no counter {name}: {listed}"))
                };
                Ok(Counts {
                    dropped: of("dropped")?,
                    reordered: of("reordered")?,
                })
            }
        }
    }

    /// Makes the wire a good one
    pub fn heal(self) -> Result<()> {
        self.fault.heal()
    }
}

/// Packets with the mark go from the router to the detour and come back without it
fn long_way(lab: &mut Lab, router: &Host) -> Result<Host> {
    let detour = lab.router("detour")?;
    lab.link(router, &detour, ETHERNET)?;
    let there = detour.address_for(router)?;
    lab.link(router, &detour, ETHERNET)?;
    let back = router.address_for(&detour)?;
    let default = |host: &Host, by: Ipv4Addr, table: &str| {
        let line = ["route", "add", "default", "via", &by.to_string(), "table", table];
        host.namespace().ip(&line).map(drop)
    };
    default(router, there, MARK)?;
    default(&detour, back, "main")?;
    router
        .namespace()
        .ip(&["rule", "add", "fwmark", MARK, "lookup", MARK])?;
    for host in [router, &detour] {
        // Sources come by other ways than packets to them go.
        let devices = host.legs().into_iter().map(|leg| leg.device);
        for device in devices.chain(["all".to_owned()]) {
            host.namespace()
                .sysctl(&format!("ipv4/conf/{device}/rp_filter"), "0")?;
        }
    }
    Ok(detour)
}

fn has_netem(namespace: &Namespace) -> Result<bool> {
    let line = |action| ["tc", "qdisc", action, "dev", "lo", "root", "netem"];
    let there = namespace.run(&line("add"))?.status.success();
    if there {
        namespace.run(&line("del"))?.ok()?;
    }
    Ok(there)
}

/// A queue at a device, until it is healed
fn queue(namespace: &Namespace, device: &str, what: &[&str]) -> Result<Fault> {
    let line = |action: &str, what: &[&str]| {
        let head = ["tc", "qdisc", action, "dev", device, "root"];
        head.iter()
            .chain(what)
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    execute(namespace, &line("add", what))?;
    Ok(Fault {
        undo: vec![(namespace.clone(), line("del", &[]))],
    })
}

fn json(namespace: &Namespace, line: &[&str]) -> Result<serde_json::Value> {
    let text = namespace.run(line)?.ok()?;
    serde_json::from_str(&text).with_context(|| format!("{line:?} printed {text:?}"))
}

/// The mark of packets that go the long way, and the table that says so
const MARK: &str = "100";

/// A packet waits for the one before it long enough to be passed
const DETOUR_RATE: &str = "200mbit";
