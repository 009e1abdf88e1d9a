//! A member of the network without a weaved: a mesh and one connection, to send what no weaved would.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use gossip::hostile::Forged;
use gossip::{
    Channel, Config, ConnId, Disconnect, Entropy, Event, Identity, Mesh, NetworkName, Offer, Output,
    Passwords, PeerRecord, Signature, Timers,
};
use model::{PeerName, ShortId, Uid};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::namespace::Namespace;

/// How long one read waits
const PAUSE: Duration = Duration::from_millis(2);

/// How long a weaved may leave bytes unread before the member gives up
const STUCK: Duration = Duration::from_secs(10);

/// How long a handshake may take
const PATIENCE: Duration = Duration::from_secs(10);

/// A member of an open network, and its connection to one weaved
pub struct Member {
    /// The key of its name
    pub identity: Identity,
    mesh: Mesh,
    stream: TcpStream,
    conn: ConnId,
    peer: Option<PeerName>,
    ended: Option<String>,
}

impl Member {
    /// Connects to a weaved that listens at `to`, and waits until that takes it as a neighbor
    pub fn join(from: &Namespace, to: SocketAddr, seed: u64) -> Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let identity = Identity::generate(&mut rng);
        let mut mesh = Mesh::new(config(&identity, &mut rng)?, rng, Instant::now());
        mesh.set_targets(vec![to.into()], true, Instant::now());
        let dial = loop {
            mesh.handle_timeout(Instant::now());
            match mesh.poll_output() {
                Some(Output::Dial { dial, .. }) => break dial,
                Some(_) => {}
                None => bail!("the mesh dials nobody"),
            }
        };
        let stream = from.enter(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        stream.set_read_timeout(Some(PAUSE))?;
        stream.set_write_timeout(Some(STUCK))?;
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        let conn = mesh.dialled(dial, Ok(ends), Instant::now());
        let mut member = Self {
            identity,
            mesh,
            stream,
            conn: conn.context("the mesh does not want its own dial")?,
            peer: None,
            ended: None,
        };
        let begun = Instant::now();
        while member.peer.is_none() {
            member.run_for(PAUSE);
            if let Some(why) = &member.ended {
                bail!("weaved refused the member: {why}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("weaved did not take the member as a neighbor within {PATIENCE:?}");
            }
        }
        Ok(member)
    }

    /// Sends a message of whatever content; nothing happens if the connection is over
    pub fn forge(&mut self, forged: Forged) {
        if let Some(peer) = self.peer {
            self.mesh.forge(peer, forged);
        }
        self.drain();
    }

    /// Sends the bytes of another protocol; nothing happens if the connection is over
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) {
        if let Some(peer) = self.peer {
            self.mesh.send(peer, channel, bytes, Instant::now()).ok();
        }
        self.drain();
    }

    /// Lets the connection live for a while, as an honest peer does
    pub fn run_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let mut buffer = vec![0; 1 << 16];
        while self.ended.is_none() {
            self.mesh.handle_timeout(Instant::now());
            self.drain();
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end("the weaved closed the connection"),
                Ok(len) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.mesh.handle_input(self.conn, bytes, Instant::now());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => self.end(&error.to_string()),
            }
            self.drain();
            if Instant::now() >= until {
                break;
            }
        }
    }

    /// Returns why the connection is over, if it is
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    fn end(&mut self, why: &str) {
        self.mesh.disconnected(self.conn, Disconnect::Eof, Instant::now());
        self.peer = None;
        self.ended.get_or_insert_with(|| why.to_owned());
    }

    fn drain(&mut self) {
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Send { bytes, .. } if self.ended.is_none() => {
                    if let Err(error) = self.stream.write_all(&bytes) {
                        self.end(&error.to_string());
                    }
                }
                Output::Event(Event::NeighbourUp { peer, .. }) => self.peer = Some(peer),
                Output::Event(Event::NeighbourDown { reason, .. }) => self.end(&reason.to_string()),
                Output::Close { .. } => self.end("the member's own mesh closed the connection"),
                Output::Send { .. } | Output::Event(_) | Output::Dial { .. } => {}
            }
        }
    }
}

/// Returns the record of a peer that is not there, with these neighbors
pub fn invented(
    identity: &Identity,
    neighbors: impl IntoIterator<Item = PeerName>,
    rng: &mut StdRng,
) -> Result<PeerRecord> {
    let link = |peer: PeerName| {
        let link = gossip::Link {
            address: SocketAddr::from(([192, 0, 2, 1], 6783)),
            outbound: true,
            established: true,
        };
        (peer, link)
    };
    Ok(PeerRecord {
        name: identity.peer_name(),
        key: identity.key(),
        nickname: "invented".parse()?,
        uid: Uid(rng.random()),
        epoch: 1,
        version: 1,
        short_id: ShortId::new(rng.random_range(1..ShortId::COUNT))?,
        addresses: vec![],
        connections: neighbors.into_iter().map(link).collect(),
        disputes: vec![],
        signature: Signature::default(),
    })
}

/// Returns the time of day as the mesh wants it
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn config(identity: &Identity, rng: &mut StdRng) -> Result<Config> {
    Ok(Config {
        name: identity.peer_name(),
        nickname: "hostile".parse()?,
        identity: identity.clone(),
        network: NetworkName::default(),
        passwords: Passwords::default(),
        entropy: Entropy::new(StdRng::from_rng(rng)),
        pins: vec![],
        bans: vec![],
        unix_ms: unix_ms(),
        short_id: None,
        epoch: 1,
        uid: Uid(rng.random()),
        control_port: crate::weave::PORT,
        version: "hostile".to_owned(),
        discovery: false,
        conn_limit: None,
        trusted_subnets: vec![],
        offer: Offer {
            fastdp: false,
            vxlan_port: 6784,
            sleeve_port: crate::weave::PORT,
            overlay_mtu: 1410,
        },
        held: vec![],
        timers: Timers::default(),
    })
}
