//! weaved does not run: whoever wants the network is told so at once, all others are served.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::one_host;
use crate::docker::{Docker, IMAGE};
use crate::topology::Lab;
use crate::weave::Launch;

/// How long a refusal may take
const SOON: Duration = Duration::from_secs(5);

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let docker = one_host(lab)?;
    docker.proxied().sleeper("a1", &[])?;
    let address = docker.proxied().address("a1")?;
    docker.direct().sleeper("b1", &["--net=weave"])?;
    docker.host().stop()?;

    let by_proxy = docker.proxied();
    refused(&docker, "by the proxy", || {
        by_proxy.run(&["run", "--name", "c1", IMAGE, "true"])
    })?;
    let by_plugin = docker.direct();
    refused(&docker, "by the plugin", || {
        by_plugin.run(&["run", "--name", "c2", "--net=weave", IMAGE, "true"])
    })?;
    docker.direct().remove(&["c1", "c2"])?;

    // Containers that are not on the network, and those that are on it.
    by_proxy
        .run(&["run", "--rm", "-e", "WEAVE_CIDR=none", IMAGE, "true"])?
        .ok()?;
    by_proxy
        .run(&["run", "--rm", "--net=host", IMAGE, "true"])?
        .ok()?;
    docker.direct().run(&["run", "--rm", IMAGE, "true"])?.ok()?;
    ensure!(by_proxy.address("a1")? == address, "a1 has lost {address}");
    by_proxy.exec("a1", &["true"])?;
    // Ends without weaved, too.
    let begun = Instant::now();
    docker.direct().run(&["rm", "-f", "b1"])?.ok()?;
    println!("a container ended without weaved: {:.1?}", begun.elapsed());

    docker.host().launch(&Launch::plain())?;
    by_proxy
        .run(&["run", "--rm", IMAGE, "ping", "-c1", "-W3", "a1"])?
        .ok()?;
    ensure!(by_proxy.address("a1")? == address, "a1 has lost {address}");
    Ok(())
}

fn refused(docker: &Docker, who: &str, run: impl FnOnce() -> Result<crate::command::Finished>) -> Result<()> {
    let begun = Instant::now();
    let told = run()?.refused()?;
    let took = begun.elapsed();
    println!(
        "{who}, after {took:.1?}: {}",
        told.lines().next().unwrap_or_default()
    );
    ensure!(took < SOON, "refused after {took:?}: {told}");
    ensure!(
        told.contains("weavectl launch"),
        "it does not say what to do: {told}"
    );
    let left = docker
        .direct()
        .run(&["ps", "-q", "--filter", "name=c[12]"])?
        .ok()?;
    ensure!(left.is_empty(), "it runs: {left}");
    Ok(())
}
