//! The rules as chains of the table `filter`, by the program that others on this host use: only that knows which of
//! the kernel's two filters is in use.
//!
//! Docker makes the chain FORWARD drop what no rule accepts; no other table can let that through. So a chain of ours
//! is asked first there, unless FORWARD lets everything pass; and where there is no nftables, one for INPUT, too.

use std::fmt::Write as _;
use std::time::Duration;

use model::IfName;

use super::Ports;
use super::policy::{Device, Rule, Verdict, What};
use crate::program::{self, ProgramError};

/// Another `iptables` may hold the lock for a moment
const PATIENCE: Duration = Duration::from_secs(10);

/// A version of IP
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The programs that may know its rules: where the kernel has no nftables, the usual one may be of no use
    const fn programs(self) -> [&'static str; 2] {
        match self {
            Self::V4 => ["iptables", "iptables-legacy"],
            Self::V6 => ["ip6tables", "ip6tables-legacy"],
        }
    }

    fn restore(program: &str) -> &'static str {
        match program {
            "iptables" => "iptables-restore",
            "ip6tables" => "ip6tables-restore",
            "iptables-legacy" => "iptables-legacy-restore",
            _ => "ip6tables-legacy-restore",
        }
    }

    /// Whether somebody has used the table of the older program
    fn has_older_table(self) -> bool {
        let tables = match self {
            Self::V4 => "/proc/net/ip_tables_names",
            Self::V6 => "/proc/net/ip6_tables_names",
        };
        std::fs::read_to_string(tables).is_ok_and(|names| names.lines().any(|name| name == "filter"))
    }

    /// Whether the kernel shows its rules what bridges pass
    pub(super) fn filters_bridges(self) -> bool {
        let switch = match self {
            Self::V4 => "/proc/sys/net/bridge/bridge-nf-call-iptables",
            Self::V6 => "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
        };
        std::fs::read_to_string(switch).is_ok_and(|text| text.trim() == "1")
    }
}

/// A chain of the kernel's, and what is to be in ours that it asks
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `INPUT` or `FORWARD`
    pub(super) hook: &'static str,
    /// None, if there is to be no chain of ours
    pub(super) rules: Vec<Rule>,
    /// Ours is asked before all others: what it drops must not have been accepted
    pub(super) is_first: bool,
    /// Ours is not needed where the kernel's lets everything pass
    pub(super) unless_open: bool,
}

/// A program, and what it showed after the last change
#[derive(Debug)]
pub(super) struct Filter {
    family: Family,
    /// Of [`Family::programs`], those before are of no use
    first: usize,
    program: Option<&'static str>,
    /// Whether the kernel tells of what it changes
    is_told_of: bool,
    made: Vec<(&'static str, Vec<String>, Vec<Rule>)>,
}

impl Filter {
    pub(super) const fn new(family: Family) -> Self {
        Self {
            family,
            first: 0,
            program: None,
            is_told_of: false,
            made: Vec::new(),
        }
    }

    pub(super) const fn family(&self) -> Family {
        self.family
    }

    /// Whether the kernel tells of what others do to these rules
    pub(super) const fn is_told_of(&self) -> bool {
        self.is_told_of
    }

    /// Makes the chains as wanted, unless they are; whether something had to be changed
    ///
    /// An error leaves everything as it was: the program changes all or nothing. One that shows rules and cannot
    /// make any, as on a kernel with half of nftables, gives way to the older one.
    pub(super) async fn reconcile(
        &mut self,
        device: &IfName,
        ports: Ports,
        wanted: &[Wanted],
    ) -> Result<bool, ProgramError> {
        let done = self.try_to(device, ports, wanted).await;
        let may_be_useless = self.first == 0 && wanted.iter().any(|wanted| wanted.is_first);
        let Err(error @ ProgramError::Refused(_)) = done else {
            return done;
        };
        if !may_be_useless {
            return Err(error);
        }
        (self.first, self.program) = (1, None);
        let done = self.try_to(device, ports, wanted).await;
        if done.is_err() {
            (self.first, self.program) = (0, None);
            // What the usual one says is what people know.
            return Err(error);
        }
        done
    }

    async fn try_to(
        &mut self,
        device: &IfName,
        ports: Ports,
        wanted: &[Wanted],
    ) -> Result<bool, ProgramError> {
        let (program, listing) = self.list().await?;
        let mut script = String::new();
        let mut made = Vec::new();
        for wanted in wanted {
            let chain = chain(device, wanted.hook);
            let found = Found::of(&listing, wanted.hook, &chain);
            let is_open = wanted.unless_open && found.others_let_all_pass;
            if wanted.rules.is_empty() || is_open {
                found.remove(wanted.hook, &chain, &mut script);
                continue;
            }
            made.push((wanted.hook, wanted.rules.clone()));
            let last = self.made.iter().find(|(hook, ..)| *hook == wanted.hook);
            let is_whole = last.is_some_and(|(_, lines, rules)| {
                *rules == wanted.rules && lines.iter().eq(found.ours.iter().flatten())
            });
            let is_asked = found.jumps == 1 && (found.is_first || !wanted.is_first);
            if !is_whole || !is_asked {
                found.put(wanted.hook, &chain, &mut script);
                for line in wanted
                    .rules
                    .iter()
                    .flat_map(|rule| lines(rule, ports, self.family))
                {
                    let _infallible = writeln!(script, "-A {chain} {line}");
                }
            }
        }
        if script.is_empty() {
            return Ok(false);
        }
        let script = format!("*filter\n{script}COMMIT\n");
        run(Family::restore(program), &["-w", "--noflush"], &script).await?;
        let (_program, listing) = self.list().await?;
        let listed = made.into_iter().filter_map(|(hook, rules): (_, Vec<Rule>)| {
            let ours = Found::of(&listing, hook, &chain(device, hook)).ours?;
            let made = rules.iter().flat_map(|rule| lines(rule, ports, self.family));
            // Else somebody changed it at the same time: it is made again at the next look.
            (ours.len() == made.count()).then_some((hook, ours, rules))
        });
        self.made = listed.collect();
        Ok(true)
    }

    /// The table as the program shows it
    async fn list(&mut self) -> Result<(&'static str, String), ProgramError> {
        if let Some(program) = self.program {
            match run(program, &["-w", "-S"], "").await {
                Ok(listing) => return Ok((program, listing)),
                Err(_gone) => self.program = None,
            }
        }
        let mut first_error = None;
        let mut found = None;
        for program in self.family.programs().into_iter().skip(self.first) {
            match run(program, &["-w", "-S"], "").await {
                Ok(listing) => {
                    found = Some((program, listing));
                    break;
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let Some((program, listing)) = found else {
            let none = || ProgramError::Refused("there is no such program".to_owned());
            return Err(first_error.unwrap_or_else(none));
        };
        let version = run(program, &["-V"], "").await;
        self.is_told_of = version.is_ok_and(|version| version.contains("nf_tables"));
        self.program = Some(program);
        Ok((program, listing))
    }
}

/// Removes our chains of both versions of IP, by whichever program they were made
pub(super) async fn remove(device: &IfName) -> Result<(), ProgramError> {
    let each = |family| [0, 1].map(|first| (family, first));
    for (family, first) in Family::ALL.into_iter().flat_map(each) {
        // To ask the older one makes the kernel have a table for it.
        if first == 1 && !family.has_older_table() {
            continue;
        }
        let mut filter = Filter::new(family);
        filter.first = first;
        if let Err(error) = filter.list().await {
            // Nobody here filters by it, nor did this program.
            log::debug!("{family:?} has no rules: {error}");
            continue;
        }
        let none = ["INPUT", "FORWARD"].map(|hook| Wanted {
            hook,
            rules: Vec::new(),
            is_first: false,
            unless_open: false,
        });
        let ports = Ports::default();
        filter.reconcile(device, ports, &none).await?;
    }
    Ok(())
}

/// What a listing shows of one of the kernel's chains and of ours
struct Found {
    /// The rules of our chain as they are listed; none if it is not there
    ours: Option<Vec<String>>,
    /// How often ours is asked
    jumps: usize,
    /// Ours is asked before everything else
    is_first: bool,
    /// The kernel's chain has no rules but ours, and accepts what is left
    others_let_all_pass: bool,
}

impl Found {
    fn of(listing: &str, hook: &str, chain: &str) -> Self {
        let rules = |chain: &str| {
            let head = format!("-A {chain} ");
            let lines = listing.lines().map(str::trim);
            lines
                .filter(move |line| line.starts_with(&head))
                .map(str::to_owned)
        };
        let has = |line: &str| listing.lines().any(|found| found.trim() == line);
        let jump = jump(hook, chain);
        let hooked: Vec<String> = rules(hook).collect();
        let jumps = hooked.iter().filter(|line| **line == jump).count();
        Self {
            ours: has(&format!("-N {chain}")).then(|| rules(chain).collect()),
            jumps,
            is_first: hooked.first() == Some(&jump),
            others_let_all_pass: hooked.len() == jumps && has(&format!("-P {hook} ACCEPT")),
        }
    }

    /// Takes away what asks our chain
    fn unhook(&self, hook: &str, chain: &str, script: &mut String) {
        for _ in 0..self.jumps {
            let _infallible = writeln!(script, "{}", jump(hook, chain).replacen("-A", "-D", 1));
        }
    }

    /// Makes our chain, or empties it, and has it asked first
    fn put(&self, hook: &str, chain: &str, script: &mut String) {
        // To declare a chain empties it.
        let _infallible = writeln!(script, ":{chain} - [0:0]");
        self.unhook(hook, chain, script);
        let _infallible = writeln!(script, "{}", jump(hook, chain).replacen("-A", "-I", 1));
    }

    fn remove(&self, hook: &str, chain: &str, script: &mut String) {
        self.unhook(hook, chain, script);
        if self.ours.is_some() {
            let _infallible = writeln!(script, "-F {chain}\n-X {chain}");
        }
    }
}

/// What our chain is called that this one of the kernel's asks
pub(super) fn chain(device: &IfName, hook: &str) -> String {
    format!("{device}-{}", hook.to_ascii_lowercase())
}

/// As `iptables -S` shows it
fn jump(hook: &str, chain: &str) -> String {
    format!("-A {hook} -j {chain}")
}

/// A rule without its chain; none for the other version of IP
fn lines(rule: &Rule, ports: Ports, family: Family) -> Vec<String> {
    let is_ours = |is_ipv4: bool| is_ipv4 == (family == Family::V4);
    if rule.from.is_some_and(|network| !is_ours(network.is_ipv4()))
        || rule.to.is_some_and(|address| !is_ours(address.is_ipv4()))
    {
        return Vec::new();
    }
    let mut matches = String::new();
    if let Some(network) = rule.from {
        let _infallible = write!(matches, "-s {network} ");
    }
    if let Some(address) = rule.to {
        let _infallible = write!(matches, "-d {address} ");
    }
    for (flag, device) in [("-i", &rule.comes_by), ("-o", &rule.leaves_by)] {
        let _infallible = match device {
            Device::Any => Ok(()),
            Device::Is(device) => write!(matches, "{flag} {device} "),
            Device::Not(device) => write!(matches, "! {flag} {device} "),
        };
    }
    let verdict = match rule.verdict {
        Verdict::Accept => "-j ACCEPT",
        Verdict::Pass => "-j RETURN",
        Verdict::Drop => "-j DROP",
    };
    let Ports { control, vxlan } = ports;
    match rule.what {
        What::All => vec![format!("{matches}{verdict}")],
        What::Replies => vec![format!(
            "{matches}-m conntrack --ctstate RELATED,ESTABLISHED {verdict}"
        )],
        What::Ports => vec![
            format!("{matches}-p tcp -m tcp --dport {control} {verdict}"),
            format!("{matches}-p udp -m udp --dport {control} {verdict}"),
            format!("{matches}-p udp -m udp --dport {vxlan} {verdict}"),
        ],
    }
}

async fn run(program: &str, line: &[&str], input: &str) -> Result<String, ProgramError> {
    program::run(program, line, input, PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Facts, tests::inside};
    use super::super::{PORTS, policy};
    use super::*;

    #[test]
    fn our_chain_and_what_asks_it_are_found_among_others() {
        let docker = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER\n-A FORWARD -j DOCKER-USER\n\
                      -A FORWARD -i docker0 -o docker0 -j ACCEPT\n";
        let found = Found::of(docker, "FORWARD", "weave-forward");
        assert!(found.ours.is_none() && found.jumps == 0 && !found.is_first && !found.others_let_all_pass);
        assert!(Found::of(docker, "INPUT", "weave-input").others_let_all_pass);
        let ours = format!(
            "{docker}-N weave-forward\n-A FORWARD -j weave-forward\n-A weave-forward -i weave -j ACCEPT\n"
        );
        let found = Found::of(&ours, "FORWARD", "weave-forward");
        assert_eq!(
            found.ours.as_deref(),
            Some(&["-A weave-forward -i weave -j ACCEPT".to_owned()][..])
        );
        assert!(found.jumps == 1 && !found.is_first);
        let found = Found::of(&ours, "FORWARD", "weave2-forward");
        assert!(found.ours.is_none() && found.jumps == 0);
        let alone = "-P FORWARD ACCEPT\n-N weave-forward\n-A FORWARD -j weave-forward\n";
        let found = Found::of(alone, "FORWARD", "weave-forward");
        assert!(found.is_first && found.others_let_all_pass);
    }

    #[test]
    fn each_rule_has_its_line_in_its_version_of_ip() {
        let (device, inside) = ("weave".parse().unwrap(), inside());
        let to = ["192.168.7.0/24".parse().unwrap()].into_iter().collect();
        let facts = Facts {
            device: &device,
            inside: &inside,
            exposed: Some(&to),
        };
        let rules = [policy::input(&facts), policy::forward(&facts, true)].concat();
        let of =
            |family| -> Vec<String> { rules.iter().flat_map(|rule| lines(rule, PORTS, family)).collect() };
        let (v4, v6) = (of(Family::V4), of(Family::V6));
        for (line, in_v4, in_v6) in [
            ("-i weave -p tcp -m tcp --dport 6783 -j DROP", true, true),
            ("-i docker0 -p udp -m udp --dport 6784 -j DROP", true, true),
            ("-d 10.32.0.1 -p udp -m udp --dport 6783 -j DROP", true, false),
            (
                "-s 10.40.5.0/24 -p tcp -m tcp --dport 6783 -j RETURN",
                true,
                false,
            ),
            ("-s fd00::/64 -p tcp -m tcp --dport 6783 -j DROP", false, true),
            (
                "-i docker0 ! -o docker0 -p tcp -m tcp --dport 6783 -j DROP",
                true,
                true,
            ),
            ("-i weave -o weave -j ACCEPT", true, true),
            (
                "! -i weave -o weave -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                true,
                true,
            ),
            ("-s 192.168.7.0/24 ! -i weave -o weave -j ACCEPT", true, false),
            ("! -i weave -o weave -j DROP", true, true),
        ] {
            assert_eq!(v4.iter().any(|found| found == line), in_v4, "{line}: {v4:#?}");
            assert_eq!(v6.iter().any(|found| found == line), in_v6, "{line}: {v6:#?}");
        }
    }
}
