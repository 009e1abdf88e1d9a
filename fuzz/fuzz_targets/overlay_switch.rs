//! Upcalls of the kernel's datapath, and changes of ports, paths and flows, told to a switch.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuzz::Chain;
use model::fuzz::Input;
use model::{Mac, PeerName};
use openvswitch_sys::{Attrs, Flow, FlowMatch, PortNo, TunnelKey, UpcallKey, Vlans};
use overlay::{Command, Config, MacTable, Path, PortRole, SeenFlow, Switch, SwitchOutput, Tunnel};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let config = Config {
        mtu: 1450,
        max_macs: 16,
        max_flows: 32,
        ready_flows: 8,
        too_long_to: (how & 1 != 0).then_some(7),
        ..Config::default()
    };
    let mut now = Instant::now();
    let shared = Arc::new(MacTable::new(64, 1));
    let mut switch = Switch::new(config, Arc::new(Chain::new()), shared, now);
    switch.port_added(PortNo::LOCAL, PortRole::Host, now);
    switch.port_added(VXLAN, PortRole::Vxlan, now);
    switch.port_added(TAP, PortRole::Tap, now);
    switch.port_added(PortNo(3), PortRole::Container, now);
    switch.set_ingress(Chain::name(1), Some(address(1)), now);
    switch.set_path(Chain::name(1), Some(fastdp(1, 1450)), now);
    switch.set_path(Chain::name(2), Some(Path::Sleeve), now);
    if how & 2 == 0 {
        switch.settle(now);
    }
    while !input.is_empty() {
        act(&mut switch, &mut input, &mut now);
        while let Some(output) = switch.poll_output() {
            if let SwitchOutput::Command(Command::PutFlow(key, actions)) = output {
                let _bytes = (key.encode(), openvswitch_sys::Action::encode_all(&actions));
            }
        }
        assert!(switch.flow_count() <= config.max_flows && switch.station_count() <= config.max_macs);
    }
    switch.settle(now);
    for (key, actions) in switch.flows() {
        assert_eq!(switch.decide(key).actions, actions, "a flow does what is decided");
    }
});

fn act(switch: &mut Switch, input: &mut Input<'_>, now: &mut Instant) {
    let op = input.byte();
    let peer = Chain::name(u16::from(op >> 6));
    match op & 7 {
        0 => {
            let key = key(input);
            *now += Duration::from_millis(1);
            let verdict = switch.miss(&key, *now);
            assert!(verdict.install.is_none() || verdict.dropped.is_none() || verdict.actions.is_empty());
        }
        1 => {
            if let Ok(key) = UpcallKey::decode(Attrs::new(input.piece())) {
                let _verdict = switch.miss(&key, *now);
            }
        }
        2 => change_path(switch, peer, op, *now),
        3 => {
            let port = PortNo((op >> 4).into());
            if op & 8 == 0 {
                let role = if port == VXLAN {
                    PortRole::Vxlan
                } else {
                    PortRole::Container
                };
                switch.port_added(port, role, *now);
            } else {
                switch.port_removed(port, *now);
            }
        }
        4 => {
            let port = PortNo((op >> 4).into());
            let _oversize = switch.oversize(port, station(input.byte()), input.u64(), *now);
        }
        5 => {
            let flow = Flow::decode(Attrs::new(input.piece()));
            let seen = flow.ok().map(|flow| SeenFlow {
                ufid: flow.ufid,
                key: match flow.matches {
                    FlowMatch::Canonical(key) => Some(key),
                    FlowMatch::Other { .. } => None,
                },
                actions: flow.actions,
                used_ago: flow.used.map(Duration::from_millis),
            });
            switch.flows_seen(seen, *now, *now);
        }
        6 => {
            *now += Duration::from_secs(input.byte().into());
            switch.handle_timeout(*now);
        }
        _ => match op >> 3 {
            0 => switch.set_mtu(input.u16(), *now),
            1 => switch.set_too_long_to(Some(9), *now),
            2 => switch.settle(*now),
            n => switch.set_routes(Arc::new(Chain::without(u16::from(n & 7))), *now),
        },
    }
}

fn change_path(switch: &mut Switch, peer: PeerName, op: u8, now: Instant) {
    let n = op >> 6;
    match op >> 3 & 7 {
        0 => switch.set_path(peer, None, now),
        1 => switch.set_path(peer, Some(Path::Sleeve), now),
        2 => switch.set_ingress(peer, None, now),
        3 => switch.set_ingress(peer, Some(address(n)), now),
        4 => switch.set_path(peer, Some(fastdp(n, 1000)), now),
        _ => switch.set_path(peer, Some(fastdp(n, 1450)), now),
    }
}

/// A key made of few bytes, of which most are of stations and peers that there are
fn key(input: &mut Input<'_>) -> UpcallKey {
    let port = PortNo((input.byte() & 7).into());
    let tunnel = (port == VXLAN).then(|| TunnelKey {
        id: u64::from(input.u32()),
        src: address(input.byte() & 3),
        dst: address(0),
    });
    let vlans = match input.byte() & 3 {
        0 => Vlans::One(openvswitch_sys::Tag::dot1q(u16::from(input.byte() & 7))),
        1 => Vlans::Two(
            openvswitch_sys::Tag::dot1ad(u16::from(input.byte() & 7)),
            openvswitch_sys::Tag::dot1q(u16::from(input.byte() & 7)),
        ),
        _ => Vlans::None,
    };
    UpcallKey {
        in_port: port,
        src: station(input.byte()),
        dst: station(input.byte()),
        tunnel,
        vlans,
        ethertype: Some(0x0800),
    }
}

fn station(n: u8) -> Mac {
    match n {
        0 => Mac::ZERO,
        0xff => Mac::BROADCAST,
        n => Mac::new([2, 0, 0, 0, 0, n & 0x1f]),
    }
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n)
}

fn fastdp(n: u8, mtu: u16) -> Path {
    Path::Fastdp(Tunnel {
        port: VXLAN,
        local: address(0),
        remote: address(n),
        mtu,
        csum: true,
    })
}

const VXLAN: PortNo = PortNo(1);
const TAP: PortNo = PortNo(2);
