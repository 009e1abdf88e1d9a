//! The host's packet filter, as far as it is about this network: containers do not reach weaved's ports, and the
//! outside reaches containers through an exposed host only as far as it was asked for.
//!
//! What drops is a table of nftables, or where there is none, chains of `iptables`. What has to be accepted, as Docker
//! makes FORWARD drop the rest, is always up to `iptables`: a packet passes only if every table lets it.

mod iptables;
mod nft;
mod policy;

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{ExposeTo, PacketFilter};
use link::RulesetWatch;
use model::IfName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::iptables::{Family, Filter, Wanted};
use self::policy::{Facts, Rule, Verdict};
use crate::inside::Inside;
use crate::program::ProgramError;

/// Docker makes dozens of changes when it starts: one look after they are done is enough.
const QUIET: Duration = Duration::from_millis(100);
/// The older filter tells nobody of changes; and br_netfilter may be loaded at any time
const LOOK: Duration = Duration::from_secs(5);
/// How often rules are looked at of whose changes the kernel tells
const SELDOM: Duration = Duration::from_secs(60);

const INPUT: &str = "INPUT";
const FORWARD: &str = "FORWARD";

/// Weaved's ports
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// TCP of the control plane, and UDP of the sleeve
    pub(crate) control: u16,
    /// UDP of VXLAN
    pub(crate) vxlan: u16,
}

#[cfg(test)]
const PORTS: Ports = Ports {
    control: 6783,
    vxlan: 6784,
};

/// Which filter holds
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) filter: PacketFilter,
    /// Why none does
    pub(crate) error: Option<String>,
}

/// Keeps the rules in place, whatever others do to them
#[derive(Debug)]
pub(crate) struct Keeper {
    device: IfName,
    is_bridge: bool,
    ports: Ports,
    inside: watch::Receiver<Arc<Inside>>,
    exposed: watch::Receiver<Option<ExposeTo>>,
    standing: watch::Sender<Standing>,
    table: Table,
    filters: [Filter; 2],
    /// What was wanted of the filters last, and when they were seen to be so
    seen: [Option<(Vec<Wanted>, Instant)>; 2],
    has_warned: bool,
}

/// The table of nftables as it was made
#[derive(Debug, Default)]
struct Table {
    rules: [Vec<Rule>; 2],
    /// None, if it is not known how it should be listed
    listed: Option<String>,
    /// Why it could not be made
    error: Option<String>,
    /// When it was last seen, or could not be made
    looked: Option<Instant>,
}

/// Whose changes the kernel told
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    table: bool,
    chains: bool,
}

impl Keeper {
    /// A keeper of the rules for this device; `is_bridge` tells what it is
    pub(crate) fn new(
        device: IfName,
        is_bridge: bool,
        ports: Ports,
        inside: watch::Receiver<Arc<Inside>>,
        exposed: watch::Receiver<Option<ExposeTo>>,
    ) -> Self {
        let standing = Standing {
            filter: PacketFilter::None,
            error: None,
        };
        Self {
            device,
            is_bridge,
            ports,
            inside,
            exposed,
            standing: watch::Sender::new(standing),
            table: Table::default(),
            filters: Family::ALL.map(Filter::new),
            seen: [None, None],
            has_warned: false,
        }
    }

    /// Which filter holds, at each time
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Makes the rules, before anybody can connect; [`Self::keep`] finishes if this is given up
    pub(crate) async fn make(&mut self) {
        self.look(Heard::default()).await;
    }

    /// Keeps the rules as they should be, until `stop`
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let ours = chain_names(&self.device);
        let mut table = RulesetWatch::of_table(self.device.as_str()).ok();
        let mut chains =
            [FORWARD, INPUT, &ours[0], &ours[1]].map(|chain| RulesetWatch::of_chain("filter", chain).ok());
        // What happened before the watches began
        let mut heard = Heard {
            table: true,
            chains: true,
        };
        loop {
            self.look(heard).await;
            let [forward, input, own_forward, own_input] = &mut chains;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => heard = Heard::default(),
                // Whoever tells of these has ended: so does this program.
                told = self.inside.changed() => if told.is_err() { return },
                told = self.exposed.changed() => if told.is_err() { return },
                () = changed(&mut table) => heard = Heard { table: true, chains: false },
                () = async {
                    tokio::select! {
                        () = changed(forward) => {}
                        () = changed(input) => {}
                        () = changed(own_forward) => {}
                        () = changed(own_input) => {}
                    }
                } => heard = Heard { table: false, chains: true },
            }
            if heard.table || heard.chains {
                tokio::time::sleep(QUIET).await;
            }
            heard.table |= table.as_mut().is_some_and(RulesetWatch::forget);
            for watch in chains.iter_mut().flatten() {
                heard.chains |= watch.forget();
            }
        }
    }

    async fn look(&mut self, heard: Heard) {
        let inside = Arc::clone(&self.inside.borrow_and_update());
        let exposed = self.exposed.borrow_and_update().clone();
        let device = self.device.clone();
        let facts = Facts {
            device: &device,
            inside: &inside,
            exposed: exposed.as_ref(),
        };
        let made = self.look_at_table(&facts, heard.table).await;
        let by_table = made.is_ok();
        let mut filtered = Ok(());
        for at in 0..self.filters.len() {
            let wanted = self.wanted(&facts, at, by_table);
            let result = self.look_at_filter(at, wanted, heard.chains).await;
            // A host may have no IPv6.
            if self.filters[at].family() == Family::V4 {
                filtered = result;
            }
        }
        let standing = match (made, filtered) {
            (Ok(()), _) => Standing {
                filter: PacketFilter::Nftables,
                error: None,
            },
            (Err(_absent), Ok(())) => Standing {
                filter: PacketFilter::Iptables,
                error: None,
            },
            (Err(nft), Err(iptables)) => Standing {
                filter: PacketFilter::None,
                error: Some(format!("nft: {nft}; iptables: {iptables}")),
            },
        };
        self.stand(standing);
    }

    fn stand(&mut self, standing: Standing) {
        if let Some(error) = standing.error.as_ref().filter(|_error| !self.has_warned) {
            self.has_warned = true;
            log::warn!(
                "no packet filter keeps containers from weaved's ports, only weaved itself does: install nftables or \
                 iptables ({error})"
            );
        }
        self.standing.send_if_modified(|last| {
            let differs = *last != standing;
            if differs {
                log::info!("the packet filter for {}: {:?}", self.device, standing.filter);
                *last = standing;
            }
            differs
        });
    }

    /// Makes the table unless it is as it was made
    async fn look_at_table(&mut self, facts: &Facts<'_>, heard: bool) -> Result<(), String> {
        let rules = [policy::input(facts), policy::forward(facts, self.is_bridge)];
        let table = &mut self.table;
        let is_due = heard || table.looked.is_none_or(|looked| looked.elapsed() >= SELDOM);
        if rules == table.rules && !is_due {
            return match &table.error {
                None => Ok(()),
                Some(error) => Err(error.clone()),
            };
        }
        table.looked = Some(Instant::now());
        let is_whole = rules == table.rules
            && table.listed.is_some()
            && nft::table(&self.device)
                .await
                .is_ok_and(|listed| listed == table.listed);
        if is_whole {
            return Ok(());
        }
        let [input, forward] = &rules;
        let listed = nft::apply(&self.device, self.ports, input, forward).await;
        table.rules = rules;
        match listed {
            Ok(listed) => {
                if listed.is_none() {
                    table.looked = None;
                }
                table.listed = listed;
                table.error = None;
                Ok(())
            }
            Err(error) => {
                table.listed = None;
                let error = error.to_string();
                table.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// What is to be in the chains of one version of IP
    fn wanted(&self, facts: &Facts<'_>, at: usize, by_table: bool) -> Vec<Wanted> {
        let between = self.is_bridge && self.filters[at].family().filters_bridges();
        let forward = policy::forward(facts, between);
        let accepts = forward.iter().any(|rule| rule.verdict == Verdict::Accept);
        let chain = |hook, rules, is_needed: bool| Wanted {
            hook,
            rules: if is_needed { rules } else { Vec::new() },
            is_first: !by_table,
            unless_open: by_table,
        };
        vec![
            chain(INPUT, policy::input(facts), !by_table),
            chain(FORWARD, forward, !by_table || accepts),
        ]
    }

    /// Makes the chains of one version of IP unless they are as wanted; running a program costs more than all else
    /// that an idle host does
    async fn look_at_filter(
        &mut self,
        at: usize,
        wanted: Vec<Wanted>,
        heard: bool,
    ) -> Result<(), ProgramError> {
        let filter = &mut self.filters[at];
        if let Some((last, seen)) = &self.seen[at]
            && *last == wanted
        {
            let is_empty = wanted.iter().all(|wanted| wanted.rules.is_empty());
            let is_told_of = filter.is_told_of() && !heard;
            if is_empty || (is_told_of && seen.elapsed() < SELDOM) {
                return Ok(());
            }
        }
        match filter.reconcile(&self.device, self.ports, &wanted).await {
            Ok(has_changed) => {
                if has_changed {
                    log::info!("the rules of {:?} for {} were made", filter.family(), self.device);
                }
                self.seen[at] = Some((wanted, Instant::now()));
                Ok(())
            }
            Err(error) => {
                log::debug!("{:?}: {error}", filter.family());
                self.seen[at] = None;
                Err(error)
            }
        }
    }
}

/// Removes all rules; for a host that leaves the network
pub(crate) async fn remove(device: &IfName) -> anyhow::Result<()> {
    use anyhow::Context as _;

    nft::remove(device)
        .await
        .context("cannot remove the rules of nftables")?;
    iptables::remove(device)
        .await
        .context("cannot remove the rules of iptables")
}

fn chain_names(device: &IfName) -> [String; 2] {
    [FORWARD, INPUT].map(|hook| iptables::chain(device, hook))
}

/// Returns when the watch has something to tell; never, once it has failed
async fn changed(watch: &mut Option<RulesetWatch>) {
    if let Some(open) = watch {
        match open.changed().await {
            Ok(()) => return,
            Err(error) => {
                log::warn!("changes of the packet filter are noticed later: {error}");
                *watch = None;
            }
        }
    }
    std::future::pending().await
}
