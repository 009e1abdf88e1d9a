//! This host's key, kept with the machine-id of the machine it was made on.

use std::fs;

use gossip::Identity;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::{Slot, Store, StoreError, Written};

/// BLAKE3 of a machine-id: enough to notice another machine, useless elsewhere
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine(String);

impl Machine {
    /// The machine that this runs on, where it has an id
    pub(crate) fn this() -> Option<Self> {
        Self::of(&fs::read_to_string("/etc/machine-id").ok()?)
    }

    fn of(id: &str) -> Option<Self> {
        let id = id.trim();
        (!id.is_empty()).then(|| Self(blake3::hash(id.as_bytes()).to_hex()[..32].to_owned()))
    }
}

/// The stored key, or a new one at the first start and on a copied disk, and how to wait until that is on disk
pub(crate) fn load_or_create(
    store: &Store,
    machine: Option<Machine>,
    rng: &mut impl CryptoRng,
) -> Result<(Identity, Option<Written>), StoreError> {
    let Some(stored) = store.secret(Slot::IDENTITY) else {
        return Ok(create(store, machine.as_ref(), rng));
    };
    let seed = <[u8; 32]>::try_from(stored.as_slice()).map(Zeroizing::new);
    let seed = seed.map_err(|_length| store.nonsense("the key has another length than 32 bytes"))?;
    let made_on = store.value::<Machine>(Slot::MACHINE)?;
    match (&made_on, &machine) {
        (Some(before), Some(this)) if before != this => {
            log::warn!(
                "the state was made on another machine: this looks like a copied disk, so this host takes a \
                 new key and a new peer name"
            );
            // They belong to the peer that the disk was copied from.
            store.remove(Slot::SHORT_ID).later();
            store.remove(Slot::NEIGHBOURS).later();
            return Ok(create(store, Some(this), rng));
        }
        // Made before the machine had an id: from here on copies of it are noticed.
        (None, Some(this)) => store.put(Slot::MACHINE, this).later(),
        (Some(_), Some(_)) | (Some(_) | None, None) => {}
    }
    Ok((Identity::from_seed(seed), None))
}

/// Says so if a new key is not on disk and will not be soon
pub(crate) async fn warn_if_fleeting(written: Written) {
    if let Err(error) = written.wait().await {
        let error = anyhow::Error::from(error);
        log::warn!("the key is in memory only, and after a restart this host may be another peer: {error:#}");
    }
}

fn create(store: &Store, machine: Option<&Machine>, rng: &mut impl CryptoRng) -> (Identity, Option<Written>) {
    let identity = Identity::generate(rng);
    match machine {
        Some(machine) => store.put(Slot::MACHINE, machine).later(),
        None => store.remove(Slot::MACHINE).later(),
    }
    let written = store.put_secret(Slot::IDENTITY, identity.seed());
    (identity, Some(written))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::testing::{TempDir, logged};

    const A: Option<&str> = Some("0123456789abcdef0123456789abcdef\n");
    const B: Option<&str> = Some("fedcba9876543210fedcba9876543210\n");

    #[test]
    fn a_key_is_kept_for_as_long_as_it_is_the_same_machine() {
        // The machines of one start after another, and whether the last takes a new key.
        let table: [(&[Option<&str>], bool); 7] = [
            (&[A, A, A], false),
            (&[A, B], true),
            (&[A, B, B, A], true),
            (&[A, None], false),
            (&[A, None, B], true),
            (&[None, A], false),
            (&[None, A, B], true),
        ];
        for (index, (machines, expected)) in table.into_iter().enumerate() {
            let dir = TempDir::new(&format!("identity-{index}"));
            let mut names = Vec::new();
            let mut lines = Vec::new();
            for (start, machine) in machines.iter().enumerate() {
                let store = Store::open(dir.path()).unwrap();
                let mut rng = StdRng::seed_from_u64(start as u64);
                lines = logged(|| {
                    let machine = machine.and_then(Machine::of);
                    let (key, _written) = load_or_create(&store, machine, &mut rng).unwrap();
                    names.push(key.peer_name());
                });
            }
            let [.., before, last] = names[..] else {
                unreachable!("each has two starts or more")
            };
            assert_eq!(before != last, expected, "{machines:?}");
            let told: &[&str] = if expected {
                &[
                    "WARN the state was made on another machine: this looks like a copied disk, so this host \
                     takes a new key and a new peer name",
                ]
            } else {
                &[]
            };
            assert_eq!(lines, told, "{machines:?}");
        }
    }

    #[test]
    fn a_copied_disk_leaves_to_the_original_what_is_the_originals() {
        let dir = TempDir::new("identity-copied");
        let store = Store::open(dir.path()).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        load_or_create(&store, A.and_then(Machine::of), &mut rng).unwrap();
        store.put(Slot::SHORT_ID, &7u16).later();
        store.put(Slot::NEIGHBOURS, &["host2"]).later();
        store.put(Slot::TARGETS, &["host2"]).later();
        load_or_create(&store, B.and_then(Machine::of), &mut rng).unwrap();
        assert_eq!(store.value::<u16>(Slot::SHORT_ID).unwrap(), None);
        assert_eq!(store.value::<Vec<String>>(Slot::NEIGHBOURS).unwrap(), None);
        let targets = store.value::<Vec<String>>(Slot::TARGETS).unwrap();
        assert_eq!(
            targets,
            Some(vec!["host2".to_owned()]),
            "the copy joins the same network"
        );
    }

    #[test]
    fn the_machine_id_itself_is_not_kept() {
        let machine = Machine::of(A.unwrap()).unwrap();
        assert_eq!(machine.0.len(), 32);
        assert!(!A.unwrap().contains(&machine.0));
        assert_eq!(Machine::of(" \n"), None);
    }
}
