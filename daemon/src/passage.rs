//! What passes the host's packet filter on its way: from container to container over a bridge, and between
//! containers and the outside through a host that is exposed.
//!
//! Docker makes the chain FORWARD drop what no rule accepts. Where the kernel filters bridges (br_netfilter),
//! that is also what goes from container to container; with any datapath it is what the host routes. Rules at
//! the head of the chain accept what comes from our device, and what goes to it. They are put there by the
//! program that others there use, `iptables`: only that knows which of the kernel's two filters is in use. A
//! chain that lets everything pass is left as it is.

use std::time::{Duration, Instant};

use link::RulesetWatch;
use model::IfName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::program::{self, ProgramError};

/// Docker makes dozens of changes when it starts: one look after they are done is enough.
const QUIET: Duration = Duration::from_millis(100);
/// The older filter tells nobody of changes; and br_netfilter may be loaded at any time
const LOOK: Duration = Duration::from_secs(5);
/// How often a chain is looked at of whose changes the kernel tells
const SELDOM: Duration = Duration::from_secs(60);
/// Another `iptables` may hold the lock for a moment
const PATIENCE: Duration = Duration::from_secs(10);
/// One for each version of IP
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
const TABLE: &str = "filter";
const CHAIN: &str = "FORWARD";

/// What a rule of ours accepts
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From container to container
    Between,
    /// From containers to the outside
    Out,
    /// From the outside to containers
    In,
}

impl Way {
    const ALL: [Self; 3] = [Self::Between, Self::Out, Self::In];

    /// As `iptables -S` shows it
    fn rule(self, device: &IfName) -> Vec<&str> {
        let device = device.as_str();
        match self {
            Self::Between => vec!["-i", device, "-o", device, "-j", "ACCEPT"],
            Self::Out => vec!["-i", device, "!", "-o", device, "-j", "ACCEPT"],
            Self::In => vec!["!", "-i", device, "-o", device, "-j", "ACCEPT"],
        }
    }
}

/// One of the programs, and what was last seen by it
#[derive(Debug)]
struct Filter {
    program: &'static str,
    /// Whether the kernel tells of what it changes; asked when it is first needed
    is_told_of: Option<bool>,
    wanted: Vec<Way>,
    /// When the chain was last seen to be as wanted
    seen: Option<Instant>,
}

impl Filter {
    const fn new(program: &'static str) -> Self {
        Self {
            program,
            is_told_of: None,
            wanted: Vec::new(),
            seen: None,
        }
    }

    /// Whether the chain has to be looked at: running a program costs more than all else that an idle host does
    async fn is_due(&mut self, wanted: &[Way], heard: bool) -> bool {
        if wanted != self.wanted {
            return true;
        }
        if wanted.is_empty() {
            return false;
        }
        let Some(seen) = self.seen else { return true };
        heard || seen.elapsed() >= SELDOM || !self.is_told_of().await
    }

    async fn is_told_of(&mut self) -> bool {
        match self.is_told_of {
            Some(known) => known,
            None => {
                let version = run(self.program, &["-V"]).await;
                let is_told_of = version.is_ok_and(|version| version.contains("nf_tables"));
                *self.is_told_of.insert(is_told_of)
            }
        }
    }
}

/// Keeps the ways of a device open until `stop`, whatever others do to the rules; `is_bridge` tells what it is
pub(crate) async fn keep_open(
    device: IfName,
    is_bridge: bool,
    mut exposed: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut changes = RulesetWatch::of_chain(TABLE, CHAIN).ok();
    let mut filters = PROGRAMS.map(Filter::new);
    let mut told = false;
    let mut heard = true;
    loop {
        let is_exposed = *exposed.borrow_and_update();
        for filter in &mut filters {
            let program = filter.program;
            let wanted: Vec<Way> = Way::ALL
                .into_iter()
                .filter(|way| match way {
                    Way::Between => is_bridge && filters_bridges(program),
                    Way::Out | Way::In => is_exposed,
                })
                .collect();
            if !filter.is_due(&wanted, heard || changes.is_none()).await {
                continue;
            }
            let reconciled = reconcile(program, &device, &wanted).await;
            filter.seen = reconciled.is_ok().then(Instant::now);
            filter.wanted = wanted;
            match reconciled {
                Ok(false) => {}
                Ok(true) => log::info!("{program}: what {device} forwards is accepted as it is to be"),
                Err(error) if !told => {
                    told = true;
                    log::warn!("{program} may drop what containers send: {error}");
                }
                Err(error) => log::debug!("{program}: {error}"),
            }
        }
        let changed = async {
            match &mut changes {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => heard = false,
            told = exposed.changed() => match told {
                Ok(()) => heard = false,
                // Who tells of it has ended: so does this program.
                Err(_ended) => return,
            },
            changed = changed => match changed {
                Ok(()) => {
                    tokio::time::sleep(QUIET).await;
                    heard = true;
                }
                Err(_broken) => changes = None,
            },
        }
        if let Some(watch) = &mut changes {
            heard |= watch.forget();
        }
    }
}

/// Takes the rules away; for a host that leaves the network
pub(crate) async fn close(device: &IfName) -> Result<(), ProgramError> {
    for program in PROGRAMS {
        reconcile(program, device, &[]).await?;
    }
    Ok(())
}

/// Whether the kernel shows this program's rules what bridges pass
fn filters_bridges(program: &str) -> bool {
    let switch = match program {
        "iptables" => "/proc/sys/net/bridge/bridge-nf-call-iptables",
        _ => "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
    };
    std::fs::read_to_string(switch).is_ok_and(|text| text.trim() == "1")
}

/// Has the chain accept these ways, and no other of ours; whether something had to be changed
async fn reconcile(program: &str, device: &IfName, wanted: &[Way]) -> Result<bool, ProgramError> {
    let rules = match run(program, &["-w", "-S", CHAIN]).await {
        Ok(rules) => rules,
        Err(error) => {
            // Then nobody here filters by it, nor did this program.
            log::debug!("{program} lists no rules: {error}");
            return Ok(false);
        }
    };
    let mut has_changed = false;
    for way in Way::ALL {
        let is_needed = wanted.contains(&way) && !lets_all_pass(&rules);
        let there = count(&rules, device, way);
        let (verb, times) = match (is_needed, there) {
            (true, 0) => ("-I", 1),
            (true, _) | (false, 0) => continue,
            (false, there) => ("-D", there),
        };
        for _ in 0..times {
            let rule = way.rule(device);
            run(program, &[&["-w", verb, CHAIN], &rule[..]].concat()).await?;
        }
        has_changed = true;
    }
    Ok(has_changed)
}

fn lets_all_pass(rules: &str) -> bool {
    rules.lines().eq([format!("-P {CHAIN} ACCEPT")])
}

/// How often our rule for this is there
fn count(rules: &str, device: &IfName, way: Way) -> usize {
    let ours = format!("-A {CHAIN} {}", way.rule(device).join(" "));
    rules.lines().filter(|line| line.trim() == ours).count()
}

async fn run(program: &str, line: &[&str]) -> Result<String, ProgramError> {
    program::run(program, line, "", PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rules_are_found_among_others() {
        let device: IfName = "weave".parse().unwrap();
        let docker =
            "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n";
        for way in Way::ALL {
            assert_eq!(count(docker, &device, way), 0);
        }
        assert!(!lets_all_pass(docker));
        let with_ours = format!(
            "{docker}-A FORWARD -i weave -o weave -j ACCEPT\n-A FORWARD -i weave ! -o weave -j ACCEPT\n\
             -A FORWARD ! -i weave -o weave -j ACCEPT\n"
        );
        for way in Way::ALL {
            assert_eq!(count(&with_ours, &device, way), 1, "{way:?}");
            assert_eq!(count(&with_ours, &"weave2".parse().unwrap(), way), 0);
        }
    }

    #[test]
    fn only_a_chain_without_rules_that_accepts_lets_all_pass() {
        assert!(lets_all_pass("-P FORWARD ACCEPT\n"));
        assert!(!lets_all_pass("-P FORWARD DROP\n"));
        assert!(!lets_all_pass("-P FORWARD ACCEPT\n-A FORWARD -j REJECT\n"));
    }
}
