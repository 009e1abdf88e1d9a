//! `weavectl status ipam`.

use std::fmt::{self, Display};

use api::IpamStatus;

use crate::exit::clean;

/// A line for each owner, this host first; then what is waited for, and what is wrong
pub(crate) struct Ipam<'a>(pub(crate) &'a IpamStatus);

impl Display for Ipam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        let all = f64::from(status.range.size().max(1));
        for (at, owner) in status.owners.iter().enumerate() {
            let note = match (at, owner.reachable) {
                (0, _) => format!(" ({} active)", status.active),
                (_, true) => String::new(),
                (_, false) => " - unreachable!".to_owned(),
            };
            writeln!(
                f,
                "{:<37} {:>8} IPs ({:04.1}% of total){note}",
                owner.peer.to_string(),
                owner.addresses,
                100.0 * f64::from(owner.addresses) / all,
            )?;
        }
        if let Some(why) = &status.why {
            writeln!(f, "{}: {}", status.state, clean(why))?;
        }
        for pending in &status.pending {
            writeln!(
                f,
                "waiting: {} for {}",
                clean(&pending.wanted),
                clean(&pending.container)
            )?;
        }
        for conflict in &status.conflicts {
            writeln!(f, "conflict: {}", clean(conflict))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_first_and_what_is_wrong_is_last() {
        let status: IpamStatus = serde_json::from_value(serde_json::json!({
            "state": "waiting", "why": "no address is free there",
            "range": "10.2.0.0/16", "default_subnet": "10.2.0.0/16", "active": 1,
            "owners": [
                { "peer": { "name": "02:00:00:00:00:02", "nickname": "host2" }, "addresses": 8192, "reachable": true },
                { "peer": { "name": "02:00:00:00:00:01", "nickname": "host1" }, "addresses": 24576, "reachable": false },
                { "peer": { "name": "02:00:00:00:00:03", "nickname": "host3" }, "addresses": 32768, "reachable": true },
            ],
            "pending": [{ "container": "c1", "wanted": "net:10.2.1.0/24" }],
            "conflicts": ["10.2.0.9 is in use by container c2 here and by one at 02:00:00:00:00:03(host3)"],
        }))
        .unwrap();
        assert_eq!(
            Ipam(&status).to_string(),
            "\
02:00:00:00:00:02(host2)                  8192 IPs (12.5% of total) (1 active)
02:00:00:00:00:01(host1)                 24576 IPs (37.5% of total) - unreachable!
02:00:00:00:00:03(host3)                 32768 IPs (50.0% of total)
waiting for IP(s) to become available: no address is free there
waiting: net:10.2.1.0/24 for c1
conflict: 10.2.0.9 is in use by container c2 here and by one at 02:00:00:00:00:03(host3)
"
        );
    }
}
