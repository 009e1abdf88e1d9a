//! The packaged unit, with systemd for its manager: launched, killed and started again by systemd,
//! stopped, reset.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::machine::Machine;
use crate::judge::ovs;
use crate::judge::ping::Ping;
use crate::site::{Site, on_one_network};
use crate::topology::{Container, ETHERNET, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, MEETING, PORT, usual_path};

pub(super) mod machine;

const PATIENCE: Duration = Duration::from_secs(20);
/// The most pings that a restart may cost, at 100 a second, where the datapath is the kernel's
const LOST: u32 = 20;

/// By its number in capabilities(7)
const CAP_SYS_MODULE: u32 = 16;

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2"], ETHERNET)?;
    let [one, two] = &sites;
    let machine = Machine::boot(&one.host)?;
    exposures(&machine)?;
    let before = Traces::of(one, &machine)?;
    a_failure_is_told(one, &machine)?;

    two.host.launch(&Launch::plain())?;
    two.attach()?;
    let peer = two.host.address()?.to_string();
    machine
        .run(&["weavectl", "launch", "--no-docker", "--nickname", "host1", &peer])?
        .ok()?;
    let mode = machine
        .run(&["stat", "-c", "%a", "/etc/weave/weaved.env"])?
        .ok()?;
    ensure!(mode.trim() == "600", "the file for the password has mode {mode}");
    let unit = Unit::of(&machine)?;
    ensure!(
        unit.is_running() && unit.restarts == "0" && unit.enabled == "enabled",
        "after a launch: {unit:?}"
    );
    confined(&machine, &unit)?;
    let container = one.container.namespace().name();
    machine
        .run(&["weavectl", "attach", &one.cidr(), container])?
        .ok()?;
    connected(one, two)?;
    one.ping(two, |ping| ping)?.all_answered()?;

    killed(&machine, one, two)?;

    machine.run(&["weavectl", "stop"])?.ok()?;
    let unit = Unit::of(&machine)?;
    ensure!(unit.is_at_rest(), "after weavectl stop: {unit:?}");
    machine
        .run(&["weavectl", "launch", "--no-docker", "--nickname", "host1", &peer])?
        .ok()?;
    is_attached(&machine, one)?;
    connected(one, two)?;
    one.ping(two, |ping| ping)?.all_answered()?;

    machine.run(&["weavectl", "stop"])?.ok()?;
    stays_dead(&machine)?;
    machine
        .run(&["weavectl", "launch", "--no-docker", "--nickname", "host1", &peer])?
        .ok()?;
    let unit = Unit::of(&machine)?;
    ensure!(
        unit.enabled == "enabled" && unit.restart == "on-failure",
        "after a launch without --no-restart: {unit:?}"
    );

    machine.run(&["weavectl", "reset"])?.ok()?;
    let unit = Unit::of(&machine)?;
    ensure!(
        unit.is_at_rest() && unit.enabled == "disabled",
        "after weavectl reset: {unit:?}"
    );
    let after = Traces::of(one, &machine)?;
    ensure!(
        after == before,
        "after a reset: {after:#?}\nand before anything was launched: {before:#?}"
    );
    Ok(())
}

/// systemd's own judgement of the packaged units
fn exposures(machine: &Machine) -> Result<()> {
    // In tenths: the program fails where a unit is above.
    for (unit, most) in [("weaved.service", 49), ("weave-docker.service", 39)] {
        let threshold = format!("--threshold={most}");
        let path = format!("/etc/systemd/system/{unit}");
        let judged = machine.run(&[
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &path,
        ])?;
        let level = judged
            .stdout
            .lines()
            .rfind(|line| line.contains("exposure level"));
        println!("{}", level.unwrap_or("no exposure level").trim());
        ensure!(
            judged.status.success() && level.is_some(),
            "{unit} is more exposed than {most} tenths: {judged}"
        );
    }
    Ok(())
}

/// What weaved may do, as the kernel tells, where it sees what others mount
fn confined(machine: &Machine, unit: &Unit) -> Result<()> {
    let status = machine
        .run(&["cat", &format!("/proc/{}/status", unit.pid)])?
        .ok()?;
    for wanted in ["NoNewPrivs:\t1", "Seccomp:\t2", "Umask:\t0077"] {
        ensure!(
            status.lines().any(|line| line == wanted),
            "weaved runs without {wanted}: {status}"
        );
    }
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = u64::from_str_radix(bounding.unwrap_or_default().trim(), 16)?;
    ensure!(
        bounding >> CAP_SYS_MODULE & 1 == 0,
        "weaved may load modules: {bounding:x}"
    );
    let mounts = |pid: &str| machine.run(&["readlink", &format!("/proc/{pid}/ns/mnt")])?.ok();
    ensure!(
        mounts(&unit.pid)? == mounts("1")?,
        "weaved has a mount namespace of its own"
    );
    Ok(())
}

/// What weaved complains about stands in the journal; weavectl finds it there
fn a_failure_is_told(site: &Site, machine: &Machine) -> Result<()> {
    let bind = || Ok(TcpListener::bind(("0.0.0.0", PORT))?);
    let taken = site.host.namespace().enter(bind)?;
    let told = machine.run(&["weavectl", "launch"])?.refused()?;
    drop(taken);
    ensure!(
        told.trim().lines().count() == 1 && told.contains(&PORT.to_string()),
        "of a port that is taken: {told}"
    );
    let unit = Unit::of(machine)?;
    ensure!(
        unit.active != "active" && unit.sub != "auto-restart",
        "after a launch that failed: {unit:?}"
    );
    Ok(())
}

fn killed(machine: &Machine, one: &Site, two: &Site) -> Result<()> {
    let ping = Ping::to(two.address)
        .every(Duration::from_millis(10))
        .start(one.container.namespace())?;
    wait_until("the ping runs", PATIENCE, || Ok(ping.answers() > 20))?;
    let old = Unit::of(machine)?;
    machine
        .run(&["sh", "-c", &format!("kill -9 {}", old.pid)])?
        .ok()?;
    let (_unit, took) = wait_for("systemd has started weaved again", PATIENCE, || {
        let unit = Unit::of(machine)?;
        Ok(
            if unit.is_running() && unit.pid != old.pid && unit.restarts == "1" {
                Look::Done(unit)
            } else {
                Look::NotYet(format!("{unit:?}"))
            },
        )
    })?;
    is_attached(machine, one)?;
    connected(one, two)?;
    let answers = ping.answers();
    wait_until("the ping goes on", PATIENCE, || Ok(ping.answers() > answers + 20))?;
    let pings = ping.stop()?;
    println!(
        "killed, and started again by systemd after {took:.1?}: {} of {} pings lost",
        pings.lost(),
        pings.sent
    );
    ensure!(
        pings.lost() <= LOST || !ovs::is_here(),
        "{} pings lost by a restart",
        pings.lost()
    );
    Ok(())
}

/// Launched with --no-restart and killed
fn stays_dead(machine: &Machine) -> Result<()> {
    machine
        .run(&["weavectl", "launch", "--no-docker", "--no-restart"])?
        .ok()?;
    let unit = Unit::of(machine)?;
    ensure!(
        unit.is_running() && unit.enabled == "disabled" && unit.restart == "no",
        "after a launch with --no-restart: {unit:?}"
    );
    machine
        .run(&["sh", "-c", &format!("kill -9 {}", unit.pid)])?
        .ok()?;
    wait_until("systemd has seen the end", PATIENCE, || {
        let unit = Unit::of(machine)?;
        ensure!(unit.sub != "auto-restart", "{unit:?}");
        Ok(unit.active == "failed")
    })?;
    Ok(())
}

/// By what the other host says, which is one without systemd, and by the first answer to a ping: this one's side
/// of the path may come a little later
fn connected(one: &Site, two: &Site) -> Result<()> {
    let path = usual_path();
    two.host.wait_path(&one.host, path, MEETING)?;
    wait_until("a ping is answered", MEETING, || {
        Ok(one.ping(two, |ping| ping.count(1))?.lost() == 0)
    })?;
    Ok(())
}

fn is_attached(machine: &Machine, site: &Site) -> Result<()> {
    let listed = machine.run(&["weavectl", "ps"])?.ok()?;
    let name = site.container.namespace().name();
    ensure!(
        listed
            .lines()
            .any(|line| line.contains(name) && line.contains(&site.cidr())),
        "{name} with {} is not listed: {listed}",
        site.cidr()
    );
    Ok(())
}

/// What systemd says of the unit
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    active: String,
    sub: String,
    result: String,
    pid: String,
    restarts: String,
    /// `Restart=`
    restart: String,
    /// Whether it is started when the host boots
    enabled: String,
}

impl Unit {
    fn of(machine: &Machine) -> Result<Self> {
        let property = |name: &str| -> Result<String> {
            let value = machine.run(&["systemctl", "show", "-P", name, "weaved.service"])?;
            Ok(value.ok()?.trim().to_owned())
        };
        Ok(Self {
            active: property("ActiveState")?,
            sub: property("SubState")?,
            result: property("Result")?,
            pid: property("MainPID")?,
            restarts: property("NRestarts")?,
            restart: property("Restart")?,
            enabled: property("UnitFileState")?,
        })
    }

    fn is_running(&self) -> bool {
        self.active == "active" && self.sub == "running"
    }

    /// Ended in order; "dead" has no restart ahead
    fn is_at_rest(&self) -> bool {
        self.active == "inactive" && self.sub == "dead" && self.result == "success"
    }
}

/// What there is of weaved on the host
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    devices: BTreeSet<String>,
    in_the_container: BTreeSet<String>,
    processes: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Traces {
    fn of(site: &Site, machine: &Machine) -> Result<Self> {
        // systemd's own notes on its units stay until it is told to forget them.
        let line = [
            "find",
            "/etc",
            "/run",
            "/var",
            "-name",
            "*weave*",
            "-not",
            "-path",
            "/run/systemd/*",
            "-not",
            "-path",
            "/run/bin/*",
        ];
        let files = machine.run(&line)?.ok()?;
        let processes = site.host.namespace().processes()?;
        let processes = processes.into_iter().map(|process| process.name);
        let container = site.container.namespace().devices()?;
        ensure!(
            !site.host.namespace().devices()?.contains(Container::INTERFACE),
            "a container's interface on the host"
        );
        Ok(Self {
            devices: site.host.namespace().devices()?,
            in_the_container: container,
            processes: processes.filter(|name| name.contains("weave")).collect(),
            files: files.lines().map(str::to_owned).collect(),
        })
    }
}
