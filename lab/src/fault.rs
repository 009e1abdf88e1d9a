//! What goes wrong on the underlay: cuts, loss, delay, ICMP that is filtered away.
//!
//! A cut is silent. Packets are dropped where they arrive, before routing, so that links stay up,
//! ARP goes on and no sender sees an error. `iptables` (legacy) and `nft` can both do that; the
//! first of them that works in this kernel is used. Delay needs the netem queue. Loss and reordering
//! that is counted is a [`wire`]'s.

pub mod disk;
pub mod wire;

use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::namespace::Namespace;
use crate::topology::{Host, Lab};

static TABLES: AtomicU32 = AtomicU32::new(0);

/// Which packets
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Every IPv4 packet
    All,
    /// UDP to this port
    Udp(u16),
    /// ICMP "destination unreachable", which path MTU discovery lives on
    IcmpUnreachable,
}

/// By what the packets are known, besides the traffic
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// Their source address
    Source(Ipv4Addr),
    /// The device they come in by
    Device(String),
}

/// Something that is wrong until it is healed
#[derive(Debug)]
#[must_use = "a fault lasts until it is healed"]
pub struct Fault {
    undo: Vec<(Namespace, Vec<String>)>,
}

impl Fault {
    /// Makes it as it was
    pub fn heal(self) -> Result<()> {
        for (namespace, line) in &self.undo {
            execute(namespace, line)?;
        }
        Ok(())
    }

    fn none() -> Self {
        Self { undo: Vec::new() }
    }

    fn and(mut self, other: Self) -> Self {
        self.undo.extend(other.undo);
        self
    }
}

/// Two hosts hear nothing of this traffic from each other
pub fn cut(one: &Host, other: &Host, traffic: Traffic) -> Result<Fault> {
    lose(one, other, traffic, 1000)
}

/// Two hosts lose this many in a thousand of each other's packets
pub fn lose(one: &Host, other: &Host, traffic: Traffic, per_mille: u16) -> Result<Fault> {
    Ok(deafen(one, other, traffic, per_mille)?.and(deafen(other, one, traffic, per_mille)?))
}

/// One host loses this many in a thousand of another's packets; the other hears everything
pub fn deafen(ears: &Host, mouth: &Host, traffic: Traffic, per_mille: u16) -> Result<Fault> {
    let mut fault = Fault::none();
    for leg in mouth.legs() {
        fault = fault.and(drop_arriving(
            ears.namespace(),
            &By::Source(leg.address),
            traffic,
            per_mille,
        )?);
    }
    Ok(fault)
}

/// A host neither hears nor, as a router, passes on this traffic, whoever sends it
///
/// On the underlay alone: frames of containers pass the same hooks where the kernel filters bridges.
pub fn filter(host: &Host, traffic: Traffic) -> Result<Fault> {
    let mut fault = Fault::none();
    for leg in host.legs() {
        fault = fault.and(drop_arriving(
            host.namespace(),
            &By::Device(leg.device),
            traffic,
            1000,
        )?);
    }
    Ok(fault)
}

/// What one host sends to another comes later
pub fn delay(from: &Host, to: &Host, milliseconds: u32) -> Result<Fault> {
    let leg = from.leg_towards(to)?;
    let by = format!("{milliseconds}ms");
    let put = [
        "tc",
        "qdisc",
        "add",
        "dev",
        &leg.device,
        "root",
        "netem",
        "delay",
        &by,
    ];
    let undo = ["tc", "qdisc", "del", "dev", &leg.device, "root"];
    execute(from.namespace(), &put.map(str::to_owned))?;
    Ok(Fault {
        undo: vec![(from.namespace().clone(), undo.map(str::to_owned).into())],
    })
}

/// The program that drops packets here
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// `iptables-legacy` or, where there are no two, `iptables`
    Iptables(&'static str),
    /// `nft`
    Nft,
}

impl Firewall {
    /// The first that works in this kernel
    pub fn of_this_kernel() -> Result<Self> {
        static FOUND: OnceLock<Option<Firewall>> = OnceLock::new();
        FOUND
            .get_or_init(|| Self::find().ok().flatten())
            .context("neither iptables nor nft can drop packets in this kernel")
    }

    fn find() -> Result<Option<Self>> {
        let mut lab = Lab::new()?;
        let trial = lab.host("trial")?;
        let choices = [
            Self::Iptables("iptables-legacy"),
            Self::Iptables("iptables"),
            Self::Nft,
        ];
        Ok(choices.into_iter().find(|choice| {
            let dropped = choice.drop_arriving(
                trial.namespace(),
                &By::Device("eth0".to_owned()),
                Traffic::Udp(9),
                500,
            );
            dropped.and_then(Fault::heal).is_ok()
        }))
    }

    fn drop_arriving(
        self,
        namespace: &Namespace,
        by: &By,
        traffic: Traffic,
        per_mille: u16,
    ) -> Result<Fault> {
        let (put, undo) = match self {
            Self::Iptables(program) => iptables(program, by, traffic, per_mille),
            Self::Nft => nft(by, traffic, per_mille),
        };
        for line in put {
            execute(namespace, &line)?;
        }
        Ok(Fault {
            undo: vec![(namespace.clone(), undo)],
        })
    }
}

fn drop_arriving(namespace: &Namespace, by: &By, traffic: Traffic, per_mille: u16) -> Result<Fault> {
    Firewall::of_this_kernel()?.drop_arriving(namespace, by, traffic, per_mille)
}

/// The command lines that put a rule, and the one that removes it
type Lines = (Vec<Vec<String>>, Vec<String>);

fn iptables(program: &str, by: &By, traffic: Traffic, per_mille: u16) -> Lines {
    let mut rule = Vec::new();
    let mut push = |words: &str| rule.extend(words.split(' ').map(str::to_owned));
    match by {
        By::Source(from) => push(&format!("-s {from}")),
        By::Device(device) => push(&format!("-i {device}")),
    }
    match traffic {
        Traffic::All => {}
        Traffic::Udp(port) => push(&format!("-p udp --dport {port}")),
        Traffic::IcmpUnreachable => push("-p icmp --icmp-type destination-unreachable"),
    }
    if per_mille < 1000 {
        push(&format!(
            "-m statistic --mode random --probability {:.3}",
            f64::from(per_mille) / 1000.0
        ));
    }
    push("-j DROP");
    let line = |action: &str| {
        let head = [program, "-w", "-t", "mangle", action, "PREROUTING"].map(str::to_owned);
        head.into_iter().chain(rule.iter().cloned()).collect::<Vec<_>>()
    };
    (vec![line("-A")], line("-D"))
}

fn nft(by: &By, traffic: Traffic, per_mille: u16) -> Lines {
    // A table for each rule: removing one needs no handle then.
    let table = format!("lab{}", TABLES.fetch_add(1, Ordering::Relaxed));
    let mut rule = match by {
        By::Source(from) => format!("ip saddr {from} "),
        By::Device(device) => format!("iifname {device} "),
    };
    match traffic {
        Traffic::All => {}
        Traffic::Udp(port) => rule.push_str(&format!("udp dport {port} ")),
        Traffic::IcmpUnreachable => rule.push_str("icmp type destination-unreachable "),
    }
    if per_mille < 1000 {
        rule.push_str(&format!("numgen random mod 1000 < {per_mille} "));
    }
    let line = |what: String| vec!["nft".to_owned(), what];
    let put = vec![
        line(format!("add table ip {table}")),
        line(format!(
            "add chain ip {table} arriving {{ type filter hook prerouting priority -300 ; }}"
        )),
        line(format!("add rule ip {table} arriving {rule}drop")),
    ];
    (put, line(format!("delete table ip {table}")))
}

fn execute(namespace: &Namespace, line: &[String]) -> Result<()> {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let finished = namespace.run(&words)?;
    if !finished.status.success() {
        bail!("{finished}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iptables_rule_is_removed_by_its_own_words() {
        let (put, undo) = iptables(
            "iptables",
            &By::Source(Ipv4Addr::LOCALHOST),
            Traffic::Udp(6784),
            1000,
        );
        assert_eq!(
            put[0].join(" "),
            "iptables -w -t mangle -A PREROUTING -s 127.0.0.1 -p udp --dport 6784 -j DROP"
        );
        assert_eq!(undo.join(" "), put[0].join(" ").replace("-A", "-D"));
    }

    #[test]
    fn an_nft_rule_is_removed_with_its_table() {
        let (put, undo) = nft(&By::Device("eth0".to_owned()), Traffic::IcmpUnreachable, 250);
        let table = undo[1].strip_prefix("delete table ip ").unwrap();
        assert!(put.iter().all(|line| line[1].contains(table)));
        assert!(put[2][1].ends_with("numgen random mod 1000 < 250 drop"));
    }
}
