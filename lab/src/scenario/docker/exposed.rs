//! A host that is exposed, and whose Docker has it drop what it forwards.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{PATIENCE, two_hosts};
use crate::judge::nft;
use crate::judge::ping::Ping;
use crate::namespace::Namespace;
use crate::scenario::Skip;
use crate::topology::{ETHERNET, Host, Lab};
use crate::wait::wait_until;
use crate::weave::Launch;

/// What lets containers out
const OUT: &str = "-A weave-forward -i weave ! -o weave -j ACCEPT";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two] = two_hosts(lab, &Launch::plain())?;
    let outside = lab.host("outside")?;
    if let Some(why) = nft::lacks_masquerading(one.host().namespace())? {
        return Err(Skip(why).into());
    }
    lab.link(one.host(), &outside, ETHERNET)?;
    ensure!(
        forward(one.host())?.contains("-P FORWARD DROP"),
        "Docker lets everything pass: {}",
        forward(one.host())?
    );
    let exposed = one.host().weavectl(&["expose"])?.ok()?;
    let exposed: Ipv4Addr = exposed.trim().parse().context("no address was printed")?;
    let container = lab.container("inside")?;
    let own = two.host().attach_any(&container, &[])?;
    let own = own.first().context("no address")?;
    let way_out = ["route", "add", "default", "via", &exposed.to_string()];
    container.namespace().ip(&way_out)?;
    reaches(container.namespace(), outside.address()?)?;

    let leg = one.host().address_for(&outside)?;
    outside
        .namespace()
        .ip(&["route", "add", &own.to_string(), "via", &leg.to_string()])?;
    ensure!(
        Ping::to(*own).count(1).run(outside.namespace())?.lost() == 1,
        "a host that is exposed to itself lets others in"
    );
    one.host()
        .weavectl(&["expose", "--expose-to", "underlay"])?
        .ok()?;
    reaches(outside.namespace(), *own)?;

    ensure!(
        forward(one.host())?.contains(OUT),
        "an exposed host has no rule: {OUT}"
    );
    one.host().weavectl(&["hide"])?.ok()?;
    wait_until("the rules are gone", PATIENCE, || {
        Ok(!forward(one.host())?.contains(OUT))
    })?;
    Ok(())
}

/// The chains as `iptables` lists it
fn forward(host: &Host) -> Result<String> {
    let mut command = host.command("iptables");
    command.args(["-w", "-S"]);
    crate::command::run(command, PATIENCE)?.ok()
}

fn reaches(from: &Namespace, address: Ipv4Addr) -> Result<()> {
    wait_until(&format!("{address} answers"), PATIENCE, || {
        Ok(Ping::to(address).count(1).run(from)?.lost() == 0)
    })?;
    Ok(())
}
