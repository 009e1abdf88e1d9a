//! The host's rules for what goes between the containers and the world outside, as a table of nftables.
//!
//! The table is this program's own and is written whole, in one transaction: nobody else's rules are
//! touched, and there is no moment with half of them.
//!
//! Where the kernel filters bridges (br_netfilter), they also see frames that a bridge passes on: a container's
//! to the outside through another host that is exposed. These leave by the containers' own device, and
//! are that host's to masquerade.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use model::IfName;

/// What the rules are about
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Networks of containers: what goes from one to another keeps its addresses
    pub(super) inside: BTreeSet<Ipv4Network>,
    /// Those whose containers reach the outside, and are reached, as this host
    pub(super) masqueraded: BTreeSet<Ipv4Network>,
}

impl Wanted {
    /// The script for `nft` that makes the table of this name what is wanted, whatever it was before
    pub(super) fn script(&self, table: &IfName) -> String {
        let mut script = removal(table);
        if self.masqueraded.is_empty() {
            return script;
        }
        let (inside, masqueraded) = (elements(&self.inside), elements(&self.masqueraded));
        let _infallible = write!(
            script,
            "\
table ip {table} {{
	set inside {{
		type ipv4_addr
		flags interval
		elements = {{ {inside} }}
	}}
	set masqueraded {{
		type ipv4_addr
		flags interval
		elements = {{ {masqueraded} }}
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @inside ip daddr @inside return
		ip saddr @masqueraded ip daddr 224.0.0.0/4 return
		oifname != \"{table}\" ip saddr @masqueraded masquerade
		oifname \"{table}\" ip daddr @masqueraded masquerade
	}}
}}
"
        );
        script
    }
}

/// The script that removes the table of this name, which need not be there
pub(super) fn removal(table: &IfName) -> String {
    format!("table ip {table} {{}}\ndelete table ip {table}\n")
}

/// The networks as elements of a set, without those that are inside another: a set of intervals takes no
/// overlap
fn elements(networks: &BTreeSet<Ipv4Network>) -> String {
    let outer = networks.iter().filter(|network| {
        let contains =
            |other: &&Ipv4Network| other.prefix() < network.prefix() && other.contains(network.network());
        !networks.iter().any(|other| contains(&other))
    });
    let texts: Vec<String> = outer.map(ToString::to_string).collect();
    texts.join(", ")
}

/// The network of an address
pub(super) fn network(address: Ipv4Network) -> Ipv4Network {
    let start: Ipv4Addr = address.network();
    // The prefix is one that a network has already.
    Ipv4Network::new(start, address.prefix()).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> BTreeSet<Ipv4Network> {
        texts.iter().map(|text| network(text.parse().unwrap())).collect()
    }

    #[test]
    fn a_set_has_no_overlaps() {
        let nested = networks(&["10.32.0.7/12", "10.32.1.0/24", "10.2.1.1/24", "10.2.1.2/24"]);
        assert_eq!(elements(&nested), "10.2.1.0/24, 10.32.0.0/12");
    }

    #[test]
    fn nothing_masqueraded_leaves_no_table() {
        let wanted = Wanted {
            inside: networks(&["10.32.0.0/12"]),
            masqueraded: BTreeSet::new(),
        };
        let table = "weave".parse().unwrap();
        assert_eq!(wanted.script(&table), removal(&table));
    }
}
