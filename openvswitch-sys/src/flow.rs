//! Family `ovs_flow`: entries of a datapath's flow table.

use crate::action::Action;
use crate::attr::{AttrWriter, Attrs};
use crate::datapath::{bytes, u64s};
use crate::key::{FlowKey, Ufid};
use crate::netlink::DecodeError;
use crate::uapi::*;

/// A flow as a dump lists it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its id; flows put without one, as `ovs-dpctl add-flow` does, have none
    pub ufid: Option<Ufid>,
    /// What it matches on
    pub matches: FlowMatch,
    /// What it does
    pub actions: Vec<Action>,
    /// Its traffic
    pub stats: FlowStats,
    /// When it last matched, in milliseconds of `CLOCK_MONOTONIC`
    pub used: Option<u64>,
}

/// What a flow matches on
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowMatch {
    /// A key that this project installs
    Canonical(FlowKey),
    /// Somebody else's: the attributes of key and mask
    Other {
        /// `OVS_FLOW_ATTR_KEY`
        key: Vec<u8>,
        /// `OVS_FLOW_ATTR_MASK`
        mask: Vec<u8>,
    },
}

/// `struct ovs_flow_stats`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowStats {
    /// Packets that matched
    pub packets: u64,
    /// Their bytes
    pub bytes: u64,
}

impl Flow {
    /// A flow from the attributes of a reply
    pub fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let key = attrs
            .value(OVS_FLOW_ATTR_KEY)
            .ok_or(DecodeError::Attribute("OVS_FLOW_ATTR_KEY"))?;
        let mask = attrs.value(OVS_FLOW_ATTR_MASK).unwrap_or_default();
        let matches = FlowKey::decode(Attrs::new(key), Attrs::new(mask)).map_or_else(
            || FlowMatch::Other {
                key: key.to_vec(),
                mask: mask.to_vec(),
            },
            FlowMatch::Canonical,
        );
        let stats = attrs.value(OVS_FLOW_ATTR_STATS).and_then(u64s);
        Ok(Self {
            ufid: attrs.array(OVS_FLOW_ATTR_UFID).map(Ufid),
            matches,
            actions: attrs
                .nested(OVS_FLOW_ATTR_ACTIONS)
                .map(Action::decode_all)
                .unwrap_or_default(),
            stats: stats.map_or_else(FlowStats::default, |[packets, bytes]| FlowStats {
                packets,
                bytes,
            }),
            used: attrs.u64(OVS_FLOW_ATTR_USED),
        })
    }

    /// How long ago it last matched, in milliseconds, when `CLOCK_MONOTONIC` reads `now_ms`
    pub const fn used_ms_ago(&self, now_ms: u64) -> Option<u64> {
        match self.used {
            None => None,
            Some(used) => Some(now_ms.saturating_sub(used)),
        }
    }

    /// Appends the attributes of a reply, in the kernel's order, with the canonical key as this crate
    /// writes it
    pub fn write(&self, w: &mut AttrWriter<'_>) {
        if let Some(Ufid(id)) = &self.ufid {
            w.put(OVS_FLOW_ATTR_UFID, id);
        }
        match &self.matches {
            FlowMatch::Canonical(key) => {
                w.nest(OVS_FLOW_ATTR_KEY, |w| key.write_key(w));
                w.nest(OVS_FLOW_ATTR_MASK, |w| key.write_mask(w));
            }
            FlowMatch::Other { key, mask } => {
                w.put(OVS_FLOW_ATTR_KEY, key);
                w.put(OVS_FLOW_ATTR_MASK, mask);
            }
        }
        if let Some(used) = self.used {
            w.put_u64(OVS_FLOW_ATTR_USED, used);
        }
        // A flow that never matched has no statistics.
        if self.stats.packets != 0 {
            w.put(
                OVS_FLOW_ATTR_STATS,
                &bytes([self.stats.packets, self.stats.bytes]),
            );
        }
        w.nest(OVS_FLOW_ATTR_ACTIONS, |w| Action::write_all(&self.actions, w));
    }
}

/// Appends what `OVS_FLOW_CMD_NEW` needs to install a flow under its canonical key and id
///
/// Sent without `NLM_F_CREATE` and `NLM_F_EXCL` it creates the flow or replaces its actions.
pub fn write_put(key: &FlowKey, actions: &[Action], w: &mut AttrWriter<'_>) {
    w.nest(OVS_FLOW_ATTR_KEY, |w| key.write_key(w));
    w.nest(OVS_FLOW_ATTR_MASK, |w| key.write_mask(w));
    w.nest(OVS_FLOW_ATTR_ACTIONS, |w| Action::write_all(actions, w));
    w.put(OVS_FLOW_ATTR_UFID, &key.ufid().0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    proptest! {
        #[test]
        fn flows_round_trip(
            ufid: Option<[u8; 16]>, key in samples::flow_key(),
            actions in proptest::collection::vec(samples::action(), 0..4),
            packets in 1..u64::MAX, bytes: u64, used: Option<u64>,
        ) {
            let matches = FlowMatch::Canonical(key);
            let stats = FlowStats { packets, bytes };
            let flow = Flow { ufid: ufid.map(Ufid), matches, actions, stats, used };
            let mut buf = vec![];
            flow.write(&mut AttrWriter::new(&mut buf));
            prop_assert_eq!(Flow::decode(Attrs::new(&buf)), Ok(flow));
        }

        #[test]
        fn any_bytes_never_panic(bytes in samples::attribute_soup()) {
            let _ = Flow::decode(Attrs::new(&bytes));
        }
    }
}
