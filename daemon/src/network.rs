//! The network that this host belongs to: its name, and the keys of its password.
//!
//! The password itself is kept nowhere. A key is derived from it and from the network's name, so that a table of
//! keys made in advance serves against one network only. While a password is replaced by another, the state
//! keeps both keys; it also remembers that there is a password, since a start without one (a forgotten variable,
//! `sudo` that drops it) would open the host to everybody.

use std::fmt;

use anyhow::Context as _;
use gossip::{NetworkName, Passwords, Psk};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Args;
use crate::store::{Slot, Store, Written};

/// A password below this is warned about: 50 bits were asked for by Weave Net's pages, too
const STRONG_BITS: u32 = 50;

/// Length of a kept key in the state, in bytes
const KEPT_BYTES: usize = 33;

/// The network's name, keys and the strength of its password
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) name: NetworkName,
    pub(crate) keys: Keys,
    /// The estimated strength of the password that was given, in bits
    pub(crate) bits: Option<u32>,
}

/// The keys of the password, and of the one that replaces it
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    current: Option<Key>,
    other: Option<Key>,
    /// The last one that was replaced: a unit or a script that still gives it does not bring it back
    dropped: Option<Key>,
}

/// A key derived from a password; wiped when it is dropped
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Zeroizing<[u8; 32]>);

/// The part of the state beside the keys
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    name: NetworkName,
    has_password: bool,
}

/// A change of the keys
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Accept this one, too
    Add(Key),
    /// Dial with the one that was added
    Promote,
    /// Accept the other one no longer
    Drop,
}

/// The change cannot be made; nothing was changed
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// An open network has no password to replace
    #[error("this network has no password; start weaved with one on every host")]
    Open,
    /// Two are the most
    #[error(
        "two passwords are accepted already; promote the new one and drop the old one first (weavectl password \
         promote, weavectl password drop)"
    )]
    Two,
    /// The new one is the old one
    #[error("this password is accepted already")]
    Same,
    /// There is only one
    #[error("only one password is accepted; add the new one first (weavectl password add)")]
    One,
}

impl Network {
    /// By the command line and what the state remembers
    pub(crate) fn open(args: &Args, store: &Store, password: Option<&str>) -> anyhow::Result<Self> {
        let name = args.network;
        let remembered = store.value::<Remembered>(Slot::NETWORK)?;
        let had_password = remembered
            .as_ref()
            .is_some_and(|remembered| remembered.has_password && remembered.name == name);
        anyhow::ensure!(
            password.is_some() || !had_password || args.no_password,
            "network {name} had a password when weaved last ran here, and none is given: give it by WEAVE_PASSWORD \
             (sudo drops the variable: use sudo --preserve-env=WEAVE_PASSWORD) or --password-file, or open this \
             host to everybody with --no-password"
        );
        anyhow::ensure!(
            password.is_none() || !args.no_password,
            "--no-password is given, and a password, too (WEAVE_PASSWORD, --password-file or a credential)"
        );
        let given = password.map(|password| Key::derive(name, password)).transpose()?;
        let kept = Keys::kept(store);
        let keys = Keys::start(given, kept);
        let network = Self {
            name,
            keys,
            bits: password.map(bits),
        };
        let remember = Remembered {
            name,
            has_password: password.is_some(),
        };
        if remembered.as_ref() != Some(&remember) {
            store.put(Slot::NETWORK, &remember).later();
        }
        network.tell();
        Ok(network)
    }

    /// Tells the operator in one line how open the network is
    fn tell(&self) {
        match (self.keys.current.is_some(), self.bits) {
            (false, _) => log::warn!(
                "network {} is open: whoever reaches this host's control port can join it, read and send its \
                 traffic; give every host the same password to close it (weavectl genkey makes one)",
                self.name
            ),
            (true, Some(bits)) if bits < STRONG_BITS => log::warn!(
                "the password of network {} is weak (about {bits} bits, {STRONG_BITS} are asked for): who records \
                 a handshake can find it by trying; weavectl genkey makes a strong one",
                self.name
            ),
            (true, _) => {}
        }
    }

    /// Returns whether the given password is weak
    pub(crate) fn is_weak(&self) -> bool {
        self.bits.is_some_and(|bits| bits < STRONG_BITS)
    }
}

impl Keys {
    /// The keys of the state: three times a byte that tells whether there is one, and 32 bytes
    fn kept(store: &Store) -> Self {
        let bytes = store.secret(Slot::PASSWORDS).unwrap_or_default();
        let (keys, _rest) = bytes.as_chunks::<KEPT_BYTES>();
        let mut keys = keys.iter().map(|[is_some, key @ ..]| {
            let key = Key(Zeroizing::new(*key));
            (*is_some != 0).then_some(key)
        });
        let mut next = || keys.next().flatten();
        Self {
            current: next(),
            other: next(),
            dropped: next(),
        }
    }

    /// Keeps the keys in the state
    pub(crate) fn keep(&self, store: &Store) -> Written {
        let mut bytes = Zeroizing::new([0; 3 * KEPT_BYTES]);
        let (places, _rest) = bytes.as_chunks_mut::<KEPT_BYTES>();
        for (place, key) in places.iter_mut().zip([&self.current, &self.other, &self.dropped]) {
            if let Some(key) = key {
                let [is_some, bytes @ ..] = place;
                *is_some = 1;
                bytes.copy_from_slice(key.0.as_slice());
            }
        }
        store.put_secret(Slot::PASSWORDS, bytes.as_slice())
    }

    /// The kept keys, if the given one is one of them; else the operator changed the password
    fn start(given: Option<Key>, kept: Self) -> Self {
        let is_kept = given.is_some() && [&kept.current, &kept.other, &kept.dropped].contains(&&given);
        if !is_kept {
            return Self {
                current: given,
                ..Self::default()
            };
        }
        if given == kept.dropped {
            log::warn!(
                "the password given was replaced and dropped; the one that replaced it stays in force: put the new \
                 one into weaved's environment or password file too"
            );
        }
        kept
    }

    /// Returns whether there is a password
    pub(crate) const fn is_some(&self) -> bool {
        self.current.is_some()
    }

    /// Returns whether two passwords are accepted
    pub(crate) const fn is_rotating(&self) -> bool {
        self.other.is_some()
    }

    /// The keys as the mesh takes them
    pub(crate) fn passwords(&self) -> Passwords {
        let psk = |key: &Option<Key>| key.as_ref().map(|key| Psk::new(key.0.clone()));
        Passwords {
            current: psk(&self.current),
            other: psk(&self.other),
        }
    }

    /// The keys after a change
    pub(crate) fn changed(&self, change: Change) -> Result<Self, ChangeError> {
        let Some(current) = &self.current else {
            return Err(ChangeError::Open);
        };
        match (change, &self.other) {
            (Change::Add(new), other) if new == *current || Some(&new) == other.as_ref() => {
                Err(ChangeError::Same)
            }
            (Change::Add(_), Some(_)) => Err(ChangeError::Two),
            (Change::Add(new), None) => Ok(Self {
                current: self.current.clone(),
                dropped: self.dropped.clone().filter(|dropped| *dropped != new),
                other: Some(new),
            }),
            (Change::Promote | Change::Drop, None) => Err(ChangeError::One),
            (Change::Promote, Some(_)) => Ok(Self {
                current: self.other.clone(),
                other: self.current.clone(),
                dropped: self.dropped.clone(),
            }),
            (Change::Drop, Some(_)) => Ok(Self {
                current: self.current.clone(),
                other: None,
                dropped: self.other.clone(),
            }),
        }
    }
}

impl Key {
    /// The key of a password: slow to compute, so that guesses are
    pub(crate) fn derive(network: NetworkName, password: &str) -> anyhow::Result<Self> {
        /// 64 MiB of memory and three passes: about a tenth of a second
        const MEMORY_KIB: u32 = 64 << 10;
        const PASSES: u32 = 3;
        let params = argon2::Params::new(MEMORY_KIB, PASSES, 1, None)
            .map_err(|error| anyhow::anyhow!("cannot derive the network's key: {error}"))?;
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        // All hosts of a network must come to the same key: the salt is its name.
        let salt = blake3::derive_key("weaved 4 network password salt", network.as_str().as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(password.as_bytes(), &salt, key.as_mut_slice())
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("cannot derive the network's key")?;
        Ok(Self(key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("current", &self.current)
            .field("other", &self.other)
            .finish()
    }
}

/// The estimated strength of a password in bits: the logarithm of how many guesses it takes
pub(crate) fn bits(password: &str) -> u32 {
    // Of a long text its head is enough: the estimate takes time that grows faster than the length.
    let head: String = password.chars().take(100).collect();
    let guesses = zxcvbn::zxcvbn(&head, &["weave", "weaved"]).guesses_log10();
    (guesses * std::f64::consts::LOG2_10) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use clap::Parser as _;

    fn key(byte: u8) -> Key {
        Key(Zeroizing::new([byte; 32]))
    }

    fn keys(current: u8, other: Option<u8>) -> Keys {
        Keys {
            current: Some(key(current)),
            other: other.map(key),
            dropped: None,
        }
    }

    #[test]
    fn a_password_is_replaced_in_three_steps() {
        let one = keys(1, None);
        assert_eq!(one.changed(Change::Promote), Err(ChangeError::One));
        assert_eq!(one.changed(Change::Drop), Err(ChangeError::One));
        assert_eq!(one.changed(Change::Add(key(1))), Err(ChangeError::Same));
        let both = one.changed(Change::Add(key(2))).unwrap();
        assert_eq!(both, keys(1, Some(2)));
        assert_eq!(both.changed(Change::Add(key(3))), Err(ChangeError::Two));
        let promoted = both.changed(Change::Promote).unwrap();
        assert_eq!(promoted, keys(2, Some(1)));
        let replaced = promoted.changed(Change::Drop).unwrap();
        let expected = Keys {
            dropped: Some(key(1)),
            ..keys(2, None)
        };
        assert_eq!(replaced, expected);
        // A unit that gives the old one does not bring it back; the command does.
        assert_eq!(Keys::start(Some(key(1)), replaced.clone()), expected);
        let back = replaced.changed(Change::Add(key(1))).unwrap();
        assert_eq!(back, keys(2, Some(1)));
        assert_eq!(
            Keys::default().changed(Change::Add(key(1))),
            Err(ChangeError::Open)
        );
    }

    #[test]
    fn kept_keys_count_as_long_as_the_given_password_is_one_of_them() {
        let kept = keys(2, Some(1));
        assert_eq!(Keys::start(Some(key(1)), kept.clone()), kept);
        assert_eq!(Keys::start(Some(key(2)), kept.clone()), kept);
        assert_eq!(Keys::start(Some(key(3)), kept.clone()), keys(3, None));
        assert_eq!(Keys::start(None, kept), Keys::default());
    }

    #[test]
    fn keys_are_kept_as_they_are() {
        let dir = TempDir::new("network-keys");
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(Keys::kept(&store), Keys::default());
        let dropped = Keys {
            dropped: Some(key(3)),
            ..keys(2, None)
        };
        for keys in [keys(1, None), keys(2, Some(1)), dropped, Keys::default()] {
            keys.keep(&store).later();
            assert_eq!(Keys::kept(&store), keys);
        }
    }

    #[test]
    fn the_key_depends_on_the_network_and_on_the_password() {
        let weave = NetworkName::WEAVE;
        let staging: NetworkName = "staging".parse().unwrap();
        let key = |network, password| Key::derive(network, password).unwrap();
        assert_eq!(key(weave, "a"), key(weave, "a"));
        assert_ne!(key(weave, "a"), key(staging, "a"));
        assert_ne!(key(weave, "a"), key(weave, "b"));
        assert_eq!(format!("{:?}", key(weave, "a")), "Key(..)");
    }

    #[test]
    fn weak_passwords_are_told_from_strong_ones() {
        for weak in ["secret", "password123", "weaveweave", "correct horse"] {
            assert!(bits(weak) < STRONG_BITS, "{weak}: {}", bits(weak));
        }
        for strong in [
            "wnt5-q3kd-8xzm-vh2j-p7ra-c4ye",
            "correct horse battery staple purple 77",
        ] {
            assert!(bits(strong) >= STRONG_BITS, "{strong}: {}", bits(strong));
        }
        assert!(bits(&"x".repeat(100_000)) < STRONG_BITS);
    }

    #[test]
    fn a_network_that_had_a_password_is_not_opened_by_mistake() {
        let dir = TempDir::new("network-password");
        let store = Store::open(dir.path()).unwrap();
        let args = |flags: &[&str]| Args::parse_from(["weaved"].iter().chain(flags));
        let open = |flags: &[&str], password: Option<&str>| {
            Network::open(&args(flags), &store, password).map(|network| network.keys.is_some())
        };
        assert!(!open(&[], None).unwrap());
        assert!(open(&[], Some("secret")).unwrap());
        let error = open(&[], None).unwrap_err().to_string();
        assert!(
            error.contains("sudo") && error.contains("--no-password"),
            "{error}"
        );
        // Another network is another matter.
        assert!(!open(&["--network", "other"], None).unwrap());
        assert!(open(&[], Some("secret")).unwrap());
        assert!(open(&["--no-password"], Some("secret")).is_err());
        assert!(!open(&["--no-password"], None).unwrap());
        assert!(!open(&[], None).unwrap());
    }
}
