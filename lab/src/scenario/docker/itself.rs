//! Docker runs on each host, its containers are attached by their processes, and nothing is left of it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::command::run_here;
use crate::docker::{Docker, clients};
use crate::topology::{ETHERNET, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, launch_mesh, usual_path};

/// They are killed; that they are no more is seen when their parents are told
const ENDING: Duration = Duration::from_secs(2);

pub(in crate::scenario) fn act(outer: &mut Lab) -> Result<()> {
    println!("docker: {:?}, dockerd: {}", clients(), outer.docker());
    // A lab that ends in here.
    let mut lab = Lab::with_docker(outer.docker())?;
    let dockers = in_a_lab(&mut lab)?;
    let names: Vec<String> = lab
        .all_hosts()
        .iter()
        .map(|host| host.namespace().name().to_owned())
        .collect();
    let files = lab.files();
    let own = processes(&names)?;
    for program in ["dockerd", "containerd", "containerd-shim", "sleep"] {
        let known = own.iter().any(|name| name.starts_with(program));
        ensure!(known, "no {program} is seen among {own:?}");
    }
    drop(dockers);
    drop(lab);
    wait_for("no process is left", ENDING, || {
        let left = processes(&names)?;
        Ok(match left.is_empty() {
            true => Look::Done(()),
            false => Look::NotYet(format!("{left:?}")),
        })
    })?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    for name in &names {
        ensure!(!mounts.contains(name), "mounts of {name} are left: {mounts}");
        let cgroups = run_here(&["find", "/sys/fs/cgroup", "-name", name])?.ok()?;
        ensure!(cgroups.is_empty(), "cgroups are left: {cgroups}");
    }
    ensure!(!files.exists(), "{} is left", files.display());
    Ok(())
}

fn in_a_lab(lab: &mut Lab) -> Result<[Docker; 2]> {
    let [one, two] = lab.hosts(["host1", "host2"])?;
    lab.segment(&[&one, &two], ETHERNET)?;
    let dockers = Docker::boot([&one, &two])?;
    launch_mesh(&[&one, &two], &Launch::plain(), usual_path())?;
    for (docker, address) in dockers.iter().zip(["10.32.0.1/24", "10.32.0.2/24"]) {
        let client = docker.direct();
        client.sleeper("c1", &["--hostname", "itself", "--memory", "100m"])?;
        let pid = client.pid("c1")?.to_string();
        docker.host().weavectl(&["attach", address, &pid])?.ok()?;
        let attached = client.addresses("c1")?;
        let printed: Vec<String> = attached
            .iter()
            .map(|(address, length)| format!("{address}/{length}"))
            .collect();
        ensure!(printed == [address], "{attached:?}, not {address}");
        let own = client.exec("c1", &["hostname"])?;
        ensure!(own.trim() == "itself", "the host name is {own}");
    }
    let [one, two] = &dockers;
    let version = ["version", "--format", "{{.Server.Version}}"];
    println!("which is {}", one.direct().run(&version)?.ok()?.trim());
    one.direct().ping("c1", "10.32.0.2")?;
    two.direct().ping("c1", "10.32.0.1")?;
    Ok(dockers)
}

/// The processes of hosts with Docker, by the cgroups that they are in
fn processes(hosts: &[String]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // A process that has ended by now has none.
        let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        if hosts.iter().any(|host| cgroups.contains(host.as_str())) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            found.insert(name.trim().to_owned());
        }
    }
    Ok(found)
}
