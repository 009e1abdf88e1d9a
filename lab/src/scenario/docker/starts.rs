//! Starts as old clients ask for them, with a `HostConfig` of their own, and restarts.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{AT_ONCE, PATIENCE, wait_name};
use crate::docker::{Client, Docker, IMAGE};
use crate::topology::Lab;
use crate::weave::Launch;

/// Where weave-docker serves Docker's API without TLS
const PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 12375);

/// The last version of the API in which a start may say more
const OLD: &str = "v1.23";

/// What Docker makes of a container of the proxy that was created with name servers and a size of shared memory
#[derive(Clone, Copy)]
struct After {
    shared: i64,
    interfaces: &'static [&'static str],
    dns: Dns,
}

#[derive(Clone, Copy, PartialEq)]
enum Dns {
    /// weaved's, as its creation has it
    Kept,
    /// What the start says
    Own,
    /// Whatever
    Any,
}

/// The shared memory that the creation asks for
const CREATED: i64 = 32 << 20;
/// What a container has that asks for none
const USUAL: i64 = 64 << 20;
const BOTH: &[&str] = &["eth0", "ethwe0"];
const ALONE: &[&str] = &["ethwe0"];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let host = lab.host("host1")?;
    let [mut docker] = Docker::boot([&host])?;
    host.launch(&Launch::plain())?;
    docker.start_agent(&["-H", "/run/weave/docker.sock", "-H", "127.0.0.1:12375"])?;
    let client = docker.proxied();
    for (version, body) in [("", ""), ("v1.41/", "null"), ("", "{}")] {
        kept(&docker, version, body)?;
    }
    unversioned(&docker)?;
    let newest = ask(&docker, &format!("{OLD}/containers/none/start"), "{}")?;
    if newest.starts_with("400") {
        // It takes no old clients at all, and says so by the proxy as well.
        ensure!(newest.contains("too old"), "{newest}");
        return Ok(());
    }
    client.sleeper("peer", &[])?;
    for (asked, after) in [
        ("null", after(CREATED, BOTH, Dns::Kept)),
        ("{\"Foo\":1,\"Bar\":2}", after(CREATED, BOTH, Dns::Kept)),
        ("{\"HostConfig\":{}}", after(USUAL, BOTH, Dns::Kept)),
        ("{\"ShmSize\":16777216}", after(16 << 20, BOTH, Dns::Kept)),
        ("{\"NetworkMode\":\"bridge\"}", after(USUAL, BOTH, Dns::Kept)),
        (
            "{\"HostConfig\":{\"NetworkMode\":\"none\"}}",
            after(USUAL, ALONE, Dns::Kept),
        ),
        (
            "{\"HostConfig\":{\"Dns\":[\"9.9.9.9\"],\"ShmSize\":16777216}}",
            after(16 << 20, BOTH, Dns::Own),
        ),
        (
            "{\"NetworkMode\":\"container:peer\"}",
            after(USUAL, BOTH, Dns::Any),
        ),
    ] {
        started(&docker, &[], asked, after).with_context(|| format!("of {asked}"))?;
    }
    for asked in ["{\"HostConfig\":{}}", "{\"NetworkMode\":\"default\"}"] {
        let after = after(USUAL, ALONE, Dns::Kept);
        started(&docker, &["--net=none"], asked, after).with_context(|| format!("alone, of {asked}"))?;
    }
    elsewhere(&docker)?;
    refused(&docker, &client)?;
    client.remove(&["peer"])
}

const fn after(shared: i64, interfaces: &'static [&'static str], dns: Dns) -> After {
    After {
        shared,
        interfaces,
        dns,
    }
}

/// The status and the rest of the answer to a question with a body, by weave-docker's port
fn ask(docker: &Docker, path: &str, body: &str) -> Result<String> {
    let connect = || Ok(TcpStream::connect_timeout(&PORT, PATIENCE)?);
    let mut stream = docker.host().namespace().enter(connect)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let answer = answer.strip_prefix("HTTP/1.1 ").map(str::to_owned);
    answer.with_context(|| format!("no answer to {path}"))
}

/// What says nothing of the host changes nothing
fn kept(docker: &Docker, version: &str, body: &str) -> Result<()> {
    create(docker, "c1", &[])?;
    let answer = ask(docker, &format!("{version}containers/c1/start"), body)?;
    ensure!(answer.starts_with("204"), "{version} {body}: {answer}");
    there(docker, after(CREATED, BOTH, Dns::Kept)).with_context(|| format!("{version} {body}"))
}

/// A creation of no version is one that gets on the network, too
fn unversioned(docker: &Docker) -> Result<()> {
    let body = format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"sleep\",\"1000000\"]}}");
    let answer = ask(docker, "containers/create?name=c1", &body)?;
    ensure!(answer.starts_with("201"), "{answer}");
    let answer = ask(docker, "containers/c1/start", "")?;
    ensure!(answer.starts_with("204"), "{answer}");
    let client = docker.proxied();
    wait_name(docker.host(), "c1", &[client.address("c1")?], AT_ONCE)?;
    client.remove(&["c1"])
}

fn create(docker: &Docker, name: &str, options: &[&str]) -> Result<()> {
    let line = [
        &["create", "--name", name, "--shm-size=32m"],
        options,
        &[IMAGE, "sleep", "1000000"],
    ];
    docker.proxied().run(&line.concat())?.ok().map(drop)
}

fn started(docker: &Docker, options: &[&str], asked: &str, after: After) -> Result<()> {
    create(docker, "c1", options)?;
    let path = format!("{OLD}/containers/c1/start");
    let answer = ask(docker, &path, asked)?;
    ensure!(answer.starts_with("204"), "{answer}");
    there(docker, after)
}

/// Looks at `c1`, once more after a restart where its networks changed, and removes it
fn there(docker: &Docker, after: After) -> Result<()> {
    let client = docker.proxied();
    let looks: &[bool] = match after.interfaces == ALONE {
        true => &[false, true],
        false => &[false],
    };
    for &restarted in looks {
        if restarted {
            client.run(&["restart", "-t0", "c1"])?.ok()?;
        }
        let told = client.inspect("c1")?;
        let host = &told["HostConfig"];
        ensure!(
            host["ShmSize"] == after.shared,
            "the shared memory is {}",
            host["ShmSize"]
        );
        let mut interfaces = client.interfaces("c1")?;
        interfaces.sort();
        ensure!(
            interfaces == after.interfaces,
            "it has {interfaces:?}, restarted: {restarted}"
        );
        let servers = host["Dns"].as_array().map_or(&[][..], Vec::as_slice);
        match after.dns {
            Dns::Kept => ensure!(
                servers.len() == 1 && servers != [Value::from("9.9.9.9")],
                "the name servers are {servers:?}"
            ),
            Dns::Own => ensure!(
                servers == [Value::from("9.9.9.9")],
                "the name servers are {servers:?}"
            ),
            Dns::Any => continue,
        }
        wait_name(docker.host(), "c1", &[client.address("c1")?], AT_ONCE)?;
    }
    client.remove(&["c1"])
}

/// Who is asked to be elsewhere is elsewhere
fn elsewhere(docker: &Docker) -> Result<()> {
    create(docker, "c1", &[])?;
    let path = format!("{OLD}/containers/c1/start");
    let answer = ask(docker, &path, "{\"NetworkMode\":\"host\"}")?;
    ensure!(answer.starts_with("204"), "{answer}");
    let client = docker.proxied();
    let interfaces = client.interfaces("c1")?;
    ensure!(
        interfaces.iter().any(|name| name == "docker0"),
        "on the host's network it has {interfaces:?}"
    );
    wait_name(docker.host(), "c1", &[], AT_ONCE)?;
    client.remove(&["c1"])
}

/// Docker's own words on what it does not take
fn refused(docker: &Docker, client: &Client) -> Result<()> {
    create(docker, "c1", &[])?;
    for (version, body, status) in [
        ("v1.41/", "{\"HostConfig\":{}}", "400"),
        ("", "{\"ShmSize\":16777216}", "400"),
        ("v1.23/", "[1,2,3,4,5]", "500"),
        ("v1.23/", "{\"HostConfig\":[]}", "500"),
        ("v1.23/", "{\"Dns\":[\"9.9.9.9\"", "500"),
    ] {
        let path = format!("{version}containers/c1/start");
        let through = ask(docker, &path, body)?;
        ensure!(through.starts_with(status), "{version} {body}: {through}");
    }
    let gone = ask(docker, "v1.23/containers/no-such/start", "{\"HostConfig\":{}}")?;
    ensure!(gone.starts_with("404") && gone.contains("no-such"), "{gone}");
    client.remove(&["c1"])
}
