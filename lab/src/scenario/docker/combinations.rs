//! Containers as all kinds of command lines ask for them: users, entrypoints, commands, networks.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::one_host;
use crate::docker::{Client, IMAGE};
use crate::topology::Lab;

/// Has images that say themselves what they run, and as whom
const IMAGES: &str = "$docker create --name made busybox true >/dev/null
$docker commit --change 'USER 1000' made user >/dev/null
$docker commit --change 'ENTRYPOINT [\"echo\", \"entry\"]' made entry >/dev/null
$docker commit --change 'ENTRYPOINT [\"echo\", \"entry\"]' --change 'CMD [\"command\"]' made both >/dev/null
$docker commit --change 'CMD [\"echo\", \"command\"]' made command >/dev/null
$docker commit --change 'ENTRYPOINT echo shell' made shell >/dev/null
$docker rm made >/dev/null";

/// Options, and what the container prints
const PRINTED: [(&[&str], &str); 10] = [
    (&[IMAGE, "echo", "plain"], "plain"),
    (&["--entrypoint=echo", IMAGE, "own"], "own"),
    (&["entry"], "entry"),
    (&["entry", "more"], "entry more"),
    (&["both"], "entry command"),
    (&["both", "other"], "entry other"),
    (&["--entrypoint=echo", "both"], ""),
    (&["--entrypoint=", "both", "echo", "none"], "none"),
    (&["command"], "command"),
    (&["shell", "ignored"], "shell"),
];

/// How often a coin is thrown that may fall on either side
const ATTEMPTS: usize = 10;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let mut docker = one_host(lab)?;
    docker.direct().script(IMAGES)?.ok()?;
    let client = docker.proxied();
    commands(&client)?;
    networks(&client)?;
    let images = [IMAGE, "user"];
    for image in images {
        ensure!(
            is_own_address(&client, image)?,
            "with {image}: hostname -i is not the address on the network"
        );
    }
    docker.end_agent(Signal::SIGTERM)?;
    docker.start_agent(&["--no-rewrite-hosts"])?;
    for image in images {
        ensure!(
            is_left_to_docker(&client, image)?,
            "with {image} and --no-rewrite-hosts: hostname -i is always the address on the network"
        );
    }
    Ok(())
}

/// What is run is what was asked for, and the network is there before it
fn commands(client: &Client) -> Result<()> {
    for (options, wanted) in PRINTED {
        let line = [&["run", "--rm"], options].concat();
        let printed = client.run(&line)?.ok()?;
        ensure!(printed.trim_end() == wanted, "{options:?} printed {printed}");
    }
    let there = [
        "run",
        "--rm",
        "--entrypoint=ls",
        "both",
        "/sys/class/net/ethwe0/address",
    ];
    client.run(&there)?.ok()?;
    for (options, told) in [
        (&[IMAGE][..], "command"),
        (&[IMAGE, "no-such-program"], "no-such-program"),
    ] {
        let line = [&["run", "--rm"], options].concat();
        let refused = client.run(&line)?.refused()?;
        ensure!(
            refused.to_lowercase().contains(told),
            "{options:?} is refused by {refused}"
        );
    }
    Ok(())
}

/// Who asks for nothing in whatever words is on the network and on Docker's bridge
fn networks(client: &Client) -> Result<()> {
    let both = ["eth0", "ethwe0"];
    for (options, wanted) in [
        (&["--net=bridge"][..], &both[..]),
        (&["--net=default"], &both),
        (&["-e", "WEAVE_CIDR="], &both),
        (&["--net=none", "-e", "WEAVE_CIDR="], &both[1..]),
        (&["--net=none", "-e", "WEAVE_CIDR=none"], &[]),
        (&["--net=bridge", "-e", "WEAVE_CIDR=10.2.1.1/24"], &both),
    ] {
        client.sleeper("n1", options)?;
        let mut has = client.interfaces("n1")?;
        has.sort();
        ensure!(has == wanted, "with {options:?} it has {has:?}");
        client.remove(&["n1"])?;
    }
    Ok(())
}

/// Whether the host's own name stands for the address on the network, to whoever the image runs as
fn is_own_address(client: &Client, image: &str) -> Result<bool> {
    let line = "hostname -i; ip -o -4 address show dev ethwe0";
    let told = client
        .run(&["run", "--rm", "--name=h1", image, "sh", "-c", line])?
        .ok()?;
    let (first, interface) = told.split_once('\n').context("too little is told")?;
    let first = first.split_whitespace().next().context("there is no address")?;
    ensure!(interface.contains("inet "), "there is no address: {told}");
    Ok(interface.contains(&format!(" {first}/")))
}

/// Whether it ever stands for something else: newer ones of Docker write their networks in any order
fn is_left_to_docker(client: &Client, image: &str) -> Result<bool> {
    for _attempt in 0..ATTEMPTS {
        if !is_own_address(client, image)? {
            return Ok(true);
        }
    }
    Ok(false)
}
