//! A container, weaved, weave-docker and Docker begin anew: the container keeps address and name.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{AT_ONCE, PATIENCE, two_hosts, wait_name};
use crate::docker::Docker;
use crate::topology::{Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, usual_path};

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [mut one, two] = two_hosts(lab, &Launch::plain())?;
    one.proxied()
        .sleeper("a1", &["--restart=always", "--stop-timeout=1"])?;
    two.proxied().sleeper("a2", &[])?;
    let address = one.proxied().address("a1")?;
    is_there(&one, &two, address).context("before anything")?;

    one.proxied().run(&["restart", "-t0", "a1"])?.ok()?;
    is_there(&one, &two, address).context("docker restart by the proxy")?;
    one.direct().run(&["restart", "-t0", "a1"])?.ok()?;
    is_there(&one, &two, address).context("docker restart")?;

    // Docker starts it again by itself.
    let pid = one.direct().kill_process("a1")?;
    wait_until("a1 runs again", PATIENCE, || Ok(one.direct().pid("a1")? != pid))?;
    is_there(&one, &two, address).context("its process was killed")?;

    for end in [Host::stop, Host::kill_weaved] {
        end(one.host())?;
        let peer = two.host().address()?;
        one.host().launch(&Launch::plain().peer(peer))?;
        one.host().wait_path(two.host(), usual_path(), MEETING)?;
        is_there(&one, &two, address).context("weaved was ended")?;
    }

    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        one.end_agent(signal)?;
        one.start_agent(&[])?;
        is_there(&one, &two, address).context("weave-docker was ended")?;
        one.proxied().run(&["restart", "-t0", "a1"])?.ok()?;
        is_there(&one, &two, address).context("docker restart, by a new weave-docker")?;
    }

    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        one.end_dockerd(signal)?;
        one.start_dockerd()?;
        wait_until("a1 runs again", PATIENCE, || one.direct().pid("a1").map(|_| true))?;
        is_there(&one, &two, address).context("Docker was ended")?;
    }

    // Gone for good: the name goes at once.
    one.proxied().remove(&["a1"])?;
    wait_name(two.host(), "a1", &[], AT_ONCE)?;
    Ok(())
}

/// It has its address, both hosts know it by its name, and it is reached by that
fn is_there(one: &Docker, two: &Docker, wanted: Ipv4Addr) -> Result<()> {
    let address = one.direct().address("a1")?;
    ensure!(address == wanted, "a1 has {address}, and had {wanted} before");
    for docker in [one, two] {
        wait_name(docker.host(), "a1", &[wanted], AT_ONCE)?;
    }
    two.direct().ping("a2", "a1")?;
    one.direct().ping("a1", "a2")
}
