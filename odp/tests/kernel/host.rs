//! A datapath with a wire: two ports joined by a veth pair, so that what leaves one enters the other.

use model::Mac;
use odp::{Datapath, Dpif, Execute, Odp, PacketKey, Received, UpcallSocket, VportKind, VportSpec};
use openvswitch_sys::{Action, FlowKey, PortNo, TunnelKey, UpcallCommand, UpcallKey, Vlans};

use crate::namespace::{sh, wait};

pub(crate) const SRC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
pub(crate) const DST: Mac = Mac::new([2, 0, 0, 0, 0, 2]);

pub(crate) struct Host {
    pub(crate) odp: Odp,
    pub(crate) upcalls: UpcallSocket,
    pub(crate) dp: Datapath,
    /// Frames output here …
    pub(crate) near: PortNo,
    /// … come in here
    pub(crate) far: PortNo,
}

/// An upcall with what it borrowed
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) command: UpcallCommand,
    pub(crate) key: UpcallKey,
    pub(crate) packet: Vec<u8>,
    pub(crate) cookie: Option<u64>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(Odp::open().unwrap())
    }

    pub(crate) fn with(mut odp: Odp) -> Self {
        // Without IPv6 the kernel sends nothing by itself.
        sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
            ip link add near type veth peer name far
            ip link set near up; ip link set far up");
        let upcalls = UpcallSocket::open(1 << 20).unwrap();
        let dp = odp
            .create_or_adopt(&"weave".parse().unwrap(), &[upcalls.pid()])
            .unwrap();
        let mut add = |name: &str| odp.add_vport(&dp, &netdev(name)).unwrap();
        let (near, far) = (add("near"), add("far"));
        Self {
            odp,
            upcalls,
            dp,
            near,
            far,
        }
    }

    /// A frame comes in on `far`
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        let near = self.near;
        self.send(frame, &[Action::Output(near)]);
    }

    /// A frame made here goes through actions
    pub(crate) fn send(&mut self, frame: &[u8], actions: &[Action]) {
        let key = PacketKey::InPort(PortNo::LOCAL);
        let execute = Execute {
            packet: frame,
            key,
            actions,
            hash: None,
        };
        assert_eq!(self.odp.execute(&self.dp, &[execute]).unwrap(), [Ok(())]);
    }

    /// The next upcall
    #[track_caller]
    pub(crate) fn upcall(&mut self) -> Seen {
        next_upcall(&mut self.upcalls).expect("an upcall within 2 s")
    }

    pub(crate) fn key(&self, vlans: Vlans) -> FlowKey {
        FlowKey {
            in_port: self.far,
            src: SRC,
            dst: DST,
            tunnel: None,
            vlans,
        }
    }

    #[track_caller]
    pub(crate) fn put(&mut self, key: FlowKey, actions: Vec<Action>) {
        assert_eq!(self.odp.put_flows(&self.dp, &[(key, actions)]).unwrap(), [Ok(())]);
    }

    /// An action that tells the test that it was reached
    pub(crate) fn tell(&self, cookie: u64) -> Action {
        Action::Userspace {
            pid: self.dp.dispatch.action_pid(),
            cookie,
        }
    }
}

pub(crate) fn next_upcall(socket: &mut UpcallSocket) -> Option<Seen> {
    let mut seen = vec![];
    let keep = |upcall: odp::Upcall<'_>| {
        let (command, key, cookie) = (upcall.command, upcall.key, upcall.cookie());
        seen.push(Seen {
            command,
            key,
            packet: upcall.packet.to_vec(),
            cookie,
        });
    };
    wait(socket).then(|| socket.recv_batch(keep).unwrap())?;
    assert_eq!(seen.len(), 1, "one upcall at a time: {seen:?}");
    seen.pop()
}

pub(crate) fn drain(socket: &mut UpcallSocket) -> Received {
    let mut total = Received::default();
    loop {
        let received = socket.recv_batch(|_upcall| {}).unwrap();
        total.count += received.count;
        total.malformed += received.malformed;
        total.lost_enobufs |= received.lost_enobufs;
        if received.count == 0 {
            return total;
        }
    }
}

pub(crate) fn netdev(name: &str) -> VportSpec {
    VportSpec {
        name: name.parse().unwrap(),
        kind: VportKind::Netdev,
    }
}

pub(crate) fn vxlan() -> VportSpec {
    VportSpec {
        name: "vxlan-6784".parse().unwrap(),
        kind: VportKind::Vxlan { udp_port: 6784 },
    }
}

pub(crate) fn tunnel_key(id: u64, src: &str, dst: &str) -> TunnelKey {
    TunnelKey {
        id,
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
    }
}

/// A frame of `len` bytes with these bytes after the addresses
pub(crate) fn frame(after_addresses: &[u8], len: usize) -> Vec<u8> {
    let mut frame = [&DST.octets()[..], &SRC.octets(), after_addresses].concat();
    frame.resize(len, 0x5a);
    frame
}
