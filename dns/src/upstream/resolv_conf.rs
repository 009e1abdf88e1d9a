//! `/etc/resolv.conf`, of which only the servers matter here: search lists and options are the asker's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The most servers that are asked: as many as the C library does (`MAXNS`, `resolv.conf(5)`)
pub const MAX_SERVERS: usize = 3;

/// The servers that a `resolv.conf` names, in its order, without those that are `own`
///
/// `interface` gives the index of the interface that is named in a link-local address
/// (`fe80::1%eth0`); without one such an address is left out, as is what is no address.
pub fn servers(
    text: &str,
    own: impl Fn(IpAddr) -> bool,
    interface: impl Fn(&str) -> Option<u32>,
) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let server = words.next().and_then(|word| server(word, &interface));
        let server = server.filter(|server| !own(server.ip()) && !servers.contains(server));
        servers.extend(server);
    }
    servers.truncate(MAX_SERVERS);
    servers
}

/// Where every server listens
const PORT: u16 = 53;

fn server(word: &str, interface: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let Some((address, zone)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse().ok()?, PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let index = zone.parse().ok().or_else(|| interface(zone))?;
    Some(SocketAddrV6::new(address, PORT, 0, index).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_servers_are_read_in_their_order() {
        let text = "# made by hand\n\
            search example.com lan\n\
            nameserver 192.0.2.1 # the first\n\
            nameserver 10.32.0.1\n\
            nameserver 192.0.2.1\n\
            \tnameserver\tfe80::1%eth0\n\
            nameserver fe80::3%none\n\
            ;nameserver 192.0.2.9\n\
            nameserver\n\
            nameserver router\n\
            nameserver fe80::2%7\n\
            nameserver 2001:db8::1\n\
            nameservers 192.0.2.8\n\
            options timeout:1 edns0\n";
        let own = |address: IpAddr| address == IpAddr::from([10, 32, 0, 1]);
        let interface = |name: &str| (name == "eth0").then_some(2);
        let servers: Vec<String> = servers(text, own, interface)
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        assert_eq!(servers, ["192.0.2.1:53", "[fe80::1%2]:53", "[fe80::2%7]:53"]);
    }

    #[test]
    fn there_are_no_more_servers_than_somebody_would_wait_for() {
        let text: String = (0..20).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(servers(&text, |_| false, |_| None).len(), MAX_SERVERS);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(nameserver |[%#;:.0-9a-f \n]){0,40}") {
            let _servers = servers(&text, |_| false, |_| Some(1));
        }
    }
}
