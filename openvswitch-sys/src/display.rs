//! Keys and actions as text, in the notation of `ovs-dpctl dump-flows`.

use std::fmt;

use crate::action::{Action, SetTunnel};
use crate::key::{FlowKey, PortNo, Tag, Ufid, Vlans};
use crate::uapi::ETH_P_8021Q;

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ufid({self})")
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(t) = self.tunnel {
            write!(f, "tunnel(tun_id={:#x},src={},dst={}),", t.id, t.src, t.dst)?;
        }
        write!(
            f,
            "in_port({}),eth(src={},dst={})",
            self.in_port, self.src, self.dst
        )?;
        let tag =
            |f: &mut fmt::Formatter<'_>, t: Tag| write!(f, ",eth_type({:#06x}),vlan(vid={})", t.tpid, t.vid);
        match self.vlans {
            Vlans::None => Ok(()),
            Vlans::One(t) => tag(f, t),
            Vlans::Two(outer, inner) => {
                tag(f, outer)?;
                f.write_str(",encap(")?;
                write!(f, "eth_type({:#06x}),vlan(vid={}))", inner.tpid, inner.vid)
            }
        }
    }
}

/// A list of actions as text: `drop` when it is empty
#[derive(Debug, Clone, Copy)]
pub struct ActionList<'a>(pub &'a [Action]);

impl fmt::Display for ActionList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (i, action) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{action}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(port) => write!(f, "{port}"),
            Self::SetTunnel(set) => write!(f, "set({set})"),
            Self::PushVlan(Tag {
                tpid: ETH_P_8021Q,
                vid,
            }) => write!(f, "push_vlan(vid={vid},pcp=0)"),
            Self::PushVlan(Tag { tpid, vid }) => write!(f, "push_vlan(tpid={tpid:#06x},vid={vid},pcp=0)"),
            Self::PopVlan => f.write_str("pop_vlan"),
            Self::Userspace { pid, cookie } => {
                f.write_str("userspace(pid=")?;
                write!(f, "{pid},userdata(")?;
                cookie
                    .to_ne_bytes()
                    .iter()
                    .try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str("))")
            }
            Self::CheckPktLen {
                max,
                greater,
                less_equal,
            } => write!(
                f,
                "check_pkt_len(size={max},gt({}),le({}))",
                ActionList(greater),
                ActionList(less_equal)
            ),
            Self::Other(kind, value) => {
                write!(f, "action{kind}(")?;
                value.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for SetTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tunnel(tun_id={:#x}", self.id)?;
        if !self.src.is_unspecified() {
            write!(f, ",src={}", self.src)?;
        }
        write!(f, ",dst={}", self.dst)?;
        if self.tos != 0 {
            write!(f, ",tos={:#x}", self.tos)?;
        }
        let flags = match (self.dont_fragment, self.csum) {
            (false, false) => "key",
            (true, false) => "df|key",
            (false, true) => "csum|key",
            (true, true) => "df|csum|key",
        };
        write!(f, ",ttl={},flags({flags}))", self.ttl)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn actions_read_as_ovs_dpctl_prints_them() {
        let set = SetTunnel {
            id: 0x2a,
            src: Ipv4Addr::new(192, 168, 7, 1),
            dst: Ipv4Addr::new(192, 168, 7, 2),
            tos: 0,
            ttl: 64,
            dont_fragment: true,
            csum: false,
        };
        let actions = [Action::SetTunnel(set), Action::Output(PortNo(1))];
        assert_eq!(
            ActionList(&actions).to_string(),
            "set(tunnel(tun_id=0x2a,src=192.168.7.1,dst=192.168.7.2,ttl=64,flags(df|key))),1"
        );
        assert_eq!(ActionList(&[]).to_string(), "drop");
        let nested = Action::CheckPktLen {
            max: 1400,
            greater: vec![],
            less_equal: vec![Action::PopVlan],
        };
        assert_eq!(
            nested.to_string(),
            "check_pkt_len(size=1400,gt(drop),le(pop_vlan))"
        );
    }
}
