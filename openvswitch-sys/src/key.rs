//! Flow keys: what a flow matches on.
//!
//! A packet's key, as an upcall carries it, lists everything the kernel parsed, down to the ports. A
//! [`FlowKey`] is the small canonical key that this project installs: input port, Ethernet addresses,
//! the tunnel on the VXLAN port, and VLAN tags; the Ethernet type under the tags and all above it are
//! wildcards. So there are few masks, and every lookup is cheap.
//!
//! ```text
//! IN_PORT  TUNNEL{ID IPV4_SRC IPV4_DST TTL}  ETHERNET                               no tag
//! IN_PORT                                    ETHERNET  ETHERTYPE VLAN ENCAP{}       one tag
//! IN_PORT                                    ETHERNET  ETHERTYPE VLAN ENCAP{ETHERTYPE VLAN ENCAP{}}
//! ```
//! The mask is all ones on these attributes, except: TTL is in the key only because the kernel insists
//! on it ("IP tunnel TTL not specified") and not in the mask; a tag's priority bits are not matched; and
//! where the key has `ENCAP{}` the mask has `ENCAP{ETHERTYPE 0}`, because the kernel overlooks a mask
//! attribute without a nonzero byte ("VLAN attribute unexpected").
//! The kernel always matches on the tag itself, so the untagged form matches untagged frames only.

use std::net::Ipv4Addr;

use model::Mac;

use crate::attr::{AttrWriter, Attrs};
use crate::uapi::*;

/// The number of a vport within its datapath
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl PortNo {
    /// `OVSP_LOCAL`: the internal port that bears the datapath's name
    pub const LOCAL: Self = Self(OVSP_LOCAL);
}

/// A flow's unique id: its name in `FLOW_DEL`, in dumps, and in logs
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ufid(pub [u8; 16]);

/// The outer header of a frame that came through a tunnel port
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelKey {
    /// The tunnel's id: the VNI
    pub id: u64,
    /// The sender's outer address
    pub src: Ipv4Addr,
    /// This host's outer address
    pub dst: Ipv4Addr,
}

/// A VLAN tag without its priority bits
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// `ETH_P_8021Q` or `ETH_P_8021AD`; the kernel refuses others
    pub tpid: u16,
    /// The VLAN id: the low 12 bits count
    pub vid: u16,
}

impl Tag {
    /// An 802.1Q tag
    pub const fn dot1q(vid: u16) -> Self {
        Self {
            tpid: ETH_P_8021Q,
            vid: vid & VLAN_VID_MASK,
        }
    }

    /// An 802.1ad service tag
    pub const fn dot1ad(vid: u16) -> Self {
        Self {
            tpid: ETH_P_8021AD,
            vid: vid & VLAN_VID_MASK,
        }
    }

    /// The tag control information with the bit by which Open vSwitch says "there is a tag"
    pub(crate) const fn tci(self) -> u16 {
        VLAN_CFI_MASK | self.vid & VLAN_VID_MASK
    }
}

/// The VLAN tags of a frame that the datapath parses: none, one, or the outer two
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Vlans {
    /// Untagged
    #[default]
    None,
    /// One tag
    One(Tag),
    /// The outer and the inner tag
    Two(Tag, Tag),
}

/// The canonical flow key
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Where the frame came in
    pub in_port: PortNo,
    /// Ethernet source
    pub src: Mac,
    /// Ethernet destination
    pub dst: Mac,
    /// The tunnel it came through, on a tunnel port
    pub tunnel: Option<TunnelKey>,
    /// Its tags
    pub vlans: Vlans,
}

/// Which of the two attribute lists is written
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Key,
    Mask,
}

impl Side {
    fn of<const N: usize>(self, value: [u8; N]) -> [u8; N] {
        match self {
            Self::Key => value,
            Self::Mask => [0xff; N],
        }
    }
}

impl FlowKey {
    /// The attributes of `OVS_FLOW_ATTR_KEY`
    pub fn encode(&self) -> Vec<u8> {
        let mut buf = Vec::with_capacity(96);
        self.write_key(&mut AttrWriter::new(&mut buf));
        buf
    }

    /// The attributes of `OVS_FLOW_ATTR_MASK`
    pub fn encode_mask(&self) -> Vec<u8> {
        let mut buf = Vec::with_capacity(96);
        self.write_mask(&mut AttrWriter::new(&mut buf));
        buf
    }

    /// Appends the attributes of `OVS_FLOW_ATTR_KEY`
    pub fn write_key(&self, w: &mut AttrWriter<'_>) {
        self.write(w, Side::Key, None);
    }

    /// Appends the attributes of `OVS_FLOW_ATTR_MASK`
    pub fn write_mask(&self, w: &mut AttrWriter<'_>) {
        self.write(w, Side::Mask, None);
    }

    /// The flow's id: the head of the BLAKE3 of the encoded key
    pub fn ufid(&self) -> Ufid {
        let hash = blake3::hash(&self.encode());
        let mut id = [0; 16];
        id.copy_from_slice(hash.as_bytes().split_at(16).0);
        Ufid(id)
    }

    /// The canonical key that these attributes of a flow are; `None` for a flow that matches on
    /// anything else or on less
    pub fn decode(key: Attrs<'_>, mask: Attrs<'_>) -> Option<Self> {
        let parsed = ParsedKey::read(key);
        let key = parsed.flow_key()?;
        masks_exactly(&key, mask).then_some(key)
    }

    /// The key of a packet that has this Ethernet type under its tags
    pub(crate) fn write_packet_key(&self, w: &mut AttrWriter<'_>, ethertype: Option<u16>) {
        self.write(w, Side::Key, ethertype);
    }

    fn write(&self, w: &mut AttrWriter<'_>, side: Side, ethertype: Option<u16>) {
        w.put(OVS_KEY_ATTR_IN_PORT, &side.of(self.in_port.0.to_ne_bytes()));
        if let Some(tunnel) = self.tunnel {
            w.nest(OVS_KEY_ATTR_TUNNEL, |w| {
                w.put(OVS_TUNNEL_KEY_ATTR_ID, &side.of(tunnel.id.to_be_bytes()));
                w.put(OVS_TUNNEL_KEY_ATTR_IPV4_SRC, &side.of(tunnel.src.octets()));
                w.put(OVS_TUNNEL_KEY_ATTR_IPV4_DST, &side.of(tunnel.dst.octets()));
                if side == Side::Key {
                    w.put_u8(OVS_TUNNEL_KEY_ATTR_TTL, 0);
                }
            });
        }
        w.put(OVS_KEY_ATTR_ETHERNET, &side.of(ethernet(self.src, self.dst)));
        let payload = |w: &mut AttrWriter<'_>| {
            if let Some(ethertype) = ethertype {
                w.put(OVS_KEY_ATTR_ETHERTYPE, &ethertype.to_be_bytes());
            } else if side == Side::Mask {
                w.put(OVS_KEY_ATTR_ETHERTYPE, &[0, 0]);
            }
        };
        match self.vlans {
            Vlans::None if side == Side::Mask => {}
            Vlans::None => payload(w),
            Vlans::One(tag) => write_tag(w, side, tag, payload),
            Vlans::Two(outer, inner) => write_tag(w, side, outer, |w| write_tag(w, side, inner, payload)),
        }
    }
}

fn write_tag(w: &mut AttrWriter<'_>, side: Side, tag: Tag, inside: impl FnOnce(&mut AttrWriter<'_>)) {
    w.put(OVS_KEY_ATTR_ETHERTYPE, &side.of(tag.tpid.to_be_bytes()));
    let tci = match side {
        Side::Key => tag.tci(),
        Side::Mask => TCI_MASK,
    };
    w.put(OVS_KEY_ATTR_VLAN, &tci.to_be_bytes());
    w.nest(OVS_KEY_ATTR_ENCAP, inside);
}

/// The fields of any key, a packet's or a flow's, that this project looks at
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ParsedKey {
    pub(crate) in_port: Option<PortNo>,
    pub(crate) ethernet: Option<(Mac, Mac)>,
    pub(crate) tunnel: Option<Option<TunnelKey>>,
    pub(crate) vlans: Vlans,
    /// What stands under the tags; `None` is an 802.2 frame in a packet's key, a wildcard in a flow's
    pub(crate) ethertype: Option<u16>,
}

impl ParsedKey {
    pub(crate) fn read(attrs: Attrs<'_>) -> Self {
        let mut key = Self::default();
        for attr in attrs {
            match attr.kind {
                OVS_KEY_ATTR_IN_PORT => {
                    key.in_port = attr.value.try_into().ok().map(|b| PortNo(u32::from_ne_bytes(b)));
                }
                OVS_KEY_ATTR_ETHERNET => key.ethernet = read_ethernet(attr.value),
                OVS_KEY_ATTR_TUNNEL => key.tunnel = Some(read_tunnel(attr.nested())),
                _other => {}
            }
        }
        let (outer, rest) = read_tag(attrs);
        let (inner, rest) = if outer.is_some() {
            read_tag(rest)
        } else {
            (None, rest)
        };
        key.vlans = match (outer, inner) {
            (None, _) => Vlans::None,
            (Some(tag), None) => Vlans::One(tag),
            (Some(outer), Some(inner)) => Vlans::Two(outer, inner),
        };
        key.ethertype = ethertype(rest);
        key
    }

    fn flow_key(&self) -> Option<FlowKey> {
        let (src, dst) = self.ethernet?;
        let tunnel = match self.tunnel {
            None => None,
            Some(tunnel) => Some(tunnel?),
        };
        Some(FlowKey {
            in_port: self.in_port?,
            src,
            dst,
            tunnel,
            vlans: self.vlans,
        })
    }
}

/// A tag and the attributes under it, or no tag and the attributes given
fn read_tag(attrs: Attrs<'_>) -> (Option<Tag>, Attrs<'_>) {
    let read = || {
        let tpid = ethertype(attrs)?;
        let tci = attrs.array(OVS_KEY_ATTR_VLAN).map(u16::from_be_bytes)?;
        // A TCI of zero marks a frame that ends within its tag.
        let present = tci & VLAN_CFI_MASK != 0;
        present.then_some((
            Tag {
                tpid,
                vid: tci & VLAN_VID_MASK,
            },
            attrs.nested(OVS_KEY_ATTR_ENCAP)?,
        ))
    };
    read().map_or((None, attrs), |(tag, rest)| (Some(tag), rest))
}

fn ethertype(attrs: Attrs<'_>) -> Option<u16> {
    attrs.array(OVS_KEY_ATTR_ETHERTYPE).map(u16::from_be_bytes)
}

fn read_tunnel(attrs: Attrs<'_>) -> Option<TunnelKey> {
    Some(TunnelKey {
        id: u64::from_be_bytes(attrs.array(OVS_TUNNEL_KEY_ATTR_ID)?),
        src: attrs.array(OVS_TUNNEL_KEY_ATTR_IPV4_SRC)?.into(),
        dst: attrs.array(OVS_TUNNEL_KEY_ATTR_IPV4_DST)?.into(),
    })
}

fn read_ethernet(value: &[u8]) -> Option<(Mac, Mac)> {
    let (src, dst) = value.split_first_chunk::<6>()?;
    Some((Mac::new(*src), Mac::new(dst.try_into().ok()?)))
}

/// `struct ovs_key_ethernet`: source first
pub(crate) fn ethernet(src: Mac, dst: Mac) -> [u8; 12] {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (src.octets(), dst.octets());
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// Whether a mask from the kernel, which lists every attribute it knows, matches on what `key`'s
/// canonical mask does and on nothing else
fn masks_exactly(key: &FlowKey, mask: Attrs<'_>) -> bool {
    let canonical = key.encode_mask();
    covers(Attrs::new(&canonical), mask) && nothing_beyond(Attrs::new(&canonical), mask)
}

/// Each attribute of `wanted` is in `mask` with the same value, wildcards aside
fn covers(mut wanted: Attrs<'_>, mask: Attrs<'_>) -> bool {
    wanted.all(|a| match (a.kind, mask.value(a.kind)) {
        (_kind, None) => a.value.iter().all(|b| *b == 0),
        (OVS_KEY_ATTR_TUNNEL, Some(value)) => is_canonical_tunnel_mask(Attrs::new(value)),
        (OVS_KEY_ATTR_ENCAP, Some(value)) => covers(a.nested(), Attrs::new(value)),
        (_kind, Some(value)) => value == a.value,
    })
}

/// Each attribute of `mask` is in `wanted`, or is all zeroes
fn nothing_beyond(wanted: Attrs<'_>, mut mask: Attrs<'_>) -> bool {
    mask.all(|a| match (a.kind, wanted.value(a.kind)) {
        (OVS_KEY_ATTR_ENCAP, Some(inner)) => nothing_beyond(Attrs::new(inner), a.nested()),
        (OVS_KEY_ATTR_ENCAP, None) => false,
        // The kernel lists a tunnel in every mask; what counts is whether anything of it is matched on.
        (OVS_KEY_ATTR_TUNNEL, None) => a.nested().all(|field| field.is_wildcard()),
        (_kind, Some(_checked)) => true,
        (_kind, None) => a.is_wildcard(),
    })
}

/// All ones on id and addresses, and nothing else is matched on
fn is_canonical_tunnel_mask(mask: Attrs<'_>) -> bool {
    let mut ones = 0_usize;
    for attr in mask {
        match attr.kind {
            OVS_TUNNEL_KEY_ATTR_ID | OVS_TUNNEL_KEY_ATTR_IPV4_SRC | OVS_TUNNEL_KEY_ATTR_IPV4_DST => {
                ones = ones.saturating_add(attr.value.iter().all(|b| *b == 0xff).into());
            }
            OVS_TUNNEL_KEY_ATTR_PAD => {}
            // A flag has no value: to be listed is to be matched.
            _other if attr.value.is_empty() || attr.value.iter().any(|b| *b != 0) => return false,
            _wildcard => {}
        }
    }
    ones == 3
}

/// Tag presence and id, not the priority
const TCI_MASK: u16 = VLAN_CFI_MASK | VLAN_VID_MASK;

#[cfg(test)]
mod tests;
