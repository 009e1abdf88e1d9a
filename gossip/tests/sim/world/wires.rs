//! TCP between the hosts: bytes in order, cut at random, stalled by a cut, lost by a reset.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gossip::{ConnId, DialId, Disconnect};
use model::Target;
use rand::RngExt;

use super::{Happening, HostId, PORT, World, address};

pub(super) type WireId = u64;
/// 0 dialled, 1 accepted
pub(super) type Side = usize;

/// One TCP connection
pub(super) struct Wire {
    pub(super) ends: [Option<(HostId, ConnId)>; 2],
    hosts: [HostId; 2],
    /// The earliest that anything may arrive at each side
    arrival: [Instant; 2],
    /// What has come to each side and cannot be read: for a cut, or because the host does not run
    stalled: [Vec<Segment>; 2],
}

/// What travels on a wire
pub(super) enum Segment {
    Bytes(Vec<u8>),
    End(Disconnect),
}

impl World {
    /// No packet passes between the two any more
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cut_tcp(a, b);
        for (at, to) in [(a, b), (b, a)] {
            let missed = self.now + Duration::from_millis(1500);
            self.plan(missed, Happening::Path { at, to, up: false });
        }
    }

    /// TCP does not pass between the two any more; data does
    pub fn cut_tcp(&mut self, a: HostId, b: HostId) {
        self.cuts.insert((a.min(b), a.max(b)));
    }

    /// Packets pass again
    pub fn heal(&mut self, a: HostId, b: HostId) {
        if !self.cuts.remove(&(a.min(b), a.max(b))) {
            return;
        }
        for (at, to) in [(a, b), (b, a)] {
            let seen = self.now + Duration::from_millis(500);
            self.plan(seen, Happening::Path { at, to, up: true });
        }
        self.flush();
    }

    /// One of the TCP connections is reset at both ends; what is under way is lost
    pub fn reset_one(&mut self) {
        let wires: Vec<WireId> = self.wires.keys().copied().collect();
        if wires.is_empty() {
            return;
        }
        let wire = wires[self.rng.random_range(0..wires.len())];
        self.agenda
            .retain(|_, happening| !matches!(happening, Happening::Arrive { wire: of, .. } if *of == wire));
        for side in 0..2 {
            self.arrive(wire, side, Segment::End(Disconnect::Reset));
        }
    }

    pub(super) fn connect(&mut self, from: HostId, dial: DialId, target: &Target) {
        let to = target
            .address(PORT)
            .and_then(|address| host_at(address, self.hosts.len()));
        let (local, remote) = (ephemeral(from, self.next_wire), target.address(PORT));
        let is_cut = to.is_some_and(|to| self.cuts.contains(&(from.min(to), from.max(to))));
        let refused = match (to, remote) {
            _ if is_cut => Err("no route to host"),
            (Some(to), Some(remote)) if self.hosts[to].mesh.is_some() => Ok((to, remote)),
            _ => Err("connection refused"),
        };
        match refused {
            Err(error) => {
                self.with(from, |mesh, now| {
                    assert_eq!(mesh.dialled(dial, Err(error.to_owned()), now), None)
                });
            }
            Ok((to, remote)) => {
                let id = self.next_wire;
                self.next_wire += 1;
                let now = self.now;
                // The wire is there before either mesh writes to it.
                let wire = Wire {
                    ends: [None, None],
                    hosts: [from, to],
                    arrival: [now, now],
                    stalled: [vec![], vec![]],
                };
                self.wires.insert(id, wire);
                let accepted = self.hosts[to]
                    .mesh
                    .as_mut()
                    .map(|mesh| mesh.accepted(remote, local, now));
                self.attach(id, 1, to, accepted.and_then(Result::ok));
                let dialled = self.hosts[from]
                    .mesh
                    .as_mut()
                    .map(|mesh| mesh.dialled(dial, Ok((local, remote)), now));
                self.attach(id, 0, from, dialled.flatten());
                self.drain(to);
                self.drain(from);
            }
        }
    }

    fn attach(&mut self, id: WireId, side: Side, host: HostId, conn: Option<ConnId>) {
        match conn {
            Some(conn) => {
                self.hosts[host].wires.insert(conn, (id, side));
                if let Some(wire) = self.wires.get_mut(&id) {
                    wire.ends[side] = Some((host, conn));
                }
            }
            None => self.close(id, side, Disconnect::Reset),
        }
    }

    /// The segment comes to that side, after what was sent before
    pub(super) fn arrive(&mut self, id: WireId, side: Side, segment: Segment) {
        let delay = self.delay();
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let when = (self.now + delay).max(wire.arrival[side]);
        wire.arrival[side] = when;
        self.plan(
            when,
            Happening::Arrive {
                wire: id,
                side,
                segment,
            },
        );
    }

    /// A segment comes to a side; it waits if it cannot be read, or if others wait before it
    pub(super) fn deliver(&mut self, id: WireId, side: Side, segment: Segment) {
        let is_blocked = self.is_blocked(id, side);
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if is_blocked || !wire.stalled[side].is_empty() {
            wire.stalled[side].push(segment);
        } else {
            self.read(id, side, segment);
        }
    }

    /// Whatever waited and can be read is read
    pub(super) fn flush(&mut self) {
        let sides: Vec<(WireId, Side)> = self.wires.keys().flat_map(|id| [(*id, 0), (*id, 1)]).collect();
        for (id, side) in sides {
            if self.is_blocked(id, side) {
                continue;
            }
            let stalled = self
                .wires
                .get_mut(&id)
                .map(|wire| std::mem::take(&mut wire.stalled[side]));
            for segment in stalled.unwrap_or_default() {
                self.read(id, side, segment);
            }
        }
    }

    fn is_blocked(&self, id: WireId, side: Side) -> bool {
        let Some(wire) = self.wires.get(&id) else {
            return false;
        };
        let [a, b] = wire.hosts;
        let starved = wire.ends[side].is_some_and(|(host, _)| self.hosts[host].starved_until > self.now);
        starved || self.cuts.contains(&(a.min(b), a.max(b)))
    }

    fn read(&mut self, id: WireId, side: Side, segment: Segment) {
        let Some((host, conn)) = self.wires.get(&id).and_then(|wire| wire.ends[side]) else {
            return;
        };
        match segment {
            Segment::Bytes(bytes) => {
                let cut = self.rng.random_range(1..=bytes.len());
                for piece in bytes.chunks(cut) {
                    self.with(host, |mesh, now| mesh.handle_input(conn, piece, now));
                }
            }
            Segment::End(how) => {
                self.unplug(id, side);
                self.with(host, |mesh, now| mesh.disconnected(conn, how, now));
            }
        }
    }

    /// One side closes: the other reads the end after everything that was written
    pub(super) fn close(&mut self, id: WireId, side: Side, how: Disconnect) {
        self.unplug(id, side);
        self.arrive(id, 1 - side, Segment::End(how));
    }

    fn unplug(&mut self, id: WireId, side: Side) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if let Some((host, conn)) = wire.ends[side].take() {
            self.hosts[host].wires.remove(&conn);
        }
        if wire.ends == [None, None] {
            self.wires.remove(&id);
        }
    }
}

fn host_at(at: SocketAddr, count: usize) -> Option<HostId> {
    (0..count).find(|id| address(*id) == at)
}

fn ephemeral(id: HostId, wire: WireId) -> SocketAddr {
    SocketAddr::new(address(id).ip(), 32768 + (wire % 28000) as u16)
}
