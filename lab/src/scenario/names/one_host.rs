//! One host: other domains, forms of names, kinds of questions, long answers, and restarts.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{AT_ONCE, ask, attach, attach_one, expose, getent, set, wait_set};
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::Launch;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [host, other] = lab.hosts(["host1", "other"])?;
    lab.link(&host, &other, ETHERNET)?;
    host.launch(&Launch::plain().flag("--dns-domain=corp.example"))?;
    let web = lab.container("web")?;
    let address = attach_one(&host, &web, "web", &[])?;
    ensure!(
        set(&host, "web.corp.example")? == BTreeSet::from([address]),
        "web has another address"
    );

    below_names(lab, &host, &web)?;
    in_any_case(&host, address)?;
    negative(&host)?;
    single_labels(&host, address)?;
    long(&host)?;
    told_names(lab, &host)?;
    after_a_restart(lab, &host, address)?;
    switched_off(lab, &host)?;
    Ok(())
}

/// Names with dots, and several domains to search
fn below_names(lab: &mut Lab, host: &Host, web: &Container) -> Result<()> {
    let server = expose(host, &["-h", "gate"])?;
    let below = lab.container("below")?;
    let address = attach_one(host, &below, "db.eu.corp.example", &[])?;
    for (search, name) in [
        ("corp.example", "db.eu"),
        ("eu.corp.example corp.example", "db"),
        ("us.corp.example eu.corp.example corp.example", "db"),
        (".", "db.eu.corp.example"),
    ] {
        getent(lab, web, server, search, (name, address))?;
    }
    getent(lab, web, server, "eu.corp.example corp.example", ("gate", server))?;
    // There are names below it, so it is there, and empty.
    let between = ask(host, &["eu.corp.example"])?.expect("NOERROR")?;
    ensure!(between.records.is_empty(), "{between:?}");
    // It has this name and no other.
    ensure!(set(host, "db.corp.example")?.is_empty(), "a name in two places");
    let refused = host
        .weavectl(&["dns-add", "192.0.2.1", "-h", "db.elsewhere.example"])?
        .refused()?;
    ensure!(
        refused.contains("corp.example"),
        "a name of another domain: {refused}"
    );
    Ok(())
}

/// Letters of either case are the same, and come back as they were asked
fn in_any_case(host: &Host, address: Ipv4Addr) -> Result<()> {
    let answer = ask(host, &["wEb.Corp.EXAMPLE"])?.expect("NOERROR")?;
    ensure!(answer.addresses()? == [address], "{answer:?}");
    let name = answer.records.first().and_then(|record| record.first());
    ensure!(name.is_some_and(|name| name == "wEb.Corp.EXAMPLE."), "{answer:?}");

    let octets = address.octets();
    let reverse = format!(
        "{}.{}.{}.{}.IN-addr.ARPA",
        octets[3], octets[2], octets[1], octets[0]
    );
    let answer = ask(host, &[&reverse, "PTR"])?.expect("NOERROR")?;
    let data: Vec<&String> = answer.records.iter().filter_map(|record| record.last()).collect();
    ensure!(data == ["web.corp.example."], "{answer:?}");

    let other = Ipv4Addr::new(192, 0, 2, 77);
    host.weavectl(&["dns-add", "192.0.2.77", "-h", "WEB"])?.ok()?;
    wait_set(
        &[host],
        "web.corp.example",
        &BTreeSet::from([address, other]),
        AT_ONCE,
    )?;
    host.weavectl(&["dns-remove", "192.0.2.77", "-h", "Web"])?.ok()?;
    wait_set(&[host], "web.corp.example", &BTreeSet::from([address]), AT_ONCE)?;
    Ok(())
}

/// What is not there is said in the way that caches and resolvers go by
fn negative(host: &Host) -> Result<()> {
    for (question, status) in [
        (&["web.corp.example", "MX"][..], "NOERROR"),
        (&["web.corp.example", "AAAA"], "NOERROR"),
        (&["nobody.corp.example"], "NXDOMAIN"),
        (&["nobody.corp.example", "MX"], "NXDOMAIN"),
        (&["-x", "10.40.0.1"], "NXDOMAIN"),
    ] {
        let answer = ask(host, question)?.expect(status)?;
        let soa = answer
            .authority
            .iter()
            .filter(|record| record.get(3).is_some_and(|kind| kind == "SOA"));
        ensure!(
            answer.records.is_empty() && soa.count() == 1,
            "{question:?}: {answer:?}"
        );
        ensure!(answer.flags.contains("aa"), "{question:?}: {answer:?}");
    }
    Ok(())
}

/// Programs without a domain to search
fn single_labels(host: &Host, address: Ipv4Addr) -> Result<()> {
    let answer = ask(host, &["web"])?.expect("NOERROR")?;
    ensure!(answer.addresses()? == [address], "{answer:?}");
    let answer = ask(host, &["web", "AAAA"])?.expect("NOERROR")?;
    ensure!(answer.records.is_empty(), "{answer:?}");
    ask(host, &["nobody"])?.expect("NXDOMAIN")?;
    Ok(())
}

/// More addresses than a datagram holds
fn long(host: &Host) -> Result<()> {
    let addresses: Vec<Ipv4Addr> = (1..=50).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect();
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let texts = texts.iter().map(String::as_str);
    let line: Vec<&str> = ["dns-add"]
        .into_iter()
        .chain(texts)
        .chain(["-h", "many"])
        .collect();
    host.weavectl(&line)?.ok()?;
    let all: BTreeSet<Ipv4Addr> = addresses.into_iter().collect();
    for options in [
        &["+noedns"][..],
        &["+bufsize=700"],
        &["+bufsize=4096"],
        &["+tcp"],
        &[],
    ] {
        let asked = [options, &["many.corp.example"]].concat();
        let answer = ask(host, &asked)?.expect("NOERROR")?;
        ensure!(answer.set()? == all, "{asked:?}: {:?}", answer.set()?);
        ensure!(!answer.flags.contains("tc"), "{asked:?}");
    }
    // What comes by UDP alone: as much as fits, and a word that there is more.
    for (option, least, most) in [("+noedns", 20, 31), ("+bufsize=700", 35, 43)] {
        let asked = [option, "+ignore", "many.corp.example"];
        let answer = ask(host, &asked)?.expect("NOERROR")?;
        let count = answer.set()?.len();
        ensure!(
            answer.flags.contains("tc") && (least..=most).contains(&count),
            "{asked:?}: {count} addresses, {:?}",
            answer.flags
        );
    }
    host.weavectl(&["dns-remove", "-h", "many"])?.ok()?;
    wait_set(&[host], "many.corp.example", &BTreeSet::new(), AT_ONCE)?;
    Ok(())
}

/// Where a container's name comes from, and how to have none
fn told_names(lab: &mut Lab, host: &Host) -> Result<()> {
    let container = lab.container("plain")?;
    let own = container.namespace().name().to_owned();
    let path = container.namespace().path();
    let path = path.to_str().context("a path that is not UTF-8")?.to_owned();
    let pid = container.pid().to_string();
    for (line, name) in [
        (vec!["attach", own.as_str()], Some(own.as_str())),
        (vec!["attach", path.as_str()], Some(own.as_str())),
        (vec!["attach", "--hostname", "told", own.as_str()], Some("told")),
        (vec!["attach", own.as_str(), "--hostname", "told"], Some("told")),
        (
            vec!["attach", "--hostname=told.corp.example.", own.as_str()],
            Some("told"),
        ),
        (vec!["attach", "--hostname", "told", pid.as_str()], Some("told")),
        (vec!["attach", pid.as_str()], None),
        (vec!["attach", "--without-dns", own.as_str()], None),
        (vec!["attach", own.as_str(), "--without-dns"], None),
    ] {
        let printed = host.weavectl(&line)?.ok()?;
        let address: Ipv4Addr = printed
            .trim()
            .parse()
            .with_context(|| format!("{line:?}: {printed}"))?;
        for known in [own.as_str(), "told"] {
            let wanted = (name == Some(known)).then_some(address).into_iter().collect();
            let found = set(host, &format!("{known}.corp.example"))?;
            ensure!(
                found == wanted,
                "{line:?}: {known} is {found:?}, expected {wanted:?}"
            );
        }
        let reverse = if name.is_some() { "NOERROR" } else { "NXDOMAIN" };
        ask(host, &["-x", &address.to_string()])?.expect(reverse)?;
        let container = line
            .into_iter()
            .find(|word| [&own, &path, &pid].contains(&&(*word).to_owned()));
        host.weavectl(&["detach", container.context("a container")?])?
            .ok()?;
    }
    Ok(())
}

/// The names of before are answered by the next run, in whichever form the domain is told; those of what
/// ended meanwhile are not
fn after_a_restart(lab: &mut Lab, host: &Host, address: Ipv4Addr) -> Result<()> {
    let ends = lab.container("ends")?;
    let kept = lab.container("kept")?;
    attach_one(host, &ends, "ends", &[])?;
    let two = attach(host, &kept, "kept", &["net:default", "net:10.48.0.0/24"])
        .or_else(|_out_of_range| attach(host, &kept, "kept", &["net:default", "10.50.0.1/24"]))?;
    let gate = set(host, "gate.corp.example")?;
    let names = |when: &str| -> Result<()> {
        for (name, wanted) in [
            ("web", BTreeSet::from([address])),
            ("kept", two.iter().copied().collect()),
            ("gate", gate.clone()),
        ] {
            wait_set(&[host], &format!("{name}.corp.example"), &wanted, AT_ONCE)
                .with_context(|| when.to_owned())?;
        }
        Ok(())
    };
    names("before")?;
    host.stop()?;
    ends.end()?;
    host.launch(&Launch::plain().flag("--dns-domain=corp.example."))?;
    names("after a stop, with a dot after the domain")?;
    ensure!(
        set(host, "ends.corp.example")?.is_empty(),
        "a container that ended has a name again"
    );
    host.kill_weaved()?;
    host.launch(&Launch::plain().flag("--dns-domain=corp.example"))?;
    names("after a kill, without the dot")?;
    Ok(())
}

/// Without names everything else works, and nobody listens
fn switched_off(lab: &mut Lab, host: &Host) -> Result<()> {
    let listeners = || {
        let line = ["ss", "-Hlntu", "sport = :53 or sport = :6753"];
        Ok::<_, anyhow::Error>(host.namespace().run(&line)?.ok()?.lines().count())
    };
    let count = listeners()?;
    ensure!(count == 4, "UDP and TCP at two addresses, but {count} listeners");
    host.stop()?;
    host.launch(&Launch::plain().flag("--no-dns"))?;
    let none = wait_until("nobody listens", Duration::from_secs(2), || Ok(listeners()? == 0));
    none.context("--no-dns")?;
    let container = lab.container("nameless")?;
    attach(host, &container, "nameless", &[])?;
    for line in [
        &["status", "dns"][..],
        &["dns-add", "192.0.2.1", "-h", "x"],
        &["dns-lookup", "web"],
    ] {
        let refused = host.weavectl(line)?.refused()?;
        ensure!(
            refused.lines().count() == 1 && refused.contains("--no-dns"),
            "{line:?}: {refused}"
        );
    }
    Ok(())
}
