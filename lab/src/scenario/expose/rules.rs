//! Others flush the packet filter: the rules are back at once, and nobody else's are touched.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::masquerade::Place;
use crate::judge::nft;
use crate::wait::wait_until;
use crate::weave::{Launch, MEETING, usual_path};

/// What masquerades, and what filters
const TABLES: [&str; 2] = ["inet weave", "ip weave"];
/// How long the rules may be away
const REPAIRED: Duration = Duration::from_secs(1);

pub(super) fn act(place: &Place) -> Result<()> {
    let here = place.near.namespace();
    let tables = nft::tables(here)?;
    ensure!(tables.iter().eq(TABLES), "an exposed host has {tables:?}");
    let both = || {
        TABLES
            .map(|name| nft::table(here, name))
            .into_iter()
            .collect::<Result<Vec<_>>>()
    };
    let whole = both()?;
    let mut worst = Duration::ZERO;
    for script in [
        "flush ruleset",
        "delete table ip weave",
        "delete table inet weave",
        "flush chain inet weave input",
        "flush chain inet weave forward",
        "flush chain ip weave postrouting",
        "flush set ip weave inside",
        // As a firewall does that puts its own rules in the place of all others
        "flush ruleset; add table ip others; add chain ip others theirs",
    ] {
        nft::apply(here, script)?;
        let back = wait_until("the rules are back", REPAIRED, || Ok(both()? == whole));
        worst = worst.max(back.with_context(|| format!("after nft {script}"))?);
    }
    println!("rules that somebody flushed are back within {worst:.0?}");
    place.leaves_as_its_host("after a flush")?;
    place.among_themselves()?;
    ensure!(
        nft::tables(here)?.contains("ip others"),
        "somebody else's table is gone"
    );

    // Nobody watches, and then somebody starts.
    place.near.kill_weaved()?;
    nft::apply(here, "flush ruleset")?;
    place.near.launch(&Launch::plain().peer(place.far.address()?))?;
    ensure!(both()? == whole, "a restarted weaved does not make its rules");
    place.near.wait_path(&place.far, usual_path(), MEETING)?;
    place.leaves_as_its_host("after a restart")
}
