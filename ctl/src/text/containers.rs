//! `weavectl ps`.

use std::fmt::{self, Display};

use api::Attachment;

/// How many characters of a long id are shown, as container runtimes do
pub(crate) const SHORT_ID: usize = 12;

/// A line for each container: id, MAC address, addresses
pub(crate) struct Containers<'a>(pub(crate) &'a [Attachment]);

impl Display for Containers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for container in self.0 {
            write!(
                f,
                "{:<SHORT_ID$} {}",
                shown(container.container.as_str()),
                container.mac
            )?;
            for address in &container.addresses {
                write!(f, " {address}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The head of an id that a container runtime made, a name as it is
fn shown(id: &str) -> &str {
    let is_made = id.len() >= 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_made {
        id.get(..SHORT_ID).unwrap_or(id)
    } else {
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_listed_with_their_addresses() {
        let containers: Vec<Attachment> = serde_json::from_value(serde_json::json!([
            {
                "container": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "mac": "02:00:00:00:00:01", "addresses": ["10.32.0.1/12", "10.48.0.1/24"],
            },
            { "container": "c1", "mac": "02:00:00:00:00:02", "addresses": ["10.32.0.2/12"] },
            { "container": "a-rather-long-name", "mac": "02:00:00:00:00:03", "addresses": [] },
        ]))
        .unwrap();
        assert_eq!(
            Containers(&containers).to_string(),
            "\
0123456789ab 02:00:00:00:00:01 10.32.0.1/12 10.48.0.1/24
c1           02:00:00:00:00:02 10.32.0.2/12
a-rather-long-name 02:00:00:00:00:03
"
        );
    }
}
