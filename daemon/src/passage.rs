//! What a bridge passes from container to container, past the host's packet filter.
//!
//! Where the kernel filters bridges (br_netfilter), the chain FORWARD sees these frames, too, and Docker
//! makes it drop what no rule accepts. One rule at its head accepts what comes from our bridge and goes
//! to it. It is put there by the program that others there use, `iptables`: only that knows which of the
//! kernel's two filters is in use. A chain that lets everything pass is left as it is.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use link::RulesetWatch;
use model::IfName;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Docker makes dozens of changes when it starts: one look after they are done is enough.
const QUIET: Duration = Duration::from_millis(100);
/// The older filter tells nobody of changes; and br_netfilter may be loaded at any time
const LOOK: Duration = Duration::from_secs(5);
/// Another `iptables` may hold the lock for a moment
const PATIENCE: Duration = Duration::from_secs(10);
/// One for each version of IP
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
const CHAIN: &str = "FORWARD";

/// Keeps the way open until `stop`, whatever others do to the rules
pub(crate) async fn keep_open(bridge: IfName, stop: CancellationToken) {
    let mut changes = RulesetWatch::open().ok();
    let mut told = false;
    loop {
        for program in PROGRAMS {
            match open(program, &bridge).await {
                Ok(false) => {}
                Ok(true) => log::info!("{program}: what {bridge} forwards is accepted"),
                Err(error) if !told => {
                    told = true;
                    log::warn!("{program} may drop what goes from container to container: {error}");
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
            () = tokio::time::sleep(LOOK) => {}
            changed = changed => match changed {
                Ok(()) => tokio::time::sleep(QUIET).await,
                Err(_broken) => changes = None,
            },
        }
    }
}

/// Takes the rules away; for a host that leaves the network
pub(crate) async fn close(bridge: &IfName) -> Result<(), PassageError> {
    for program in PROGRAMS {
        let Some(rules) = rules(program).await? else {
            continue;
        };
        for _ in 0..count(&rules, bridge) {
            let rule = rule(bridge);
            run(program, &[&["-w", "-D", CHAIN], &rule[..]].concat()).await?;
        }
    }
    Ok(())
}

/// Makes the rule if it is needed; whether it had to be made
async fn open(program: &str, bridge: &IfName) -> Result<bool, PassageError> {
    let filters = match program {
        "iptables" => "/proc/sys/net/bridge/bridge-nf-call-iptables",
        _ => "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
    };
    if !std::fs::read_to_string(filters).is_ok_and(|text| text.trim() == "1") {
        return Ok(false);
    }
    let Some(rules) = rules(program).await? else {
        return Ok(false);
    };
    if lets_all_pass(&rules) || count(&rules, bridge) > 0 {
        return Ok(false);
    }
    let rule = rule(bridge);
    run(program, &[&["-w", "-I", CHAIN], &rule[..]].concat()).await?;
    Ok(true)
}

fn rule(bridge: &IfName) -> [&str; 6] {
    ["-i", bridge.as_str(), "-o", bridge.as_str(), "-j", "ACCEPT"]
}

/// The chain as `iptables -S` lists it; none without that program
async fn rules(program: &str) -> Result<Option<String>, PassageError> {
    match run(program, &["-w", "-S", CHAIN]).await {
        Ok(text) => Ok(Some(text)),
        Err(PassageError::Run(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn lets_all_pass(rules: &str) -> bool {
    rules.lines().eq([format!("-P {CHAIN} ACCEPT")])
}

/// How often our rule is there
fn count(rules: &str, bridge: &IfName) -> usize {
    let ours = format!("-A {CHAIN} {}", rule(bridge).join(" "));
    rules.lines().filter(|line| line.trim() == ours).count()
}

async fn run(program: &str, line: &[&str]) -> Result<String, PassageError> {
    let output = Command::new(program)
        .args(line)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .map_err(|_elapsed| PassageError::Slow)?
        .map_err(PassageError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| !line.trim().is_empty());
    Err(PassageError::Refused(
        first.unwrap_or("no reason given").trim().to_owned(),
    ))
}

/// The rule is not what it should be
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassageError {
    /// It could not be started
    #[error("cannot run it: {0}")]
    Run(#[source] io::Error),
    /// It does not end
    #[error("it has not ended within {} s", PATIENCE.as_secs())]
    Slow,
    /// It, or the kernel, would not
    #[error("it says: {0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rule_is_found_among_others() {
        let bridge: IfName = "weave".parse().unwrap();
        let docker =
            "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n";
        assert_eq!(count(docker, &bridge), 0);
        assert!(!lets_all_pass(docker));
        let with_ours = format!("{docker}-A FORWARD -i weave -o weave -j ACCEPT\n");
        assert_eq!(count(&with_ours, &bridge), 1);
        assert_eq!(count(&with_ours, &"weave2".parse().unwrap()), 0);
    }

    #[test]
    fn only_a_chain_without_rules_that_accepts_lets_all_pass() {
        assert!(lets_all_pass("-P FORWARD ACCEPT\n"));
        assert!(!lets_all_pass("-P FORWARD DROP\n"));
        assert!(!lets_all_pass("-P FORWARD ACCEPT\n-A FORWARD -j REJECT\n"));
    }
}
