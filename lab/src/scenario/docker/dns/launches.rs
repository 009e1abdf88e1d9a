//! weaved is launched anew: as before, without names, and with containers that get none.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, DOMAIN, Hosts, OUTSIDE, PATIENCE, finds, known_by, misses};
use crate::docker::IMAGE;

/// How many containers begin after a launch, none of which is to get the address of another one
const MORE: usize = 2;

pub(super) fn act(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    again(hosts, web).context("launched again")?;
    without_dns(hosts, web).context("containers without names")?;
    no_dns(hosts).context("no names at all")
}

/// Containers of before have their names and addresses, and no other container gets these
fn again(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    let docker = &hosts.one;
    let dns_args = docker.shell("weavectl dns-args")?.ok()?;
    let on_weave: Vec<&str> = ["--net=weave"]
        .into_iter()
        .chain(dns_args.split_whitespace())
        .collect();
    docker.direct().sleeper("driven", &on_weave)?;
    let driven = docker.direct().address("driven")?;
    docker.shell("weavectl dns-add web -h www")?.ok()?;
    let all_known = || -> Result<()> {
        hosts.wait_known("web", &[web], PATIENCE)?;
        hosts.known("driven", &[driven])?;
        hosts.known("www", &[web])
    };
    all_known()?;
    docker.shell("weavectl stop")?.ok()?;
    known_by(&hosts.two, "web", &[], PATIENCE)?;
    hosts.launch(docker, &[&format!("--dns-domain={DOMAIN}")])?;
    all_known()?;
    for (container, address) in [("web", web), ("driven", driven)] {
        let has = docker.direct().address(container)?;
        ensure!(has == address, "{container} has {has}, and had {address}");
        finds(&hosts.two.proxied(), "asker", container, &[address])?;
        finds(
            &docker.direct(),
            container,
            "asker",
            &[hosts.two.direct().address("asker")?],
        )?;
    }
    let mut taken = vec![web, driven];
    for number in 0..MORE {
        let name = format!("next{number}");
        match number % 2 {
            0 => docker.direct().sleeper(&name, &on_weave)?,
            _ => docker.proxied().sleeper(&name, &[])?,
        }
        let address = docker.direct().address(&name)?;
        ensure!(!taken.contains(&address), "{name} has {address}, as another has");
        taken.push(address);
    }
    all_known()
}

/// weave-docker gives names no more; those who ask weaved still find others
fn without_dns(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    let docker = &hosts.two;
    let (client, direct) = (docker.proxied(), docker.direct());
    docker.shell("weavectl reset")?.ok()?;
    hosts.launch(docker, &[&format!("--dns-domain={DOMAIN}"), "--without-dns"])?;
    known_by(docker, "web", &[web], PATIENCE)?;
    client.sleeper("nameless", &[])?;
    let address = client.address("nameless")?;
    for name in ["web", &format!("web.{DOMAIN}")] {
        misses(&client, "nameless", name)?;
    }
    finds(&client, "nameless", OUTSIDE, &[hosts.outside])?;
    client.ping("nameless", &web.to_string())?;
    let line = "docker run --rm $(weavectl dns-args) --add-host=friend:10.9.9.9 busybox \
                sh -c 'nslookup web && grep friend /etc/hosts'";
    let told = docker.shell(line)?.ok()?;
    ensure!(
        told.contains(&web.to_string()) && told.contains("10.9.9.9\tfriend"),
        "{line}: {told}"
    );
    let listed = docker.shell("weavectl status dns")?.ok()?;
    ensure!(!listed.contains(&address.to_string()), "it has a name: {listed}");
    hosts.known("nameless", &[])?;
    direct.remove(&["nameless"])
}

/// Docker's own ways, and nobody else's, lead to names
fn no_dns(hosts: &Hosts) -> Result<()> {
    let docker = &hosts.one;
    docker.shell("weavectl stop")?.ok()?;
    hosts.launch(docker, &["--no-dns"])?;
    let printed = docker.shell("weavectl dns-args")?;
    let (told, printed) = (printed.to_string(), printed.ok()?);
    ensure!(printed.is_empty(), "dns-args: {told}");
    let ping = format!("{IMAGE} ping -c1 -W3 {OUTSIDE}");
    for line in [
        format!("docker run --rm $(weavectl dns-args) {ping}"),
        format!("docker run --rm --net=weave $(weavectl dns-args) {IMAGE} nslookup {OUTSIDE}"),
        format!("eval $(weavectl env); docker run --rm {ping}"),
    ] {
        docker.shell(&line)?.ok()?;
    }
    docker.proxied().sleeper("unnamed", &[])?;
    docker.proxied().address("unnamed")?;
    // Those of its own host Docker itself may know.
    misses(&docker.proxied(), "unnamed", "asker")?;
    known_by(&hosts.two, "unnamed", &[], AT_ONCE)?;
    // What this host told in the run before is true for nobody.
    known_by(&hosts.two, "web", &[], PATIENCE)?;
    let listeners = docker.host().namespace();
    let line = ["ss", "-Hlntu", "sport = :53 or sport = :6753"];
    let listening = listeners.run(&line)?.ok()?;
    ensure!(listening.is_empty(), "somebody answers names: {listening}");
    Ok(())
}
