//! What becomes of a frame: one pure function of its key and of what the switch knows.
//!
//! | comes from | destination | goes to |
//! |---|---|---|
//! | container | its own port | nowhere |
//! | container | station here | its port |
//! | container | station at a peer | next hop to that peer, VNI own → peer |
//! | container | group, unknown | other ports; own broadcast tree, VNI own → neighbour |
//! | peer, for this host | station here | its port |
//! | peer, for this host | group, any other | all ports; the source's tree, VNI source → neighbour |
//! | peer, for another | any | next hop to that peer, same VNI |
//!
//! A frame that a peer addressed to this host is never sent on by the MAC table, so two hosts that
//! disagree about a station cannot pass a frame between them for ever. A frame with one tag on the TAP
//! was passed on by the sleeve's threads already to those neighbours that the sleeve serves
//! ([`Forwarding`](crate::Forwarding)), hence goes to the others only.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::{Mac, PeerName, ShortId, Vni};
use openvswitch_sys::uapi::{ETH_P_8021AD, ETH_P_8021Q};
use openvswitch_sys::{Action, FlowKey, PortNo, Tag, Vlans};

use super::actions::{Copies, PeerTag, TunnelCopy};
use super::macs::{Macs, Place};
use super::oversize::Cookie;
use super::proved::Proved;
use super::{PortRole, limit::Source};
use crate::forwarding::is_link_local_group;
use crate::{DropReason, Path, Routes};

/// What becomes of the frames of a key
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do with the frame; nothing drops it
    pub actions: Vec<Action>,
    /// More lists to execute it with, where one would be too long for the kernel
    pub further: Vec<Vec<Action>>,
    /// Whether a flow may do so with all frames of the key
    pub cacheable: bool,
    /// Why it goes nowhere
    pub reason: Option<DropReason>,
    /// What else than stations and ports it hangs on
    pub(super) depends: Depends,
}

/// The part of the topology that a decision was taken from
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Depends {
    /// The peer that the frames come from, unless it is this one
    pub(super) source: Option<ShortId>,
    pub(super) target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Ports of this host, or none
    Here,
    /// The way to a peer
    Peer(ShortId),
    /// The broadcast tree of the source
    Tree,
}

impl Decision {
    const fn drop(reason: DropReason, cacheable: bool) -> Self {
        Self {
            actions: vec![],
            further: vec![],
            cacheable,
            reason: Some(reason),
            depends: Depends {
                source: None,
                target: Target::Here,
            },
        }
    }
}

/// What the switch knows
#[derive(Debug)]
pub(super) struct State {
    pub(super) routes: Arc<dyn Routes>,
    pub(super) ports: BTreeMap<PortNo, PortRole>,
    pub(super) tap: Option<PortNo>,
    pub(super) paths: BTreeMap<PeerName, Path>,
    pub(super) proved: Proved,
    pub(super) macs: Macs,
    /// The longest IP packet that containers here send
    pub(super) mtu: u16,
    /// Whom to send frames that are too long; `None` where the kernel cannot tell their length
    pub(super) too_long_to: Option<u32>,
}

/// What a key says of where its frames come from
#[derive(Debug, Clone, Copy)]
pub(super) struct Ingress {
    pub(super) place: Place,
    /// The peer they are for, when this host only relays
    pub(super) relay: Option<ShortId>,
    source: ShortId,
    source_name: PeerName,
    pops: usize,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Port,
    /// The neighbour's outer address
    Tunnel(Ipv4Addr),
    Tap,
}

impl Ingress {
    /// In whose account a miss goes
    pub(super) const fn account(&self) -> Source {
        Source::At(self.place)
    }
}

impl State {
    pub(super) fn is_local(&self, port: PortNo) -> bool {
        self.ports.get(&port).is_some_and(|role| role.is_local())
    }

    /// Where the frames of a key come from, if one may listen to them at all
    pub(super) fn ingress(&self, key: &FlowKey) -> Result<Ingress, DropReason> {
        let role = self.ports.get(&key.in_port).ok_or(DropReason::UnknownPort)?;
        if let (PortRole::Vxlan, Some(tunnel)) = (role, key.tunnel)
            && !self.proved.is_anybodys(tunnel.src)
        {
            return Err(DropReason::UnprovedAddress);
        }
        if key.src.is_group() || key.src == Mac::ZERO {
            return Err(DropReason::BadSource);
        }
        if key.dst == Mac::ZERO {
            return Err(DropReason::BadDestination);
        }
        let (pops, way) = match (role, key.tunnel) {
            (PortRole::Container | PortRole::Host, _) => {
                return Ok(Ingress {
                    place: Place::Port(key.in_port),
                    relay: None,
                    source: self.routes.own_short_id(),
                    source_name: self.routes.own(),
                    pops: 0,
                    way: Way::Port,
                });
            }
            (PortRole::Vxlan, None) => return Err(DropReason::BadTunnel),
            (PortRole::Vxlan, Some(tunnel)) => (0, Way::Tunnel(tunnel.src)),
            (PortRole::Tap, _) => (peer_tags(key.vlans), Way::Tap),
        };
        let vni = self.vni(key)?;
        let (source, destination) = (vni.source(), vni.destination());
        if source == self.routes.own_short_id() {
            return Err(DropReason::OwnSource);
        }
        let source_name = self.routes.peer(source).ok_or(DropReason::UnknownSource)?;
        if let Way::Tunnel(outer) = way {
            self.proved.admits(outer, source_name, &*self.routes)?;
        }
        Ok(Ingress {
            place: Place::Peer(source),
            relay: (destination != self.routes.own_short_id()).then_some(destination),
            source,
            source_name,
            pops,
            way,
        })
    }

    /// The VNI under which a frame came through the VXLAN port, or that its tags on the TAP stand for
    pub(super) fn vni(&self, key: &FlowKey) -> Result<Vni, DropReason> {
        let id = |tag: Tag| ShortId::truncated(tag.vid);
        if let Some(tunnel) = key.tunnel {
            let bits = u32::try_from(tunnel.id).ok().filter(|bits| *bits <= VNI_MAX);
            return bits.map(Vni::truncated).ok_or(DropReason::BadTunnel);
        }
        match (peer_tags(key.vlans), key.vlans) {
            (1, Vlans::One(outer) | Vlans::Two(outer, _)) => {
                Ok(Vni::new(id(outer), self.routes.own_short_id()))
            }
            (2, Vlans::Two(outer, inner)) => Ok(Vni::new(id(inner), id(outer))),
            (_, Vlans::None | Vlans::One(_) | Vlans::Two(..)) => Err(DropReason::BadTag),
        }
    }

    /// What becomes of the frames of a key
    pub(super) fn decide(&self, key: &FlowKey) -> Decision {
        let from = match self.ingress(key) {
            Ok(from) => from,
            Err(reason) => return Decision::drop(reason, false),
        };
        let mut copies = Copies {
            pops: from.pops,
            ..Copies::default()
        };
        let outcome = self.place_copies(key, &from, &mut copies);
        // A flow is right only while its source is where its frames come from: once that station has
        // moved, the next frame from here must come up.
        let rooted = from.relay.is_some() || self.macs.place(key.src) == Some(from.place);
        let Outcome {
            target,
            cacheable,
            reason,
        } = outcome;
        let mut lists = copies.lists().into_iter();
        let actions = lists.next().unwrap_or_default();
        let further: Vec<_> = lists.collect();
        Decision {
            cacheable: cacheable && rooted && further.is_empty(),
            reason: reason.or_else(|| copies.is_empty().then_some(DropReason::Nobody)),
            depends: Depends {
                source: (from.way != Way::Port).then_some(from.source),
                target,
            },
            actions,
            further,
        }
    }

    fn place_copies(&self, key: &FlowKey, from: &Ingress, copies: &mut Copies) -> Outcome {
        if is_link_local_group(key.dst) {
            return Outcome::refuse(DropReason::LinkLocal);
        }
        if let Some(destination) = from.relay {
            return self.unicast(Vni::new(from.source, destination), from, copies);
        }
        let place = match key.dst.is_group() {
            true => None,
            false => self.macs.place(key.dst),
        };
        match (place, from.way) {
            (Some(Place::Port(port)), Way::Port) if port == key.in_port => {
                Outcome::refuse(DropReason::SamePort)
            }
            (Some(Place::Port(port)), _) => {
                copies.local.push(port);
                Outcome::to(Target::Here)
            }
            (Some(Place::Peer(id)), Way::Port) => self.unicast(Vni::new(from.source, id), from, copies),
            (Some(Place::Peer(_)) | None, _) => {
                self.flood(key, from, copies);
                Outcome {
                    target: Target::Tree,
                    cacheable: key.dst.is_group(),
                    reason: None,
                }
            }
        }
    }

    fn unicast(&self, vni: Vni, from: &Ingress, copies: &mut Copies) -> Outcome {
        let outer = match from.way {
            Way::Tunnel(outer) => Some(outer),
            Way::Port | Way::Tap => None,
        };
        let sent = if vni.source() == vni.destination() {
            Err(DropReason::Hairpin)
        } else {
            self.to_peer(vni, outer, copies)
        };
        Outcome {
            target: Target::Peer(vni.destination()),
            cacheable: true,
            reason: sent.err(),
        }
    }

    /// Adds the copy for the next hop on the way to the VNI's destination, unless that is where the
    /// frame came from; tells the next hop
    pub(super) fn to_peer(
        &self,
        vni: Vni,
        outer: Option<Ipv4Addr>,
        copies: &mut Copies,
    ) -> Result<PeerName, DropReason> {
        let peer = self
            .routes
            .peer(vni.destination())
            .ok_or(DropReason::UnknownDestination)?;
        let hop = self.routes.unicast(peer).ok_or(DropReason::NoRoute)?;
        let id = self.routes.short_id(hop).ok_or(DropReason::NoRoute)?;
        self.to_neighbour(vni, hop, id, false, outer, copies)?;
        Ok(hop)
    }

    fn flood(&self, key: &FlowKey, from: &Ingress, copies: &mut Copies) {
        let locals = self
            .ports
            .iter()
            .filter(|(port, role)| role.is_local() && **port != key.in_port);
        copies.local.extend(locals.map(|(port, _)| *port));
        let outer = match from.way {
            Way::Tunnel(outer) => Some(outer),
            Way::Port | Way::Tap => None,
        };
        for &hop in self.routes.broadcast(from.source_name) {
            let by_sleeve = self.paths.get(&hop) == Some(&Path::Sleeve);
            if by_sleeve && from.way == Way::Tap {
                continue;
            }
            if let Some(id) = self.routes.short_id(hop) {
                // A neighbour without a path misses its copy; the topology follows the paths.
                let _missing = self.to_neighbour(Vni::new(from.source, id), hop, id, true, outer, copies);
            }
        }
    }

    fn to_neighbour(
        &self,
        vni: Vni,
        hop: PeerName,
        id: ShortId,
        flooded: bool,
        outer: Option<Ipv4Addr>,
        copies: &mut Copies,
    ) -> Result<(), DropReason> {
        let own = self.routes.own_short_id();
        match *self.paths.get(&hop).ok_or(DropReason::NoPath)? {
            Path::Fastdp(tunnel) => {
                if outer == Some(tunnel.remote) {
                    return Err(DropReason::Hairpin);
                }
                if self.ports.get(&tunnel.port) != Some(&PortRole::Vxlan) {
                    return Err(DropReason::NoPath);
                }
                // What other hosts' containers send may be longer than what ours do.
                let check = vni.source() != own || tunnel.mtu < self.mtu;
                let cookie = Cookie {
                    vni,
                    hop: id,
                    flooded,
                };
                copies.tunnels.push(TunnelCopy {
                    vni,
                    tunnel,
                    too_long: self.too_long_to.filter(|_pid| check).map(|pid| (cookie, pid)),
                });
            }
            Path::Sleeve => {
                let tap = self.tap.ok_or(DropReason::NoPath)?;
                copies.sleeve.push((tap, PeerTag::new(vni, own)));
            }
        }
        Ok(())
    }
}

/// How many of a frame's tags on the TAP name peers; a second one under an 802.1Q tag is a container's
const fn peer_tags(vlans: Vlans) -> usize {
    match vlans {
        Vlans::One(outer) | Vlans::Two(outer, _) if outer.tpid == ETH_P_8021Q => 1,
        Vlans::Two(outer, inner) if outer.tpid == ETH_P_8021AD && inner.tpid == ETH_P_8021Q => 2,
        Vlans::None | Vlans::One(_) | Vlans::Two(..) => 0,
    }
}

struct Outcome {
    target: Target,
    cacheable: bool,
    reason: Option<DropReason>,
}

impl Outcome {
    const fn to(target: Target) -> Self {
        Self {
            target,
            cacheable: true,
            reason: None,
        }
    }

    const fn refuse(reason: DropReason) -> Self {
        Self {
            target: Target::Here,
            cacheable: true,
            reason: Some(reason),
        }
    }
}

const VNI_MAX: u32 = 0xff_ffff;
