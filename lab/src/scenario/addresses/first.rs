//! Before the hosts agree who owns what: who waits, who does not, and who may vote.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::IpamState;

use super::{only, ping};
use crate::command::Background;
use crate::site::on_one_network;
use crate::topology::{Container, ETHERNET, Host, Lab};
use crate::wait::{Look, wait_for};
use crate::weave::{Launch, MEETING, usual_path};

/// How long after the last vote that was missing an address is there
const SOON: Duration = Duration::from_secs(10);

/// How long what waits for nobody may take
const AT_ONCE: Duration = Duration::from_secs(5);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let sites = on_one_network(lab, ["host1", "host2", "host3"], ETHERNET)?;
    let [elector, observer, second] = sites.each_ref().map(|site| &site.host);
    let voting = Launch::plain().flag("--ipalloc-init=consensus=2");
    elector.launch(&voting)?;
    observer.launch(
        &Launch::plain()
            .flag("--ipalloc-init=observer")
            .peer(elector.address()?),
    )?;
    observer.wait_path(elector, usual_path(), MEETING)?;
    for host in [elector, observer] {
        let status = host.ipam()?;
        ensure!(
            status.state == IpamState::Idle && status.owners.is_empty(),
            "nobody asked {host} for an address, and it has {status:?}"
        );
    }

    // The observer calls the vote, and does not count in it.
    let mut asking = ask(observer, &sites[1].container)?;
    for host in [elector, observer] {
        wait_state(host, IpamState::AwaitingConsensus)?;
    }
    ensure!(observer.ipam()?.pending.len() == 1, "{:?}", observer.ipam()?);
    by_hand_nothing_waits(lab, elector, &mut asking)?;
    ensure!(asking.is_running()?, "an address was given without a quorum");

    second.launch(&voting.peer(elector.address()?))?;
    let begun = Instant::now();
    let printed = asking.wait(SOON)?.ok()?;
    println!("an address {:.1?} after the second elector came", begun.elapsed());
    let first = printed.trim().parse().with_context(|| printed.clone())?;
    let other = only(&elector.attach_any(&sites[0].container, &[])?)?;
    ensure!(first != other, "{first} was given twice");
    observer.wait_path(elector, usual_path(), MEETING)?;
    ping(&sites[0].container, first)?;

    of_another_range(lab, second)
}

/// Asks for any address of the range, beside the scenario
fn ask(host: &Host, container: &Container) -> Result<Background> {
    host.weavectl_beside(&["attach", container.namespace().name()])
}

fn wait_state(host: &Host, wanted: IpamState) -> Result<()> {
    wait_for(&format!("{host}: {wanted}"), MEETING, || {
        let status = host.ipam()?;
        Ok(match status.state == wanted {
            true => Look::Done(()),
            false => Look::NotYet(format!("{status:?}")),
        })
    })?;
    Ok(())
}

/// Addresses outside the range, and whatever takes an address away, need nobody's vote
fn by_hand_nothing_waits(lab: &mut Lab, host: &Host, asking: &mut Background) -> Result<()> {
    let container = lab.container("by-hand")?;
    let name = container.namespace().name();
    let begun = Instant::now();
    host.attach(&container, &["10.99.0.1/24"])?;
    host.weavectl(&["expose", "--without-masquerade", "10.99.0.2/24"])?
        .ok()?;
    ping(&container, [10, 99, 0, 2].into())?;
    host.weavectl(&["hide", "10.99.0.2/24"])?.ok()?;
    host.weavectl(&["hide"])?.ok()?;
    host.weavectl(&["detach", "10.99.0.1/24", name])?.ok()?;
    ensure!(asking.is_running()?, "an address was given without a quorum");
    let took = begun.elapsed();
    ensure!(took < AT_ONCE, "attaching and detaching by hand took {took:?}");
    Ok(())
}

/// A host that is started with another range hands out of that
fn of_another_range(lab: &mut Lab, host: &Host) -> Result<()> {
    host.stop()?;
    host.launch(
        &Launch::plain()
            .flag("--ipalloc-range=10.3.0.0/16")
            .flag("--ipalloc-init=consensus=1"),
    )?;
    let container = lab.container("elsewhere")?;
    let begun = Instant::now();
    let address = only(&host.attach_any(&container, &[])?)?;
    ensure!(
        address.octets()[..2] == [10, 3] && begun.elapsed() < SOON,
        "{address} of 10.3.0.0/16 after {:?}",
        begun.elapsed()
    );
    Ok(())
}
