//! This host's key, kept with the machine-id of the machine it was made on.

use std::fs;

use gossip::StaticKeypair;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::{Slot, Store, StoreError};

/// The identity as it is kept
#[derive(Serialize, Deserialize)]
struct Stored {
    private_key: [u8; 32],
    /// BLAKE3 of the machine-id: enough to notice another machine, useless elsewhere
    machine: Option<String>,
}

/// The stored key, or a new one at the first start and on a copied disk
pub(crate) fn load_or_create(store: &Store, rng: &mut StdRng) -> Result<StaticKeypair, StoreError> {
    let machine = machine();
    let stored: Option<Stored> = store.value(Slot::IDENTITY)?;
    if let Some(stored) = stored {
        if stored.machine.is_none() || machine.is_none() || stored.machine == machine {
            return Ok(StaticKeypair::from_private(Zeroizing::new(stored.private_key)));
        }
        log::warn!(
            "the state was made on another machine: this looks like a copied disk, so this host takes a new \
             key and a new peer name"
        );
    }
    let keypair = StaticKeypair::generate(rng);
    store.put(
        Slot::IDENTITY,
        &Stored {
            private_key: *keypair.private(),
            machine,
        },
    )?;
    Ok(keypair)
}

fn machine() -> Option<String> {
    let text = fs::read_to_string("/etc/machine-id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| blake3::hash(id.as_bytes()).to_hex()[..32].to_owned())
}
