//! Names of containers: who is found by them, from where, and for how long.

mod apart;
mod elsewhere;
mod everywhere;
mod one_host;
mod reused;
mod strangers;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

pub(super) use self::apart::act as while_apart;
pub(super) use self::elsewhere::{Server, act as of_elsewhere};
pub(super) use self::everywhere::act as everywhere;
pub(super) use self::one_host::act as of_one_host;
pub(super) use self::strangers::act as to_strangers;
use crate::judge::dig::{self, Answer};
use crate::resolving;
use crate::topology::{Container, Host, Lab};
use crate::wait::{Look, wait_for};

/// How long hosts that are connected may take to say the same after a change
const AT_ONCE: Duration = Duration::from_secs(1);

/// Where weaved answers names on its host
const ON_THE_HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6753);

/// Asks the weaved of a host
fn ask(host: &Host, options: &[&str]) -> Result<Answer> {
    dig::ask(host.namespace(), ON_THE_HOST, options)
}

/// The addresses that a host knows for a name; none if it knows no such name
fn set(host: &Host, name: &str) -> Result<BTreeSet<Ipv4Addr>> {
    let answer = ask(host, &[name])?;
    if answer.status == "NXDOMAIN" {
        return Ok(BTreeSet::new());
    }
    let set = answer.expect("NOERROR")?.set()?;
    ensure!(!set.is_empty(), "{host} has {name} without addresses");
    Ok(set)
}

/// Waits until all hosts know these addresses, and no others, for a name; how long the last of them took
fn wait_set(
    hosts: &[&Host],
    name: &str,
    wanted: &BTreeSet<Ipv4Addr>,
    deadline: Duration,
) -> Result<Duration> {
    let what = format!("{name} is {wanted:?} everywhere");
    let ((), took) = wait_for(&what, deadline, || {
        for host in hosts {
            let found = set(host, name)?;
            if found != *wanted {
                return Ok(Look::NotYet(format!("{host} says {found:?}")));
            }
        }
        Ok(Look::Done(()))
    })?;
    Ok(took)
}

/// Attaches a container under a name; which addresses it got
fn attach(host: &Host, container: &Container, name: &str, addresses: &[&str]) -> Result<Vec<Ipv4Addr>> {
    let options = [&["--hostname", name], addresses].concat();
    host.attach_any(container, &options)
}

/// Attaches a container under a name; which address it got
fn attach_one(host: &Host, container: &Container, name: &str, addresses: &[&str]) -> Result<Ipv4Addr> {
    let got = attach(host, container, name, addresses)?;
    ensure!(got.len() == 1, "attach printed {got:?}");
    got.first().copied().context("attach printed no address")
}

/// Gives a host an address on the network, at which it answers names, too
///
/// Masquerading needs more of the kernel than names do.
fn expose(host: &Host, options: &[&str]) -> Result<Ipv4Addr> {
    let line = [&["expose", "--without-masquerade"], options].concat();
    let printed = host.weavectl(&line)?.ok()?;
    let printed = printed.trim();
    printed
        .parse()
        .with_context(|| format!("{line:?} printed {printed:?}"))
}

/// Fails unless a program in the container finds exactly this under a name, by the C library and with these
/// domains to search
fn getent(
    lab: &Lab,
    container: &Container,
    server: Ipv4Addr,
    search: &str,
    (name, wanted): (&str, Ipv4Addr),
) -> Result<()> {
    let line = ["getent", "ahostsv4", name];
    let finished = resolving::run(container.namespace(), server.into(), search, &lab.files(), &line)?;
    let printed = finished
        .ok()
        .with_context(|| format!("{container} searches {search}"))?;
    let found: BTreeSet<&str> = printed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    ensure!(
        found == BTreeSet::from([wanted.to_string().as_str()]),
        "{container} looks for {name} in {search}: {printed}"
    );
    Ok(())
}
