//! `ovs-dpctl`: the kernel's own account of datapaths, ports and flows.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::run_here;
use crate::namespace::Namespace;

/// The datapath's name
pub const DATAPATH: &str = "weave";

/// Whether this kernel has Open vSwitch; where it is a module, this loads it
pub fn is_here() -> bool {
    if !Path::new("/sys/module/openvswitch").exists() {
        run_here(&["modprobe", "-q", "openvswitch"]).ok();
    }
    Path::new("/sys/module/openvswitch").exists()
}

/// What `ovs-dpctl show` says
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Packets that matched a flow
    pub hit: u64,
    /// Packets that were handed up
    pub missed: u64,
    /// Packets that could not be handed up
    pub lost: u64,
    /// Flows
    pub flows: u64,
    /// Port numbers, names and what stands in brackets after them
    pub ports: Vec<(u32, String)>,
}

/// `ovs-dpctl show weave`; none where there is no such datapath
pub fn show(host: &Namespace) -> Result<Option<Shown>> {
    let finished = host.run(&["ovs-dpctl", "show", DATAPATH])?;
    if !finished.status.success() {
        let datapaths = host.run(&["ovs-dpctl", "dump-dps"])?.ok()?;
        return match datapaths.contains(DATAPATH) {
            true => Err(anyhow::anyhow!("{finished}")),
            false => Ok(None),
        };
    }
    Ok(Some(parse_show(&finished.stdout)))
}

fn parse_show(text: &str) -> Shown {
    let mut shown = Shown::default();
    for line in text.lines().map(str::trim) {
        if let Some(lookups) = line.strip_prefix("lookups:") {
            shown.hit = field(lookups, "hit:");
            shown.missed = field(lookups, "missed:");
            shown.lost = field(lookups, "lost:");
        } else if line.starts_with("flows:") {
            shown.flows = field(line, "flows:");
        } else if let Some(port) = line.strip_prefix("port ")
            && let Some((number, name)) = port.split_once(": ")
            && let Ok(number) = number.parse()
        {
            shown.ports.push((number, name.to_owned()));
        }
    }
    shown
}

fn field(text: &str, name: &str) -> u64 {
    let tail = text
        .split_once(name)
        .map_or("", |(_before, tail)| tail.trim_start());
    let digits = tail
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// A flow of `ovs-dpctl dump-flows`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFlow {
    /// The whole line
    pub line: String,
    /// Packets that matched
    pub packets: u64,
    /// The tunnel that frames come out of: network identifier and outer source
    pub from_tunnel: Option<(u32, String)>,
    /// The tunnels that frames go into: network identifiers and outer destinations
    pub into_tunnels: Vec<(u32, String)>,
}

/// `ovs-dpctl dump-flows weave`
pub fn flows(host: &Namespace) -> Result<Vec<KernelFlow>> {
    let text = host.run(&["ovs-dpctl", "dump-flows", DATAPATH])?.ok()?;
    text.lines()
        .filter(|line| line.contains("actions:"))
        .map(parse_flow)
        .collect()
}

fn parse_flow(line: &str) -> Result<KernelFlow> {
    let (key, actions) = line.split_once("actions:").context("a flow without actions")?;
    let from_tunnel = key
        .split_once("tunnel(")
        .and_then(|(_before, tail)| tunnel(tail, "src="));
    let into_tunnels = actions.split("set(tunnel(").skip(1);
    Ok(KernelFlow {
        line: line.to_owned(),
        packets: field(key, "packets:"),
        from_tunnel,
        into_tunnels: into_tunnels.filter_map(|tail| tunnel(tail, "dst=")).collect(),
    })
}

/// `tun_id=0x2001,src=…,dst=…,…)`: the id and the address after `side`
fn tunnel(text: &str, side: &str) -> Option<(u32, String)> {
    let (inside, _after) = text.split_once(')')?;
    let mut id = None;
    let mut address = None;
    for part in inside.split(',') {
        if let Some(hex) = part.strip_prefix("tun_id=0x") {
            let digits = hex.split(|c: char| !c.is_ascii_hexdigit()).next()?;
            id = u32::from_str_radix(digits, 16).ok();
        } else if let Some(text) = part.strip_prefix(side) {
            address = Some(text.to_owned());
        }
    }
    Some((id?, address?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_ports_are_read() {
        let shown = parse_show(
            "system@weave:\n  lookups: hit:120 missed:17 lost:3\n  flows: 4\n  masks: hit:150 total:2 hit/pkt:1.09\n  \
             port 0: weave (internal)\n  port 1: vxlan-6784 (vxlan: packet_type=ptap, dst_port=6784)\n  port 2: vwepl1\n",
        );
        assert_eq!(
            (shown.hit, shown.missed, shown.lost, shown.flows),
            (120, 17, 3, 4)
        );
        assert_eq!(shown.ports[2], (2, "vwepl1".to_owned()));
    }

    #[test]
    fn tunnels_on_both_sides_of_a_flow_are_read() {
        let flow = parse_flow(
            "recirc_id(0),tunnel(tun_id=0x2001,src=192.168.101.1,dst=192.168.101.2,flags(+key)),in_port(1),\
             eth(src=26:33:65:22:3e:1f,dst=02:00:00:00:00:02), packets:3, bytes:294, used:1.302s, \
             actions:set(tunnel(tun_id=0x3001,src=192.168.102.2,dst=192.168.102.3,ttl=64,flags(df|csum|key))),1",
        )
        .unwrap();
        assert_eq!(flow.packets, 3);
        assert_eq!(flow.from_tunnel, Some((0x2001, "192.168.101.1".to_owned())));
        assert_eq!(flow.into_tunnels, [(0x3001, "192.168.102.3".to_owned())]);
    }
}
