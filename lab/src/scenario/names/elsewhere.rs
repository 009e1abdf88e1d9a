//! Names that are not the containers': the host's own servers are asked, and what they say is passed on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{ask, attach_one, expose, getent};
use crate::command::Background;
use crate::judge::dig::{self, Answer};
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for, wait_until};
use crate::weave::Launch;

/// How long a change of resolv.conf may go unnoticed, and a little more
const NOTICED: Duration = Duration::from_secs(3);

/// Askers give up after this
const PATIENCE: Duration = Duration::from_secs(5);

const DNSMASQ: &str = "/usr/sbin/dnsmasq";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [host, first, second] = lab.hosts(["host1", "first", "second"])?;
    lab.segment(&[&host, &first, &second], ETHERNET)?;
    let (one, other) = (Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2));
    let servers = [Server::start(&first, one)?, Server::start(&second, other)?];

    let file = lab.files().join("resolv.conf");
    write(&file, &[servers[0].address])?;
    let path = file.to_str().context("a path that is not UTF-8")?;
    host.launch(&Launch::plain().flag("--resolv-conf").flag(path))?;
    passes_on(&host, &servers[0])?;
    from_a_container(lab, &host, one)?;
    follows_the_file(&host, &file, &servers, [one, other])?;
    goes_to_the_next(&host, &file, &servers[1], other)?;
    Ok(())
}

/// A name server that has nothing to do with weaved
pub(in crate::scenario) struct Server {
    /// Where it is asked
    pub(in crate::scenario) address: Ipv4Addr,
    _running: Background,
}

impl Server {
    /// Starts it on a host; `www.example.test` is this address
    pub(in crate::scenario) fn start(host: &Host, www: Ipv4Addr) -> Result<Self> {
        let address = host.address()?;
        let mut line = vec![
            DNSMASQ.to_owned(),
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--pid-file".to_owned(),
            "--no-resolv".to_owned(),
            "--no-hosts".to_owned(),
            "--user=root".to_owned(),
            "--bind-interfaces".to_owned(),
            format!("--listen-address={address}"),
            "--local-ttl=300".to_owned(),
            "--local=/example.test/113.0.203.in-addr.arpa/".to_owned(),
            format!("--host-record=www.example.test,{www}"),
            "--host-record=mail.example.test,203.0.113.9,2001:db8::9".to_owned(),
            "--mx-host=example.test,mail.example.test,10".to_owned(),
            "--cname=alias.example.test,www.example.test".to_owned(),
        ];
        for number in 1..=60 {
            line.push(format!("--host-record=many.example.test,198.51.100.{number}"));
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let running = host.namespace().start(&line)?;
        let server = Self {
            address,
            _running: running,
        };
        wait_until("the server answers", Duration::from_secs(5), || {
            Ok(server.ask(host, &["www.example.test"])?.addresses()? == [www])
        })?;
        Ok(server)
    }

    fn ask(&self, from: &Host, options: &[&str]) -> Result<Answer> {
        dig::ask(
            from.namespace(),
            SocketAddr::new(self.address.into(), 53),
            options,
        )
    }
}

/// Answers are the server's own, of every kind and length
fn passes_on(host: &Host, server: &Server) -> Result<()> {
    for question in [
        &["www.example.test"][..],
        &["www.example.test", "AAAA"],
        &["example.test", "MX"],
        &["alias.example.test"],
        &["mail.example.test", "AAAA"],
        &["-x", "203.0.113.9"],
        &["nobody.example.test"],
        &["+tcp", "www.example.test"],
        &["+noedns", "many.example.test"],
        &["+noedns", "+ignore", "many.example.test"],
        &["+tcp", "many.example.test"],
        &["other.example"],
    ] {
        let (direct, passed) = (server.ask(host, question)?, ask(host, question)?);
        let sorted = |answer: &Answer| {
            let mut records = answer.records.clone();
            records.sort();
            records
        };
        // Servers turn the order round from one answer to the next; of a cut answer that is which they are.
        let is_cut = direct.flags.contains("tc");
        ensure!(
            direct.status == passed.status
                && direct.flags == passed.flags
                && direct.records.len() == passed.records.len()
                && (is_cut || sorted(&direct) == sorted(&passed)),
            "{question:?}: the server says {direct:?}, weaved {passed:?}"
        );
    }
    let long = ask(host, &["+noedns", "+ignore", "many.example.test"])?;
    ensure!(
        long.flags.contains("tc"),
        "60 addresses fit in 512 bytes: {long:?}"
    );
    // Names of ours are never asked there.
    ask(host, &["nobody.weave.local"])?.expect("NXDOMAIN")?;
    ask(host, &["nobody"])?.expect("NXDOMAIN")?;
    Ok(())
}

fn from_a_container(lab: &mut Lab, host: &Host, www: Ipv4Addr) -> Result<()> {
    let container = lab.container("asker")?;
    let address = attach_one(host, &container, "asker", &[])?;
    let server = expose(host, &[])?;
    for (search, name) in [
        ("weave.local", "www.example.test"),
        ("weave.local", "alias.example.test"),
        ("weave.local example.test", "www"),
    ] {
        getent(lab, &container, server, search, (name, www))?;
    }
    getent(
        lab,
        &container,
        server,
        "weave.local example.test",
        ("asker", address),
    )
}

/// Another file in its place, and another text in the same file
fn follows_the_file(host: &Host, file: &Path, servers: &[Server; 2], www: [Ipv4Addr; 2]) -> Result<()> {
    let replacement = file.with_extension("new");
    write(&replacement, &[servers[1].address])?;
    fs::rename(&replacement, file)?;
    let replaced = wait_www(host, www[1])?;
    write(file, &[servers[0].address])?;
    let rewritten = wait_www(host, www[0])?;
    println!("resolv.conf replaced: followed after {replaced:.1?}; rewritten: after {rewritten:.1?}");
    Ok(())
}

/// Servers that do not answer, or none at all, do not keep askers waiting for longer than they wait
fn goes_to_the_next(host: &Host, file: &Path, alive: &Server, www: Ipv4Addr) -> Result<()> {
    // Nobody has this one, so that nothing answers, not even an error.
    let nobody = Ipv4Addr::new(192, 168, 101, 200);
    write(file, &[nobody, alive.address])?;
    wait_www(host, www)?;
    let begun = Instant::now();
    let answer = ask(host, &["www.example.test"])?.expect("NOERROR")?;
    let took = begun.elapsed();
    ensure!(
        answer.addresses()? == [www] && took < PATIENCE,
        "{answer:?} after {took:?}"
    );

    write(file, &[])?;
    wait_for("nobody is asked", NOTICED, || {
        let answer = ask(host, &["www.example.test"])?;
        Ok(match answer.status == "SERVFAIL" {
            true => Look::Done(()),
            false => Look::NotYet(answer.status),
        })
    })?;
    let begun = Instant::now();
    ask(host, &["www.example.test"])?.expect("SERVFAIL")?;
    let refused = begun.elapsed();
    // In a guest the start of dig alone takes a second.
    ensure!(refused < PATIENCE / 2, "SERVFAIL took {refused:?}");
    ask(host, &["asker.weave.local"])?.expect("NOERROR")?;
    println!("the first of two servers is dead: {took:.1?}; there is none: SERVFAIL after {refused:.0?}");
    Ok(())
}

fn wait_www(host: &Host, wanted: Ipv4Addr) -> Result<Duration> {
    let ((), took) = wait_for(&format!("www.example.test is {wanted}"), NOTICED, || {
        let found = ask(host, &["www.example.test"])?.addresses()?;
        Ok(match found == [wanted] {
            true => Look::Done(()),
            false => Look::NotYet(format!("{found:?}")),
        })
    })?;
    Ok(took)
}

fn write(file: &Path, servers: &[Ipv4Addr]) -> Result<()> {
    let lines: Vec<String> = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    fs::write(file, lines.concat()).with_context(|| format!("cannot write {}", file.display()))
}
