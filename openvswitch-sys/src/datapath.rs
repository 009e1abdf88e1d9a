//! Family `ovs_datapath`: a switch of the kernel.

use crate::attr::{AttrWriter, Attrs, text};
use crate::netlink::DecodeError;
use crate::uapi::*;

/// A datapath as the kernel describes it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datapath {
    /// The internal port's interface index: the datapath's handle in every request
    pub ifindex: i32,
    /// The internal port's name
    pub name: String,
    /// Lookups
    pub stats: DatapathStats,
    /// Mask lookups
    pub megaflow_stats: MegaflowStats,
    /// What its user asked for
    pub features: UserFeatures,
    /// Entries of the mask cache (Linux ≥ 5.10)
    pub masks_cache_size: Option<u32>,
    /// Upcall sockets by CPU (Linux ≥ 5.18 reports them)
    pub per_cpu_pids: Option<Vec<u32>>,
}

impl Datapath {
    /// A datapath from the header and attributes of a reply
    pub fn decode(ifindex: i32, attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ifindex,
            name: attrs
                .value(OVS_DP_ATTR_NAME)
                .map(text)
                .ok_or(DecodeError::Attribute("OVS_DP_ATTR_NAME"))?,
            stats: attrs
                .value(OVS_DP_ATTR_STATS)
                .and_then(DatapathStats::read)
                .unwrap_or_default(),
            megaflow_stats: attrs
                .value(OVS_DP_ATTR_MEGAFLOW_STATS)
                .and_then(MegaflowStats::read)
                .unwrap_or_default(),
            features: UserFeatures(attrs.u32(OVS_DP_ATTR_USER_FEATURES).unwrap_or(0)),
            masks_cache_size: attrs.u32(OVS_DP_ATTR_MASKS_CACHE_SIZE),
            per_cpu_pids: attrs.value(OVS_DP_ATTR_PER_CPU_PIDS).map(u32s),
        })
    }

    /// Appends the attributes of a reply, in the kernel's order
    pub fn write(&self, w: &mut AttrWriter<'_>) {
        w.put_str(OVS_DP_ATTR_NAME, &self.name);
        w.put(OVS_DP_ATTR_STATS, &self.stats.to_bytes());
        w.put(OVS_DP_ATTR_MEGAFLOW_STATS, &self.megaflow_stats.to_bytes());
        w.put_u32(OVS_DP_ATTR_USER_FEATURES, self.features.0);
        if let Some(size) = self.masks_cache_size {
            w.put_u32(OVS_DP_ATTR_MASKS_CACHE_SIZE, size);
        }
        if let Some(pids) = &self.per_cpu_pids {
            w.put_u32s(OVS_DP_ATTR_PER_CPU_PIDS, pids.iter().copied());
        }
    }
}

/// `OVS_DP_F_*` bits
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserFeatures(pub u32);

impl UserFeatures {
    /// Upcalls go to the socket of the CPU that the packet is on (Linux ≥ 5.15)
    pub const PER_CPU: Self = Self(OVS_DP_F_UNALIGNED | OVS_DP_F_DISPATCH_UPCALL_PER_CPU);
    /// Upcalls go to one of the sockets listed on the vport
    pub const VPORT_PIDS: Self = Self(OVS_DP_F_UNALIGNED | OVS_DP_F_VPORT_PIDS);

    /// Whether all bits of `other` are set
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `struct ovs_dp_stats`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatapathStats {
    /// Packets that matched a flow
    pub hit: u64,
    /// Packets that matched none and were sent up
    pub missed: u64,
    /// Misses that reached nobody: no socket, or its buffer was full
    pub lost: u64,
    /// Flows in the table
    pub flows: u64,
}

impl DatapathStats {
    fn read(value: &[u8]) -> Option<Self> {
        let [hit, missed, lost, flows] = u64s(value)?;
        Some(Self {
            hit,
            missed,
            lost,
            flows,
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        bytes([self.hit, self.missed, self.lost, self.flows])
    }
}

/// `struct ovs_dp_megaflow_stats`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MegaflowStats {
    /// Masks tried by all lookups together
    pub mask_hit: u64,
    /// Different masks in the table
    pub masks: u32,
    /// Lookups that the mask cache answered
    pub cache_hit: u64,
}

impl MegaflowStats {
    fn read(value: &[u8]) -> Option<Self> {
        let [mask_hit, masks, cache_hit, _pad] = u64s(value)?;
        let [a, b, c, d, ..] = masks.to_ne_bytes();
        Some(Self {
            mask_hit,
            masks: u32::from_ne_bytes([a, b, c, d]),
            cache_hit,
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        let [a, b, c, d] = self.masks.to_ne_bytes();
        let masks = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        bytes([self.mask_hit, masks, self.cache_hit, 0])
    }
}

/// The first `N` numbers of a structure of `u64`s; newer kernels may append to it
pub(crate) fn u64s<const N: usize>(value: &[u8]) -> Option<[u64; N]> {
    let mut words = value
        .chunks_exact(8)
        .filter_map(|c| c.try_into().ok().map(u64::from_ne_bytes));
    let mut out = [0; N];
    for word in &mut out {
        *word = words.next()?;
    }
    Some(out)
}

pub(crate) fn bytes<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

pub(crate) fn u32s(value: &[u8]) -> Vec<u32> {
    value
        .chunks_exact(4)
        .filter_map(|c| c.try_into().ok().map(u32::from_ne_bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    proptest! {
        #[test]
        fn datapaths_round_trip(
            ifindex: i32, name in "[a-z]{1,15}", n: [u64; 6], masks: u32, features: u32,
            masks_cache_size: Option<u32>, per_cpu_pids: Option<Vec<u32>>,
        ) {
            let dp = Datapath {
                ifindex, name, masks_cache_size, per_cpu_pids,
                stats: DatapathStats { hit: n[0], missed: n[1], lost: n[2], flows: n[3] },
                megaflow_stats: MegaflowStats { mask_hit: n[4], masks, cache_hit: n[5] },
                features: UserFeatures(features),
            };
            let mut buf = vec![];
            dp.write(&mut AttrWriter::new(&mut buf));
            prop_assert_eq!(Datapath::decode(ifindex, Attrs::new(&buf)), Ok(dp));
        }

        #[test]
        fn any_bytes_never_panic(bytes in samples::attribute_soup()) {
            let _ = Datapath::decode(1, Attrs::new(&bytes));
        }
    }
}
