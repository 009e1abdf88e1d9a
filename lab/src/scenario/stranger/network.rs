//! Three hosts whose containers talk all the time, and a watch on what reaches these.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use api::ConnectionState;
use model::PathKind;

use crate::judge::ping::{Ping, Pinging};
use crate::site::{Site, on_one_network, ping_all_pairs};
use crate::topology::{ETHERNET, Lab};
use crate::weave::{Launch, MEETING};

/// What the stranger's frames carry
pub(super) const MARK: &[u8] = b"injected-by-a-stranger";
/// What it takes until frames that were sent would be seen
const SETTLED: Duration = Duration::from_millis(500);

/// The hosts, of which the last is the stranger's site without a weaved
pub(super) struct Network {
    sites: [Site; 3],
    stranger: Site,
}

/// What must be the same afterwards: each host's connections, by name of the other
type Connections = BTreeMap<(String, String), (ConnectionState, Option<PathKind>)>;

impl Network {
    /// Launches three hosts like this; those at the places in `trusting` trust each other's addresses
    pub(super) fn launch(lab: &mut Lab, launches: [Launch; 3], trusting: &[usize]) -> Result<Self> {
        let [one, two, three, stranger] =
            on_one_network(lab, ["host1", "host2", "host3", "stranger"], ETHERNET)?;
        let sites = [one, two, three];
        for (place, (site, launch)) in sites.iter().zip(launches).enumerate() {
            let mut launch = launch;
            for earlier in sites.iter().take(place) {
                launch = launch.peer(earlier.host.address()?);
            }
            if trusting.contains(&place) {
                let trusted = trusting
                    .iter()
                    .filter_map(|place| Some(format!("{}/32", sites.get(*place)?.host.address().ok()?)));
                let trusted: Vec<String> = trusted.collect();
                launch = launch.flag(&format!("--trusted-subnets={}", trusted.join(",")));
            }
            site.host.launch(&launch)?;
        }
        for site in &sites {
            site.host.wait_peers(3, 6, MEETING)?;
        }
        sites.iter().try_for_each(Site::attach)?;
        ping_all_pairs(&sites)?;
        Ok(Self { sites, stranger })
    }

    pub(super) const fn sites(&self) -> &[Site; 3] {
        &self.sites
    }

    pub(super) const fn stranger(&self) -> &Site {
        &self.stranger
    }

    /// Lets the stranger act while all containers ping each other: no ping is lost, no connection is another,
    /// nothing of the stranger's arrives, and what it sent is counted
    pub(super) fn undisturbed(&self, what: &str, act: impl FnOnce() -> Result<u64>) -> Result<()> {
        // Paths that are still measured or on probation change by themselves.
        std::thread::sleep(Duration::from_secs(3));
        let before = self.connections()?;
        let counted = self.drops()?;
        let pings = self.start_pings()?;
        let expected = act()?;
        std::thread::sleep(SETTLED);
        for pinging in pings {
            let pings = pinging.stop()?;
            // The request under way when ping was ended has no answer.
            ensure!(pings.lost() <= 1 && pings.duplicates == 0, "{what}: {pings:?}");
        }
        let after = self.connections()?;
        ensure!(before == after, "{what}: from {before:?} to {after:?}");
        let counted = self.drops()?.saturating_sub(counted);
        println!("{what}: {counted} counted, of {expected} that are to be");
        ensure!(counted >= expected, "{what}: {counted} counted of {expected}");
        Ok(())
    }

    fn start_pings(&self) -> Result<Vec<Pinging>> {
        let mut all = Vec::new();
        for from in &self.sites {
            for to in self.sites.iter().filter(|to| to.address != from.address) {
                let ping = Ping::to(to.address).every(Duration::from_millis(100));
                all.push(ping.start(from.container.namespace())?);
            }
        }
        Ok(all)
    }

    fn connections(&self) -> Result<Connections> {
        let mut all = BTreeMap::new();
        for site in &self.sites {
            for other in self.sites.iter().filter(|other| other.address != site.address) {
                let Some(found) = site.host.connection_to(&other.host)? else {
                    continue;
                };
                let names = (site.host.name().to_owned(), other.host.name().to_owned());
                all.insert(names, (found.state, found.path));
            }
        }
        Ok(all)
    }

    /// What all hosts dropped, all reasons together
    fn drops(&self) -> Result<u64> {
        let mut sum = 0;
        for site in &self.sites {
            sum += site.host.status()?.drops.values().sum::<u64>();
        }
        Ok(sum)
    }
}
