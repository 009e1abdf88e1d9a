//! Messages that no honest peer sends, for tests of the peers that receive them.

use model::PeerName;

use crate::bans::Ban;
use crate::identity::{Identity, IdentityKey};
use crate::mesh::Mesh;
use crate::message::Message;
use crate::records::PeerRecord;

/// A message of whatever content
#[derive(Debug)]
pub enum Forged {
    /// Asks for the records of these peers
    Want(Vec<PeerName>),
    /// Tells these records, each signed by the identity beside it
    Records(Vec<(PeerRecord, Identity)>),
    /// Gives orders to refuse these keys under these names, in the name of an identity, at a Unix time in milliseconds
    Bans(Identity, Vec<(IdentityKey, PeerName)>, u64),
}

impl Mesh {
    /// Sends a message to a neighbor without a look at its content; nothing happens if the neighbor is not connected
    pub fn forge(&mut self, peer: PeerName, forged: Forged) {
        let message = match forged {
            Forged::Want(names) => Message::Want(names),
            Forged::Records(records) => Message::Records(records.into_iter().map(signed).collect()),
            Forged::Bans(by, keys, at_ms) => {
                let order = |(key, name)| Ban::new(&by, key, name, true, at_ms);
                Message::Bans(keys.into_iter().map(order).collect())
            }
        };
        self.tell_neighbor(peer, &message);
    }
}

fn signed((mut record, identity): (PeerRecord, Identity)) -> PeerRecord {
    record.sign(&identity);
    record
}
