//! `weavectl reset` leaves nothing of weaved on its host, and tells the others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::command::run_here;
use crate::namespace::Namespace;
use crate::site::{Site, launch_and_attach, on_one_network, ping_all_pairs};
use crate::topology::{Container, ETHERNET, Lab};
use crate::weave::{Launch, usual_path};

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let before = sites.iter().map(Traces::of).collect::<Result<Vec<_>>>()?;
    let path = usual_path();
    launch_and_attach(&sites, &Launch::plain(), path)?;
    ping_all_pairs(&sites)?;

    let [one, two, three] = &sites;
    one.host.weavectl(&["reset"])?.ok()?;
    ensure_equal(one, &before[0], "after a reset")?;
    // The others know at once and need not wait for silence.
    two.host.wait_peers(2, 2, Duration::from_secs(3))?;
    two.ping(three, |ping| ping)?.all_answered()?;

    // A host that was reset joins again, as a new one.
    one.host.launch(&Launch::plain().peer(two.host.address()?))?;
    one.host.wait_path(&two.host, path, crate::weave::MEETING)?;
    one.attach()?;
    one.ping(two, |ping| ping)?.all_answered()?;

    // weaved was killed: a reset of what it left needs --force.
    one.host.kill_weaved()?;
    let refused = one.host.weavectl(&["reset"])?.refused()?;
    ensure!(refused.trim().lines().count() == 1, "{refused}");
    let state = one.host.state_dir();
    let state = state.to_string_lossy();
    one.host
        .weavectl(&["reset", "--force", "--state-dir", &state])?
        .ok()?;
    ensure_equal(one, &before[0], "after a forced reset")?;

    for (site, before) in sites.iter().zip(&before).skip(1) {
        site.host.weavectl(&["reset"])?.ok()?;
        ensure_equal(site, before, "after a reset")?;
    }
    Ok(())
}

/// What there is on a host
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    devices: BTreeSet<String>,
    in_the_container: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    processes: BTreeSet<String>,
    files: BTreeSet<String>,
    datapaths: String,
    filters: Vec<String>,
    addresses: BTreeSet<String>,
    routes: String,
    container_routes: String,
}

impl Traces {
    fn of(site: &Site) -> Result<Self> {
        let host = site.host.namespace();
        let container = site.container.namespace();
        // This lab's only: other programs of this machine may have namespaces that come and go.
        let scope = host.name().split('-').next().unwrap_or_default();
        let ours = format!("{scope}-");
        let namespaces = run_here(&["ip", "netns", "list"])?.ok()?;
        let namespaces = namespaces
            .lines()
            .filter(|line| line.starts_with(ours.as_str()))
            .map(without_id);
        let processes = host.processes()?.into_iter().map(|process| process.name);
        // `ovs-dpctl` fails where the kernel has no Open vSwitch; then there is nothing to leave.
        let datapaths = host.run(&["ovs-dpctl", "dump-dps"])?.stdout;
        let devices = host.devices()?;
        ensure!(
            !devices.contains(Container::INTERFACE),
            "a container's interface on the host"
        );
        let addresses = host.ip_json(&["address", "show"])?;
        let addresses = addresses.as_array().into_iter().flatten().map(|link| {
            let inet = link["addr_info"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|info| info["family"] == "inet");
            let locals: Vec<String> = inet.map(|info| info["local"].to_string()).collect();
            format!("{} {}", link["ifname"], locals.join(" "))
        });
        Ok(Self {
            devices,
            in_the_container: container.devices()?,
            namespaces: namespaces.collect(),
            processes: processes.collect(),
            files: files_below(site.host.files())?,
            datapaths,
            filters: [filters(host)?, filters(container)?].concat(),
            addresses: addresses.collect(),
            routes: host.ip(&["route"])?,
            container_routes: container.ip(&["route"])?,
        })
    }
}

/// Every rule of nftables and of iptables, by those who keep them; what this kernel has none of is
/// told the same way each time
fn filters(namespace: &Namespace) -> Result<Vec<String>> {
    let programs = [
        &["nft", "-j", "list", "ruleset"][..],
        &["iptables-save"],
        &["ip6tables-save"],
        &["iptables-legacy-save"],
        &["ip6tables-legacy-save"],
    ];
    let mut told = Vec::new();
    for program in programs {
        let finished = namespace.run(program)?;
        let text = finished.stdout + &finished.stderr;
        // ":INPUT ACCEPT [12:1008]" in "*filter": the kernel makes an empty table for whoever looks, and what passed
        // a chain is no rule.
        let is_rule = |line: &&str| {
            let is_empty = line.starts_with(':') && line.contains(" ACCEPT [");
            !is_empty && !line.starts_with(['#', '*']) && *line != "COMMIT"
        };
        told.extend(
            text.lines()
                .filter(is_rule)
                .map(|line| match line.split_once(" [") {
                    Some((chain, _counters)) if chain.starts_with(':') => chain.to_owned(),
                    Some(_) | None => line.to_owned(),
                }),
        );
    }
    Ok(told)
}

/// `name (id: 3)` loses the id, which the kernel gives when somebody asks
fn without_id(line: &str) -> String {
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// All but the log: an operator reads it after a reset
fn files_below(directory: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            continue;
        }
        found.insert(path.to_string_lossy().into_owned());
        if path.is_dir() {
            found.extend(files_below(&path)?);
        }
    }
    Ok(found)
}

fn ensure_equal(site: &Site, before: &Traces, when: &str) -> Result<()> {
    let now = Traces::of(site)?;
    ensure!(
        now == *before,
        "{when} of {}: {now:#?}\nand before anything was launched: {before:#?}",
        site.host
    );
    Ok(())
}
