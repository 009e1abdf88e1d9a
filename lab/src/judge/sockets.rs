//! `ss`: the kernel's own account of sockets.

use std::net::SocketAddrV4;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;

/// The UDP sockets at one port
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Udp {
    /// Bytes that nobody has read
    pub waiting: u64,
    /// Datagrams that found the queue full
    pub dropped: u64,
}

/// The UDP sockets of a namespace at this port
pub fn udp(namespace: &Namespace, port: u16) -> Result<Udp> {
    let port = format!("sport = :{port}");
    let text = namespace.run(&["ss", "-HOuanm", &port])?.ok()?;
    let mut found = Udp::default();
    for line in text.lines() {
        let (waiting, dropped) = parse(line).with_context(|| format!("ss says {line:?}"))?;
        found.waiting += waiting;
        found.dropped += dropped;
    }
    Ok(found)
}

/// Whether anybody, the kernel itself included, receives UDP at this port
pub fn is_bound(namespace: &Namespace, port: u16) -> Result<bool> {
    let port = format!("sport = :{port}");
    let text = namespace.run(&["ss", "-HOuan", &port])?.ok()?;
    Ok(!text.trim().is_empty())
}

/// "UNCONN 0 0 0.0.0.0:6783 0.0.0.0:* skmem:(r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d17)"
fn parse(line: &str) -> Option<(u64, u64)> {
    let waiting = line.split_whitespace().nth(1)?.parse().ok()?;
    let memory = line.split_once("skmem:(")?.1;
    let (_before, dropped) = memory.split_once(')')?.0.rsplit_once(",d")?;
    Some((waiting, dropped.parse().ok()?))
}

/// The ends of a TCP connection
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// In the namespace that was asked
    pub here: SocketAddrV4,
    /// The other one
    pub there: SocketAddrV4,
}

/// The established IPv4 connections of a namespace with this port at one of their ends
pub fn tcp(namespace: &Namespace, port: u16) -> Result<Vec<Tcp>> {
    let filter = format!("sport = :{port} or dport = :{port}");
    let line = ["ss", "-4HOtn", "state", "established", &filter];
    let text = namespace.run(&line)?.ok()?;
    let connection = |line| parse_tcp(line).with_context(|| format!("ss says {line:?}"));
    text.lines().map(connection).collect()
}

/// "0 0 192.168.101.1:6783 192.168.101.2:56484"
fn parse_tcp(line: &str) -> Option<Tcp> {
    let mut words = line.split_whitespace().skip(2);
    Some(Tcp {
        here: words.next()?.parse().ok()?,
        there: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_and_drops_are_read() {
        let line = "UNCONN 768    0      0.0.0.0:6783  0.0.0.0:*    \
                    skmem:(r2304,rb212992,t0,tb212992,f1792,w0,o0,bl0,d17)";
        assert_eq!(parse(line), Some((768, 17)));
        assert_eq!(parse("UNCONN 0 0"), None);
    }

    #[test]
    fn both_ends_are_read() {
        let found = parse_tcp("0      0        192.168.101.1:6783   192.168.101.2:56484").unwrap();
        assert_eq!((found.here.port(), found.there.port()), (6783, 56484));
        assert_eq!(parse_tcp("0 0 *:6783"), None);
    }
}
