//! Carrying out a plane's commands on wires of the virtual kind.

use std::net::{IpAddr, SocketAddr};

use fallback_sleeve::mtu;

use super::{Flight, LATENCY, PORT, Wire, World};
use crate::control::command::Command;
use crate::datapath::BeatOut;

impl World {
    pub(super) fn act(&mut self, host: usize, command: Command) {
        if matches!(command, Command::Beat(_) | Command::Control { .. }) {
            self.hosts[host].beats += 1;
        }
        match command {
            Command::Dial { dial, target } => {
                let from = host;
                self.fly(LATENCY, Flight::Dial { from, dial, target });
            }
            Command::Send { conn, bytes } => {
                if let Some(stream) = self.streams.write(host, conn, &bytes) {
                    self.fly_tcp(host, stream);
                }
            }
            Command::Close { conn } => {
                if let Some(stream) = self.streams.of(host, conn) {
                    self.streams.close(stream, host);
                    self.fly_tcp(host, stream);
                }
            }
            Command::Beat(beat) => self.send_beat(host, &beat),
            Command::Control {
                peer,
                session,
                to,
                body,
                size,
            } => {
                let Some(sealer) = session.sealer().clone() else {
                    return;
                };
                let len = mtu::sleeve_datagram_len(size).max(sealer.room().total() + body.len());
                let packet = mtu::sleeve_packet_size(len) + self.hosts[host].longer_headers();
                if packet > self.hosts[host].underlay_mtu {
                    let now = self.now;
                    if let Some(plane) = &mut self.hosts[host].plane {
                        plane.refused(peer, size, now);
                    }
                    return;
                }
                let to = self.hosts.iter().position(|other| other.is_at(to.ip()));
                let Some(to) = to.filter(|_to| packet <= self.path_mtu) else {
                    return;
                };
                let flight = Flight::Control {
                    to,
                    session: sealer.session(),
                    from: SocketAddr::new(self.hosts[host].seen_at(), PORT),
                    body: body.to_vec(),
                    len,
                };
                self.record(&flight);
                if !self.is_cut(host, to, Wire::Sleeve) {
                    self.fly(LATENCY, flight);
                }
            }
            Command::Listen(..)
            | Command::Unlisten(_)
            | Command::SetFastdp(..)
            | Command::SetPath(..)
            | Command::SetRoutes(_)
            | Command::Forward(_)
            | Command::Settle
            | Command::ForgetStations(_)
            | Command::ExpireStations
            | Command::Keep(_)
            | Command::Answer(..)
            | Command::Note(_)
            | Command::PublishNames(_) => self.hosts[host].take(command, self.now - self.start),
        }
    }

    fn send_beat(&mut self, host: usize, beat: &BeatOut) {
        let size = mtu::fastdp_packet_size(beat.frame.len());
        assert_eq!(beat.udp_port, PORT + 1);
        let to = self
            .hosts
            .iter()
            .position(|other| other.is_at(beat.remote.into()));
        let Some(to) = to.filter(|to| {
            let fits = size <= self.hosts[host].underlay_mtu.min(self.path_mtu);
            fits && self.hosts[*to].has_openvswitch()
        }) else {
            return;
        };
        let from = match self.hosts[host].seen_at() {
            IpAddr::V4(from) => from,
            IpAddr::V6(_) => beat.local,
        };
        let flight = Flight::Beat {
            to,
            source: beat.vni.source(),
            from,
            body: beat.frame[14..].to_vec(),
            frame_len: beat.frame.len(),
        };
        self.record(&flight);
        if !self.is_cut(host, to, Wire::Vxlan) {
            self.fly(LATENCY, flight);
        }
    }
}
