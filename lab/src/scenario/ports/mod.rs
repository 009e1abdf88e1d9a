//! Containers reach no port of weaved: the packet filter keeps them away, and where there is none, weaved itself
//! does. Each is judged alone.

mod probe;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::PacketFilter;

use self::probe::{Reached, Who, is_told_that_udp_is_closed, send_udp, tcp};
use crate::judge::{nft, ovs};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, PORT, VXLAN_PORT, launch_mesh, usual_path};

/// How long rules that somebody removed may be away
const REPAIRED: Duration = Duration::from_secs(1);
/// By what weaved's own refusals are counted
const REFUSED: &str = "refused_from_containers";

/// Of the bridge that stands for Docker's
const BRIDGE: &str = "172.17.0.1/16";
const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let [near, far] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&near, &far], ETHERNET)?;
    for host in [&near, &far] {
        host.namespace().sysctl("ipv4/ip_forward", "1")?;
    }
    near.namespace()
        .ip(&["link", "add", "docker0", "type", "bridge"])?;
    near.namespace()
        .ip(&["address", "add", BRIDGE, "dev", "docker0"])?;
    near.namespace().ip(&["link", "set", "docker0", "up"])?;
    launch_mesh(&[&near, &far], &Launch::plain(), usual_path())?;
    let place = Place::start(lab, near, far)?;

    place.by_the_filter()?;
    place.as_their_host()?;
    place.filter_comes_back()?;
    place.by_weaved_alone(lab)?;
    Ok(())
}

/// A host with its addresses, and who tries to reach weaved there
struct Place {
    near: Host,
    far: Host,
    /// This host's container, another host's, and one on Docker's bridge
    containers: [Container; 3],
    /// The host's addresses: on the network, on the underlay, and on Docker's bridge
    targets: [Ipv4Addr; 3],
    can_masquerade: bool,
}

impl Place {
    fn start(lab: &mut Lab, near: Host, far: Host) -> Result<Self> {
        let can_masquerade = nft::lacks_masquerading(near.namespace())?.is_none();
        let containers = [
            lab.container("own")?,
            lab.container("others")?,
            lab.container("docked")?,
        ];
        let [own, others, docked] = &containers;
        near.attach_any(own, &[])?;
        far.attach_any(others, &[])?;
        let line: &[&str] = match can_masquerade {
            true => &["expose"],
            false => &["expose", "--without-masquerade"],
        };
        let exposed: Ipv4Addr = near.weavectl(line)?.ok()?.trim().parse()?;
        far.weavectl(line)?.ok()?;
        dock(&near, docked)?;
        let underlay = near.address()?;
        for container in [own, others] {
            for network in [&format!("{underlay}/32"), "172.17.0.0/16"] {
                let route = ["route", "add", network, "via", &exposed.to_string()];
                container.namespace().ip(&route)?;
            }
        }
        Ok(Self {
            near,
            far,
            containers,
            targets: [exposed, underlay, BRIDGE_ADDRESS],
            can_masquerade,
        })
    }

    /// Each container, with and without privileges, at each address
    fn tries(&self) -> impl Iterator<Item = (&Container, Who, Ipv4Addr)> {
        let each = |container| Who::ALL.into_iter().map(move |who| (container, who));
        let all = self.containers.iter().flat_map(each);
        all.flat_map(|(container, who)| self.targets.into_iter().map(move |to| (container, who, to)))
    }

    /// What the other host reaches shows that there is something to be reached
    fn control(&self) -> Result<()> {
        let [_exposed, underlay, _bridge] = self.targets;
        let reached = tcp(self.far.namespace(), Who::Root, underlay, PORT)?;
        ensure!(
            reached == Reached::Prologue,
            "another host at {underlay}: {reached:?}"
        );
        let before = self.dropped_datagrams()?;
        send_udp(self.far.namespace(), Who::Root, underlay, PORT)?;
        wait_until("a datagram of nobody is counted", MEETING, || {
            Ok(self.dropped_datagrams()? > before)
        })?;
        if !ovs::is_here() {
            ensure!(
                is_told_that_udp_is_closed(self.far.namespace(), Who::Root, underlay, VXLAN_PORT)?,
                "another host hears nothing of a UDP port that is closed"
            );
        }
        Ok(())
    }

    fn dropped(&self, reason: &str) -> Result<u64> {
        Ok(self.near.status()?.drops.get(reason).copied().unwrap_or(0))
    }

    /// Of the sleeve, whatever was wrong with them
    fn dropped_datagrams(&self) -> Result<u64> {
        let drops = self.near.status()?.drops;
        let sleeve = drops.iter().filter(|(reason, _)| reason.starts_with("sleeve"));
        Ok(sleeve.map(|(_, count)| count).sum())
    }

    /// The filter lets nothing come as far as weaved
    fn by_the_filter(&self) -> Result<()> {
        let status = self.near.status()?.host.context("weaved tells of no filter")?;
        ensure!(
            status.filter != PacketFilter::None,
            "there is no filter: {status:?}"
        );
        println!("filtered by {:?}", status.filter);
        self.control()?;
        let before = self.dropped_datagrams()?;
        for (container, who, to) in self.tries() {
            let reached = tcp(container.namespace(), who, to, PORT)?;
            ensure!(
                reached == Reached::Nothing,
                "{container} as {who:?} at {to}: {reached:?}"
            );
            send_udp(container.namespace(), who, to, PORT)?;
            ensure!(
                !is_told_that_udp_is_closed(container.namespace(), who, to, VXLAN_PORT)?,
                "{container} as {who:?} reaches UDP {VXLAN_PORT} of {to}"
            );
        }
        ensure!(
            self.dropped(REFUSED)? == 0 && self.dropped_datagrams()? == before,
            "what the filter drops came as far as weaved"
        );
        Ok(())
    }

    /// A host that masquerades its containers does not let them speak to another's weaved as itself
    fn as_their_host(&self) -> Result<()> {
        if !self.can_masquerade {
            return Ok(());
        }
        let [_own, others, _docked] = &self.containers;
        let [_exposed, underlay, _bridge] = self.targets;
        let gateway = self.far.exposed()?;
        let gateway = gateway.first().context("not exposed")?.to_string();
        let network = format!("{underlay}/32");
        let route = |by: &str| others.namespace().ip(&["route", "replace", &network, "via", by]);
        route(&gateway)?;
        let before = self.dropped_datagrams()?;
        for who in Who::ALL {
            let reached = tcp(others.namespace(), who, underlay, PORT)?;
            ensure!(reached == Reached::Nothing, "{others} as its host: {reached:?}");
            send_udp(others.namespace(), who, underlay, PORT)?;
        }
        ensure!(
            self.dropped(REFUSED)? == 0 && self.dropped_datagrams()? == before,
            "a masqueraded container came as far as weaved"
        );
        let [exposed, ..] = self.targets;
        route(&exposed.to_string()).map(drop)
    }

    fn filter_comes_back(&self) -> Result<()> {
        let here = self.near.namespace();
        if self.near.status()?.host.map(|host| host.filter) != Some(PacketFilter::Nftables) {
            return Ok(());
        }
        let table = || nft::table(here, "inet weave");
        let whole = table()?.context("there is no table")?;
        for script in ["delete table inet weave", "flush chain inet weave input"] {
            nft::apply(here, script)?;
            let back = wait_until("the rules are back", REPAIRED, || {
                Ok(table()?.as_ref() == Some(&whole))
            });
            println!("after nft {script}: back within {:.0?}", back?);
        }
        // A bridge that Docker makes for a network
        here.ip(&["link", "add", "br-0123456789ab", "type", "bridge"])?;
        wait_until("a new bridge is filtered", REPAIRED, || {
            Ok(table()?.is_some_and(|table| table.contains("\"br-0123456789ab\"")))
        })?;
        here.ip(&["link", "del", "br-0123456789ab"])?;
        wait_until("a bridge that is gone is not", REPAIRED, || {
            Ok(table()?.as_ref() == Some(&whole))
        })?;
        Ok(())
    }

    /// On a host without any packet filter weaved closes the connections of containers before it says a word
    fn by_weaved_alone(&self, lab: &Lab) -> Result<()> {
        self.near.kill_weaved()?;
        remove_rules(&self.near)?;
        let peer = self.far.address()?;
        let launch = Launch::plain().peer(peer).path(&without_filters(&lab.files())?);
        self.near.launch(&launch)?;
        self.near.wait_path(&self.far, usual_path(), MEETING)?;
        let status = self.near.status()?.host.context("weaved tells of no filter")?;
        ensure!(
            status.filter == PacketFilter::None && status.filter_error.is_some(),
            "there is a filter: {status:?}"
        );
        let log = fs::read_to_string(self.near.log_file())?;
        ensure!(
            log.matches("no packet filter keeps containers").count() == 1,
            "a missing filter is not told once:\n{log}"
        );
        self.control()?;
        let mut tries = 0;
        for (container, who, to) in self.tries() {
            let reached = tcp(container.namespace(), who, to, PORT)?;
            ensure!(
                reached == Reached::Closed,
                "{container} as {who:?} at {to}: {reached:?}"
            );
            tries += 1;
            ensure!(
                self.dropped(REFUSED)? == tries,
                "{} counted of {tries}",
                self.dropped(REFUSED)?
            );
        }
        let log = fs::read_to_string(self.near.log_file())?;
        let told = log.matches("from a container, ").count();
        ensure!(
            (1..=2).contains(&told),
            "{tries} refused connections are told {told} times"
        );
        println!("{tries} connections refused by weaved alone, and told {told} times");
        Ok(())
    }
}

/// Joins a container to the bridge
pub(super) fn dock(host: &Host, container: &Container) -> Result<()> {
    let (here, there) = (host.namespace(), container.namespace());
    here.ip(&[
        "link",
        "add",
        "vdocked",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        there.name(),
    ])?;
    here.ip(&["link", "set", "vdocked", "master", "docker0", "up"])?;
    there.ip(&["address", "add", "172.17.0.2/16", "dev", "eth0"])?;
    there.ip(&["link", "set", "eth0", "up"])?;
    let gateway = BRIDGE_ADDRESS.to_string();
    there.ip(&["route", "add", "default", "via", &gateway]).map(drop)
}

/// As an operator would who wants none; weaved does not run
fn remove_rules(host: &Host) -> Result<()> {
    for line in [
        "nft flush ruleset",
        "iptables -F; iptables -X",
        "iptables-legacy -F; iptables-legacy -X",
    ] {
        // Which of them there are depends on the kernel: what is left shows in what comes as far as weaved.
        let _absent = host.namespace().run(&["sh", "-c", line])?;
    }
    Ok(())
}

/// A directory with the programs that a launch needs, which are not those of packet filters
fn without_filters(files: &Path) -> Result<PathBuf> {
    let directory = files.join("bin");
    fs::create_dir_all(&directory)?;
    for program in ["nsenter", "ip", "modprobe"] {
        let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
        let found = places
            .iter()
            .map(|place| Path::new(place).join(program))
            .find(|path| path.exists());
        if let Some(found) = found {
            symlink(found, directory.join(program))?;
        }
    }
    Ok(directory)
}
