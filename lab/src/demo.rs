//! Three hosts, shown to people: once plain, and where the kernel has Open vSwitch once more with a
//! password.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use model::PathKind;

use crate::diagnose::diagnosis;
use crate::judge::{iperf, ovs};
use crate::namespace::sweep_dead;
use crate::resolving;
use crate::run::clean_up_on_signals;
use crate::site::{Site, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, describe, launch_mesh};

const STREAM: Duration = Duration::from_secs(3);

/// Runs it; fails unless everything held
pub fn run() -> Result<ExitCode> {
    sweep_dead()?;
    clean_up_on_signals()?;
    if ovs::is_here() {
        shown(&Round {
            title: "kernel datapath",
            launch: Launch::plain(),
            path: PathKind::Fastdp,
            reason: None,
        })?;
        shown(&Round {
            title: "with a password",
            launch: Launch::plain().password("correct horse battery staple"),
            path: PathKind::Sleeve,
            reason: Some("encrypt"),
        })?;
    } else {
        shown(&Round {
            title: "without Open vSwitch",
            launch: Launch::plain(),
            path: PathKind::Sleeve,
            reason: Some("openvswitch"),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Round {
    title: &'static str,
    launch: Launch,
    path: PathKind,
    /// What the reason for the path must contain
    reason: Option<&'static str>,
}

fn shown(round: &Round) -> Result<()> {
    println!("\n── {}", round.title);
    let mut lab = Lab::new()?;
    round
        .run(&mut lab)
        .inspect_err(|_error| eprintln!("{}", diagnosis(&lab)))
}

impl Round {
    fn run(&self, lab: &mut Lab) -> Result<()> {
        let progress = Progress::start();
        let mut sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
        progress.note("three hosts on one network, a container for each");
        let hosts = sites.each_ref().map(|site| &site.host);
        launch_mesh(&hosts, &self.launch, self.path)?;
        progress.note("weaved runs on each, all are connected");
        for site in &mut sites {
            site.address = attach(site)?;
        }
        progress.note("the containers are attached, with addresses that weaved chose");
        for from in &sites {
            for to in sites.iter().filter(|to| to.address != from.address) {
                ping_by_name(lab, from, to)?;
            }
        }
        progress.note("every container has pinged every other by its name");
        let [one, two, _three] = &sites;
        let pings = ping_all_pairs(&sites)?;
        progress.note("and by its address");
        let overlay = one.iperf(two, STREAM)?;
        progress.note("one TCP stream from a container to another");
        let underlay = iperf::measure(
            one.host.namespace(),
            two.host.namespace(),
            two.host.address()?,
            STREAM,
        )?;
        progress.note("one TCP stream from a host to another");

        let (sent, received) = pings.iter().fold((0, 0), |(sent, got), each| {
            (sent + each.sent, got + each.received)
        });
        let trips: Vec<Duration> = pings.iter().filter_map(|each| each.round_trip).collect();
        let mean = trips.iter().sum::<Duration>() / u32::try_from(trips.len().max(1))?;
        row("kernel", &kernel()?);
        row("hosts", &sites.each_ref().map(|site| site.host.name()).join(", "));
        for path in self.paths(&sites)? {
            row("path", &path);
        }
        row("containers", &named(&sites)?);
        for line in one.host.weavectl(&["status", "ipam"])?.ok()?.lines() {
            row("addresses of", line);
        }
        row(
            "ping",
            &format!(
                "{received} of {sent} answered, round trip {:.2} ms",
                mean.as_secs_f64() * 1e3
            ),
        );
        row(
            "container to container",
            &format!("{:.2} Gbit/s", overlay.gigabits()),
        );
        row("host to host", &format!("{:.2} Gbit/s", underlay.gigabits()));
        if ovs::is_here() {
            row("flows in the kernel", &flows(&sites)?);
        }
        Ok(())
    }

    /// A line for every connection; fails unless each is by the path and for the reason expected
    fn paths(&self, sites: &[Site]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (index, near) in sites.iter().enumerate() {
            for far in sites.iter().skip(index + 1) {
                let found = near.host.connection_to(&far.host)?;
                let line = format!("{} to {}: {}", near.host, far.host, describe(found.as_ref()));
                let found = found.with_context(|| line.clone())?;
                let reason = found.reason.unwrap_or_default();
                ensure!(
                    found.path == Some(self.path) && reason.contains(self.reason.unwrap_or("")),
                    "{line}; expected {} {}",
                    self.path,
                    self.reason.unwrap_or("")
                );
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// Attaches a site's container under the name of its place, and lets its host answer names
fn attach(site: &Site) -> Result<Ipv4Addr> {
    let name = name(site);
    let addresses = site.host.attach_any(&site.container, &["--hostname", &name])?;
    // Masquerading needs more of the kernel than names do.
    site.host.weavectl(&["expose", "--without-masquerade"])?.ok()?;
    addresses.first().copied().context("attach printed no address")
}

fn name(site: &Site) -> String {
    format!("web{}", site.host.name().trim_start_matches("host"))
}

/// As a program in a container does that knows nothing but the name
fn ping_by_name(lab: &Lab, from: &Site, to: &Site) -> Result<()> {
    let addresses = from.host.exposed()?;
    let server = addresses.first().context("the host is not exposed")?;
    let line = ["ping", "-c", "1", "-W", "3", &name(to)];
    let namespace = from.container.namespace();
    let printed = resolving::run(namespace, *server, "weave.local", &lab.files(), &line)?.ok()?;
    ensure!(
        printed.contains(&format!("({})", to.address)),
        "{} is not at {}: {printed}",
        name(to),
        to.address
    );
    Ok(())
}

/// The containers' names and addresses, as weaved has them
fn named(sites: &[Site; 3]) -> Result<String> {
    let [one, ..] = sites;
    let names = one.host.names()?;
    let shown: Vec<String> = names
        .iter()
        .map(|entry| format!("{} {}", entry.name, entry.address))
        .collect();
    Ok(shown.join(", "))
}

/// Flows of each host as ovs-dpctl lists them, and how many go into or come out of tunnels
fn flows(sites: &[Site]) -> Result<String> {
    let mut parts = Vec::new();
    for site in sites {
        let flows = ovs::flows(site.host.namespace())?;
        let tunnels = flows
            .iter()
            .filter(|flow| flow.from_tunnel.is_some() || !flow.into_tunnels.is_empty());
        parts.push(format!(
            "{} {} ({} of tunnels)",
            site.host,
            flows.len(),
            tunnels.count()
        ));
    }
    Ok(parts.join(", "))
}

fn kernel() -> Result<String> {
    let name = nix::sys::utsname::uname()?;
    let has = if ovs::is_here() { "with" } else { "without" };
    Ok(format!(
        "{} {}, {has} Open vSwitch",
        name.sysname().display(),
        name.release().display()
    ))
}

fn row(name: &str, value: &str) {
    println!("  {name:<24}{value}");
}

#[derive(Debug)]
struct Progress(Instant);

impl Progress {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn note(&self, what: &str) {
        println!("  {:>5.1} s  {what}", self.0.elapsed().as_secs_f32());
    }
}
