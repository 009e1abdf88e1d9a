//! The answer to one upcall: a heartbeat passed on, a miss decided, a frame too long for its path seen to.

use std::collections::BTreeMap;
use std::time::Instant;

use fallback_sleeve::too_big::{TooBig, too_big};
use model::{Mac, PeerName, ShortId, Vni};
use openvswitch_sys::{TunnelKey, Upcall, UpcallCommand};
use overlay::{Routes as _, Switch};
use tokio::sync::mpsc;

use super::Beat;
use super::work::{Change, Counters, Packet, Work};
use crate::control::Input;
use crate::neighbours::gate::BeatDrop;
use crate::neighbours::{BEAT_ETHERTYPE, Fastdp};
use crate::routes::TopologyRoutes;

/// Bytes of an Ethernet header
const ETHERNET: usize = 14;

/// What answers one upcall: the worker without its sockets
pub(super) struct Answer<'a> {
    pub(super) switch: &'a mut Switch,
    pub(super) routes: &'a TopologyRoutes,
    pub(super) fastdp: &'a BTreeMap<PeerName, Fastdp>,
    pub(super) control: &'a mpsc::Sender<Input>,
    pub(super) work: &'a mut Work,
    pub(super) counters: &'a mut Counters,
    pub(super) now: Instant,
}

impl Answer<'_> {
    pub(super) fn upcall(&mut self, upcall: &Upcall<'_>) {
        match upcall.command {
            UpcallCommand::Miss => match (is_beat(upcall), upcall.key.tunnel) {
                (true, Some(tunnel)) => self.beat(upcall, tunnel),
                (true, None) | (false, _) => self.miss(upcall),
            },
            UpcallCommand::Action => {
                if let Some(cookie) = upcall.cookie().filter(|cookie| Switch::is_oversize(*cookie)) {
                    self.oversize(upcall, cookie);
                }
            }
        }
    }

    fn beat(&mut self, upcall: &Upcall<'_>, tunnel: TunnelKey) {
        let source: ShortId = Vni::truncated(tunnel.id as u32).source();
        let body = upcall.packet.get(ETHERNET..).unwrap_or_default();
        let neighbour = self
            .routes
            .peer(source)
            .and_then(|peer| Some((peer, self.fastdp.get(&peer)?)));
        let checked = match neighbour {
            Some((peer, fastdp)) => fastdp.gate.check(body, self.now).map(|beat| (peer, beat)),
            None => Err(BeatDrop::UnknownPeer),
        };
        let (peer, beat) = match checked {
            Ok(genuine) => genuine,
            Err(reason) => return self.counters.beats.count(reason),
        };
        let beat = Beat {
            peer,
            from: tunnel.src,
            beat,
            frame_len: upcall.packet.len(),
        };
        if self.control.try_send(Input::Beat(beat)).is_err() {
            self.counters.beats_dropped += 1;
        }
    }

    fn miss(&mut self, upcall: &Upcall<'_>) {
        let verdict = self.switch.miss(&upcall.key, self.now);
        self.work.take_outputs(self.switch);
        if let Some(reason) = verdict.dropped {
            log::trace!("{:?}: {}", upcall.key, reason.label());
        }
        for actions in std::iter::once(&verdict.actions)
            .chain(&verdict.further)
            .filter(|list| !list.is_empty())
        {
            self.work.packets.push(Packet::of(upcall, actions.clone()));
        }
        if let Some(key) = verdict.install {
            self.work.changes.push(Change::Put(key, verdict.actions));
        }
    }

    fn oversize(&mut self, upcall: &Upcall<'_>, cookie: u64) {
        let key = &upcall.key;
        let Ok(outcome) = self.switch.oversize(key.in_port, key.dst, cookie, self.now) else {
            return;
        };
        self.work.take_outputs(self.switch);
        let answer = match &outcome.reply {
            Some(_) => too_big(upcall.packet, outcome.mtu),
            None => TooBig::MayFragment,
        };
        match (answer, outcome.reply, outcome.fragment) {
            (TooBig::Reply(reply), Some(actions), _) => {
                self.counters.oversize_answered += 1;
                self.work.packets.push(Packet::new(reply, key.in_port, actions));
            }
            (TooBig::MayFragment, _, Some(actions)) => {
                self.counters.oversize_fragmented += 1;
                self.work.packets.push(Packet::of(upcall, actions));
            }
            (TooBig::Reply(_) | TooBig::MayFragment | TooBig::Nothing, _, _) => {
                self.counters.oversize_dropped += 1;
            }
        }
    }
}

fn is_beat(upcall: &Upcall<'_>) -> bool {
    let key = &upcall.key;
    key.src == Mac::ZERO && key.dst == Mac::ZERO && key.ethertype == Some(BEAT_ETHERTYPE)
}
