//! `weavectl status connections`.

use std::fmt::{self, Display};

use api::{Connection, ConnectionState};

use super::direction;
use crate::exit::clean;

/// One line for each connection
pub(crate) struct Connections<'a>(pub(crate) &'a [Connection]);

impl Display for Connections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self
            .0
            .iter()
            .map(|connection| connection.address.to_string())
            .collect();
        // 21 is the longest IPv4 address with a port.
        let width = addresses.iter().map(String::len).fold(21, usize::max);
        for (connection, address) in self.0.iter().zip(&addresses) {
            let line = format!(
                "{} {address:<width$} {:<11} {}",
                direction(connection.outbound),
                connection.state,
                details(connection)
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn details(connection: &Connection) -> String {
    let error = connection.error.as_deref().map(clean);
    match connection.state {
        ConnectionState::Connecting | ConnectionState::Retrying => error.unwrap_or_default(),
        ConnectionState::Failed => {
            let retry = match connection.retry_in_ms {
                None => "retry: never".to_owned(),
                Some(ms) => format!("retry: in {}.{} s", ms / 1000, ms % 1000 / 100),
            };
            match error {
                None => retry,
                Some(error) => format!("{error}, {retry}"),
            }
        }
        ConnectionState::Pending | ConnectionState::Established | ConnectionState::Held => {
            let reason = connection.reason.as_deref().map(clean).or(error);
            carried(connection, reason)
        }
    }
}

/// How the frames of a connection to a known peer travel
fn carried(connection: &Connection, reason: Option<String>) -> String {
    let mut words = Vec::new();
    match connection.encrypted {
        None => {}
        Some(true) => words.push(format!("{:<11}", "encrypted")),
        Some(false) => words.push("unencrypted".to_owned()),
    }
    words.push(match connection.path {
        None => format!("{:<6}", "none"),
        Some(path) => format!("{path:<6}"),
    });
    words.extend(connection.peer.as_ref().map(ToString::to_string));
    words.extend(connection.mtu.map(|mtu| format!("mtu={mtu}")));
    words.extend(
        connection
            .rtt_us
            .map(|us| format!("rtt={}.{:02}ms", us / 1000, us % 1000 / 10)),
    );
    words.extend(reason.map(|reason| format!("({reason})")));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(json: serde_json::Value) -> String {
        let connections: Vec<Connection> = serde_json::from_value(json).unwrap();
        Connections(&connections).to_string()
    }

    #[test]
    fn each_state_has_its_line() {
        let text = connections(serde_json::json!([
            {
                "outbound": true, "address": "10.128.0.4:6783", "state": "established",
                "peer": { "name": "f6:42:b8:5c:0b:04", "nickname": "host1" },
                "path": "fastdp", "mtu": 1450, "rtt_us": 85,
            },
            {
                "outbound": false, "address": "192.168.48.13:59999", "state": "established",
                "peer": { "name": "00:00:00:00:00:03", "nickname": "host3" },
                "path": "sleeve", "mtu": 1438, "rtt_us": 210, "reason": "no openvswitch in this kernel",
            },
            {
                "outbound": true, "address": "192.168.48.11:6783", "state": "held",
                "peer": { "name": "00:00:00:00:00:04", "nickname": "host4" },
                "path": "fastdp", "mtu": 1450, "error": "connection reset by peer",
            },
            {
                "outbound": false, "address": "192.168.48.12:35659", "state": "pending",
                "peer": { "name": "00:00:00:00:00:02", "nickname": "host2" },
            },
            { "outbound": true, "address": "10.255.255.1:6783", "state": "connecting" },
            { "outbound": true, "address": "192.168.48.99:6783", "state": "retrying", "error": "no route to host" },
            {
                "outbound": true, "address": "192.168.48.99:6783", "state": "failed",
                "error": "no route\nto host", "retry_in_ms": 12340,
            },
            { "outbound": true, "address": "host9:6783", "state": "failed", "error": "cannot connect to ourself" },
        ]));
        assert_eq!(
            text,
            "\
-> 10.128.0.4:6783       established fastdp f6:42:b8:5c:0b:04(host1) mtu=1450 rtt=0.08ms
<- 192.168.48.13:59999   established sleeve 00:00:00:00:00:03(host3) mtu=1438 rtt=0.21ms (no openvswitch in this kernel)
-> 192.168.48.11:6783    held        fastdp 00:00:00:00:00:04(host4) mtu=1450 (connection reset by peer)
<- 192.168.48.12:35659   pending     none   00:00:00:00:00:02(host2)
-> 10.255.255.1:6783     connecting
-> 192.168.48.99:6783    retrying    no route to host
-> 192.168.48.99:6783    failed      no route to host, retry: in 12.3 s
-> host9:6783            failed      cannot connect to ourself, retry: never
"
        );
    }

    #[test]
    fn encryption_is_a_word_of_its_own_where_there_is_a_password() {
        let text = connections(serde_json::json!([
            {
                "outbound": true, "address": "192.168.48.11:6783", "state": "established",
                "peer": { "name": "ce:31:e0:06:45:1a", "nickname": "host1" },
                "path": "sleeve", "encrypted": true, "mtu": 1422, "reason": "encrypted",
            },
            {
                "outbound": false, "address": "192.168.48.12:37753", "state": "established",
                "peer": { "name": "00:00:00:00:00:02", "nickname": "host2" },
                "path": "fastdp", "encrypted": false, "mtu": 1450, "rtt_us": 1_234_567,
            },
        ]));
        assert_eq!(
            text,
            "\
-> 192.168.48.11:6783    established encrypted   sleeve ce:31:e0:06:45:1a(host1) mtu=1422 (encrypted)
<- 192.168.48.12:37753   established unencrypted fastdp 00:00:00:00:00:02(host2) mtu=1450 rtt=1234.56ms
"
        );
    }

    #[test]
    fn long_addresses_widen_the_column_for_all() {
        let text = connections(serde_json::json!([
            { "outbound": true, "address": "[fd00:1234:5678::9abc]:6783", "state": "connecting" },
            { "outbound": true, "address": "10.0.0.1:6783", "state": "connecting" },
        ]));
        assert_eq!(
            text,
            "\
-> [fd00:1234:5678::9abc]:6783 connecting
-> 10.0.0.1:6783               connecting
"
        );
    }

    #[test]
    fn no_connections_are_no_lines() {
        assert_eq!(connections(serde_json::json!([])), "");
    }
}
