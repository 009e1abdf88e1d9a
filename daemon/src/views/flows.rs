//! Flows and stations, with names in place of numbers.

use std::collections::BTreeMap;

use api::{Flow, FlowAction, MacEntry, Tunnel};
use model::Vni;
use openvswitch_sys::{Action, FlowMatch, PortNo};

use super::Directory;
use crate::datapath::{FlowDump, MacPlace};

pub(crate) fn macs(places: &[MacPlace], directory: &Directory) -> Vec<MacEntry> {
    let view = |place: &MacPlace| {
        let name = match place.peer {
            None => directory.topology.name(),
            // A station of a peer that is gone is nowhere.
            Some(id) => directory.topology.by_short_id(id)?,
        };
        Some(MacEntry {
            mac: place.mac,
            peer: directory.peer(name),
            seen_ms_ago: place
                .seen_ago
                .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
        })
    };
    places.iter().filter_map(view).collect()
}

pub(crate) fn flows(dump: &FlowDump, directory: &Directory) -> Vec<Flow> {
    let now = dump.monotonic_ms;
    let view = |flow: &openvswitch_sys::Flow| Flow {
        used_ms_ago: flow.used.map(|used| now.saturating_sub(used)),
        ..view_flow(flow, &dump.ports, directory)
    };
    dump.flows.iter().map(view).collect()
}

type Ports = BTreeMap<PortNo, String>;

fn view_flow(flow: &openvswitch_sys::Flow, ports: &Ports, directory: &Directory) -> Flow {
    let ufid = flow.ufid.map_or_else(String::new, |ufid| {
        ufid.0.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    let mut view = Flow {
        ufid,
        in_port: "?".to_owned(),
        src: None,
        dst: None,
        tunnel: None,
        tags: Vec::new(),
        actions: actions(&flow.actions, ports, directory),
        packets: flow.stats.packets,
        bytes: flow.stats.bytes,
        used_ms_ago: None,
    };
    if let FlowMatch::Canonical(key) = &flow.matches {
        view.in_port = port(key.in_port, ports);
        view.src = Some(key.src);
        view.dst = Some(key.dst);
        view.tunnel = key
            .tunnel
            .map(|outer| tunnel(outer.id, outer.src, outer.dst, directory));
        view.tags = match key.vlans {
            openvswitch_sys::Vlans::None => Vec::new(),
            openvswitch_sys::Vlans::One(one) => vec![tag(one)],
            openvswitch_sys::Vlans::Two(outer, inner) => vec![tag(outer), tag(inner)],
        };
    }
    view
}

fn actions(list: &[Action], ports: &Ports, directory: &Directory) -> Vec<FlowAction> {
    let view = |action: &Action| match action {
        Action::Output(to) => FlowAction::Output {
            port: port(*to, ports),
        },
        Action::SetTunnel(set) => FlowAction::Tunnel(tunnel(set.id, set.src, set.dst, directory)),
        Action::PushVlan(pushed) => FlowAction::PushTag(tag(*pushed)),
        Action::PopVlan => FlowAction::PopTag,
        Action::Userspace { cookie, .. } => FlowAction::Userspace { cookie: *cookie },
        Action::CheckPktLen {
            max,
            greater,
            less_equal,
        } => FlowAction::CheckPktLen {
            max: *max,
            greater: actions(greater, ports, directory),
            less_equal: actions(less_equal, ports, directory),
        },
        Action::Other(kind, _bytes) => FlowAction::Other { attribute: *kind },
    };
    list.iter().map(view).collect()
}

fn port(number: PortNo, ports: &Ports) -> String {
    ports
        .get(&number)
        .cloned()
        .unwrap_or_else(|| format!("port {}", number.0))
}

const fn tag(tag: openvswitch_sys::Tag) -> api::Tag {
    api::Tag {
        tpid: tag.tpid,
        vid: tag.vid,
    }
}

fn tunnel(id: u64, src: std::net::Ipv4Addr, dst: std::net::Ipv4Addr, directory: &Directory) -> Tunnel {
    Tunnel::new(Vni::truncated(id as u32), src, dst, |id| {
        directory.by_short_id(id)
    })
}
