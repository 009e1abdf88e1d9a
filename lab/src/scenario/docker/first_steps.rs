//! What people type first, as they type it: weavectl starts all that is needed, and takes it away again.
//!
//! The other host has no Docker: its container is attached by hand.

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, PATIENCE, wait_name};
use crate::docker::Docker;
use crate::judge::ping::Ping;
use crate::topology::{ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, usual_path};

/// Both ways to a container on the network, and one past it
const RUN: &str = "eval $(weavectl env)
docker run -d --name a1 busybox sleep 1000000
docker inspect --format '{{.NetworkSettings.Networks.weave.IPAddress}}' a1 >/run/tmp/a1
weavectl run 10.2.1.1/24 -d --name b1 busybox sleep 1000000
eval $(weavectl env --restore)
docker $(weavectl config) run -d -e WEAVE_CIDR=none --name c1 busybox sleep 1000000";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&one, &two], ETHERNET)?;
    let by_hand = lab.container("by-hand")?;
    let [docker] = Docker::boot([&one])?;
    two.launch(&Launch::plain())?;
    let before = docker.shell("docker network ls -q | sort")?.ok()?;

    let launch = format!(
        "weavectl launch --no-systemd --state-dir {} --log-file {} --nickname host1 {}",
        one.state_dir().display(),
        one.log_file().display(),
        two.address()?
    );
    let told = docker.shell(&launch)?.ok()?;
    ensure!(
        told.contains("weavectl env"),
        "launch does not tell of the proxy: {told}"
    );
    two.wait_path(&one, usual_path(), PATIENCE)?;
    docker.shell(RUN)?.ok()?;

    let client = docker.direct();
    let address = client.address("a1")?;
    let inspected = docker.shell("cat /run/tmp/a1")?.ok()?;
    ensure!(
        inspected.trim() == address.to_string(),
        "docker inspect says {inspected}, and a1 has {address}"
    );
    let of_b1 = client.addresses("b1")?;
    ensure!(
        of_b1 == [("10.2.1.1".parse()?, 24)],
        "weavectl run gave {of_b1:?}"
    );
    let has = client.interfaces("c1")?;
    ensure!(has == ["eth0"], "c1, which is not on the network, has {has:?}");

    // To a container that Docker knows nothing of, and from there.
    let name = ["--hostname", "by-hand"];
    let other = two.attach_any(&by_hand, &name)?;
    let other = *other.first().context("attach printed no address")?;
    wait_name(&two, "a1", &[address], AT_ONCE)?;
    client.ping("a1", "by-hand")?;
    client.ping("a1", &other.to_string())?;
    Ping::to(address).run(by_hand.namespace())?.all_answered()?;

    let listed = docker.shell("weavectl ps a1")?.ok()?;
    ensure!(listed.contains(&address.to_string()), "weavectl ps a1: {listed}");
    docker
        .shell("weavectl attach c1; weavectl detach c1; docker rm -f a1 b1")?
        .ok()?;
    wait_name(&two, "a1", &[], AT_ONCE)?;

    docker.shell("weavectl reset")?.ok()?;
    let after = docker.shell("docker network ls -q | sort")?.ok()?;
    ensure!(
        after == before,
        "Docker's networks after a reset: {after}, before all: {before}"
    );
    wait_until("no program of ours is left", PATIENCE, || {
        let left = one.namespace().processes()?;
        Ok(!left.iter().any(|process| process.name.starts_with("weave")))
    })?;
    let files = docker
        .shell("find /run -xdev -name '*weave*.sock' -o -path '/run/weave/*'")?
        .ok()?;
    ensure!(files.is_empty(), "files after a reset: {files}");
    Ok(())
}
