//! VLAN tags, and the peers that they name between the datapath and the sleeve's TAP.
//!
//! A short id has 12 bits, like a VLAN id. Where the TAP is a port of the Open vSwitch datapath, frames
//! on it carry the peers in tags of their own, before any tag of the container's:
//!
//! ```text
//! one peer:   dst(6) src(6) | 8100 TCI                      | ethertype …
//! two peers:  dst(6) src(6) | 88a8 TCI(dst) | 8100 TCI(src) | ethertype …    TCI = 0x1000 | short id
//! ```

use model::ShortId;

/// `ETH_P_8021Q`
pub const ETH_P_8021Q: u16 = 0x8100;
/// `ETH_P_8021AD`
pub const ETH_P_8021AD: u16 = 0x88a8;
/// Bytes of one tag
pub const TAG: usize = 4;

/// The peers that the tags of a frame on the TAP name
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerTags {
    /// One 802.1Q tag. From the datapath: this host's frame, for this peer. To the datapath: this
    /// peer's frame, for this host or to be flooded
    One(ShortId),
    /// An 802.1ad tag and an 802.1Q tag: a frame that this host relays
    Two {
        /// For this peer, or the neighbour that a flooded copy goes to
        destination: ShortId,
        /// From this peer
        source: ShortId,
    },
}

impl PeerTags {
    /// The peers that a frame from the datapath names; `None` if it has no such tags
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let outer = tag_at(frame, ADDRESSES)?;
        match outer.0 {
            ETH_P_8021Q => Some(Self::One(ShortId::truncated(outer.1))),
            ETH_P_8021AD => {
                let (ETH_P_8021Q, source) = tag_at(frame, ADDRESSES + TAG)? else {
                    return None;
                };
                Some(Self::Two {
                    destination: ShortId::truncated(outer.1),
                    source: ShortId::truncated(source),
                })
            }
            _ => None,
        }
    }

    /// How many tags to strip before the frame is a container's again
    pub const fn count(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Two { .. } => 2,
        }
    }
}

/// Tags to put into frames for the TAP
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags {
    bytes: [u8; 2 * TAG],
    len: u8,
}

impl Tags {
    /// None
    pub const NONE: Self = Self {
        bytes: [0; 2 * TAG],
        len: 0,
    };

    /// The tags as they stand in a frame, after the addresses
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl From<PeerTags> for Tags {
    fn from(peers: PeerTags) -> Self {
        let tag = |tpid: u16, id: ShortId| {
            let [a, b] = tpid.to_be_bytes();
            let [c, d] = (TCI_CFI | id.value()).to_be_bytes();
            [a, b, c, d]
        };
        match peers {
            PeerTags::One(peer) => {
                let [a, b, c, d] = tag(ETH_P_8021Q, peer);
                Self {
                    bytes: [a, b, c, d, 0, 0, 0, 0],
                    len: 4,
                }
            }
            PeerTags::Two { destination, source } => {
                let [a, b, c, d] = tag(ETH_P_8021AD, destination);
                let [e, f, g, h] = tag(ETH_P_8021Q, source);
                Self {
                    bytes: [a, b, c, d, e, f, g, h],
                    len: 8,
                }
            }
        }
    }
}

/// Whether this ethertype announces a tag
pub(crate) const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ETH_P_8021Q | ETH_P_8021AD)
}

fn tag_at(frame: &[u8], at: usize) -> Option<(u16, u16)> {
    let &[a, b, c, d] = frame.get(at..)?.first_chunk::<TAG>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Both Ethernet addresses
const ADDRESSES: usize = 12;
/// The bit that Open vSwitch calls `VLAN_CFI_MASK` and demands in a tag that is present
const TCI_CFI: u16 = 0x1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tags: &[u8]) -> Vec<u8> {
        [&[2; 12][..], tags, &[0x08, 0x00, 0x45]].concat()
    }

    #[test]
    fn tags_stand_in_the_frame_as_the_datapath_wants_them() {
        let one = Tags::from(PeerTags::One(ShortId::truncated(0x123)));
        assert_eq!(one.as_bytes(), [0x81, 0x00, 0x11, 0x23]);
        let two = Tags::from(PeerTags::Two {
            destination: ShortId::truncated(0xabc),
            source: ShortId::truncated(0x001),
        });
        assert_eq!(two.as_bytes(), [0x88, 0xa8, 0x1a, 0xbc, 0x81, 0x00, 0x10, 0x01]);
        assert_eq!(Tags::NONE.as_bytes(), [0; 0]);
    }

    #[test]
    fn frames_without_peer_tags_name_nobody() {
        assert_eq!(PeerTags::parse(&frame(&[])), None);
        assert_eq!(
            PeerTags::parse(&frame(&[0x88, 0xa8, 0x10, 0x01])),
            None,
            "half a pair"
        );
        assert_eq!(PeerTags::parse(&[0; 13]), None);
    }

    proptest! {
        #[test]
        fn tags_name_the_peers_they_were_made_from(a in 0..4096u16, b in 0..4096u16, two: bool) {
            let (a, b) = (ShortId::truncated(a), ShortId::truncated(b));
            let peers = if two { PeerTags::Two { destination: a, source: b } } else { PeerTags::One(a) };
            let tags = Tags::from(peers);
            prop_assert_eq!(tags.as_bytes().len(), peers.count() * TAG);
            prop_assert_eq!(PeerTags::parse(&frame(tags.as_bytes())), Some(peers));
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = PeerTags::parse(&bytes);
        }
    }
}
