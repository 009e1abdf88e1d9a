//! `/etc/resolv.conf`: whom a container asks for names.

use std::net::{IpAddr, Ipv4Addr};

use super::marked::{put, undone};
use crate::create::Dns;

/// Docker's own resolver, in networks that users made
const DOCKERS_OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The keywords of what stands for it
const SERVER: &str = "nameserver";
const SEARCH: &str = "search";
const DOMAIN: &str = "domain";

/// The file stays as it is
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// It asks Docker, who is told what else to ask when the container is created
    #[error(
        "it asks Docker's own resolver for names; have it created with `docker run $(weavectl dns-args)`"
    )]
    DockersOwn,
}

/// A text by which names are asked for first and searched in the domain first; the servers that were asked are set
/// aside, since some programs ask all at once and take the first answer. Nothing if it asks there already.
///
/// `keeps_search`: the search stays as it is.
///
/// # Errors
///
/// If it is to stay as it is.
pub fn asking(text: &str, dns: &Dns, keeps_search: bool) -> Result<Option<String>, Left> {
    let before = undone(text);
    let servers: Vec<IpAddr> = values(&before, SERVER)
        .filter_map(|value| value.parse().ok())
        .collect();
    if servers.contains(&IpAddr::V4(DOCKERS_OWN)) {
        return Err(Left::DockersOwn);
    }
    if servers.contains(&IpAddr::V4(dns.server)) {
        return Ok(None);
    }
    let mut lines = vec![format!("{SERVER} {}", dns.server)];
    if !keeps_search {
        let mut searched = vec![dns.domain()];
        for domain in search(&before) {
            if domain != "." && !searched.contains(&domain) {
                searched.push(domain);
            }
        }
        lines.push(format!("{SEARCH} {}", searched.join(" ")));
    }
    let after = put(&before, &lines, |line| {
        let is_search = || value(line, SEARCH).is_some() || value(line, DOMAIN).is_some();
        value(line, SERVER).is_some() || (!keeps_search && is_search())
    });
    Ok((after != text).then_some(after))
}

/// The domains that are searched: those of the last line that says so
fn search(text: &str) -> impl Iterator<Item = &str> {
    let said = |line| value(line, SEARCH).or_else(|| value(line, DOMAIN));
    let last = text.lines().filter_map(said).next_back();
    last.unwrap_or_default().split_whitespace()
}

fn values<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| value(line, keyword))
}

/// What a line says by a keyword, which begins it
fn value<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(keyword)?;
    rest.starts_with([' ', '\t']).then(|| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns() -> Dns {
        Dns {
            server: [172, 17, 0, 1].into(),
            domain: "weave.local.".to_owned(),
        }
    }

    #[test]
    fn weaved_is_asked_and_all_else_stays() {
        for (before, keeps_search, after) in [
            (
                "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch example.com example.org\noptions ndots:1\n",
                false,
                "# begin: by weavectl attach\nnameserver 172.17.0.1\nsearch weave.local example.com example.org\n\
                 # end: by weavectl attach\n\
                 # weavectl attach set aside: nameserver 8.8.8.8\n\
                 # weavectl attach set aside: nameserver 8.8.4.4\n\
                 # weavectl attach set aside: search example.com example.org\noptions ndots:1\n",
            ),
            (
                "search example.com\nnameserver\t8.8.8.8",
                true,
                "# begin: by weavectl attach\nnameserver 172.17.0.1\n# end: by weavectl attach\n\
                 search example.com\n# weavectl attach set aside: nameserver\t8.8.8.8",
            ),
            (
                "",
                false,
                "# begin: by weavectl attach\nnameserver 172.17.0.1\nsearch weave.local\n# end: by weavectl attach\n",
            ),
            (
                "# Generated\n\ndomain example.com\n",
                false,
                "# begin: by weavectl attach\nnameserver 172.17.0.1\nsearch weave.local example.com\n\
                 # end: by weavectl attach\n# Generated\n\n\
                 # weavectl attach set aside: domain example.com\n",
            ),
        ] {
            let asked = asking(before, &dns(), keeps_search);
            assert_eq!(asked.as_ref().unwrap().as_deref(), Some(after));
            assert_eq!(asking(after, &dns(), keeps_search), Ok(None), "a second time");
            assert_eq!(undone(after), before);
        }
    }

    #[test]
    fn another_place_to_ask_takes_the_place_of_the_last() {
        let once = asking("nameserver 8.8.8.8\n", &dns(), false).unwrap().unwrap();
        let elsewhere = Dns {
            server: [172, 18, 0, 1].into(),
            ..dns()
        };
        let twice = asking(&once, &elsewhere, false).unwrap().unwrap();
        assert_eq!(twice, once.replace("172.17.0.1", "172.18.0.1"));
        assert_eq!(undone(&twice), "nameserver 8.8.8.8\n");
    }

    #[test]
    fn what_asks_already_or_asks_docker_is_left_alone() {
        let own = "search weave.local\nnameserver 172.17.0.1\n";
        assert_eq!(asking(own, &dns(), false), Ok(None));
        let dockers = "nameserver 127.0.0.11\noptions ndots:0\n";
        assert_eq!(asking(dockers, &dns(), false), Err(Left::DockersOwn));
    }
}
