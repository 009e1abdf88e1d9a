//! By weaved.

use anyhow::Result;
use lab::site;
use lab::topology::{Container, Host, Lab};
use lab::weave::{Launch, launch_mesh};
use model::PathKind;

use super::{FAR, NEAR, Path, between, containers};

/// Two containers, one on each host
pub(super) fn direct(
    lab: &mut Lab,
    tag: &str,
    hosts: &[&Host; 2],
    launch: &Launch,
    by: PathKind,
) -> Result<Path> {
    launch_mesh(hosts, launch, by)?;
    let (near, far) = containers(lab, tag)?;
    for (host, container, address) in [(hosts[0], &near, NEAR), (hosts[1], &far, FAR)] {
        host.attach(container, &[&format!("{address}/24")])?;
    }
    Ok(Path {
        daemons: weaveds(hosts)?,
        ..between(near.namespace(), far.namespace(), Container::INTERFACE)
    })
}

/// Two containers whose hosts reach each other by a third host's weaved alone
pub(super) fn relayed(lab: &mut Lab, tag: &str, by: PathKind) -> Result<Path> {
    let names = [1, 2, 3].map(|number| format!("{tag}{number}"));
    let [near, middle, far] =
        site::in_a_line(lab, names.each_ref().map(String::as_str), &Launch::plain(), by)?;
    Ok(Path {
        address: far.address,
        daemons: weaveds(&[&near.host, &middle.host, &far.host])?,
        ..between(
            near.container.namespace(),
            far.container.namespace(),
            Container::INTERFACE,
        )
    })
}

fn weaveds(hosts: &[&Host]) -> Result<Vec<i32>> {
    hosts.iter().map(|host| host.weaved_pid()).collect()
}
