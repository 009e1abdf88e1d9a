//! Where the sleeve's threads send a frame.
//!
//! A [`Forwarding`] is a snapshot: made anew whenever routes, sessions or paths change, never changed
//! once made, asked by many threads at once without a lock and without allocation. Targets come by a
//! callback, each with the VNI to send under.
//!
//! ```text
//! with Open vSwitch ([`Mode::Tagged`])             without ([`Mode::Bridge`])
//!
//!   datapath ── TAP ──► egress_tagged              bridge ── TAP ──► egress_bridge
//!   datapath ◄─ TAP ◄── ingress ◄── datagram       bridge ◄─ TAP ◄── ingress ◄── datagram
//!                          └──► other sessions                         └──► other sessions
//! ```
//! With Open vSwitch a flooded frame that came by the sleeve is passed on in two halves: these threads
//! send to the neighbours that the sleeve reaches, the datapath, which gets the frame through the TAP,
//! to those that fastdp reaches, and to the containers. Both must agree on the kind of each path, so
//! the daemon publishes a change of path here and to the [`Switch`](crate::Switch) together.

use std::sync::Arc;

use fallback_sleeve::vlan::PeerTags;
use model::{Mac, PathKind, PeerName, ShortId, Vni};

use crate::{DropReason, MacTable, Routes, Station};

/// What the TAP is plugged into
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An Open vSwitch datapath: frames on the TAP name their peers in tags
    Tagged,
    /// A Linux bridge: frames on the TAP are the containers' own
    Bridge,
}

/// A neighbour as the sleeve sees it
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour<S> {
    /// The sleeve session with it
    pub session: S,
    /// The path that is chosen for it
    pub path: Option<PathKind>,
}

/// What to write to the TAP of a frame that came by the sleeve
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inject {
    /// Nothing
    No,
    /// The frame as it is, for the bridge
    Plain,
    /// The frame behind these tags, for the datapath
    Tagged(PeerTags),
}

/// Where frames go; `S` is the daemon's handle of a sleeve session
#[derive(Debug, Clone)]
pub struct Forwarding<S> {
    mode: Mode,
    own: ShortId,
    own_name: PeerName,
    routes: Arc<dyn Routes>,
    /// In the order of names
    neighbours: Box<[Entry<S>]>,
    /// By the short id of a peer: place in `neighbours`, or one of the marks below
    next_hops: Box<[u16]>,
}

#[derive(Debug, Clone)]
struct Entry<S> {
    name: PeerName,
    id: Option<ShortId>,
    session: S,
    path: Option<PathKind>,
}

impl<S> Forwarding<S> {
    /// The snapshot of these routes and these neighbours
    pub fn new(
        mode: Mode,
        routes: Arc<dyn Routes>,
        neighbours: impl IntoIterator<Item = (PeerName, Neighbour<S>)>,
    ) -> Self {
        let mut neighbours: Vec<_> = neighbours
            .into_iter()
            .map(|(name, Neighbour { session, path })| Entry {
                name,
                id: routes.short_id(name),
                session,
                path,
            })
            .collect();
        neighbours.sort_by_key(|entry| entry.name);
        neighbours.dedup_by_key(|entry| entry.name);
        neighbours.truncate(usize::from(NO_ROUTE));
        let hop = |id: u16| {
            let Some(peer) = routes.peer(ShortId::truncated(id)) else {
                return UNKNOWN;
            };
            let Some(hop) = routes.unicast(peer) else {
                return NO_ROUTE;
            };
            let place = neighbours.binary_search_by_key(&hop, |entry| entry.name);
            place.map_or(NO_ROUTE, |place| place as u16)
        };
        Self {
            mode,
            own: routes.own_short_id(),
            own_name: routes.own(),
            next_hops: (0..ShortId::COUNT).map(hop).collect(),
            neighbours: neighbours.into(),
            routes,
        }
    }

    /// This host's short id
    pub const fn own_short_id(&self) -> ShortId {
        self.own
    }

    /// What the TAP is plugged into
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Sends on a frame that the datapath put out of the TAP
    ///
    /// The datapath has decided: the frame goes by the sleeve, even to a neighbour that fastdp reaches
    /// (a frame too long for that path comes this way).
    pub fn egress_tagged(&self, tags: PeerTags, mut send: impl FnMut(Vni, &S)) -> Result<(), DropReason> {
        let vni = match tags {
            PeerTags::One(destination) => Vni::new(self.own, destination),
            PeerTags::Two { destination, source } => Vni::new(source, destination),
        };
        send(vni, &self.next_hop(vni.destination())?.session);
        Ok(())
    }

    /// Sends on a frame that the bridge put out of the TAP, and learns where its source is
    pub fn egress_bridge(
        &self,
        macs: &MacTable,
        src: Mac,
        dst: Mac,
        tick: u32,
        mut send: impl FnMut(Vni, &S),
    ) -> Result<(), DropReason> {
        check(src, dst)?;
        macs.learn(src, Station::Local, tick);
        match macs.lookup(dst) {
            _ if dst.is_group() => {}
            Some(Station::Local) => return Err(DropReason::SamePort),
            Some(Station::Peer(id)) => match self.next_hop(id) {
                Ok(hop) => {
                    send(Vni::new(self.own, id), &hop.session);
                    return Ok(());
                }
                // Its id is nobody's: as good as never heard of.
                Err(DropReason::UnknownDestination) => {}
                Err(reason) => return Err(reason),
            },
            None => {}
        }
        if self.flood(self.own, self.own_name, None, &mut send) {
            Ok(())
        } else {
            Err(DropReason::Nobody)
        }
    }

    /// Sends on a frame that came by the sleeve from the neighbour `from`, and says what to write to
    /// the TAP
    ///
    /// On a bridge host it also learns where the source is; with Open vSwitch the switch does that.
    #[expect(
        clippy::too_many_arguments,
        reason = "the frame's two addresses, its VNI, and whence it came"
    )]
    pub fn ingress(
        &self,
        macs: &MacTable,
        vni: Vni,
        from: PeerName,
        src: Mac,
        dst: Mac,
        tick: u32,
        mut forward: impl FnMut(Vni, &S),
    ) -> Result<Inject, DropReason> {
        check(src, dst)?;
        let (source, destination) = (vni.source(), vni.destination());
        if source == self.own {
            return Err(DropReason::OwnSource);
        }
        let name = self.routes.peer(source).ok_or(DropReason::UnknownSource)?;
        if name != from && self.routes.comes_directly(name) {
            return Err(DropReason::WrongRelay);
        }
        if destination != self.own {
            let hop = self.next_hop(destination)?;
            if hop.name == from || destination == source {
                return Err(DropReason::Hairpin);
            }
            if self.mode == Mode::Tagged && hop.path == Some(PathKind::Fastdp) {
                return Ok(Inject::Tagged(PeerTags::Two { destination, source }));
            }
            forward(vni, &hop.session);
            return Ok(Inject::No);
        }
        let inject = match self.mode {
            Mode::Tagged => Inject::Tagged(PeerTags::One(source)),
            Mode::Bridge => {
                macs.learn(src, Station::Peer(source), tick);
                Inject::Plain
            }
        };
        if dst.is_group() || macs.lookup(dst) != Some(Station::Local) {
            self.flood(source, name, Some(from), &mut forward);
        }
        Ok(inject)
    }

    fn next_hop(&self, id: ShortId) -> Result<&Entry<S>, DropReason> {
        match self.next_hops[usize::from(id.value())] {
            UNKNOWN => Err(DropReason::UnknownDestination),
            NO_ROUTE => Err(DropReason::NoRoute),
            place => Ok(&self.neighbours[usize::from(place)]),
        }
    }

    /// Sends a copy to each neighbour that the sleeve serves in the tree of `source`
    fn flood(
        &self,
        source: ShortId,
        source_name: PeerName,
        from: Option<PeerName>,
        send: &mut impl FnMut(Vni, &S),
    ) -> bool {
        let mut any = false;
        for &name in self.routes.broadcast(source_name) {
            let Ok(place) = self.neighbours.binary_search_by_key(&name, |entry| entry.name) else {
                continue;
            };
            let hop = &self.neighbours[place];
            let ours = match self.mode {
                Mode::Tagged => hop.path == Some(PathKind::Sleeve),
                Mode::Bridge => true,
            };
            if let Some(id) = hop.id
                && ours
                && Some(name) != from
            {
                send(Vni::new(source, id), &hop.session);
                any = true;
            }
        }
        any
    }
}

/// Refuses what no bridge forwards
fn check(src: Mac, dst: Mac) -> Result<(), DropReason> {
    if src.is_group() || src == Mac::ZERO {
        Err(DropReason::BadSource)
    } else if dst == Mac::ZERO {
        Err(DropReason::BadDestination)
    } else if is_link_local_group(dst) {
        Err(DropReason::LinkLocal)
    } else {
        Ok(())
    }
}

/// Whether bridges keep frames for this address to themselves: `01:80:c2:00:00:00` to `…:0f`
pub(crate) const fn is_link_local_group(mac: Mac) -> bool {
    matches!(mac.octets(), [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00..=0x0f])
}

/// No peer has this id
const UNKNOWN: u16 = u16::MAX;
/// A peer has it, but no session leads there
const NO_ROUTE: u16 = u16::MAX - 1;

#[cfg(test)]
mod tests;
