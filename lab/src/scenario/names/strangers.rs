//! A stranger in the underlay, with a route to the network by a host, asks that host for names.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use super::elsewhere::Server;
use super::{ask, attach_one, expose};
use crate::judge::dig::{self, Answer};
use crate::topology::{ETHERNET, Lab};
use crate::weave::Launch;

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [host, stranger, elsewhere] = lab.hosts(["host1", "stranger", "elsewhere"])?;
    lab.segment(&[&host, &stranger, &elsewhere], ETHERNET)?;
    let www = Ipv4Addr::new(203, 0, 113, 1);
    let upstream = Server::start(&elsewhere, www)?;
    let launch = Launch::plain()
        .flag("--dns-upstream")
        .flag(&upstream.address.to_string());
    host.launch(&launch)?;
    let web = lab.container("web")?;
    let address = attach_one(&host, &web, "web", &[])?;
    let exposed = expose(&host, &[])?;
    let via = host.address()?.to_string();
    let route = ["ip", "route", "add", "10.32.0.0/12", "via", &via];
    stranger.namespace().run(&route)?.ok()?;

    let server = SocketAddr::new(exposed.into(), 53);
    let asked = |options: &[&str]| dig::ask(stranger.namespace(), server, options);
    let questions = [
        vec!["web.weave.local"],
        vec!["+tcp", "web.weave.local"],
        vec!["web"],
        vec!["www.example.test"],
        vec!["+tcp", "www.example.test"],
    ];
    for question in &questions {
        is_refused(&asked(question)?, question)?;
        let answer = dig::ask(web.namespace(), server, question)?.expect("NOERROR")?;
        ensure!(
            answer.set()?.len() == 1,
            "a container asks {question:?}: {answer:?}"
        );
        dig::ask(host.namespace(), server, question)?.expect("NOERROR")?;
        ask(&host, question)?.expect("NOERROR")?;
    }
    let drops = host.status()?.drops;
    let count = drops.get("dns: refused_client").copied();
    ensure!(count >= Some(questions.len() as u64), "not counted: {drops:?}");

    host.stop()?;
    let network = format!("{}/32", stranger.address()?);
    host.launch(&launch.flag("--dns-allow").flag(&network))?;
    let found = asked(&["web.weave.local"])?
        .expect("NOERROR")
        .context("--dns-allow")?;
    ensure!(found.addresses()? == [address], "{found:?}");
    Ok(())
}

fn is_refused(answer: &Answer, question: &[&str]) -> Result<()> {
    ensure!(
        answer.status == "REFUSED" && answer.records.is_empty(),
        "a stranger asks {question:?}: {answer:?}"
    );
    Ok(())
}
