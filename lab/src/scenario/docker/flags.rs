//! What weave-docker can be told: addresses only on demand, host names by rules, no names, inspections as
//! others expect them.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{AT_ONCE, one_host, wait_name};
use crate::docker::{Client, Docker, IMAGE};
use crate::topology::Lab;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let mut docker = one_host(lab)?;
    let client = docker.proxied();
    plain(&docker, &client)?;
    let cases: [(&[&str], Check); 4] = [
        (&["--no-default-ipalloc"], on_demand),
        (&["--without-dns", "--no-multicast-route"], without_names),
        (&["--rewrite-inspect"], rewritten),
        (
            &[
                "--hostname-from-label=host",
                "--hostname-match=^aws-[0-9]+-(.*)$",
                "--hostname-replacement=my-$1",
            ],
            by_rules,
        ),
    ];
    for (flags, check) in cases {
        docker.end_agent(Signal::SIGTERM)?;
        docker.start_agent(flags)?;
        check(&docker, &client).with_context(|| format!("with {flags:?}"))?;
    }
    Ok(())
}

/// What is to be seen with certain flags
type Check = fn(&Docker, &Client) -> Result<()>;

/// The host name is that of the container, and what a client says itself stays
fn plain(docker: &Docker, client: &Client) -> Result<()> {
    client.sleeper("a1", &[])?;
    let own = client.exec("a1", &["hostname", "-f"])?;
    ensure!(own.trim() == "a1.weave.local", "the host name is {own}");
    // By the first process that runs in it.
    let line = "hostname -i; ip -o -4 address show dev ethwe0";
    let told = client
        .run(&["run", "--rm", "--name=a3", IMAGE, "sh", "-c", line])?
        .ok()?;
    let (first, interface) = told.split_once('\n').context("too little is told")?;
    let first = first.split_whitespace().next().unwrap_or_default();
    ensure!(
        interface.contains(&format!(" {first}/")),
        "the host's name is {told}"
    );
    client.sleeper(
        "a2",
        &[
            "--hostname=other",
            "--dns=10.9.9.9",
            "--dns-search=example.org",
            "--shm-size=32m",
        ],
    )?;
    let told = client.inspect("a2")?;
    ensure!(
        told["Config"]["Hostname"] == "other"
            && told["HostConfig"]["Dns"][0] == "10.9.9.9"
            && told["HostConfig"]["DnsSearch"][0] == "example.org"
            && told["HostConfig"]["ShmSize"] == 32 << 20,
        "what was asked for is not what a2 has: {told}"
    );
    let address = client.address("a2")?;
    wait_name(docker.host(), "a2", &[address], AT_ONCE)?;
    client.remove(&["a1", "a2"])
}

fn on_demand(_docker: &Docker, client: &Client) -> Result<()> {
    client.sleeper("b1", &[])?;
    let has = client.interfaces("b1")?;
    ensure!(has == ["eth0"], "who does not ask has {has:?}");
    client.sleeper("b2", &["-e", "WEAVE_CIDR=net:default"])?;
    client.address("b2")?;
    client.remove(&["b1", "b2"])
}

fn without_names(docker: &Docker, client: &Client) -> Result<()> {
    client.sleeper("c1", &[])?;
    client.address("c1")?;
    wait_name(docker.host(), "c1", &[], AT_ONCE)?;
    let told = client.inspect("c1")?;
    let dns = &told["HostConfig"]["Dns"];
    ensure!(
        dns.as_array().is_none_or(Vec::is_empty) && told["Config"]["Hostname"] != "c1",
        "c1 has names all the same: {told}"
    );
    let routes = client.exec("c1", &["ip", "route"])?;
    ensure!(
        !routes.contains("224.0.0.0"),
        "c1 has a route for multicast: {routes}"
    );
    client.remove(&["c1"])
}

fn rewritten(docker: &Docker, client: &Client) -> Result<()> {
    client.sleeper("d1", &[])?;
    let address = client.address("d1")?.to_string();
    let settings = &client.inspect("d1")?["NetworkSettings"];
    ensure!(
        settings["IPAddress"] == address.as_str() && settings["IPPrefixLen"] == 12,
        "d1 has {address}, and is said to have {settings}"
    );
    let own = &docker.direct().inspect("d1")?["NetworkSettings"]["IPAddress"];
    ensure!(
        own.as_str().is_some_and(|own| own.starts_with("172.")),
        "Docker itself says {own}"
    );
    client.remove(&["d1"])
}

fn by_rules(docker: &Docker, client: &Client) -> Result<()> {
    for (name, label, wanted) in [
        ("aws-12-web", None, "my-web"),
        ("e1", Some("host=aws-7-db"), "my-db"),
        ("e2", Some("host=plain"), "plain"),
    ] {
        let label = label.map(|label| format!("--label={label}"));
        let options: Vec<&str> = label.as_deref().into_iter().collect();
        client.sleeper(name, &options)?;
        let own = client.exec(name, &["hostname"])?;
        ensure!(own.trim() == wanted, "{name} with {options:?} is called {own}");
        wait_name(docker.host(), wanted, &[client.address(name)?], AT_ONCE)?;
    }
    let line = ["run", "--rm", IMAGE, "ping", "-c1", "-W3", "my-db"];
    client.run(&line)?.ok().map(drop)
}
