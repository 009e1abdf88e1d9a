//! A peer that says whatever the format lets it say. It writes the messages itself, by `docs/wire/names.md`.

use gossip::{Identity, Purpose};
use model::PeerName;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// What it has heard, at most
const MEMORY: usize = 64;

pub(crate) struct Hostile {
    identity: Identity,
    /// Messages of honest peers, whole, to be told again and changed
    heard: Vec<Vec<u8>>,
    /// Keys of its invention
    invented: Vec<Identity>,
}

impl Hostile {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            heard: Vec::new(),
            invented: (200..203).map(|n| Identity::from_seed([n; 32].into())).collect(),
        }
    }

    pub(crate) fn name(&self) -> PeerName {
        self.identity.peer_name()
    }

    pub(crate) fn hear(&mut self, bytes: Vec<u8>) {
        if self.heard.len() == MEMORY {
            self.heard.remove(0);
        }
        self.heard.push(bytes);
    }

    /// One message, for a neighbor
    pub(crate) fn say(&self, rng: &mut StdRng) -> Vec<u8> {
        match rng.random_range(0..10) {
            // As it was, to whomever
            0..=1 => self.heard(rng),
            // With some bytes changed, cut or added
            2..=4 => {
                let mut bytes = self.heard(rng);
                for _ in 0..rng.random_range(1..4) {
                    match rng.random_range(0..8) {
                        0 => bytes.truncate(rng.random_range(0..=bytes.len())),
                        1 => bytes.push(rng.random()),
                        _ if bytes.is_empty() => {}
                        _ => {
                            let at = rng.random_range(0..bytes.len());
                            bytes[at] = if rng.random() {
                                rng.random()
                            } else {
                                rng.random_range(0..4)
                            };
                        }
                    }
                }
                bytes
            }
            // A summary that says anything
            5 => {
                let mut summary = vec![rng.random_range(0..3)];
                let mut names: Vec<PeerName> = (0..summary[0]).map(|_| self.somebody(rng)).collect();
                names.sort_unstable();
                for name in names {
                    summary.extend_from_slice(&name.mac().octets());
                    varint(&mut summary, number(rng));
                    varint(&mut summary, number(rng));
                }
                let answer = rng.random_range(0..2);
                let mut bytes = vec![1, answer];
                text(&mut bytes, &summary);
                bytes
            }
            // A part of its own, of an invention, or of somebody else
            _ => {
                let part = self.part(rng);
                let mut bytes = Vec::new();
                if rng.random() {
                    bytes.push(2);
                    bytes.extend_from_slice(&self.somebody(rng).mac().octets());
                } else {
                    bytes.push(3);
                }
                text(&mut bytes, &part);
                bytes
            }
        }
    }

    fn heard(&self, rng: &mut StdRng) -> Vec<u8> {
        match self.heard.len() {
            0 => vec![rng.random(), rng.random()],
            count => self.heard[rng.random_range(0..count)].clone(),
        }
    }

    fn somebody(&self, rng: &mut StdRng) -> PeerName {
        match rng.random_range(0..6) {
            0..=1 => self.name(),
            2 => self.invented[rng.random_range(0..self.invented.len())].peer_name(),
            n => Identity::from_seed([n as u8 - 2; 32].into()).peer_name(),
        }
    }

    fn part(&self, rng: &mut StdRng) -> Vec<u8> {
        let origin = self.somebody(rng);
        let signer = match rng.random_range(0..4) {
            0 => &self.invented[rng.random_range(0..self.invented.len())],
            _ => &self.identity,
        };
        let (epoch, sequence) = (number(rng), number(rng).max(1));
        let from = rng.random_range(0..sequence);
        let is_delta: bool = rng.random();
        let count = sequence.min(rng.random_range(0..5));
        let mut lines = Vec::new();
        varint(&mut lines, count);
        let mut sum = Sum::new();
        for came in sequence + 1 - count..=sequence {
            let (name, address) = (
                format!("h{}.weave.local", rng.random_range(0..4)),
                rng.random::<[u8; 4]>(),
            );
            sum.add(came, &address, &name, "evil");
            varint(&mut lines, came);
            text(&mut lines, name.as_bytes());
            text(&mut lines, b"evil");
            lines.extend_from_slice(&address);
        }
        let digest = if rng.random_bool(0.8) {
            sum.digest()
        } else {
            rng.random()
        };
        let mut bytes = vec![u8::from(!is_delta)];
        bytes.extend_from_slice(&origin.mac().octets());
        varint(&mut bytes, epoch);
        varint(&mut bytes, sequence);
        bytes.extend_from_slice(&signer.key().0);
        bytes.extend_from_slice(&digest);
        let signed = [
            &origin.mac().octets()[..],
            &epoch.to_le_bytes(),
            &sequence.to_le_bytes(),
            &digest,
        ]
        .concat();
        let signature = signer.sign(Purpose::Names, &signed);
        bytes.extend_from_slice(
            &bincode::serde::encode_to_vec(signature, bincode::config::standard()).unwrap(),
        );
        if is_delta {
            varint(&mut bytes, if rng.random() { 0 } else { from });
            bytes.extend_from_slice(&lines);
            let gone: Vec<u64> = (0..rng.random_range(0..3)).map(|n| n * 2 + 1).collect();
            varint(&mut bytes, gone.len() as u64);
            gone.iter().for_each(|came| varint(&mut bytes, *came));
        } else {
            let pieces = [1, 1, 1, 2, 16][rng.random_range(0..5)];
            varint(&mut bytes, rng.random_range(0..pieces));
            varint(&mut bytes, pieces);
            bytes.extend_from_slice(&lines);
        }
        bytes
    }
}

/// The digest of a part, as the format describes it
struct Sum([u16; 1024]);

impl Sum {
    fn new() -> Self {
        Self([0; 1024])
    }

    fn add(&mut self, came: u64, address: &[u8; 4], name: &str, container: &str) {
        let line = [
            &came.to_le_bytes()[..],
            address,
            &[name.len() as u8],
            name.as_bytes(),
            container.as_bytes(),
        ]
        .concat();
        let mut bytes = [0; 2048];
        blake3::Hasher::new()
            .update(&line)
            .finalize_xof()
            .fill(&mut bytes);
        for (lane, bytes) in self.0.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([bytes[0], bytes[1]]));
        }
    }

    fn digest(&self) -> [u8; 32] {
        let bytes: Vec<u8> = self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        *blake3::hash(&bytes).as_bytes()
    }
}

/// Small, at a bound, or anything
fn number(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..8) {
        0..=3 => rng.random_range(0..6),
        4 => (1 << 62) - rng.random_range(0..2),
        5 => u64::MAX - rng.random_range(0..2),
        6 => u64::MAX / 2 - rng.random_range(0..2),
        _ => rng.random(),
    }
    .min(u64::MAX - 1)
}

/// A number as bincode writes it
fn varint(bytes: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => bytes.push(number as u8),
        251..=0xffff => {
            bytes.push(251);
            bytes.extend_from_slice(&(number as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            bytes.push(252);
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        _ => {
            bytes.push(253);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}
