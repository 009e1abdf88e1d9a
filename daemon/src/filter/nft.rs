//! The rules as a table of nftables that nothing else uses, written whole in one transaction.

use std::fmt::Write as _;

use model::IfName;

use super::Ports;
use super::policy::{Device, Rule, Verdict, What};
use crate::nft::{self, Family};
use crate::program::ProgramError;

/// Makes the table what these rules say; how `nft` lists it then, unless somebody changed it at the same time
pub(super) async fn apply(
    device: &IfName,
    ports: Ports,
    input: &[Rule],
    forward: &[Rule],
) -> Result<Option<String>, ProgramError> {
    let script = script(device, ports, input, forward);
    nft::apply(&script).await?;
    let listed = table(device).await?;
    Ok(listed.filter(|listed| count(listed) == count(&script)))
}

/// How many rules a table has
fn count(text: &str) -> usize {
    let is_rule = |line: &&str| line.ends_with(" accept") || line.ends_with(" drop");
    text.lines().filter(is_rule).count()
}

/// The table as `nft` lists it; none if it is not there
pub(super) async fn table(device: &IfName) -> Result<Option<String>, ProgramError> {
    nft::table(Family::Inet, device).await
}

/// Removes the table, if it is there
pub(super) async fn remove(device: &IfName) -> Result<(), ProgramError> {
    // A host without nftables has no table.
    if matches!(table(device).await, Ok(Some(_))) {
        nft::apply(&removal(device)).await?;
    }
    Ok(())
}

fn removal(device: &IfName) -> String {
    format!("table inet {device} {{}}\ndelete table inet {device}\n")
}

/// Before the rules of others, which may accept for good what is dropped here
fn script(device: &IfName, ports: Ports, input: &[Rule], forward: &[Rule]) -> String {
    let mut script = removal(device);
    let _infallible = writeln!(script, "table inet {device} {{");
    for (hook, rules) in [("input", input), ("forward", forward)] {
        let _infallible = writeln!(
            script,
            "\tchain {hook} {{\n\t\ttype filter hook {hook} priority -10; policy accept;"
        );
        for rule in rules {
            for line in lines(rule, ports) {
                let _infallible = writeln!(script, "\t\t{line}");
            }
        }
        script.push_str("\t}\n");
    }
    script.push_str("}\n");
    script
}

fn lines(rule: &Rule, ports: Ports) -> Vec<String> {
    let mut matches = String::new();
    for (word, device) in [("iifname", &rule.comes_by), ("oifname", &rule.leaves_by)] {
        let _infallible = match device {
            Device::Any => Ok(()),
            Device::Is(device) => write!(matches, "{word} \"{device}\" "),
            Device::Not(device) => write!(matches, "{word} != \"{device}\" "),
        };
    }
    let family = |is_ipv4| if is_ipv4 { "ip" } else { "ip6" };
    if let Some(network) = rule.from {
        let _infallible = write!(matches, "{} saddr {network} ", family(network.is_ipv4()));
    }
    if let Some(address) = rule.to {
        let _infallible = write!(matches, "{} daddr {address} ", family(address.is_ipv4()));
    }
    let verdict = match rule.verdict {
        // Of one table only: a rule of others may drop it still.
        Verdict::Accept | Verdict::Pass => "accept",
        Verdict::Drop => "drop",
    };
    let Ports { control, vxlan } = ports;
    match rule.what {
        What::All => vec![format!("{matches}{verdict}")],
        What::Replies => vec![format!("{matches}ct state established,related {verdict}")],
        What::Ports => vec![
            format!("{matches}tcp dport {control} {verdict}"),
            format!("{matches}udp dport {{ {control}, {vxlan} }} {verdict}"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Facts, tests::inside};
    use super::super::{PORTS, policy};
    use super::*;

    #[test]
    fn each_rule_has_its_line() {
        let (device, inside) = ("weave".parse().unwrap(), inside());
        let to = ["192.168.7.0/24".parse().unwrap()].into_iter().collect();
        let facts = Facts {
            device: &device,
            inside: &inside,
            exposed: Some(&to),
        };
        let script = script(
            &device,
            PORTS,
            &policy::input(&facts),
            &policy::forward(&facts, false),
        );
        let lines: Vec<&str> = script.lines().map(str::trim).collect();
        for line in [
            "iifname \"weave\" tcp dport 6783 drop",
            "iifname \"docker0\" udp dport { 6783, 6784 } drop",
            "ip daddr 10.32.0.1 tcp dport 6783 drop",
            "ip saddr 10.40.5.0/24 tcp dport 6783 accept",
            "ip6 saddr fd00::/64 tcp dport 6783 drop",
            "iifname \"docker0\" oifname != \"docker0\" tcp dport 6783 drop",
            "iifname != \"weave\" oifname \"weave\" ct state established,related accept",
            "iifname != \"weave\" oifname \"weave\" ip saddr 192.168.7.0/24 accept",
            "iifname \"docker0\" oifname \"weave\" drop",
            "iifname != \"weave\" oifname \"weave\" drop",
            "iifname \"weave\" oifname != \"weave\" accept",
        ] {
            assert_eq!(
                lines.iter().filter(|found| **found == line).count(),
                1,
                "{line}\n{script}"
            );
        }
    }
}
