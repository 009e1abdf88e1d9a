//! Tries to reach a port, from a container or a host.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::command::Finished;
use crate::namespace::Namespace;

/// What somebody may do who tries
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Root of the namespace: `CAP_NET_RAW`, `CAP_NET_ADMIN` and all else
    Root,
    /// A program without any capability, and without a way to get some
    Nobody,
}

impl Who {
    pub(super) const ALL: [Self; 2] = [Self::Root, Self::Nobody];

    fn run(self, namespace: &Namespace, script: &str) -> Result<Finished> {
        let drop: &[&str] = match self {
            Self::Root => &[],
            Self::Nobody => &[
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--no-new-privs",
                "--bounding-set=-all",
                "--",
            ],
        };
        namespace.run(&[drop, &["timeout", "1", "bash", "-c", script]].concat())
    }
}

/// How far a connection came
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It was not made
    Nothing,
    /// It was made and closed, without a byte
    Closed,
    /// weaved began to speak
    Prologue,
}

/// Connects, says what a peer says first, and listens
pub(super) fn tcp(from: &Namespace, who: Who, to: Ipv4Addr, port: u16) -> Result<Reached> {
    let script = format!(
        "exec 3<>/dev/tcp/{to}/{port} || exit 3
         echo made
         printf 'weave\\003\\003\\001' >&3
         head -c5 <&3"
    );
    let finished = who.run(from, &script)?;
    Ok(match finished.stdout.strip_prefix("made\n") {
        None => Reached::Nothing,
        Some("") => Reached::Closed,
        Some(_said) => Reached::Prologue,
    })
}

/// Sends a datagram that means nothing
pub(super) fn send_udp(from: &Namespace, who: Who, to: Ipv4Addr, port: u16) -> Result<()> {
    let script = format!("printf 'nobody knows what this is' >/dev/udp/{to}/{port}");
    who.run(from, &script).map(drop)
}

/// Whether the host answers that nothing listens there
pub(super) fn is_told_that_udp_is_closed(
    from: &Namespace,
    who: Who,
    to: Ipv4Addr,
    port: u16,
) -> Result<bool> {
    let script = format!(
        "exec 3<>/dev/udp/{to}/{port} || exit 3
         printf x >&3
         sleep 0.2
         printf x >&3 || echo refused"
    );
    Ok(who.run(from, &script)?.stdout.contains("refused"))
}
