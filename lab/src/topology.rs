//! Hosts, what joins them, and the containers on them.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::command::Background;
use crate::docker::Release;
use crate::inside::Inside;
use crate::namespace::{Namespace, Scope};

/// The MTU of Ethernet
pub const ETHERNET: u16 = 1500;

static LABS: AtomicU32 = AtomicU32::new(0);

/// Hosts and the networks between them; everything goes when this is dropped
#[derive(Debug)]
pub struct Lab {
    scope: Scope,
    hosts: Vec<Host>,
    containers: Vec<Container>,
    segments: u8,
    docker: Release,
}

impl Lab {
    /// An empty lab
    pub fn new() -> Result<Self> {
        Self::with_docker(Release::default())
    }

    /// An empty lab, whose hosts run this Docker if any
    pub fn with_docker(docker: Release) -> Result<Self> {
        let scope = Scope {
            process: std::process::id(),
            lab: LABS.fetch_add(1, Ordering::Relaxed),
        };
        fs::create_dir_all(scope.files())
            .with_context(|| format!("cannot make {}; are you root?", scope.files().display()))?;
        Ok(Self {
            scope,
            hosts: Vec::new(),
            containers: Vec::new(),
            segments: 0,
            docker,
        })
    }

    /// A host, joined to nothing so far; hosts are numbered from 1 in the order of their making
    pub fn host(&mut self, name: &str) -> Result<Host> {
        let number = u8::try_from(self.hosts.len() + 1).context("too many hosts")?;
        let namespace = Namespace::create(&self.scope, name)?;
        let files = self.scope.files().join(name);
        fs::create_dir_all(&files)?;
        let host = Host(Arc::new(HostParts {
            name: name.to_owned(),
            number,
            namespace,
            files,
            docker: self.docker,
            legs: Mutex::default(),
            inside: Mutex::default(),
        }));
        self.hosts.push(host.clone());
        Ok(host)
    }

    /// Several hosts at once
    pub fn hosts<const N: usize>(&mut self, names: [&str; N]) -> Result<[Host; N]> {
        let hosts = names
            .iter()
            .map(|name| self.host(name))
            .collect::<Result<Vec<_>>>()?;
        hosts
            .try_into()
            .map_err(|_hosts| anyhow::anyhow!("as many hosts as names"))
    }

    /// A host that forwards between its networks and runs no weaved
    pub fn router(&mut self, name: &str) -> Result<Host> {
        let host = self.host(name)?;
        host.namespace().sysctl("ipv4/ip_forward", "1")?;
        Ok(host)
    }

    /// All hosts
    pub fn all_hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// All containers
    pub fn all_containers(&self) -> &[Container] {
        &self.containers
    }

    /// A link between two hosts: one veth pair
    pub fn link(&mut self, one: &Host, other: &Host, mtu: u16) -> Result<()> {
        let segment = self.next_segment()?;
        let ends = [one, other].map(|host| (host, host.next_device()));
        let [(near, near_device), (far, far_device)] = &ends;
        veth(
            (near.namespace(), near_device),
            (far.namespace(), far_device),
            mtu,
        )?;
        for (host, device) in &ends {
            host.join(device, segment, mtu)?;
        }
        Ok(())
    }

    /// A network of any number of hosts: a bridge, in a namespace of its own
    pub fn segment(&mut self, hosts: &[&Host], mtu: u16) -> Result<()> {
        let segment = self.next_segment()?;
        let switch = Namespace::create(&self.scope, &format!("net{segment}"))?;
        switch.ip(&[
            "link",
            "add",
            "bridge",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        ])?;
        switch.ip(&["link", "set", "bridge", "mtu", &mtu.to_string(), "up"])?;
        for host in hosts {
            let device = host.next_device();
            veth((&switch, host.name()), (host.namespace(), &device), mtu)?;
            switch.ip(&["link", "set", "dev", host.name(), "master", "bridge"])?;
            host.join(&device, segment, mtu)?;
        }
        Ok(())
    }

    /// A container, to be attached by the weaved of some host: a namespace with a process in it
    pub fn container(&mut self, name: &str) -> Result<Container> {
        let namespace = Namespace::create(&self.scope, name)?;
        let process = namespace.start(&["sleep", "infinity"])?;
        let container = Container(Arc::new(ContainerParts {
            name: name.to_owned(),
            namespace,
            pid: process.pid(),
            process: Mutex::new(Some(process)),
        }));
        self.containers.push(container.clone());
        Ok(container)
    }

    /// Which Docker its hosts run, if any
    pub fn docker(&self) -> Release {
        self.docker
    }

    /// The directory of this lab's files
    pub fn files(&self) -> PathBuf {
        self.scope.files()
    }

    fn next_segment(&mut self) -> Result<u8> {
        ensure!(self.segments < 100, "too many networks");
        self.segments += 1;
        Ok(self.segments)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.set_inside(None);
        }
        if let Err(error) = self.scope.sweep() {
            eprintln!("cannot clean up: {error:#}");
        }
    }
}

/// A veth pair whose ends are born in their namespaces
fn veth(near: (&Namespace, &str), far: (&Namespace, &str), mtu: u16) -> Result<()> {
    let mtu = mtu.to_string();
    near.0.ip(&[
        "link",
        "add",
        "name",
        near.1,
        "mtu",
        &mtu,
        "type",
        "veth",
        "peer",
        "name",
        far.1,
        "mtu",
        &mtu,
        "netns",
        far.0.name(),
    ])?;
    for (namespace, device) in [near, far] {
        namespace.ip(&["link", "set", "dev", device, "up"])?;
    }
    Ok(())
}

/// A host: a network namespace with its own devices, and its own weaved
#[derive(Debug, Clone)]
pub struct Host(Arc<HostParts>);

#[derive(Debug)]
struct HostParts {
    name: String,
    number: u8,
    namespace: Namespace,
    files: PathBuf,
    docker: Release,
    legs: Mutex<Vec<Leg>>,
    /// Where its programs run, if that is not only a network
    inside: Mutex<Option<Inside>>,
}

/// A host's end of a link or of a network
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The device
    pub device: String,
    /// Its address
    pub address: Ipv4Addr,
    /// Its MTU when it was made
    pub mtu: u16,
    segment: u8,
}

impl Host {
    /// Its name, which is also its nickname in the mesh
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its namespace
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Where its files are
    pub fn files(&self) -> &Path {
        &self.0.files
    }

    /// Which Docker it runs, if any
    pub fn docker(&self) -> Release {
        self.0.docker
    }

    /// A command that will run on it: in its namespace, and with its mounts and among its processes if
    /// it has its own
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &*self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(inside) => inside.command(program),
            None => self.namespace().command(program),
        }
    }

    /// From here on, its programs run there
    pub(crate) fn set_inside(&self, inside: Option<Inside>) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) = inside;
    }

    /// Its ends of links and networks
    pub fn legs(&self) -> Vec<Leg> {
        self.lock_legs().clone()
    }

    /// Its first address
    pub fn address(&self) -> Result<Ipv4Addr> {
        let first = self.lock_legs().first().map(|leg| leg.address);
        first.with_context(|| format!("{} is joined to nothing", self.name()))
    }

    /// Its end of the link or network that it shares with another host
    pub fn leg_towards(&self, other: &Self) -> Result<Leg> {
        let theirs = other.legs();
        self.legs()
            .into_iter()
            .rfind(|leg| theirs.iter().any(|their| their.segment == leg.segment))
            .with_context(|| format!("{} and {} share no network", self.name(), other.name()))
    }

    /// Its address on the network that it shares with another host
    pub fn address_for(&self, other: &Self) -> Result<Ipv4Addr> {
        Ok(self.leg_towards(other)?.address)
    }

    /// Reaches an address by a router that it shares a network with
    pub fn route(&self, destination: Ipv4Addr, router: &Self) -> Result<()> {
        let gateway = router.address_for(self)?.to_string();
        self.namespace()
            .ip(&["route", "add", &destination.to_string(), "via", &gateway])?;
        Ok(())
    }

    /// Gives its end of the network that it shares with another host a new MTU
    pub fn change_mtu(&self, towards: &Self, mtu: u16) -> Result<()> {
        let leg = self.leg_towards(towards)?;
        self.namespace()
            .ip(&["link", "set", &leg.device, "mtu", &mtu.to_string()])?;
        Ok(())
    }

    fn next_device(&self) -> String {
        format!("eth{}", self.lock_legs().len())
    }

    fn join(&self, device: &str, segment: u8, mtu: u16) -> Result<()> {
        let address = Ipv4Addr::new(192, 168, 100 + segment, self.0.number);
        self.namespace()
            .ip(&["address", "add", &format!("{address}/24"), "dev", device])?;
        self.lock_legs().push(Leg {
            device: device.to_owned(),
            address,
            mtu,
            segment,
        });
        Ok(())
    }

    fn lock_legs(&self) -> MutexGuard<'_, Vec<Leg>> {
        self.0.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands for a container: a namespace with one process
#[derive(Debug, Clone)]
pub struct Container(Arc<ContainerParts>);

#[derive(Debug)]
struct ContainerParts {
    name: String,
    namespace: Namespace,
    pid: u32,
    /// None once it has ended
    process: Mutex<Option<Background>>,
}

impl Container {
    /// The interface that weaved puts into it
    pub const INTERFACE: &str = "ethwe";

    /// Its name in the scenario
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its namespace
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The id of the process in it
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Ends its process and with that its namespace; another one may have its name then
    pub fn end(&self) -> Result<()> {
        let process = self
            .0
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let process = process.with_context(|| format!("{self} has ended before"))?;
        process.stop(Signal::SIGKILL)?;
        self.namespace().delete()
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
