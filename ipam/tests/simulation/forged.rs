//! The bytes of `docs/wire/addresses.md`, written down a second time for peers that may write anything.

use gossip::{Identity, IdentityKey, Purpose, Signature};
use ipam::Owner;
use ipnetwork::Ipv4Network;
use model::PeerName;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Part {
    pub range: Ipv4Network,
    pub teller: PeerName,
    pub keys: Vec<(PeerName, IdentityKey)>,
    pub body: Body,
}

#[derive(Clone, Serialize, Deserialize)]
pub enum Body {
    Nothing,
    Space(Vec<Piece>),
    Ledger(Ledger),
    Records(Vec<Record>),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Span {
    pub first: u32,
    pub last: u32,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Register {
    pub lineage: u64,
    pub epoch: u64,
    pub version: u64,
    pub owner: Owner,
    pub by: Owner,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Piece {
    pub span: Span,
    pub register: Register,
    pub deed: Option<(Span, Signature)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct At {
    pub lineage: u64,
    pub index: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Roll {
    pub at: At,
    pub first: Vec<Owner>,
    pub voters: Vec<Owner>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Heir {
    pub generation: u64,
    pub heir: Owner,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Ballot {
    pub round: u64,
    pub proposer: Owner,
}

#[derive(Clone, Serialize, Deserialize)]
pub enum Value {
    First {
        lineage: u64,
        voters: Vec<Owner>,
    },
    Next {
        add: Vec<Owner>,
        remove: Vec<(Owner, Option<Heir>, bool)>,
    },
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Vote {
    pub at: At,
    pub promised: Ballot,
    pub accepted: Option<(Ballot, Value, Signature)>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Decision {
    pub at: At,
    pub ballot: Ballot,
    pub value: Value,
    pub by: Vec<(Owner, Signature)>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Ledger {
    pub roll: Option<Roll>,
    pub gone: Vec<(Owner, Heir)>,
    pub decisions: Vec<Decision>,
    pub words: Vec<(Owner, u64, Owner, Signature)>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    pub owner: Owner,
    pub born: u64,
    pub version: u64,
    pub elector: bool,
    pub calls: bool,
    pub left: bool,
    pub free: u8,
    pub vote: Option<Vote>,
    pub at: At,
    pub question: u64,
    pub repeats: Vec<(Owner, u64)>,
    pub lapsed: (At, Vec<Owner>),
    pub said: Vec<Owner>,
    pub inherits: Vec<Owner>,
    pub acks: Vec<Owner>,
    pub wants: Vec<(u64, Owner, Span, bool)>,
    pub refused: Vec<(Owner, u64, bool)>,
    pub uses: Vec<u32>,
    pub key: IdentityKey,
    pub signature: Signature,
}

pub fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap()
}

/// What a neighbor that lacked it is told, as in `docs/wire/gossip.md`
pub fn lacked(part: &Part) -> Vec<u8> {
    [vec![3], encode(&encode(part))].concat()
}

impl Piece {
    pub fn signed(span: Span, register: Register, identity: &Identity) -> Self {
        let message = encode(&("register", span, register));
        let signature = identity.sign(Purpose::Addresses, &message);
        Self {
            span,
            register,
            deed: Some((span, signature)),
        }
    }
}

impl Vote {
    pub fn signed(voter: Owner, at: At, ballot: Ballot, value: Value, identity: &Identity) -> Self {
        let message = encode(&("acceptance", voter, at, ballot, &value));
        let signature = identity.sign(Purpose::Addresses, &message);
        Self {
            at,
            promised: ballot,
            accepted: Some((ballot, value, signature)),
        }
    }
}

pub fn word(owner: Owner, generation: u64, by: Owner, identity: &Identity) -> (Owner, u64, Owner, Signature) {
    let message = encode(&("word", owner, generation, by));
    (owner, generation, by, identity.sign(Purpose::Addresses, &message))
}

impl Record {
    pub fn new(owner: Owner, identity: &Identity) -> Self {
        let none = At { lineage: 0, index: 0 };
        Self {
            owner,
            born: owner.incarnation.0,
            version: 1,
            elector: true,
            calls: false,
            left: false,
            free: 1,
            vote: None,
            at: none,
            question: 0,
            repeats: vec![],
            lapsed: (none, vec![]),
            said: vec![],
            inherits: vec![],
            acks: vec![],
            wants: vec![],
            refused: vec![],
            uses: vec![],
            key: identity.key(),
            signature: Signature::default(),
        }
    }

    pub fn sign(mut self, identity: &Identity) -> Self {
        self.signature = Signature::default();
        let message = encode(&("record", &self));
        self.signature = identity.sign(Purpose::Addresses, &message);
        self
    }
}
