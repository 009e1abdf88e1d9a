//! Short and long names, subdomains, letters of either case, and what is not there.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use super::{DOMAIN, Hosts, OUTSIDE, finds, misses};
use crate::docker::{Client, Docker};
use crate::judge::dig;

pub(super) fn act(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    short(hosts, web).context("short names")?;
    below(hosts).context("subdomains")?;
    either_case(hosts, web).context("letters of either case")?;
    negative(hosts).context("what is not there")
}

/// By the domain that is searched, by weaved itself where none is, and names of elsewhere
fn short(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    let client = hosts.two.proxied();
    let whole = format!("web.{DOMAIN}");
    let dns_args = hosts.two.shell("weavectl dns-args")?.ok()?;
    let server = dns_args
        .split_whitespace()
        .next()
        .context("no server in dns-args")?;
    ensure!(
        dns_args.trim() == format!("{server} --dns-search={DOMAIN}.")
            || dns_args.trim() == format!("{server} --dns-search={DOMAIN}"),
        "dns-args printed {dns_args}"
    );
    let both: Vec<&str> = dns_args.split_whitespace().collect();
    let direct = hosts.two.direct();
    let searches_nothing = ["--net=weave", server, "--dns-search=."];
    let cases: [(&str, &Client, &[&str]); 4] = [
        ("by-dot", &client, &["--dns-search=."]),
        ("by-host", &client, &["--hostname=own"]),
        ("by-args", &direct, &[&["--net=weave"], &both[..]].concat()),
        ("by-nothing", &direct, &searches_nothing),
    ];
    finds(&client, "asker", "web", &[web])?;
    for (name, by, options) in cases {
        by.sleeper(name, options)?;
        // By the proxy, too, whoever made the container.
        for exec in [&client, &direct] {
            for asked in ["web", whole.as_str()] {
                finds(exec, name, asked, &[web])?;
            }
        }
        finds(&client, name, OUTSIDE, &[hosts.outside])?;
    }
    client.remove(&["by-dot", "by-host", "by-args", "by-nothing"])
}

/// Host names with dots, and several domains to search
fn below(hosts: &Hosts) -> Result<()> {
    let client = hosts.one.proxied();
    let whole = format!("db.eu.{DOMAIN}");
    let below = format!("eu.{DOMAIN}");
    client.sleeper("database", &["--hostname", &whole])?;
    let address = client.address("database")?;
    hosts.known("db.eu", &[address])?;
    hosts.known("database", &[])?;
    let client = hosts.two.proxied();
    let search = |domain: &str| format!("--dns-search={domain}.{DOMAIN}");
    let own = format!("--hostname=cache.{below}");
    finds(&client, "asker", "db.eu", &[address])?;
    let cases: [(&[&str], &str); 2] = [
        (&[&search("us"), &search("eu")], "db"),
        // Its own domain is below, and the whole one is searched.
        (&[&own], "db.eu"),
    ];
    for (options, asked) in cases {
        client.sleeper("below", options)?;
        for asked in [asked, whole.as_str()] {
            finds(&client, "below", asked, &[address]).with_context(|| format!("{options:?}"))?;
        }
        client.remove(&["below"])?;
    }
    misses(&client, "asker", "db")?;
    hosts.one.proxied().remove(&["database"])?;
    hosts.known("db.eu", &[])
}

/// Containers whose names differ by case alone have one name together
fn either_case(hosts: &Hosts, web: Ipv4Addr) -> Result<()> {
    let client = hosts.two.proxied();
    client.sleeper("WEB", &[])?;
    let other = client.address("WEB")?;
    for name in ["web", "WEB", "wEb"] {
        hosts.known(name, &[web, other])?;
        finds(&client, "asker", name, &[web, other])?;
    }
    for (address, name) in [(web, "web"), (other, "WEB")] {
        let [a, b, c, d] = address.octets();
        let reverse = format!("{d}.{c}.{b}.{a}.In-Addr.ARPA");
        for docker in hosts.both() {
            let answer = dig::ask(docker.host().namespace(), super::NAMES, &[&reverse, "PTR"])?;
            let found: Vec<_> = answer.records.iter().filter_map(|record| record.last()).collect();
            ensure!(
                found.len() == 1 && found[0].eq_ignore_ascii_case(&format!("{name}.{DOMAIN}.")),
                "{reverse} is {found:?} on {}",
                docker.host()
            );
        }
    }
    client.remove(&["WEB"])?;
    hosts.known("web", &[web])
}

/// A name without records of a kind, and names that nobody has: where containers ask, and in one
fn negative(hosts: &Hosts) -> Result<()> {
    let server = server_of(&hosts.two)?;
    for (name, kind, status) in [
        ("web.corp.example", "MX", "NOERROR"),
        ("web.corp.example", "AAAA", "NOERROR"),
        ("nobody.corp.example", "MX", "NXDOMAIN"),
        ("nobody.corp.example", "A", "NXDOMAIN"),
        ("nobody", "A", "NXDOMAIN"),
        ("web.weave.local", "A", "REFUSED"),
        ("nobody.example.test", "A", "NXDOMAIN"),
    ] {
        let answer = dig::ask(hosts.two.host().namespace(), server, &[name, kind])?.expect(status)?;
        ensure!(answer.records.is_empty(), "{name} {kind}: {answer:?}");
    }
    let client = hosts.two.proxied();
    let whole = format!("web.{DOMAIN}");
    let nobody = format!("nobody.{DOMAIN}");
    for (name, is_there) in [(&whole, true), (&nobody, false)] {
        let answer = client.run(&["exec", "asker", "nslookup", "-type=mx", name])?;
        let text = answer.to_string();
        ensure!(
            answer.status.success() == is_there
                && text.contains("NXDOMAIN") != is_there
                && !text.contains("mail exchanger"),
            "of {name}: {text}"
        );
    }
    for name in ["nobody", nobody.as_str(), "nobody.example.test"] {
        misses(&client, "asker", name)?;
    }
    Ok(())
}

/// Where the containers of a host ask for names
fn server_of(docker: &Docker) -> Result<SocketAddr> {
    let told = docker.shell("weavectl dns-args")?.ok()?;
    let word = told.split_whitespace().next().unwrap_or_default();
    let server = word.strip_prefix("--dns=").context("no server in dns-args")?;
    Ok(SocketAddr::new(server.parse()?, 53))
}
