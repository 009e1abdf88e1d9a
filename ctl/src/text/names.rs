//! `weavectl status dns`.

use std::fmt::{self, Display};

use api::NameEntry;

use super::SHORT_ID;
use crate::exit::clean;

/// A line for each name and address: name, address, container, peer
pub(crate) struct Names<'a>(pub(crate) &'a [NameEntry]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| {
            let container: String = entry.container.as_str().chars().take(SHORT_ID).collect();
            writeln!(
                f,
                "{:<12} {:<15} {container:>SHORT_ID$} {}",
                clean(&entry.name),
                entry.address.to_string(),
                entry.peer.name
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_is_cut() {
        let names: Vec<NameEntry> = serde_json::from_value(serde_json::json!([
            {
                "name": "one", "address": "10.32.0.1", "container": "abc123",
                "peer": { "name": "ce:31:e0:06:45:1a", "nickname": "host1" },
            },
            {
                "name": "Two", "address": "10.32.5.1", "container": "0123456789abcdef0123456789abcdef",
                "peer": { "name": "ea:2d:b2:e6:e4:f5", "nickname": "host2" },
            },
        ]))
        .unwrap();
        assert_eq!(
            Names(&names).to_string(),
            "\
one          10.32.0.1             abc123 ce:31:e0:06:45:1a
Two          10.32.5.1       0123456789ab ea:2d:b2:e6:e4:f5
"
        );
    }
}
