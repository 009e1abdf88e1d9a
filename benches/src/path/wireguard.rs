//! By WireGuard in user space: a tunnel between the hosts, and the containers' packets routed into it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path as File, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::command::{Background, run_here};
use lab::topology::{Host, Lab};
use lab::wait::wait_until;

use super::{Path, between, containers, words};

/// UDP port of both ends
const PORT: u16 = 51_820;
/// What the tunnel's own headers leave of 1500 bytes, with the room that `wg-quick` leaves, too
const MTU: u16 = 1420;

/// Two containers, each in a network of its own, joined by `program`
pub(super) fn routed(lab: &mut Lab, tag: &str, near: &Host, far: &Host, program: &File) -> Result<Path> {
    ensure!(is_there(program), "{} is not installed", program.display());
    let (one, other) = containers(lab, tag)?;
    let sides = [(near, far, &one, 1), (far, near, &other, 2)];
    let mut keys = Vec::new();
    let mut tunnels = Vec::new();
    for (host, ..) in &sides {
        let device = device(host);
        keys.push(Keys::make(host)?);
        tunnels.push(Tunnel::start(host, &device, program)?);
    }
    for ((host, peer, container, number), their) in sides.iter().zip(keys.iter().rev()) {
        let (device, inside) = (device(host), container.namespace());
        let on_host = |line: &str| host.namespace().ip(&words(line)).map(drop);
        let theirs = 3 - number;
        run_here(&words(&format!(
            "wg set {device} listen-port {PORT} private-key {} peer {} allowed-ips 10.33.{theirs}.0/24 endpoint {}:{PORT}",
            Keys::file(host),
            their.public,
            peer.address()?,
        )))?
        .ok()?;
        on_host(&format!("link set {device} mtu {MTU} up"))?;
        on_host(&format!("route add 10.33.{theirs}.0/24 dev {device}"))?;
        on_host(&format!(
            "link add container mtu {MTU} type veth peer name eth0 mtu {MTU} netns {}",
            inside.name()
        ))?;
        on_host(&format!("address add 10.33.{number}.1/24 dev container"))?;
        on_host("link set container up")?;
        host.namespace().sysctl("ipv4/ip_forward", "1")?;
        inside.ip(&words(&format!("address add 10.33.{number}.2/24 dev eth0")))?;
        inside.ip(&words("link set eth0 up"))?;
        inside.ip(&words(&format!("route add default via 10.33.{number}.1")))?;
    }
    let daemons = tunnels.iter().map(|tunnel| i32::try_from(tunnel.program.pid()));
    let mut path = Path {
        address: Ipv4Addr::new(10, 33, 2, 2),
        is_ethernet: false,
        daemons: daemons.collect::<Result<_, _>>()?,
        _tunnels: tunnels,
        ..between(one.namespace(), other.namespace(), "eth0")
    };
    path.resolving
        .extend([near, far].map(|host| host.namespace().clone()));
    Ok(path)
}

/// A file, or a name that is found where programs are
fn is_there(program: &File) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.is_file() || std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The tunnel's name: the sockets of all namespaces are in one directory
fn device(host: &Host) -> String {
    format!("wg{}{}", std::process::id() % 100_000, host.name())
}

/// One end of a tunnel
#[derive(Debug)]
pub(super) struct Tunnel {
    program: Background,
    socket: PathBuf,
}

impl Tunnel {
    fn start(host: &Host, device: &str, program: &File) -> Result<Self> {
        let mut command = host.namespace().tied_command(&program.to_string_lossy());
        // In the foreground; boringtun would become a user who may not listen, unless told otherwise.
        command.args(["-f", device]).env("WG_SUDO", "true");
        let tunnel = Self {
            program: Background::start(command)?,
            socket: PathBuf::from(format!("/var/run/wireguard/{device}.sock")),
        };
        let what = format!("{} listens", program.display());
        wait_until(&what, Duration::from_secs(5), || Ok(tunnel.socket.exists()))
            .with_context(|| tunnel.program.complained().trim().to_owned())?;
        Ok(tunnel)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Killed, it leaves that behind.
        fs::remove_file(&self.socket).ok();
    }
}

struct Keys {
    public: String,
}

impl Keys {
    fn make(host: &Host) -> Result<Self> {
        let private = run_here(&["wg", "genkey"])?.ok()?;
        let file = Self::file(host);
        fs::write(&file, &private).with_context(|| format!("cannot write {file}"))?;
        let public = run_here(&["sh", "-c", &format!("wg pubkey <{file}")])?.ok()?;
        Ok(Self {
            public: public.trim().to_owned(),
        })
    }

    fn file(host: &Host) -> String {
        host.files().join("wg.key").to_string_lossy().into_owned()
    }
}
