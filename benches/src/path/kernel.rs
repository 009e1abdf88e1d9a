//! Without any program: the hosts themselves, and the kernel's VXLAN device on a bridge.

use anyhow::Result;
use lab::topology::{ETHERNET, Host, Lab};

use super::{FAR, NEAR, Path, between, containers, words};

/// From host to host
pub(super) fn underlay(near: &Host, far: &Host) -> Result<Path> {
    Ok(Path {
        address: far.address()?,
        ..between(near.namespace(), far.namespace(), "eth0")
    })
}

/// Two containers, one on each host, by a bridge and the kernel's VXLAN device
pub(super) fn vxlan(lab: &mut Lab, tag: &str, near: &Host, far: &Host) -> Result<Path> {
    let (one, other) = containers(lab, tag)?;
    for (host, peer, container, address) in [(near, far, &one, NEAR), (far, near, &other, FAR)] {
        let inside = container.namespace();
        let (local, remote) = (host.address()?.to_string(), peer.address()?.to_string());
        let mtu = (ETHERNET - VXLAN_OVERHEAD).to_string();
        let on_host = |line: &str| host.namespace().ip(&words(line)).map(drop);
        on_host(&format!(
            "link add vxlan mtu {mtu} type vxlan id 42 dstport 4789 local {local} remote {remote}"
        ))?;
        on_host(&format!(
            "link add bridge mtu {mtu} type bridge stp_state 0 forward_delay 0"
        ))?;
        on_host(&format!(
            "link add container mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}",
            inside.name()
        ))?;
        for port in ["vxlan", "container"] {
            on_host(&format!("link set {port} master bridge up"))?;
        }
        on_host("link set bridge up")?;
        inside.ip(&words(&format!("address add {address}/24 dev eth0")))?;
        inside.ip(&words("link set eth0 up"))?;
    }
    Ok(between(one.namespace(), other.namespace(), "eth0"))
}

/// IPv4 20, UDP 8, VXLAN 8, Ethernet 14
const VXLAN_OVERHEAD: u16 = 50;
