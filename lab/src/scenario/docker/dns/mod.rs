//! Names as containers of Docker find them: in another domain, written in every way, given by hand; those of before
//! a launch, and none.

mod by_hand;
mod forms;
mod launches;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, NAMES, PATIENCE};
use crate::docker::{Client, Docker};
use crate::judge::dig;
use crate::scenario::names::Server;
use crate::topology::{ETHERNET, Lab};
use crate::wait::{Look, wait_for};

/// The domain of containers' names; one host is told it in this form, the other one with a dot
const DOMAIN: &str = "corp.example";

/// A name that a server elsewhere knows
const OUTSIDE: &str = "www.example.test";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let (hosts, web, _server) = begin(lab)?;
    forms::act(&hosts, web)?;
    by_hand::act(&hosts, web)
}

pub(in crate::scenario) fn launched_anew(lab: &mut Lab) -> Result<()> {
    let (hosts, web, _server) = begin(lab)?;
    launches::act(&hosts, web)
}

/// Two hosts with a container each, where the one of the first is, and a name server elsewhere
fn begin(lab: &mut Lab) -> Result<(Hosts, Ipv4Addr, Server)> {
    let [one, two] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&one, &two], ETHERNET)?;
    let outside = two.address()?;
    let server = Server::start(&two, outside)?;
    let [one, two] = Docker::boot([&one, &two])?;
    let hosts = Hosts { one, two, outside };
    hosts.ask_elsewhere(server.address)?;
    hosts.launch(&hosts.one, &[&format!("--dns-domain={DOMAIN}")])?;
    hosts.launch(&hosts.two, &[&format!("--dns-domain={DOMAIN}.")])?;
    let web = hosts.first_names()?;
    Ok((hosts, web, server))
}

/// Two hosts with Docker
struct Hosts {
    one: Docker,
    two: Docker,
    /// The address of the name that a server elsewhere knows
    outside: Ipv4Addr,
}

impl Hosts {
    fn both(&self) -> [&Docker; 2] {
        [&self.one, &self.two]
    }

    /// Has both hosts ask this server for names, and no other
    fn ask_elsewhere(&self, server: Ipv4Addr) -> Result<()> {
        for docker in self.both() {
            let file = docker.host().files().join("resolv.conf");
            std::fs::write(&file, format!("nameserver {server}\n"))?;
            let file = file.display();
            docker
                .shell(&format!("mount --bind {file} /etc/resolv.conf"))?
                .ok()?;
        }
        Ok(())
    }

    /// Launches as people do: weaved with these flags, and weave-docker unless that runs
    fn launch(&self, docker: &Docker, flags: &[&str]) -> Result<()> {
        let host = docker.host();
        let mut line = format!(
            "weavectl launch --no-systemd --state-dir {} --log-file {} --nickname {host}",
            host.state_dir().display(),
            host.log_file().display(),
        );
        for flag in flags {
            line = format!("{line} {flag}");
        }
        for other in self.both() {
            if other.host().name() != host.name() {
                line = format!("{line} {}", other.host().address()?);
            }
        }
        docker.shell(&line)?.ok().map(drop)
    }

    /// A container by the proxy and one of a Docker's network have names; where the first one is
    fn first_names(&self) -> Result<Ipv4Addr> {
        self.one.proxied().sleeper("web", &[])?;
        let web = self.one.proxied().address("web")?;
        // The hosts may still have to meet.
        self.wait_known("web", &[web], PATIENCE)?;
        self.two.proxied().sleeper("asker", &[])?;
        self.known("asker", &[self.two.proxied().address("asker")?])?;
        Ok(web)
    }

    /// Both hosts know these addresses, and no others, for a name of the domain
    fn known(&self, name: &str, wanted: &[Ipv4Addr]) -> Result<()> {
        self.wait_known(name, wanted, AT_ONCE)
    }

    fn wait_known(&self, name: &str, wanted: &[Ipv4Addr], deadline: Duration) -> Result<()> {
        for docker in self.both() {
            known_by(docker, name, wanted, deadline)?;
        }
        Ok(())
    }
}

/// Waits until a host knows these addresses, and no others, for a name of the domain
fn known_by(docker: &Docker, name: &str, wanted: &[Ipv4Addr], deadline: Duration) -> Result<()> {
    let wanted: BTreeSet<Ipv4Addr> = wanted.iter().copied().collect();
    let name = format!("{name}.{DOMAIN}");
    let what = format!("{name} is {wanted:?} on {}", docker.host());
    wait_for(&what, deadline, || {
        let answer = dig::ask(docker.host().namespace(), NAMES, &[&name])?;
        let found = answer.set()?;
        let status = if wanted.is_empty() { "NXDOMAIN" } else { "NOERROR" };
        Ok(match found == wanted && answer.status == status {
            true => Look::Done(()),
            false => Look::NotYet(format!("{} {found:?}", answer.status)),
        })
    })
    .map(drop)
}

/// A container finds one of these addresses by a name, and reaches it
fn finds(client: &Client, container: &str, name: &str, addresses: &[Ipv4Addr]) -> Result<()> {
    let printed = client
        .exec(container, &["ping", "-c1", "-W3", name])
        .with_context(|| format!("{container} asks for {name}"))?;
    ensure!(
        addresses
            .iter()
            .any(|address| printed.contains(&format!("({address})"))),
        "{container} asks for {name}, which is {addresses:?}: {printed}"
    );
    Ok(())
}

/// A container finds nothing by a name
fn misses(client: &Client, container: &str, name: &str) -> Result<()> {
    let finished = client.run(&["exec", container, "ping", "-c1", "-W3", name])?;
    let told = finished.to_string();
    ensure!(
        !finished.status.success() && told.contains("bad address"),
        "{container} asks for {name}, which is not there: {told}"
    );
    Ok(())
}
