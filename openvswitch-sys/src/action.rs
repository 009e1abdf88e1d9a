//! Actions: what happens to a packet that a flow matches.
//!
//! A list of attributes, one per action, in order. The empty list drops the packet.

use std::net::Ipv4Addr;

use crate::attr::{Attr, AttrWriter, Attrs};
use crate::key::{PortNo, Tag};
use crate::uapi::*;

/// One action
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Send a copy out of a port
    Output(PortNo),
    /// Say how a tunnel port shall encapsulate the frame that is output to it next
    SetTunnel(SetTunnel),
    /// Push a VLAN tag
    PushVlan(Tag),
    /// Take the outermost VLAN tag off
    PopVlan,
    /// Send a copy up as an [`Upcall`](crate::Upcall) of kind `Action`
    Userspace {
        /// The receiving socket. Ignored, but refused when zero, under per-CPU dispatch
        pid: u32,
        /// Comes back as the upcall's user data, eight bytes in host order
        cookie: u64,
    },
    /// Choose by the frame's length, Ethernet header included; of a GSO frame, each segment's length
    /// counts (Linux ≥ 5.2)
    CheckPktLen {
        /// The longest frame that `less_equal` is for
        max: u16,
        /// For longer frames
        greater: Vec<Self>,
        /// For the others
        less_equal: Vec<Self>,
    },
    /// An action that this codec does not model: `nla_type` and value
    Other(u16, Vec<u8>),
}

/// The outer header that a tunnel port writes
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetTunnel {
    /// The tunnel's id: the VNI
    pub id: u64,
    /// Outer source; the kernel routes without one when it is unspecified
    pub src: Ipv4Addr,
    /// Outer destination
    pub dst: Ipv4Addr,
    /// Outer type of service
    pub tos: u8,
    /// Outer time to live
    pub ttl: u8,
    /// Set DF in the outer header
    pub dont_fragment: bool,
    /// Fill in the outer UDP checksum
    pub csum: bool,
}

impl Action {
    /// The attributes of `OVS_FLOW_ATTR_ACTIONS` or `OVS_PACKET_ATTR_ACTIONS`
    pub fn encode_all(actions: &[Self]) -> Vec<u8> {
        let mut buf = vec![];
        Self::write_all(actions, &mut AttrWriter::new(&mut buf));
        buf
    }

    /// Appends the attributes of a list of actions
    pub fn write_all(actions: &[Self], w: &mut AttrWriter<'_>) {
        for action in actions {
            action.write(w);
        }
    }

    /// The actions that these attributes are; what is unknown or odd is kept as [`Action::Other`]
    pub fn decode_all(attrs: Attrs<'_>) -> Vec<Self> {
        decode_nested(attrs, MAX_DEPTH)
    }

    fn write(&self, w: &mut AttrWriter<'_>) {
        match self {
            Self::Output(port) => w.put_u32(OVS_ACTION_ATTR_OUTPUT, port.0),
            Self::SetTunnel(set) => w.nest(OVS_ACTION_ATTR_SET, |w| {
                w.nest(OVS_KEY_ATTR_TUNNEL, |w| set.write(w));
            }),
            Self::PushVlan(tag) => {
                let ([a, b], [c, d]) = (tag.tpid.to_be_bytes(), tag.tci().to_be_bytes());
                w.put(OVS_ACTION_ATTR_PUSH_VLAN, &[a, b, c, d]);
            }
            Self::PopVlan => w.put_flag(OVS_ACTION_ATTR_POP_VLAN),
            Self::Userspace { pid, cookie } => w.nest(OVS_ACTION_ATTR_USERSPACE, |w| {
                w.put_u32(OVS_USERSPACE_ATTR_PID, *pid);
                w.put_u64(OVS_USERSPACE_ATTR_USERDATA, *cookie);
            }),
            Self::CheckPktLen {
                max,
                greater,
                less_equal,
            } => w.nest(OVS_ACTION_ATTR_CHECK_PKT_LEN, |w| {
                w.put_u16(OVS_CHECK_PKT_LEN_ATTR_PKT_LEN, *max);
                w.nest(OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL, |w| {
                    Self::write_all(less_equal, w)
                });
                w.nest(OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER, |w| {
                    Self::write_all(greater, w)
                });
            }),
            Self::Other(kind, value) => w.put(*kind, value),
        }
    }
}

impl SetTunnel {
    /// In the order in which the kernel dumps them
    fn write(&self, w: &mut AttrWriter<'_>) {
        w.put(OVS_TUNNEL_KEY_ATTR_ID, &self.id.to_be_bytes());
        if !self.src.is_unspecified() {
            w.put(OVS_TUNNEL_KEY_ATTR_IPV4_SRC, &self.src.octets());
        }
        if !self.dst.is_unspecified() {
            w.put(OVS_TUNNEL_KEY_ATTR_IPV4_DST, &self.dst.octets());
        }
        if self.tos != 0 {
            w.put_u8(OVS_TUNNEL_KEY_ATTR_TOS, self.tos);
        }
        w.put_u8(OVS_TUNNEL_KEY_ATTR_TTL, self.ttl);
        if self.dont_fragment {
            w.put_flag(OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT);
        }
        if self.csum {
            w.put_flag(OVS_TUNNEL_KEY_ATTR_CSUM);
        }
    }

    /// `None` for a tunnel header with anything that this type cannot hold
    fn decode(attrs: Attrs<'_>) -> Option<Self> {
        let unspecified = Ipv4Addr::UNSPECIFIED;
        let (mut id, mut ttl) = (None, None);
        let (mut src, mut dst, mut tos, mut dont_fragment, mut csum) =
            (unspecified, unspecified, 0, false, false);
        for Attr { kind, value } in attrs {
            match kind {
                OVS_TUNNEL_KEY_ATTR_ID => id = Some(u64::from_be_bytes(value.try_into().ok()?)),
                OVS_TUNNEL_KEY_ATTR_IPV4_SRC => src = <[u8; 4]>::try_from(value).ok()?.into(),
                OVS_TUNNEL_KEY_ATTR_IPV4_DST => dst = <[u8; 4]>::try_from(value).ok()?.into(),
                OVS_TUNNEL_KEY_ATTR_TOS => [tos] = value.try_into().ok()?,
                OVS_TUNNEL_KEY_ATTR_TTL => ttl = value.first().copied(),
                OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT => dont_fragment = true,
                OVS_TUNNEL_KEY_ATTR_CSUM => csum = true,
                OVS_TUNNEL_KEY_ATTR_PAD => {}
                _unknown => return None,
            }
        }
        Some(Self {
            id: id?,
            src,
            dst,
            tos,
            ttl: ttl?,
            dont_fragment,
            csum,
        })
    }
}

fn decode_nested(attrs: Attrs<'_>, depth: usize) -> Vec<Action> {
    attrs
        .map(|a| decode(a, depth).unwrap_or_else(|| Action::Other(a.kind, a.value.to_vec())))
        .collect()
}

fn decode(attr: Attr<'_>, depth: usize) -> Option<Action> {
    match attr.kind {
        OVS_ACTION_ATTR_OUTPUT => Some(Action::Output(PortNo(u32::from_ne_bytes(
            attr.value.try_into().ok()?,
        )))),
        OVS_ACTION_ATTR_SET => {
            let mut nested = attr.nested();
            let tunnel = nested.next().filter(|a| a.kind == OVS_KEY_ATTR_TUNNEL)?;
            nested
                .next()
                .is_none()
                .then(|| SetTunnel::decode(tunnel.nested()))?
                .map(Action::SetTunnel)
        }
        OVS_ACTION_ATTR_PUSH_VLAN => {
            let [a, b, c, d] = attr.value.try_into().ok()?;
            let tci = u16::from_be_bytes([c, d]);
            // A tag with priority bits stays in Other: Tag cannot say it.
            (tci & !VLAN_VID_MASK == VLAN_CFI_MASK).then(|| {
                Action::PushVlan(Tag {
                    tpid: u16::from_be_bytes([a, b]),
                    vid: tci & VLAN_VID_MASK,
                })
            })
        }
        OVS_ACTION_ATTR_POP_VLAN => attr.value.is_empty().then_some(Action::PopVlan),
        OVS_ACTION_ATTR_USERSPACE => {
            let nested = attr.nested();
            let known = |a: Attr<'_>| matches!(a.kind, OVS_USERSPACE_ATTR_PID | OVS_USERSPACE_ATTR_USERDATA);
            let pid = nested.u32(OVS_USERSPACE_ATTR_PID)?;
            let cookie = nested.u64(OVS_USERSPACE_ATTR_USERDATA)?;
            nested
                .into_iter()
                .all(known)
                .then_some(Action::Userspace { pid, cookie })
        }
        OVS_ACTION_ATTR_CHECK_PKT_LEN => {
            let (nested, depth) = (attr.nested(), depth.checked_sub(1)?);
            let list = |kind| Some(decode_nested(nested.nested(kind)?, depth));
            Some(Action::CheckPktLen {
                max: nested.u16(OVS_CHECK_PKT_LEN_ATTR_PKT_LEN)?,
                greater: list(OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_GREATER)?,
                less_equal: list(OVS_CHECK_PKT_LEN_ATTR_ACTIONS_IF_LESS_EQUAL)?,
            })
        }
        _unknown => None,
    }
}

/// How deep lists are decoded; the kernel's own limit on nested actions is 16
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    #[test]
    fn what_cannot_be_said_is_kept_as_bytes() {
        for (kind, value) in [
            (OVS_ACTION_ATTR_OUTPUT, vec![1, 2]),
            (OVS_ACTION_ATTR_POP_VLAN, vec![1]),
            (OVS_ACTION_ATTR_PUSH_VLAN, vec![0x81, 0, 0xf0, 1]),
            (OVS_ACTION_ATTR_SET, vec![6, 0, 16, 0, 1, 2, 0, 0]),
            (OVS_ACTION_ATTR_USERSPACE, vec![8, 0, 1, 0, 1, 0, 0, 0]),
            (OVS_ACTION_ATTR_RECIRC, vec![1, 0, 0, 0]),
        ] {
            let action = Action::Other(kind, value);
            let bytes = Action::encode_all(std::slice::from_ref(&action));
            assert_eq!(Action::decode_all(Attrs::new(&bytes)), [action]);
        }
    }

    #[test]
    fn nesting_beyond_the_kernels_limit_is_not_followed() {
        let mut action = Action::PopVlan;
        for _ in 0..200 {
            action = Action::CheckPktLen {
                max: 1,
                greater: vec![action],
                less_equal: vec![],
            };
        }
        let bytes = Action::encode_all(&[action]);
        assert_eq!(Action::encode_all(&Action::decode_all(Attrs::new(&bytes))), bytes);
    }

    proptest! {
        #[test]
        fn actions_round_trip(actions in proptest::collection::vec(samples::action(), 0..6)) {
            let bytes = Action::encode_all(&actions);
            prop_assert_eq!(Action::decode_all(Attrs::new(&bytes)), actions);
        }

        #[test]
        fn any_bytes_never_panic(bytes in samples::attribute_soup()) {
            let actions = Action::decode_all(Attrs::new(&bytes));
            let again = Action::encode_all(&actions);
            prop_assert_eq!(Action::decode_all(Attrs::new(&again)), actions);
        }
    }
}
