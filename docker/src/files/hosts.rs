//! `/etc/hosts`: the names that a container knows by itself.

use std::net::IpAddr;

use super::marked::{inside, put, undone};

/// What a container is called, and by which addresses
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own<'a> {
    /// `Config.Hostname`
    pub hostname: &'a str,
    /// `Config.Domainname`
    pub domainname: &'a str,
    /// Its addresses on the network
    pub addresses: &'a [IpAddr],
}

impl Own<'_> {
    /// All that it is called, the whole name first
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if !self.domainname.is_empty() {
            names.push(format!("{}.{}", self.hostname, self.domainname));
        }
        names.push(self.hostname.to_owned());
        names
    }
}

/// A text in which the container's own name stands for its addresses on the network, if that is given, and each of
/// the other names for its address; what was put in before stays, but for what is said anew
pub fn with(text: &str, own: Option<&Own<'_>>, others: &[(String, IpAddr)]) -> String {
    let mut lines = Vec::new();
    let own_names = own.map(Own::names).unwrap_or_default();
    for address in own.iter().flat_map(|own| own.addresses) {
        lines.push(format!("{address}\t{}", own_names.join(" ")));
    }
    let is_said_anew = |name: &str| {
        own_names.iter().any(|own| own == name) || others.iter().any(|(other, _address)| other == name)
    };
    let before = inside(text).into_iter();
    lines.extend(
        before
            .filter(|line| !names(line).any(is_said_anew))
            .map(str::to_owned),
    );
    lines.extend(others.iter().map(|(name, address)| format!("{address}\t{name}")));
    written(text, &lines)
}

/// The text without the lines of these addresses that were put in
pub fn without(text: &str, addresses: &[IpAddr]) -> String {
    let is_gone = |line: &&str| address(line).is_some_and(|address| addresses.contains(&address));
    let stay = inside(text).into_iter().filter(|line| !is_gone(line));
    let lines: Vec<String> = stay.map(str::to_owned).collect();
    written(text, &lines)
}

/// A name stands for what is put in only: what Docker says of it is set aside
fn written(text: &str, lines: &[String]) -> String {
    let said: Vec<&str> = lines.iter().flat_map(|line| names(line)).collect();
    put(&undone(text), lines, |line| {
        let is_elsewhere = address(line).is_some_and(|address| !address.is_loopback());
        is_elsewhere && names(line).any(|name| said.contains(&name))
    })
}

fn address(line: &str) -> Option<IpAddr> {
    line.split_whitespace().next()?.parse().ok()
}

/// What a line calls its address
fn names(line: &str) -> impl Iterator<Item = &str> {
    let said = line.split('#').next().unwrap_or_default();
    said.split_whitespace().skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n172.17.0.2\tc1.example.com c1\n\
                          172.17.0.9\tdb # c1\n";

    fn own(addresses: &[IpAddr]) -> Own<'_> {
        Own {
            hostname: "c1",
            domainname: "example.com",
            addresses,
        }
    }

    #[test]
    fn the_own_name_is_the_address_on_the_network() {
        let addresses = ["10.32.0.1".parse().unwrap(), "10.2.1.1".parse().unwrap()];
        let others = [("printer".to_owned(), "192.0.2.7".parse().unwrap())];
        let after = with(BEFORE, Some(&own(&addresses)), &others);
        assert_eq!(
            after,
            "# begin: by weavectl attach\n10.32.0.1\tc1.example.com c1\n10.2.1.1\tc1.example.com c1\n\
             192.0.2.7\tprinter\n# end: by weavectl attach\n\
             127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n\
             # weavectl attach set aside: 172.17.0.2\tc1.example.com c1\n172.17.0.9\tdb # c1\n"
        );
        assert_eq!(
            with(&after, Some(&own(&addresses)), &others).lines().count(),
            after.lines().count()
        );
        let [first, second] = addresses;
        let one = without(&after, &[first]);
        assert!(
            one.contains("10.2.1.1\tc1") && !one.contains("10.32.0.1"),
            "{one}"
        );
        let named = without(&one, &[second]);
        assert!(
            named.contains("\n172.17.0.2\tc1") && named.contains("printer"),
            "{named}"
        );
        assert_eq!(undone(&named), BEFORE);
        assert_eq!(without(BEFORE, &addresses), BEFORE);
    }

    #[test]
    fn a_name_that_is_said_anew_is_said_once() {
        let to = |text: &str| [("db".to_owned(), text.parse().unwrap())];
        let first = with(BEFORE, None, &to("10.32.0.7"));
        let second = with(&first, None, &to("10.32.0.8"));
        let said: Vec<&str> = second.lines().filter(|line| line.contains("db")).collect();
        assert_eq!(
            said,
            [
                "10.32.0.8\tdb",
                "# weavectl attach set aside: 172.17.0.9\tdb # c1"
            ]
        );
        assert_eq!(undone(&second), BEFORE);
    }

    #[test]
    fn loopback_stays() {
        let own = Own {
            hostname: "localhost",
            domainname: "",
            addresses: &["10.32.0.1".parse().unwrap()],
        };
        assert!(!with(BEFORE, Some(&own), &[]).contains("aside"));
    }
}
