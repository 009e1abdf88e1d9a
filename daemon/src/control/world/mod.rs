//! Whole control planes on a virtual clock, joined by wires that can be cut.
//!
//! Each host carries out its plane's commands as the control task does, but on wires of this file: TCP
//! arrives late rather than never, UDP is lost where a wire is cut or too narrow.

mod act;
mod host;
mod wires;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dns::{Filter, Names};
use fallback_sleeve::datagram::SessionId;
use gossip::{Channel, Departure, DialId, Disconnect};
use model::{ContainerId, PathKind, ShortId, Target};

use crate::datapath::Beat;
use crate::neighbours::gate::BeatDrop;
use crate::sleeve::ControlDatagram;
pub(crate) use host::{Host, Setup};
use wires::Streams;
pub(crate) use wires::Wire;

/// One way between any two hosts
const LATENCY: Duration = Duration::from_micros(300);
/// A TCP segment that did not arrive is sent again after so long.
const AGAIN: Duration = Duration::from_millis(100);
/// The daemon's patience with a dial
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Every host gives this port to TCP and the sleeve, and the next one to VXLAN
pub(crate) const PORT: u16 = 6783;

/// Hosts and the wires between them
pub(crate) struct World {
    start: Instant,
    now: Instant,
    pub(crate) hosts: Vec<Host>,
    cut: Vec<(usize, usize, Wire)>,
    /// The longest IP packet that passes on any wire
    pub(crate) path_mtu: u16,
    streams: Streams,
    flying: BTreeMap<(Instant, u64), Flight>,
    /// Heartbeats as somebody on the wire saw them, while that is wanted
    captured: Option<Vec<Flight>>,
    sent: u64,
}

/// Something on its way to a host
#[derive(Debug, Clone)]
enum Flight {
    Dial {
        from: usize,
        dial: DialId,
        target: Target,
    },
    Refused {
        to: usize,
        dial: DialId,
        why: &'static str,
    },
    /// A stream has something for its end at this host
    Tcp { to: usize, stream: usize },
    Beat {
        to: usize,
        source: ShortId,
        from: Ipv4Addr,
        body: Vec<u8>,
        frame_len: usize,
    },
    Control {
        to: usize,
        session: SessionId,
        from: SocketAddr,
        body: Vec<u8>,
        len: usize,
    },
}

impl World {
    /// Hosts that have all just started and know of nobody
    pub(crate) fn new<const N: usize>(setups: [Setup; N]) -> Self {
        let start = Instant::now();
        let mut world = Self {
            start,
            now: start,
            hosts: Vec::new(),
            cut: Vec::new(),
            path_mtu: u16::MAX,
            streams: Streams::default(),
            flying: BTreeMap::new(),
            captured: None,
            sent: 0,
        };
        for (index, setup) in setups.into_iter().enumerate() {
            world.hosts.push(Host::new(index, setup));
            world.boot(index);
        }
        world
    }

    /// Two hosts, of which the first has been told of the second
    pub(crate) fn pair(one: Setup, two: Setup) -> Self {
        let mut world = Self::new([one, two]);
        world.connect(0, 1);
        world
    }

    /// Tells a host of another
    pub(crate) fn connect(&mut self, from: usize, to: usize) {
        let target = self.hosts[to].target();
        let now = self.now;
        if let Some(plane) = &mut self.hosts[from].plane {
            plane.set_targets(vec![target], false, now);
        }
        self.carry_out(from);
    }

    /// Starts a host's daemon, with what the last one kept
    pub(crate) fn boot(&mut self, host: usize) {
        self.hosts[host].boot(self.now);
        self.carry_out(host);
    }

    /// `kill -9`: the kernel closes the streams
    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].plane = None;
        for stream in self.streams.close_all_of(host) {
            self.fly_tcp(host, stream);
        }
    }

    /// The power is gone: nobody closes anything
    pub(crate) fn unplug(&mut self, host: usize) {
        self.hosts[host].plane = None;
        self.streams.forget_all_of(host);
    }

    /// An end in order
    pub(crate) fn stop(&mut self, host: usize, departure: Departure) {
        let now = self.now;
        if let Some(plane) = &mut self.hosts[host].plane {
            plane.shut_down(departure, now);
        }
        self.carry_out(host);
        self.kill(host);
    }

    /// Nothing passes on this wire between two hosts until it is healed
    pub(crate) fn cut(&mut self, a: usize, b: usize, wire: Wire) {
        self.cut.push((a.min(b), a.max(b), wire));
    }

    /// Everything passes
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Gives a container of a host a name
    pub(crate) fn name(&mut self, host: usize, name: &str, container: ContainerId, address: Ipv4Addr) {
        self.names(host, |names| {
            names.add(name, container, address).unwrap();
        });
    }

    /// Takes every name of a container of a host
    pub(crate) fn unname(&mut self, host: usize, container: ContainerId) {
        self.names(host, |names| {
            let container = Some(container);
            let filter = Filter {
                container,
                ..Filter::default()
            };
            assert!(names.remove(&filter).unwrap() > 0);
        });
    }

    fn names(&mut self, host: usize, change: impl FnOnce(&mut Names)) {
        let plane = self.hosts[host].plane.as_mut().unwrap();
        change(&mut plane.names.state);
        self.carry_out(host);
    }

    /// Sends bytes from a host's daemon to another as a message on a channel
    pub(crate) fn send(&mut self, from: usize, to: usize, channel: Channel, bytes: &[u8]) {
        let (peer, now) = (self.hosts[to].name(), self.now);
        let plane = self.hosts[from].plane.as_mut().unwrap();
        plane.mesh.send(peer, channel, bytes.to_vec(), now).unwrap();
        self.carry_out(from);
    }

    /// A host cannot make VXLAN ports for these UDP ports
    pub(crate) fn fail_vxlan_ports(&mut self, host: usize, ports: std::collections::BTreeSet<u16>) {
        let now = self.now;
        if let Some(plane) = &mut self.hosts[host].plane {
            plane.vxlan_ports_failing(ports, now);
        }
        self.carry_out(host);
    }

    pub(crate) fn set_underlay_mtu(&mut self, host: usize, underlay_mtu: u16) {
        self.hosts[host].underlay_mtu = underlay_mtu;
        let now = self.now;
        if let Some(plane) = &mut self.hosts[host].plane {
            plane.network_changed(underlay_mtu, now);
        }
        self.carry_out(host);
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// The time since the start
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.step(next);
        }
        self.now = end;
    }

    /// Lets time pass until it is so, and tells how long that took
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, limit: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !is_so(self) {
            let next = self.next().filter(|next| *next <= start + limit);
            let Some(next) = next else {
                let lines: Vec<String> = self.hosts.iter().map(|host| host.line(self.now)).collect();
                panic!("not within {limit:?}: {what}; {lines:#?}");
            };
            self.step(next);
        }
        self.now - start
    }

    /// How many heartbeats a host has sent
    pub(crate) fn beats(&self, host: usize) -> u64 {
        self.hosts[host].beats
    }

    /// What a host's `status connections` says
    pub(crate) fn line(&self, host: usize) -> String {
        self.hosts[host].line(self.now)
    }

    /// Whether two hosts have this path to each other
    pub(crate) fn path(&self, a: usize, b: usize, path: Option<PathKind>) -> bool {
        let is = |from: &Host, to: &Host| from.path_to(to) == path;
        is(&self.hosts[a], &self.hosts[b]) && is(&self.hosts[b], &self.hosts[a])
    }

    fn next(&self) -> Option<Instant> {
        let flights = self.flying.keys().next().map(|(at, _)| *at);
        let timers = self.hosts.iter().filter_map(Host::timeout);
        flights.into_iter().chain(timers).min()
    }

    fn step(&mut self, next: Instant) {
        self.now = self.now.max(next);
        while let Some(first) = self
            .flying
            .first_entry()
            .filter(|first| first.key().0 <= self.now)
        {
            let flight = first.remove();
            self.arrive(flight);
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].timeout().is_some_and(|due| due <= self.now) {
                self.hosts[host].handle_timeout(self.now);
                self.carry_out(host);
            }
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let now = self.now;
        match flight {
            Flight::Dial { from, dial, target } => self.dial(from, dial, &target),
            Flight::Refused { to, dial, why } => {
                if let Some(plane) = &mut self.hosts[to].plane {
                    assert_eq!(plane.dialled(dial, Err(why.to_owned()), now), None);
                }
                self.carry_out(to);
            }
            Flight::Tcp { to, stream } => {
                if self.is_cut(self.streams.other(stream, to), to, Wire::Tcp) {
                    self.fly(AGAIN, Flight::Tcp { to, stream });
                    return;
                }
                let (conn, bytes, closed) = self.streams.take(stream, to);
                if let (Some(plane), Some(conn)) = (&mut self.hosts[to].plane, conn) {
                    if !bytes.is_empty() {
                        plane.bytes(conn, &bytes, now);
                    }
                    if closed {
                        plane.disconnected(conn, Disconnect::Eof, now);
                    }
                }
                self.carry_out(to);
            }
            Flight::Beat {
                to,
                source,
                from,
                body,
                frame_len,
            } => {
                // As the switch thread does it.
                let Host {
                    plane: Some(plane),
                    fastdp,
                    refused,
                    ..
                } = &mut self.hosts[to]
                else {
                    return;
                };
                let neighbour = plane.topology.by_short_id(source);
                let known = neighbour.and_then(|peer| Some((peer, fastdp.get(&peer)?)));
                let checked = known.map(|(peer, fastdp)| (peer, fastdp.gate.check(&body, now)));
                match checked {
                    Some((peer, Ok(beat))) => plane.beat(
                        &Beat {
                            peer,
                            from,
                            beat,
                            frame_len,
                        },
                        now,
                    ),
                    Some((_, Err(reason))) => refused.push(reason),
                    None => refused.push(BeatDrop::UnknownPeer),
                }
                self.carry_out(to);
            }
            Flight::Control {
                to,
                session,
                from,
                body,
                len,
            } => {
                // As the sleeve's receiving threads do it.
                let Host {
                    plane: Some(plane),
                    listening,
                    refused,
                    ..
                } = &mut self.hosts[to]
                else {
                    return;
                };
                if let Some(session) = listening.get(&session) {
                    match session.beats.check(&body, now) {
                        Ok(beat) => plane.control(
                            &ControlDatagram {
                                peer: session.peer,
                                from,
                                beat,
                                len,
                            },
                            now,
                        ),
                        Err(reason) => refused.push(reason),
                    }
                }
                self.carry_out(to);
            }
        }
    }

    fn dial(&mut self, from: usize, dial: DialId, target: &Target) {
        let address = target.address(PORT);
        let to = self
            .hosts
            .iter()
            .position(|host| Some(host.address) == address.map(|address| address.ip()));
        let refused = |why| Flight::Refused { to: from, dial, why };
        let now = self.now;
        let Some(to) = to.filter(|to| !self.is_cut(from, *to, Wire::Tcp)) else {
            return self.fly(DIAL_TIMEOUT, refused("no answer"));
        };
        let here = SocketAddr::new(self.hosts[from].address, self.streams.next_port());
        let there = SocketAddr::new(self.hosts[to].address, PORT);
        let Some(accepted) = self.hosts[to].plane.as_mut() else {
            return self.fly(LATENCY, refused("connection refused"));
        };
        let accepted = accepted.accepted(there, here, now).ok();
        let dialler = self.hosts[from].plane.as_mut();
        let dialled = dialler.and_then(|plane| plane.dialled(dial, Ok((here, there)), now));
        let stream = self.streams.open([(from, dialled), (to, accepted)]);
        for (end, conn) in [(from, dialled), (to, accepted)] {
            if conn.is_none() {
                self.streams.close(stream, end);
                self.fly_tcp(end, stream);
            }
        }
        self.carry_out(to);
        self.carry_out(from);
    }

    fn carry_out(&mut self, host: usize) {
        while let Some(command) = self.hosts[host].poll_command(self.now) {
            self.act(host, command);
        }
    }

    fn is_cut(&self, a: usize, b: usize, wire: Wire) -> bool {
        let (a, b) = (a.min(b), a.max(b));
        let unplugged = |host: usize| self.hosts[host].plane.is_none() && wire != Wire::Tcp;
        self.cut
            .iter()
            .any(|cut| (cut.0, cut.1) == (a, b) && (cut.2 == wire || cut.2 == Wire::All))
            || unplugged(a)
            || unplugged(b)
    }

    /// From here on somebody on the wire keeps a copy of each heartbeat
    pub(crate) fn capture(&mut self) {
        self.captured = Some(Vec::new());
    }

    fn record(&mut self, flight: &Flight) {
        self.captured.iter_mut().for_each(|all| all.push(flight.clone()));
    }

    /// Sends the captured heartbeats to whom they were for, as if from another address, or from their own
    pub(crate) fn replay(&mut self, as_if_from: Option<Ipv4Addr>) -> usize {
        let all = self.captured.clone().unwrap_or_default();
        let count = all.len();
        for mut flight in all {
            if let Some(address) = as_if_from {
                match &mut flight {
                    Flight::Beat { from, .. } => *from = address,
                    Flight::Control { from, .. } => from.set_ip(address.into()),
                    Flight::Dial { .. } | Flight::Refused { .. } | Flight::Tcp { .. } => {}
                }
            }
            self.fly(LATENCY, flight);
        }
        count
    }

    /// Sends what looks like a heartbeat to a host, by both paths, as if from a neighbour
    pub(crate) fn forge(&mut self, to: usize, as_of: usize, from: Ipv4Addr, body: &[u8]) {
        let name = self.hosts[as_of].name();
        let topology = &self.hosts[to].plane().topology;
        let source = topology.peers[&name].short_id;
        self.fly(
            LATENCY,
            Flight::Beat {
                to,
                source,
                from,
                body: body.to_vec(),
                frame_len: 60,
            },
        );
        let sessions: Vec<SessionId> = self.hosts[to].listening.keys().copied().collect();
        for session in sessions {
            let flight = Flight::Control {
                to,
                session,
                from: SocketAddr::new(from.into(), PORT),
                body: body.to_vec(),
                len: 60,
            };
            self.fly(LATENCY, flight);
        }
    }

    fn fly_tcp(&mut self, from: usize, stream: usize) {
        let to = self.streams.other(stream, from);
        self.fly(LATENCY, Flight::Tcp { to, stream });
    }

    fn fly(&mut self, time: Duration, flight: Flight) {
        self.sent += 1;
        self.flying.insert((self.now + time, self.sent), flight);
    }
}
