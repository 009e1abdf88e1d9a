//! Frames too long for the VXLAN path that a flow names.
//!
//! The flow sends such a frame up with a [`Cookie`] that says for whom it was. The daemon answers with
//! an ICMP "too big" where that is due (`fallback_sleeve::too_big` makes it of the frame), else lets the
//! sleeve carry the frame in fragments. A multicast frame is never answered, nor a frame that was
//! flooded because nobody knows its destination: one narrow path would dictate to all.

use std::time::Instant;

use model::{Mac, ShortId, Vni, bump};
use openvswitch_sys::{Action, PortNo};

use super::actions::{Copies, PeerTag};
use super::limit::Source;
use super::{Place, Switch};
use crate::{DropReason, Path};

/// What the user data of such an upcall says
///
/// ```text
///  63            48 47       37  36     35        24 23                   0
/// +----------------+-----------+-------+------------+----------------------+
/// |     0x4d54     |     0     | flood | next hop   |          VNI         |
/// +----------------+-----------+-------+------------+----------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) vni: Vni,
    pub(super) hop: ShortId,
    pub(super) flooded: bool,
}

impl From<Cookie> for u64 {
    fn from(cookie: Cookie) -> Self {
        MARK << 48
            | Self::from(cookie.flooded) << 36
            | Self::from(cookie.hop.value()) << 24
            | Self::from(u32::from(cookie.vni))
    }
}

impl Cookie {
    fn parse(bits: u64) -> Option<Self> {
        (bits >> 37 == MARK << 11).then(|| Self {
            vni: Vni::truncated(bits as u32),
            hop: ShortId::truncated((bits >> 24) as u16),
            flooded: bits >> 36 & 1 == 1,
        })
    }
}

/// What to do with a frame that is too long for its path
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversize {
    /// The longest IP packet that fits the path
    pub mtu: u16,
    /// Where a "too big" goes, if one may be sent: execute it with these actions
    pub reply: Option<Vec<Action>>,
    /// How the frame itself goes by the sleeve, if there is one: for frames that may be fragmented, and
    /// for those that nobody is told about
    pub fragment: Option<Vec<Action>>,
}

impl Switch {
    /// Whether an upcall of kind `Action` with this user data is for [`Switch::oversize`]
    pub fn is_oversize(cookie: u64) -> bool {
        Cookie::parse(cookie).is_some()
    }

    /// Says what becomes of a frame that a flow sent up for its length
    ///
    /// `in_port`, `dst` and `cookie` are the upcall's; its other fields show the frame as the flow had
    /// already changed it.
    pub fn oversize(
        &mut self,
        in_port: PortNo,
        dst: Mac,
        cookie: u64,
        now: Instant,
    ) -> Result<Oversize, DropReason> {
        bump(&mut self.counters.oversize);
        let outcome = self.oversize_outcome(in_port, dst, cookie, now);
        if let Err(reason) = outcome {
            self.counters.drops.count(reason);
        }
        outcome
    }

    fn oversize_outcome(
        &mut self,
        in_port: PortNo,
        dst: Mac,
        cookie: u64,
        now: Instant,
    ) -> Result<Oversize, DropReason> {
        let Cookie { vni, hop, flooded } = Cookie::parse(cookie).ok_or(DropReason::BadTag)?;
        let state = &self.state;
        let own = state.routes.own_short_id();
        let place = if vni.source() == own {
            Place::Port(in_port)
        } else {
            Place::Peer(vni.source())
        };
        if !self.limits.take(Source::Oversize(place), now) {
            return Err(DropReason::RateLimited);
        }
        let path = state.routes.peer(hop).and_then(|peer| state.paths.get(&peer));
        let mtu = match path {
            Some(Path::Fastdp(tunnel)) => Some(tunnel.mtu),
            // The flow is being replaced: this frame goes as the next ones will.
            Some(Path::Sleeve) | None => None,
        };
        let fragment = state.tap.map(|tap| {
            let copies = Copies {
                sleeve: vec![(tap, PeerTag::new(vni, own))],
                ..Copies::default()
            };
            copies.lists().concat()
        });
        let reply = match place {
            _ if flooded || dst.is_group() || mtu.is_none() => None,
            Place::Port(port) => state.is_local(port).then(|| vec![Action::Output(port)]),
            Place::Peer(_) => {
                let reverse = Vni::new(vni.destination(), vni.source());
                let mut copies = Copies::default();
                let sent = state.to_peer(reverse, None, &mut copies);
                sent.ok().map(|_hop| copies.lists().concat())
            }
        };
        if reply.is_none() && fragment.is_none() {
            return Err(DropReason::NoPath);
        }
        Ok(Oversize {
            mtu: mtu.unwrap_or(state.mtu),
            reply,
            fragment,
        })
    }
}

/// "MT"
const MARK: u64 = 0x4d54;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cookie_comes_back_as_it_went(source in 0..4096u16, dest in 0..4096u16, hop in 0..4096u16, flooded: bool) {
            let id = ShortId::truncated;
            let cookie = Cookie { vni: Vni::new(id(source), id(dest)), hop: id(hop), flooded };
            prop_assert_eq!(Cookie::parse(cookie.into()), Some(cookie));
        }

        #[test]
        fn other_cookies_are_not_taken_for_it(bits: u64) {
            prop_assume!(bits >> 48 != MARK);
            prop_assert!(!Switch::is_oversize(bits));
        }
    }
}
