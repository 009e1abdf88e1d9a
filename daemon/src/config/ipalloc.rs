//! The flags that say which addresses are handed out, and by whom.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use ipnetwork::Ipv4Network;
use model::PeerName;

/// `--ipalloc-range`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpallocRange {
    /// This one
    Range(Ipv4Network),
    /// One that no route of the host overlaps
    Auto,
    /// None: no addresses are handed out
    Off,
}

impl FromStr for IpallocRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Off);
        }
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let range: Ipv4Network = text
            .contains('/')
            .then(|| text.parse().ok())
            .flatten()
            .ok_or("an IPv4 network as in 10.32.0.0/12, auto, or nothing")?;
        if range.ip() != range.network() {
            return Err(format!("bits after network prefix are not all zero: {range}"));
        }
        if range.prefix() > 30 {
            return Err(format!("smaller than minimum size 4: {range}"));
        }
        Ok(Self::Range(range))
    }
}

/// `--ipalloc-init`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IpallocInit(pub(crate) ipam::Init);

impl FromStr for IpallocInit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (how, value) = match text.split_once('=') {
            Some((how, value)) => (how, Some(value)),
            None => (text, None),
        };
        match (how, value) {
            ("observer", None) => Ok(Self(ipam::Init::Observer)),
            ("consensus", None) => Ok(Self(ipam::Init::Consensus { peers: None })),
            ("consensus", Some(count)) => match count.parse() {
                Ok(count @ 1..=4096) => Ok(Self(ipam::Init::Consensus { peers: Some(count) })),
                Ok(_) | Err(_) => Err(format!("{count:?} is no number of peers from 1 to 4096")),
            },
            ("seed", Some(names)) => {
                let names: Result<BTreeSet<PeerName>, _> = names.split(',').map(str::parse).collect();
                match names {
                    Ok(names) => Ok(Self(ipam::Init::Seed(names))),
                    Err(error) => Err(error.to_string()),
                }
            }
            _other => Err("consensus, consensus=N, seed=NAME,NAME,… or observer".to_owned()),
        }
    }
}

/// `--ipalloc-lease`: none is for ever
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(crate) Option<Duration>);

impl FromStr for Lease {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ERROR: &str = "a time from 60s to 365d as in 90m or 24h, or 0 for never";
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
        let (number, unit) = units
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1));
        match number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
        {
            Some(0) => Ok(Self(None)),
            // A twentieth of it has to be longer than the mesh needs to notice that a peer is gone.
            Some(seconds @ 60..=31_536_000) => Ok(Self(Some(Duration::from_secs(seconds)))),
            Some(_) | None => Err(ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_networks_or_words() {
        for (text, right) in [
            ("10.32.0.0/12", true),
            ("10.2.0.0/30", true),
            ("auto", true),
            ("", true),
            ("10.32.0.0", false),
            ("10.32.0.1/12", false),
            ("10.2.0.0/31", false),
            ("fd00::/64", false),
            ("Auto", false),
        ] {
            assert_eq!(text.parse::<IpallocRange>().is_ok(), right, "{text:?}");
        }
    }

    #[test]
    fn the_first_division_has_four_forms() {
        for (text, right) in [
            ("consensus", true),
            ("consensus=3", true),
            ("seed=7a:00:00:00:00:01,7a:00:00:00:00:02", true),
            ("observer", true),
            ("consensus=0", false),
            ("consensus=many", false),
            ("seed", false),
            ("seed=", false),
            ("seed=host1", false),
            ("observer=1", false),
            ("paxos", false),
        ] {
            assert_eq!(text.parse::<IpallocInit>().is_ok(), right, "{text:?}");
        }
    }

    #[test]
    fn a_lease_is_long_or_none() {
        let seconds = |text: &str| {
            text.parse::<Lease>()
                .map(|Lease(lease)| lease.map(|lease| lease.as_secs()))
        };
        assert_eq!(seconds("24h"), Ok(Some(86_400)));
        assert_eq!(seconds("90"), Ok(Some(90)));
        assert_eq!(seconds("0"), Ok(None));
        for wrong in ["", "5s", "h", "-1h", "99999999999999h", "400d"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
