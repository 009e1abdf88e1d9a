//! Docker, weaved and weave-docker as units of systemd: a container that Docker is to restart is there again after
//! its host has booted anew, in whatever order the three come up.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{AT_ONCE, PATIENCE, wait_name};
use crate::docker::{IMAGE, PROXY, make_image};
use crate::scenario::systemd::machine::Machine;
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::{Launch, MEETING, usual_path};

const WEAVED: &str = "weaved.service";
const AGENT: &str = "weave-docker.service";
const DOCKER: &str = "docker.service";

/// How long after a boot a container may take to be there
const BACK: Duration = Duration::from_secs(30);

/// How much later Docker may be ready for what is missing of ours, on a machine that is busy
const DELAY: Duration = Duration::from_secs(2);

/// How long Docker itself looks for the driver of a container's network before it starts without the container
const LOOKING: Duration = Duration::from_secs(18);

/// What Docker is told on a disk that is memory, on a system without a bus
const OPTIONS: &str =
    "DOCKER_OPTS=\"--storage-driver=vfs --exec-opt=native.cgroupdriver=cgroupfs --log-level=warn\"\n";

/// What weave-docker may do, as the kernel tells: nothing but what everybody may
const CONFINED: [&str; 4] = [
    "CapEff:\t0000000000000000",
    "CapBnd:\t0000000000000000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&one, &two], ETHERNET)?;
    two.launch(&Launch::plain())?;
    let machine = Machine::boot(&one)?;
    install_docker(&one, &machine)?;
    machine.run(&["systemctl", "enable", "--now", DOCKER])?.ok()?;
    let alone = time_to_ready(&machine)?;

    let peer = two.address()?.to_string();
    let launch = ["weavectl", "launch", "--nickname", "host1", &peer];
    machine.run(&launch)?.ok()?;
    confined(&machine)?;
    let container = Kept::create(&one, &two, &machine)?;
    killed(&machine)?;
    container.is_back(&machine)?;

    // Once in order, and once by a power cut.
    machine.power_off()?;
    let (machine, ready) = container.boot("all at once", &[])?;
    println!("Docker is ready {ready:.1?} after its start, {alone:.1?} without the network");
    let late = Machine::disk(&one, "etc/systemd/system/weaved.service.d");
    fs::create_dir_all(&late)?;
    fs::write(late.join("late.conf"), "[Service]\nExecStartPre=/bin/sleep 3\n")?;
    drop(machine);
    let (machine, _ready) = container.boot("weaved is late", &[])?;
    fs::remove_dir_all(&late)?;

    // Docker has begun without them, and waits for neither.
    let mut last = machine;
    for (missing, delay) in [(&[WEAVED][..], DELAY), (&[WEAVED, AGENT], LOOKING)] {
        last.run(&[&["systemctl", "disable"], missing].concat())?.ok()?;
        drop(last);
        let (machine, ready) = container.boot("after Docker", missing)?;
        println!("Docker is ready {ready:.1?} after its start, where {missing:?} are not there");
        ensure!(
            ready < alone + delay,
            "Docker is ready {ready:?} after its start without {missing:?}, and {alone:?} without the network"
        );
        last = machine;
    }
    stopped(&last, &launch)?;
    container.is_back(&last)?;
    last.run(&["weavectl", "reset"])?.ok()?;
    for unit in [WEAVED, AGENT] {
        let state = property(&last, unit, "ActiveState")?;
        ensure!(state == "inactive", "{unit} is {state} after a reset");
    }
    let left = last.run(&["find", "/etc/weave", "/run/weave", "-type", "f"])?;
    ensure!(left.stdout.is_empty(), "files after a reset: {}", left.stdout);
    Ok(())
}

/// Debian's units, told what this machine needs
fn install_docker(host: &Host, machine: &Machine) -> Result<()> {
    host.docker().expect()?;
    let options = Machine::disk(host, "etc/default");
    fs::create_dir_all(&options)?;
    fs::write(options.join("docker"), OPTIONS)?;
    let own = Machine::disk(host, "etc/systemd/system/docker.service.d");
    fs::create_dir_all(&own)?;
    let path = host.docker().path();
    let path = path.to_str().context("a PATH that is not UTF-8")?;
    let dockerd = host.docker().program("dockerd");
    let dockerd = dockerd.display();
    fs::write(
        own.join("lab.conf"),
        format!(
            "[Service]\nEnvironment=PATH={path}\nExecStart=\n\
             ExecStart={dockerd} -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n"
        ),
    )?;
    machine.run(&["systemctl", "daemon-reload"])?.ok().map(drop)
}

/// From the start of dockerd's process until it serves
fn time_to_ready(machine: &Machine) -> Result<Duration> {
    let time = |name: &str| -> Result<u64> {
        let text = property(machine, DOCKER, name)?;
        text.parse()
            .with_context(|| format!("{name} of {DOCKER} is {text:?}"))
    };
    let (begun, ready) = (
        time("ExecMainStartTimestampMonotonic")?,
        time("ActiveEnterTimestampMonotonic")?,
    );
    ensure!(
        ready >= begun && begun > 0,
        "dockerd began at {begun} and was ready at {ready}"
    );
    Ok(Duration::from_micros(ready - begun))
}

fn property(machine: &Machine, unit: &str, name: &str) -> Result<String> {
    let told = machine.run(&["systemctl", "show", "-P", name, unit])?.ok()?;
    Ok(told.trim().to_owned())
}

/// The unit's limits hold, and nothing fails of them
fn confined(machine: &Machine) -> Result<()> {
    let pid = property(machine, AGENT, "MainPID")?;
    let status = machine.run(&["cat", &format!("/proc/{pid}/status")])?.ok()?;
    for line in CONFINED {
        ensure!(
            status.lines().any(|own| own == line),
            "no {line:?} of weave-docker: {status}"
        );
    }
    let log = machine
        .run(&["journalctl", "--no-pager", "-o", "cat", "-u", AGENT])?
        .ok()?;
    ensure!(
        !log.contains("WARN") && !log.contains("ERROR"),
        "weave-docker complains: {log}"
    );
    Ok(())
}

/// systemd starts weave-docker again
fn killed(machine: &Machine) -> Result<()> {
    let old = property(machine, AGENT, "MainPID")?;
    machine.run(&["sh", "-c", &format!("kill -9 {old}")])?.ok()?;
    let back = || {
        let now = property(machine, AGENT, "MainPID")?;
        let state = property(machine, AGENT, "SubState")?;
        Ok(now != old && state == "running")
    };
    wait_until("systemd has started weave-docker again", PATIENCE, back)?;
    let line = [
        "docker", "-H", PROXY, "run", "--rm", IMAGE, "ip", "link", "show", "ethwe0",
    ];
    machine.run(&line)?.ok().map(drop)
}

/// Stopped and launched again by weavectl
fn stopped(machine: &Machine, launch: &[&str]) -> Result<()> {
    machine.run(&["weavectl", "stop"])?.ok()?;
    let state = property(machine, WEAVED, "ActiveState")?;
    ensure!(state == "inactive", "{WEAVED} is {state} after weavectl stop");
    machine.run(launch)?.ok().map(drop)
}

/// A container that is there whatever happens
#[derive(Debug)]
struct Kept {
    host: Host,
    other: Host,
    address: Ipv4Addr,
}

impl Kept {
    fn create(host: &Host, other: &Host, machine: &Machine) -> Result<Self> {
        let directory = host.files().join("docker");
        fs::create_dir_all(&directory)?;
        make_image(&directory)?;
        fs::copy(
            directory.join("image.tar"),
            Machine::disk(host, "var/lib/image.tar"),
        )?;
        machine
            .run(&["docker", "import", "/var/lib/image.tar", IMAGE])?
            .ok()?;
        let run = [
            "docker",
            "-H",
            PROXY,
            "run",
            "-d",
            "--restart=always",
            "--name",
            "a1",
        ];
        machine
            .run(&[&run[..], &[IMAGE, "sleep", "1000000"]].concat())?
            .ok()?;
        let kept = Self {
            host: host.clone(),
            other: other.clone(),
            address: address(machine)?,
        };
        kept.is_back(machine)?;
        Ok(kept)
    }

    /// Boots, and starts what has not come up by itself once Docker is ready; how long that took
    fn boot(&self, what: &str, missing: &[&str]) -> Result<(Machine, Duration)> {
        self.forget_network()?;
        let machine = Machine::boot(&self.host)?;
        wait_for("Docker has come up", BACK, || {
            let state = property(&machine, DOCKER, "ActiveState")?;
            Ok(match state == "active" {
                true => Look::Done(()),
                false => Look::NotYet(state),
            })
        })?;
        let ready = time_to_ready(&machine)?;
        if !missing.is_empty() {
            machine.run(&[&["systemctl", "start"], missing].concat())?.ok()?;
        }
        self.is_back(&machine)
            .with_context(|| format!("booted anew: {what}"))?;
        Ok((machine, ready))
    }

    /// What a kernel that boots knows nothing of
    fn forget_network(&self) -> Result<()> {
        let namespace = self.host.namespace();
        let legs = self.host.legs();
        for device in namespace.devices()? {
            if device != "lo" && !legs.iter().any(|leg| leg.device == device) {
                // Some go with others.
                namespace.run(&["ip", "link", "delete", &device])?;
            }
        }
        namespace.run(&["nft", "flush", "ruleset"])?.ok().map(drop)
    }

    /// It runs with its address, and is reached by its name
    fn is_back(&self, machine: &Machine) -> Result<()> {
        let ((), took) = wait_for("the container is there", BACK, || {
            let now = address(machine)?;
            ensure!(
                now == self.address,
                "a1 has {now}, and had {} before",
                self.address
            );
            Ok(Look::Done(()))
        })?;
        self.other.wait_path(&self.host, usual_path(), MEETING)?;
        wait_name(&self.other, "a1", &[self.address], AT_ONCE)?;
        println!("a1 is there after {took:.1?}");
        Ok(())
    }
}

fn address(machine: &Machine) -> Result<Ipv4Addr> {
    let line = [
        "docker", "exec", "a1", "ip", "-o", "-4", "address", "show", "dev", "ethwe0",
    ];
    let told = machine.run(&line)?;
    if !told.status.success() {
        let state = machine.run(&["docker", "inspect", "--format", "{{json .State}}", "a1"])?;
        bail!("{told}; it is {}", state.stdout);
    }
    let told = told.stdout;
    let mut words = told.split_whitespace().skip_while(|word| *word != "inet");
    let text = words.nth(1).and_then(|word| word.split('/').next());
    text.with_context(|| format!("no address in {told:?}"))?
        .parse()
        .context("no address")
}
