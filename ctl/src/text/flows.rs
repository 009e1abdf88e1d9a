//! `weavectl flows dump`.

use std::fmt::{self, Display};

use api::{Flow, FlowAction, Tag, Tunnel};

use crate::exit::clean;

/// One line for each flow
pub(crate) struct Flows<'a>(pub(crate) &'a [Flow]);

impl Display for Flows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|flow| line(f, flow))
    }
}

fn line(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    write!(f, "in={}", clean(&flow.in_port))?;
    if let Some(tunnel) = &flow.tunnel {
        write!(f, " {}", In(tunnel))?;
    }
    for tag in &flow.tags {
        write!(f, " {}", Vlan(tag))?;
    }
    if let Some(src) = flow.src {
        write!(f, " src={src}")?;
    }
    if let Some(dst) = flow.dst {
        write!(f, " dst={dst}")?;
    }
    write!(f, " actions={}", Actions(&flow.actions))?;
    write!(f, " packets={} bytes={} used=", flow.packets, flow.bytes)?;
    match flow.used_ms_ago {
        None => writeln!(f, "never"),
        Some(ms) => writeln!(f, "{}.{:03}s", ms / 1000, ms % 1000),
    }
}

/// `tunnel(host1(291)->host2(34),10.0.0.1->10.0.0.2)`
struct In<'a>(&'a Tunnel);

impl Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tunnel {
            vni: _,
            source,
            destination,
            outer_source,
            outer_destination,
        } = self.0;
        write!(
            f,
            "tunnel({source}->{destination},{outer_source}->{outer_destination})"
        )
    }
}

/// `vlan(34)` or, for 802.1ad, `svlan(34)`
struct Vlan<'a>(&'a Tag);

impl Display for Vlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tag { tpid, vid } = self.0;
        match tpid {
            0x8100 => write!(f, "vlan({vid})"),
            0x88a8 => write!(f, "svlan({vid})"),
            other => write!(f, "tag({other:#06x},{vid})"),
        }
    }
}

/// Actions with commas between them, without spaces
struct Actions<'a>(&'a [FlowAction]);

impl Display for Actions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (at, action) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match action {
                FlowAction::Output { port } => f.write_str(&clean(port))?,
                FlowAction::Tunnel(tunnel) => write!(f, "{}", In(tunnel))?,
                FlowAction::PushTag(tag) => write!(f, "push_{}", Vlan(tag))?,
                FlowAction::PopTag => f.write_str("pop_vlan")?,
                FlowAction::Userspace { cookie: _ } => f.write_str("userspace")?,
                FlowAction::CheckPktLen {
                    max,
                    greater,
                    less_equal,
                } => {
                    let (greater, less_equal) = (Self(greater), Self(less_equal));
                    write!(f, "check_pkt_len({max},gt({greater}),le({less_equal}))")?;
                }
                FlowAction::Other { attribute } => write!(f, "action({attribute})")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(json: serde_json::Value) -> String {
        let flows: Vec<Flow> = serde_json::from_value(json).unwrap();
        Flows(&flows).to_string()
    }

    #[test]
    fn a_frame_from_a_container_to_two_peers_and_the_sleeve() {
        let peer = |id: &str, name: &str| serde_json::json!({ "short_id": id, "nickname": name });
        let text = flows(serde_json::json!([{
            "ufid": "00", "in_port": "vethwepl1a2b3c", "src": "02:00:00:00:00:0a", "dst": "ff:ff:ff:ff:ff:ff",
            "actions": [
                { "action": "output", "port": "vethwepl4d5e6f" },
                {
                    "action": "check_pkt_len", "max": 1464,
                    "greater": [{ "action": "userspace", "cookie": 1 }],
                    "less_equal": [
                        {
                            "action": "tunnel", "vni": 139555,
                            "source": peer("291", "host1"), "destination": peer("34", "host2"),
                            "outer_source": "192.168.48.11", "outer_destination": "192.168.48.12",
                        },
                        { "action": "output", "port": "vxlan-6784" },
                    ],
                },
                { "action": "push_tag", "tpid": 33024, "vid": 35 },
                { "action": "push_tag", "tpid": 34984, "vid": 36 },
                { "action": "output", "port": "weave-sleeve" },
                { "action": "pop_tag" },
                { "action": "other", "attribute": 30 },
            ],
            "packets": 12, "bytes": 3456, "used_ms_ago": 1050,
        }]));
        assert_eq!(
            text,
            "in=vethwepl1a2b3c src=02:00:00:00:00:0a dst=ff:ff:ff:ff:ff:ff \
             actions=vethwepl4d5e6f,\
             check_pkt_len(1464,gt(userspace),le(tunnel(host1(291)->host2(34),192.168.48.11->192.168.48.12),vxlan-6784)),\
             push_vlan(35),push_svlan(36),weave-sleeve,pop_vlan,action(30) \
             packets=12 bytes=3456 used=1.050s\n"
        );
    }

    #[test]
    fn frames_out_of_a_tunnel_and_out_of_the_sleeve() {
        let text = flows(serde_json::json!([
            {
                "ufid": "01", "in_port": "vxlan-6784", "src": "02:00:00:00:00:0b", "dst": "02:00:00:00:00:0a",
                "tunnel": {
                    "vni": 1, "source": { "short_id": "34" }, "destination": { "short_id": "291", "nickname": "host1" },
                    "outer_source": "192.168.48.12", "outer_destination": "192.168.48.11",
                },
                "actions": [{ "action": "output", "port": "vethwepl1a2b3c" }],
                "packets": 0, "bytes": 0,
            },
            {
                "ufid": "02", "in_port": "weave-sleeve", "src": "02:00:00:00:00:0b", "dst": "02:00:00:00:00:0a",
                "tags": [{ "tpid": 34984, "vid": 7 }, { "tpid": 33024, "vid": 8 }, { "tpid": 1, "vid": 9 }],
                "actions": [], "packets": 1, "bytes": 98, "used_ms_ago": 7,
            },
            { "ufid": "03", "in_port": "port 9", "actions": [], "packets": 0, "bytes": 0 },
        ]));
        assert_eq!(
            text,
            "\
in=vxlan-6784 tunnel(?(34)->host1(291),192.168.48.12->192.168.48.11) src=02:00:00:00:00:0b dst=02:00:00:00:00:0a actions=vethwepl1a2b3c packets=0 bytes=0 used=never
in=weave-sleeve svlan(7) vlan(8) tag(0x0001,9) src=02:00:00:00:00:0b dst=02:00:00:00:00:0a actions=drop packets=1 bytes=98 used=0.007s
in=port 9 actions=drop packets=0 bytes=0 used=never
"
        );
    }
}
