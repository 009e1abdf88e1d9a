//! Installing what this machine lacks, with apt.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{is_installed, run};
use crate::docker_py;
use crate::guest::KERNEL;
use crate::newest;

/// Something needed: the program that shows it is there, the package, and what for
pub(crate) type Needed = (&'static str, &'static str, &'static str);

/// What everything here needs
const NEEDED: &[Needed] = &[
    (
        KERNEL,
        "user-mode-linux",
        "a Linux kernel with Open vSwitch that runs as a program",
    ),
    (
        "ovs-dpctl",
        "openvswitch-switch",
        "shows the kernel's datapath and flows",
    ),
    ("ip", "iproute2", "makes hosts: namespaces, links, addresses"),
    ("modprobe", "kmod", "loads Open vSwitch in the guest"),
    ("iptables-legacy", "iptables", "cuts the lab's wires"),
    (
        "nft",
        "nftables",
        "masquerades, and shows what packet filters are left",
    ),
    ("dig", "bind9-dnsutils", "asks for names"),
    ("dnsmasq", "dnsmasq-base", "answers names of elsewhere"),
    ("ping", "iputils-ping", "counts losses"),
    ("iperf3", "iperf3", "measures throughput"),
    ("ethtool", "ethtool", "shows a device's offloads"),
    ("tcpdump", "tcpdump", "captures what is on the wire"),
    ("tshark", "tshark", "decodes VXLAN"),
    ("setpriv", "util-linux", "ends the lab's programs with the lab"),
    (
        "systemctl",
        "systemd",
        "starts weaved's unit on a host of the lab, and judges it",
    ),
    ("mount", "mount", "the guest's file systems"),
    ("dockerd", "docker.io", "runs containers on hosts of the lab"),
    // Of a package of its own since Debian 13.
    ("docker", "docker-cli", "asks it to"),
    ("busybox", "busybox-static", "is the image of these containers"),
    ("openssl", "openssl", "makes certificates for Docker's clients"),
    (
        "pip3",
        "python3-pip",
        "fetches docker-py, a client whose tests Docker has to pass",
    ),
];

/// Installs what is missing; says what and why, or nothing where nothing is
pub(crate) fn setup() -> Result<()> {
    setup_with(&[])
}

/// The same with what these tests run, where it can be had; all of them, if none is named
pub(crate) fn setup_for_tests(named: &[String]) -> Result<()> {
    setup()?;
    newest::docker()?;
    if named.iter().any(|name| name.starts_with("docker-py")) {
        docker_py::suite()?;
    }
    Ok(())
}

/// The same with more that is needed
pub(crate) fn setup_with(more: &[Needed]) -> Result<()> {
    ensure_root("this makes network namespaces")?;
    get(NEEDED.iter().chain(more))
}

/// Installs what is missing of this, and nothing else
pub(crate) fn setup_only(needed: &[Needed]) -> Result<()> {
    get(needed.iter())
}

fn get<'a>(needed: impl Iterator<Item = &'a Needed>) -> Result<()> {
    let missing: Vec<_> = needed.filter(|(program, ..)| !is_installed(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    ensure_root("apt-get installs what is missing")?;
    println!("this machine lacks, and gets now:");
    for (_program, package, purpose) in &missing {
        println!("  {package:<20} {purpose}");
    }
    let packages: Vec<&str> = missing
        .iter()
        .map(|(_program, package, _purpose)| *package)
        .collect();
    ensure!(
        is_installed("apt-get"),
        "there is no apt-get here; install by other means: {}",
        packages.join(" ")
    );
    install(&packages)?;
    let still: Vec<&str> = missing
        .iter()
        .map(|needed| needed.0)
        .filter(|program| !is_installed(program))
        .collect();
    ensure!(
        still.is_empty(),
        "still missing after the installation: {}",
        still.join(" ")
    );
    Ok(())
}

fn ensure_root(why: &str) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    bail!("{why} and needs root; run: sudo --preserve-env=HOME env \"PATH=$PATH\" cargo xtask …");
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"]);
        command
    };
    let quiet = QuietServices::start()?;
    println!("  … apt-get update");
    run(apt().arg("update"))?;
    // What a release does not have is in another package there; what is missing after all is told.
    let known: Vec<&&str> = packages.iter().filter(|package| is_known(package)).collect();
    println!("  … apt-get install");
    let installed = run(apt()
        .args(["install", "-y", "--no-install-recommends"])
        .args(known));
    drop(quiet);
    installed
}

/// This release has such a package
fn is_known(package: &str) -> bool {
    let mut command = Command::new("apt-cache");
    command.args(["--quiet", "show", package]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Services of packages stay stopped while they are installed: of Open vSwitch, the lab wants
/// `ovs-dpctl` and no running switch
///
/// Debian asks /usr/sbin/policy-rc.d; a machine that has its own keeps it.
#[derive(Debug)]
struct QuietServices {
    is_ours: bool,
}

impl QuietServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn start() -> Result<Self> {
        let is_ours = !Path::new(Self::POLICY).exists();
        if is_ours {
            std::fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").context("cannot write policy-rc.d")?;
            run(Command::new("chmod").args(["0755", Self::POLICY]))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for QuietServices {
    fn drop(&mut self) {
        if self.is_ours {
            std::fs::remove_file(Self::POLICY).ok();
        }
    }
}
