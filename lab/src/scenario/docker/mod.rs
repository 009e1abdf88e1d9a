//! Containers of real Docker, with and without weave-docker.

mod aliases;
mod all;
mod by_hand;
mod combinations;
mod dns;
mod docker_py;
mod down;
mod endpoints;
mod exposed;
mod first_steps;
mod flags;
mod forgotten;
mod itself;
mod many;
mod names;
mod networks;
mod restarts;
mod run;
mod starts;
mod streams;
mod subnets;
mod systemd;
mod tutorial;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

pub(super) use self::all::{BY_BOTH, BY_ONE, NAMED, NAMED_WHOLE};
use crate::docker::Docker;
use crate::judge::dig;
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, launch_mesh, usual_path};

/// How long hosts that are connected may take to say the same after a change
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long what goes on by itself may take, on a machine that is busy
const PATIENCE: Duration = Duration::from_secs(20);

/// Where weaved answers names on its host
const NAMES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6753);

/// Two hosts with Docker, weaved and weave-docker
fn two_hosts(lab: &mut Lab, launch: &Launch) -> Result<[Docker; 2]> {
    let [one, two] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&one, &two], ETHERNET)?;
    let mut dockers = Docker::boot([&one, &two])?;
    launch_mesh(&[&one, &two], launch, usual_path())?;
    for docker in &mut dockers {
        docker.start_agent(&[])?;
    }
    Ok(dockers)
}

/// One host with Docker, weaved and weave-docker
fn one_host(lab: &mut Lab) -> Result<Docker> {
    let host = lab.host("host1")?;
    let [mut docker] = Docker::boot([&host])?;
    host.launch(&Launch::plain())?;
    docker.start_agent(&[])?;
    Ok(docker)
}

/// Waits until a host knows these addresses, and no others, for a name of a container
fn wait_name(host: &Host, name: &str, wanted: &[Ipv4Addr], deadline: Duration) -> Result<Duration> {
    let wanted: BTreeSet<Ipv4Addr> = wanted.iter().copied().collect();
    let name = format!("{name}.weave.local");
    let what = format!("{name} is {wanted:?} on {host}");
    let ((), took) = wait_for(&what, deadline, || {
        let answer = dig::ask(host.namespace(), NAMES, &[&name])?;
        let found = answer.set()?;
        Ok(if found == wanted {
            Look::Done(())
        } else {
            Look::NotYet(format!("{} {found:?}", answer.status))
        })
    })?;
    Ok(took)
}
