//! Docker loses its state while containers are on the network: what it knows nothing of any more goes, unless a
//! process is there still; what it began since, or others did, stays.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use model::ContainerId;
use nix::sys::signal::Signal;

use super::{PATIENCE, one_host};
use crate::docker::IMAGE;
use crate::topology::{Host, Lab};
use crate::wait::wait_until;

/// Ends what outlives a Docker that is killed, and removes what it kept; the containers' namespaces stay
const LOSE: &str = "
for pid in $(pidof containerd containerd-shim-runc-v2 sleep); do
    if grep -q -e containerd -e 1000000 /proc/$pid/cmdline; then kill -KILL $pid; fi
done
for mount in $(grep -o '/run/docker-data/[^ ]*' /proc/self/mounts); do umount -l $mount; done
rm -rf /run/docker-data/* /run/docker.pid /run/docker/containerd
";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let mut one = one_host(lab)?;
    let proxied = one.proxied();
    proxied.network("n1", "10.32.7.0/24")?;
    proxied.sleeper("by-proxy", &[])?;
    proxied.sleeper("by-driver", &["--net=weave"])?;
    proxied.sleeper("of-a-subnet", &["--net=n1"])?;
    let line = ["run", "-d", "--name", "alive", IMAGE, "sleep", "2000000"];
    proxied.run(&line)?.ok()?;
    let alive = proxied.address("alive")?;
    let by_hand = lab.container("by-hand")?;
    let mut stay = one.host().attach_any(&by_hand, &[])?;
    let before = on_network(one.host())?;
    ensure!(before.len() == 5, "there are {before:?}");

    one.end_dockerd(Signal::SIGKILL)?;
    one.shell(LOSE)?.ok()?;
    let left = on_network(one.host())?;
    ensure!(left == before, "of {before:?} there are {left:?}");

    one.start_dockerd()?;
    one.import()?;
    wait_until("Docker has the network again", PATIENCE, || {
        let inspected = one.direct().run(&["network", "inspect", "weave"])?;
        Ok(inspected.status.success())
    })?;
    proxied.sleeper("after", &[])?;
    wait_until("what Docker has forgotten is gone", 2 * PATIENCE, || {
        Ok(on_network(one.host())?.len() == 3)
    })?;
    stay.push(alive);
    for address in stay {
        proxied.ping("after", &address.to_string())?;
    }
    let active = one.host().ipam()?.active;
    ensure!(active == 3, "{active} addresses are in use");
    Ok(())
}

fn on_network(host: &Host) -> Result<BTreeSet<ContainerId>> {
    let all = host.attachments()?.into_iter();
    Ok(all.map(|one| one.container).collect())
}
