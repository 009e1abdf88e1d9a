//! Which range of addresses this host hands out of, beside what its routes lead to already.

use ipnetwork::{IpNetwork, Ipv4Network};

use crate::config::IpallocRange;

/// The range where none is told
const DEFAULT: &str = "10.32.0.0/12";

/// Ranges to take instead, the likeliest to be free first; the last are of RFC 6598 and RFC 2544
const OTHERS: [&str; 16] = [
    "10.48.0.0/12",
    "10.64.0.0/12",
    "10.80.0.0/12",
    "10.96.0.0/12",
    "10.112.0.0/12",
    "10.128.0.0/12",
    "10.144.0.0/12",
    "10.160.0.0/12",
    "10.176.0.0/12",
    "10.192.0.0/12",
    "10.208.0.0/12",
    "10.224.0.0/12",
    "172.20.0.0/14",
    "192.168.128.0/17",
    "100.96.0.0/12",
    "198.18.0.0/15",
];

/// A network that somebody else's device leads to
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routed {
    pub(crate) network: IpNetwork,
    pub(crate) device: String,
}

/// What to hand out of; none for nothing. `last` is what `auto` took before.
pub(crate) fn choose(
    asked: Option<IpallocRange>,
    last: Option<Ipv4Network>,
    routes: &[Routed],
) -> anyhow::Result<Option<Ipv4Network>> {
    let overlapping = |range: Ipv4Network| routes.iter().find(|route| overlaps(range, route.network));
    let free = || candidates().find(|range| overlapping(*range).is_none());
    match asked {
        Some(IpallocRange::Off) => Ok(None),
        Some(IpallocRange::Range(range)) => {
            if let Some(Routed { network, device }) = overlapping(range) {
                log::warn!(
                    "the range {range} overlaps the route to {network} by {device}: addresses there cannot be told apart"
                );
            }
            Ok(Some(range))
        }
        Some(IpallocRange::Auto) => match last.or_else(free) {
            Some(range) => Ok(Some(range)),
            None => anyhow::bail!(
                "every standard range overlaps a route of this host: give one with --ipalloc-range"
            ),
        },
        None => {
            let default = candidates().next();
            match default.and_then(overlapping) {
                None => Ok(default),
                Some(Routed { network, device }) => {
                    let cure = free().map_or_else(
                        || "no standard range is free: give one, the same on every host".to_owned(),
                        |free| {
                            format!(
                                "--ipalloc-range={free} is free here, the same on every host; auto takes it"
                            )
                        },
                    );
                    anyhow::bail!("the range {DEFAULT} overlaps the route to {network} by {device}: {cure}")
                }
            }
        }
    }
}

fn candidates() -> impl Iterator<Item = Ipv4Network> {
    [DEFAULT]
        .into_iter()
        .chain(OTHERS)
        .filter_map(|text| text.parse().ok())
}

fn overlaps(range: Ipv4Network, route: IpNetwork) -> bool {
    match route {
        // The default route leads to whatever no other does.
        IpNetwork::V4(route) => route.prefix() > 0 && range.overlaps(route),
        IpNetwork::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(networks: &[&str]) -> Vec<Routed> {
        let route = |network: &&str| Routed {
            network: network.parse().unwrap(),
            device: "eth0".to_owned(),
        };
        networks.iter().map(route).collect()
    }

    fn range(text: &str) -> Option<Ipv4Network> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_candidate_is_a_network() {
        assert_eq!(candidates().count(), 1 + OTHERS.len());
        assert!(candidates().all(|range| range.ip() == range.network()));
    }

    #[test]
    fn the_default_is_taken_where_nothing_leads_there() {
        let usual = routes(&["0.0.0.0/0", "192.168.1.0/24", "172.17.0.0/16", "fd00::/8"]);
        assert_eq!(choose(None, None, &usual).unwrap(), range("10.32.0.0/12"));
        assert_eq!(
            choose(Some(IpallocRange::Auto), None, &usual).unwrap(),
            range("10.32.0.0/12")
        );
        assert_eq!(choose(Some(IpallocRange::Off), None, &usual).unwrap(), None);
    }

    #[test]
    fn an_overlap_is_told_with_a_range_that_is_free() {
        for (taken, proposed) in [
            (&["10.32.5.0/24"][..], "--ipalloc-range=10.48.0.0/12"),
            (&["10.0.0.0/8"], "--ipalloc-range=172.20.0.0/14"),
            (
                &["10.0.0.0/8", "172.16.0.0/12"],
                "--ipalloc-range=192.168.128.0/17",
            ),
            (&["0.0.0.0/1", "128.0.0.0/1"], "no standard range is free"),
        ] {
            let error = choose(None, None, &routes(taken)).unwrap_err().to_string();
            assert!(
                error.contains(proposed) && error.contains("by eth0"),
                "{taken:?}: {error}"
            );
        }
    }

    #[test]
    fn what_was_told_or_taken_before_stays() {
        let routed = routes(&["10.0.0.0/8"]);
        let told = IpallocRange::Range("10.40.0.0/16".parse().unwrap());
        assert_eq!(choose(Some(told), None, &routed).unwrap(), range("10.40.0.0/16"));
        let last = range("10.64.0.0/12");
        assert_eq!(choose(Some(IpallocRange::Auto), last, &routed).unwrap(), last);
        assert_eq!(
            choose(Some(IpallocRange::Auto), None, &routed).unwrap(),
            range("172.20.0.0/14")
        );
    }
}
