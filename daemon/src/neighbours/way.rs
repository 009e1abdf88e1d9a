//! One of a neighbour's two paths, as far as heartbeats go: keys, and the neighbour's address.

use std::sync::Arc;
use std::time::Instant;

use fallback_sleeve::heartbeat::{Beat, BeatError, BeatSealer};
use fallback_sleeve::probe::{PathProbe, Roam};
use model::PathKind;
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::gate::BeatGate;

/// The keys of one connection's heartbeats
#[derive(Clone)]
pub(crate) struct BeatKeys {
    /// For those that go to the neighbour
    pub(crate) outgoing: Zeroizing<[u8; 32]>,
    /// For those that come from it
    pub(crate) incoming: Zeroizing<[u8; 32]>,
}

/// One path; `A` is the kind of its addresses
pub(super) struct Way<A> {
    kind: PathKind,
    sealer: BeatSealer,
    gate: Arc<BeatGate>,
    roam: Roam<A>,
}

/// What a genuine heartbeat comes to
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Bodies to send to the address that it came from
    pub(super) answers: [Option<[u8; Beat::LEN]>; 2],
    /// The neighbour has proved that it is there, and was elsewhere before
    pub(super) moved: bool,
    /// It came from where the neighbour is known to be
    pub(super) proves: bool,
}

impl<A: Copy + Eq> Way<A> {
    /// A path on which heartbeats under these keys pass from here on
    pub(super) fn new(kind: PathKind, gate: Arc<BeatGate>, keys: &BeatKeys, remote: A) -> Self {
        gate.open(keys.incoming.clone());
        Self {
            kind,
            sealer: BeatSealer::new(keys.outgoing.clone(), kind),
            gate,
            roam: Roam::new(remote),
        }
    }

    /// The neighbour has another connection, whose other end is at this address
    pub(super) fn back(&mut self, keys: &BeatKeys, remote: A) {
        *self = Self::new(self.kind, Arc::clone(&self.gate), keys, remote);
    }

    /// No heartbeat passes any more
    pub(super) fn close(&self) {
        self.gate.close();
    }

    pub(super) const fn gate(&self) -> &Arc<BeatGate> {
        &self.gate
    }

    /// Where the neighbour is
    pub(super) const fn remote(&self) -> A {
        self.roam.remote()
    }

    /// The body of a heartbeat; none once all counters of the key are used
    pub(super) fn seal(&mut self, beat: Beat) -> Option<[u8; Beat::LEN]> {
        self.sealer.seal(beat)
    }

    /// Takes a genuine heartbeat that came from `from` in an outer IP packet of `size`
    pub(super) fn heard(
        &mut self,
        probe: &mut PathProbe,
        beat: Beat,
        (from, size): (A, u16),
        rng: &mut dyn CryptoRng,
        now: Instant,
    ) -> Result<Heard, BeatError> {
        let mut heard = Heard::default();
        match beat {
            Beat::Ping(_) => {
                let pong = probe.handle_beat(beat, size, now)?;
                let challenge = self.roam.pinged(from, other_than(probe.id(), rng), now);
                heard.answers = [pong, challenge].map(|beat| self.sealer.seal(beat?));
            }
            Beat::Pong(fields) => {
                heard.moved = self.roam.answered(fields, from, now);
                // What was sent to one address and is answered from another proves neither.
                if !heard.moved && from == self.roam.remote() {
                    let _to_a_pong = probe.handle_beat(beat, size, now)?;
                }
            }
        }
        heard.proves = from == self.roam.remote();
        Ok(heard)
    }
}

/// A random id that is not the probe's
fn other_than(probe: u64, rng: &mut dyn CryptoRng) -> u64 {
    let id = rng.next_u64();
    if id == probe { !id } else { id }
}
