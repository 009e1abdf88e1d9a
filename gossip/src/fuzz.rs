//! What fuzz targets reach of this crate; only `cargo fuzz` builds it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use model::fuzz::Input;
use model::{ShortId, Uid};
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::config::{Config, Entropy, Offer, Timers};
use crate::frame::{self, FrameKind, FrameReader};
use crate::identity::{BeatKey, Identity, Psk, Purpose, StaticKeypair};
use crate::mesh::Mesh;
use crate::message::{Hello, Message};
use crate::network::NetworkName;
use crate::noise::{Handshake, Session};
use crate::output::{ConnId, Output};
use crate::passwords::Passwords;
use crate::prologue::{Prologue, VERSIONS};
use crate::records::PeerRecord;
use crate::wire;

/// Reads one message; it is the same after it was written and read again
pub fn message(bytes: &[u8]) {
    if let Ok(Some(message)) = wire::parse(bytes) {
        let encoded = wire::encode(&message);
        assert_eq!(wire::parse(&encoded[4..]), Ok(Some(message)));
    }
}

/// Reads the prologue of a connection and the frames after it
pub fn frames(bytes: &[u8]) {
    let rest = match Prologue::parse(bytes) {
        Ok(Some((prologue, len))) => {
            if prologue.versions == VERSIONS {
                let emitted = prologue.emit();
                assert_eq!(Prologue::parse(&emitted), Ok(Some((prologue, len))));
                assert_eq!(emitted, bytes[..len]);
            }
            &bytes[len..]
        }
        Ok(None) => return,
        Err(_) => bytes,
    };
    let mut reader = FrameReader::default();
    for piece in rest.chunks(97) {
        reader.push(piece);
        while let Ok(Some((kind, body))) = reader.next(4096) {
            if kind == FrameKind::Reject
                && let Ok(reject) = wire::parse_reject(&body)
            {
                assert_eq!(wire::parse_reject(&wire::emit_reject(reject)), Ok(reject));
                assert!(!reject.text(true).is_empty() && !reject.text(false).is_empty());
            }
        }
    }
}

/// Connects a stranger, who sends these bytes, to a mesh: the first byte tells how
pub fn stranger(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let now = Instant::now();
    let mut mesh = mesh(how & 1 != 0, now);
    let Some(conn) = connect(&mut mesh, how & 2 != 0, now) else {
        return;
    };
    for piece in input
        .rest()
        .chunks(usize::from(how >> 2).max(1).saturating_mul(16))
    {
        mesh.handle_input(conn, piece, now);
    }
    drain(&mut mesh);
    mesh.fuzz_check();
}

/// Lets somebody make a true handshake and say these messages, each with its length in two bytes before it
pub fn greeting(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let now = Instant::now();
    let mut mesh = mesh(how & 1 != 0, now);
    let Some(conn) = connect(&mut mesh, false, now) else {
        return;
    };
    let keys = static_keys();
    let Some(mut session) = shake_hands(&mut mesh, conn, keys, how & 1 != 0, now) else {
        return;
    };
    while !input.is_empty() {
        let piece = input.piece();
        let bytes = match wire::parse(piece) {
            Ok(Some(mut message)) => {
                if let Message::Hello(hello) = &mut message {
                    let identity = identity(1);
                    hello.identity = identity.key();
                    hello.proof = identity.sign(Purpose::Handshake, &keys.public());
                }
                wire::encode(&message)
            }
            // It goes through as it is, with its length.
            Ok(None) | Err(_) => {
                let len = (piece.len() as u32).to_be_bytes();
                [&len[..], piece].concat()
            }
        };
        for plaintext in bytes.chunks(crate::noise::PLAINTEXT) {
            let mut out = Vec::new();
            let body = frame::begin(FrameKind::Sealed, &mut out);
            if session.seal(plaintext, &mut out).is_err() {
                return;
            }
            frame::end(body, &mut out);
            mesh.handle_input(conn, &out, now);
        }
    }
    drain(&mut mesh);
    mesh.fuzz_check();
}

/// Tells a mesh with two neighbors what the script says: messages, and how time goes on
pub fn mesh_told(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut now = Instant::now();
    let mut mesh = mesh(false, now);
    let conns = [1, 2].map(|n| mesh.fuzz_arrive(&hello(n), now));
    while !input.is_empty() {
        let op = input.byte();
        let conn = conns[usize::from(op & 1)];
        if op & 2 != 0 {
            now = now
                .checked_add(Duration::from_millis(input.u16().into()))
                .expect("some minutes");
            mesh.handle_timeout(now);
        }
        let Ok(Some(mut message)) = wire::parse(input.piece()) else {
            continue;
        };
        if op & 4 == 0 {
            sign(&mut message);
        }
        mesh.fuzz_hear(conn, message.clone(), now);
        let digest = mesh.fuzz_digest();
        mesh.fuzz_hear(conn, message, now);
        assert_eq!(
            mesh.fuzz_digest(),
            digest,
            "what is known already changes nothing"
        );
        drain(&mut mesh);
    }
    for _timer in 0..8 {
        if let Some((due, _why)) = mesh.poll_timeout() {
            mesh.handle_timeout(due);
        }
    }
    drain(&mut mesh);
    mesh.fuzz_check();
}

/// Returns one of four identities
pub fn identity(n: u8) -> &'static Identity {
    static IDENTITIES: LazyLock<[Identity; 4]> =
        LazyLock::new(|| [0, 1, 2, 3].map(|seed| Identity::from_seed(Zeroizing::new([seed; 32]))));
    &IDENTITIES[usize::from(n & 3)]
}

fn static_keys() -> &'static StaticKeypair {
    static KEYS: LazyLock<StaticKeypair> =
        LazyLock::new(|| StaticKeypair::generate(&mut StdRng::seed_from_u64(7)));
    &KEYS
}

/// Signs what only its owner can sign, with a key that goes with the name
fn sign(message: &mut Message) {
    let signer = |octets: [u8; 6]| identity(octets[5]);
    match message {
        Message::Records(records) => {
            for record in records {
                let identity = signer(record.name.mac().octets());
                record.key = identity.key();
                if record.version & 1 != 0 {
                    record.name = identity.peer_name();
                }
                PeerRecord::sign(record, identity);
            }
        }
        Message::Bans(bans) => {
            for ban in bans {
                let identity = signer(ban.name.mac().octets());
                let key = if ban.key.0[0] & 1 == 0 {
                    self::identity(ban.key.0[1]).key()
                } else {
                    ban.key
                };
                *ban = crate::bans::Ban::new(identity, key, ban.name, ban.refused, ban.at_ms);
            }
        }
        Message::Hello(_)
        | Message::Welcome
        | Message::Keepalive
        | Message::Goodbye(_)
        | Message::Digest(_)
        | Message::Summary(_)
        | Message::Want(_)
        | Message::Channel(..) => {}
    }
}

fn psk() -> Psk {
    Psk::new(Zeroizing::new([9; 32]))
}

fn mesh(has_password: bool, now: Instant) -> Mesh {
    let identity = Identity::from_seed(Zeroizing::new([0; 32]));
    let config = Config {
        name: identity.peer_name(),
        nickname: "host1".parse().expect("a nickname"),
        identity,
        passwords: Passwords::of(has_password.then(psk)),
        network: NetworkName::default(),
        entropy: Entropy::new(StdRng::seed_from_u64(2)),
        pins: vec![],
        bans: vec![],
        unix_ms: 1_700_000_000_000,
        short_id: None,
        epoch: 1,
        uid: Uid(1),
        control_port: 6783,
        version: "0.1".into(),
        discovery: true,
        conn_limit: None,
        trusted_subnets: vec![],
        offer: OFFER,
        held: vec![],
        timers: Timers::default(),
    };
    Mesh::new(config, StdRng::seed_from_u64(1), now)
}

const OFFER: Offer = Offer {
    fastdp: true,
    vxlan_port: 6784,
    sleeve_port: 6783,
    overlay_mtu: 1450,
};

fn hello(n: u8) -> Hello {
    let identity = identity(n);
    Hello {
        name: identity.peer_name(),
        nickname: format!("host{n}").parse().expect("a nickname"),
        identity: identity.key(),
        proof: identity.sign(Purpose::Handshake, &static_keys().public()),
        uid: Uid(n.into()),
        epoch: 1,
        short_id: ShortId::truncated(n.into()),
        conn_id: n.into(),
        beat_key: BeatKey::new(Zeroizing::new([n; 32])),
        trusts_you: false,
        offer: OFFER,
        control_port: 6783,
        you: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 6783)),
        version: "0.1".into(),
    }
}

/// A connection that was accepted, or dialed
fn connect(mesh: &mut Mesh, dials: bool, now: Instant) -> Option<ConnId> {
    let end = |last| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 6783));
    if !dials {
        return mesh.accepted(end(1), end(2), now).ok();
    }
    mesh.set_targets(vec!["192.0.2.2".parse().ok()?], true, now);
    for _timer in 0..4 {
        let (due, _why) = mesh.poll_timeout()?;
        mesh.handle_timeout(due);
        while let Some(output) = mesh.poll_output() {
            if let Output::Dial { dial, .. } = output {
                return mesh.dialled(dial, Ok((end(1), end(2))), now);
            }
        }
    }
    None
}

/// The other side of a handshake, as somebody with the password makes it
fn shake_hands(
    mesh: &mut Mesh,
    conn: ConnId,
    keys: &StaticKeypair,
    has_password: bool,
    now: Instant,
) -> Option<Session> {
    let ours = Prologue {
        versions: VERSIONS,
        password: has_password,
        network: NetworkName::default(),
        puzzle: None,
    };
    let (theirs, len) = Prologue::parse(&sent(mesh)).ok()??;
    debug_assert!(len > 0);
    let psk = psk();
    let psks: Vec<&Psk> = has_password.then_some(&psk).into_iter().collect();
    let bound = [ours.emit(), theirs.emit()].concat();
    let mut handshake = Handshake::new(true, keys, &psks, &bound, &Zeroizing::new([5; 32])).ok()?;
    mesh.handle_input(conn, &ours.emit(), now);
    while !handshake.is_finished() {
        if handshake.is_my_turn() {
            let mut out = Vec::new();
            let body = frame::begin(FrameKind::Handshake, &mut out);
            out.extend_from_slice(&handshake.write().ok()?);
            frame::end(body, &mut out);
            mesh.handle_input(conn, &out, now);
        } else {
            let mut reader = FrameReader::default();
            reader.push(&sent(mesh));
            let (_kind, body) = reader.next(4096).ok()??;
            handshake.read(&body).ok()?;
        }
    }
    Some(handshake.finish().ok()?.0)
}

/// What the mesh wants to be written
fn sent(mesh: &mut Mesh) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(output) = mesh.poll_output() {
        if let Output::Send { bytes, .. } = output {
            all.extend(bytes);
        }
    }
    all
}

fn drain(mesh: &mut Mesh) {
    while mesh.poll_output().is_some() {}
}
