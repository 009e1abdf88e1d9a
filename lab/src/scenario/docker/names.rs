//! What containers by weave-docker are called: by several of one name, at an address that had another, and as their
//! users say.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::{AT_ONCE, NAMES, two_hosts, wait_name};
use crate::docker::{Docker, IMAGE};
use crate::judge::dig;
use crate::topology::Lab;
use crate::wait::{Look, wait_for};
use crate::weave::Launch;

/// How often containers of one name end and begin
const ROUNDS: usize = 5;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    of_one_name(&one, &two)?;
    reverse(&one, &two)?;
    as_told(&one)
}

/// Each host has a container of this name; they end and begin in turn
fn of_one_name(one: &Docker, two: &Docker) -> Result<()> {
    let both = |addresses: &[Ipv4Addr]| -> Result<()> {
        for docker in [one, two] {
            wait_name(docker.host(), "same", addresses, AT_ONCE)?;
        }
        Ok(())
    };
    two.proxied().sleeper("same", &[])?;
    let mut last = two.proxied().address("same")?;
    both(&[last])?;
    for round in 0..ROUNDS {
        let (begins, ends) = match round % 2 {
            0 => (one, two),
            _ => (two, one),
        };
        begins.proxied().sleeper("same", &[])?;
        let next = begins.proxied().address("same")?;
        both(&[last, next])?;
        ends.direct().kill_process("same")?;
        both(&[next])?;
        ends.proxied().remove(&["same"])?;
        last = next;
    }
    for docker in [one, two] {
        docker.proxied().run(&["rm", "-f", "same"])?;
    }
    both(&[])
}

/// An address is called what its container is called, and not what the one before was
fn reverse(one: &Docker, two: &Docker) -> Result<()> {
    let address = "WEAVE_CIDR=10.2.8.1/24";
    for (docker, name) in [(one, "first"), (one, "second"), (two, "third")] {
        docker.proxied().sleeper(name, &["-e", address])?;
        for docker in [one, two] {
            let whole = format!("{name}.weave.local.");
            wait_for(&format!("10.2.8.1 is {name}"), AT_ONCE, || {
                let answer = dig::ask(docker.host().namespace(), NAMES, &["-x", "10.2.8.1"])?;
                let called: Vec<_> = answer.records.iter().filter_map(|record| record.last()).collect();
                Ok(match called == [&whole] {
                    true => Look::Done(()),
                    false => Look::NotYet(format!("{called:?}")),
                })
            })?;
        }
        docker.proxied().remove(&[name])?;
    }
    Ok(())
}

/// However a host name is given it stays, and so do hosts of its user
fn as_told(one: &Docker) -> Result<()> {
    let client = one.proxied();
    let cases: [(&[&str], &str, &str); 6] = [
        (&["-h", "own", "--name", "told"], "own", "told"),
        (&["--name", "told", "-hown"], "own", "told"),
        (&["--hostname", "own", "--name=told"], "own", "told"),
        (&["--name", "told", "--hostname=own.weave.local"], "own", "own"),
        (
            &["--name", "told", "-h", "own", "--domainname", "example.org"],
            "own",
            "told",
        ),
        (&["--name", "told"], "told", "told"),
    ];
    for (options, hostname, name) in cases {
        let line = [&["run", "-d"], options, &[IMAGE, "sleep", "1000000"]].concat();
        client.run(&line)?.ok()?;
        let own = client.exec("told", &["hostname", "-s"])?;
        ensure!(
            own.trim() == hostname,
            "with {options:?} the host is called {own}"
        );
        wait_name(one.host(), name, &[client.address("told")?], AT_ONCE)?;
        client.remove(&["told"])?;
        wait_name(one.host(), name, &[], AT_ONCE)?;
    }
    client.sleeper("server", &[])?;
    let find = "ping -c1 -W3 server >/dev/null 2>&1 && echo found; grep friend /etc/hosts";
    for (options, is_found) in [
        (&["--env=WEAVE_CIDR="], true),
        (&["--env=WEAVE_CIDR=none"], false),
    ] {
        let line = [
            &["run", "--rm", "--add-host=friend:10.9.9.9"],
            &options[..],
            &[IMAGE, "sh", "-c", find],
        ];
        let told = client.run(&line.concat())?.ok()?;
        ensure!(
            told.contains("10.9.9.9\tfriend") && told.contains("found") == is_found,
            "with {options:?}: {told}"
        );
    }
    client.remove(&["server"])
}
