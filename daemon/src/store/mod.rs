//! What outlives the process: identity, short id, targets, neighbours, attachments, addresses.
//!
//! One redb file, `weaved.redb`, in the state directory. What is in it is in memory too: reads come from there, and
//! changes are made there and handed to a thread, which alone waits for the disk and writes all that waits in one
//! durable transaction. Whoever promises something that follows from a change waits for [`Written`] first.
//!
//! A disk that is full, read-only or away keeps weaved neither from starting nor from going on: changes stay in
//! memory, whoever waits for one is told, and the thread tries again. The directory's lock makes a second daemon on
//! it an error. A file that is damaged or not ours is an error that names it; nothing is overwritten.

mod error;
mod examine;
mod file;
mod image;
mod journal;
mod mark;
mod memory;
mod writer;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{StoreReason, StoreState, StoreStatus};
use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use zeroize::Zeroizing;

use self::error::Cause;
pub(crate) use self::error::StoreError;
use self::file::StateFile;
use self::image::{Bytes, Key, bytes};
pub(crate) use self::journal::Progress;
use self::journal::{Health, Journal};
pub(crate) use self::mark::Mark;
use self::writer::Shared;

/// Values by name, in JSON, but for the private key
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");
/// Attached containers by id, in JSON
const ATTACHMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("attachments");

/// What a machine of `ipam` wants kept, by name, in its own form
const IPAM: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ipam");
/// Which container has which address, in JSON
const ADDRESSES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("addresses");

const FORMAT: u32 = 2;

/// How long a change is waited for before whoever handed it over is told that the disk does not answer
pub(crate) const PATIENCE: Duration = Duration::from_secs(14);
/// How long the end of a store waits for the disk
const END: Duration = Duration::from_secs(2);

/// The name of a stored value and, by use, its type
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot(&'static str);

impl Slot {
    /// The private key, 32 bytes as they are
    pub(crate) const IDENTITY: Self = Self("identity");
    /// `Machine`: where the key was made
    pub(crate) const MACHINE: Self = Self("machine");
    /// The last epoch used, `u64`
    pub(crate) const EPOCH: Self = Self("epoch");
    /// `ShortId`
    pub(crate) const SHORT_ID: Self = Self("short-id");
    /// `Vec<Target>`
    pub(crate) const TARGETS: Self = Self("targets");
    /// `Vec<(PeerName, SocketAddr)>`: the neighbours, to be held through a restart
    pub(crate) const NEIGHBOURS: Self = Self("neighbours");
    /// `u64`: when the last run ended in order, in milliseconds of Unix time
    pub(crate) const ENDED_AT: Self = Self("ended-at");
    /// `bool`: whether the last run ended by a stop that was asked for
    pub(crate) const STOPPED: Self = Self("stopped");
    /// `Vec<(PeerName, NickName)>`: what peers call themselves
    pub(crate) const NICKNAMES: Self = Self("nicknames");
    /// The network's name and whether it has a password, in the private form of [`crate::network`]
    pub(crate) const NETWORK: Self = Self("network");
    /// The keys of passwords, in the private form of [`crate::network`]
    pub(crate) const PASSWORDS: Self = Self("passwords");
    /// `Vec<Pin>`: names, and the keys that speak for them
    pub(crate) const PINS: Self = Self("pins");
    /// `Vec<Ban>`: orders about refused keys
    pub(crate) const BANS: Self = Self("bans");
    /// `Ipv4Network`: what is handed out of, as it was chosen by itself
    pub(crate) const RANGE: Self = Self("range");
    /// `Vec<Exposure>`: the host's own addresses on the network
    pub(crate) const EXPOSURES: Self = Self("exposures");
    /// `String`: what they are called
    pub(crate) const EXPOSED_NAME: Self = Self("exposed-name");
    /// `ExposeTo`: who reaches containers by them
    pub(crate) const EXPOSED_TO: Self = Self("exposed-to");
    const FORMAT: Self = Self("format");
}

/// The state, and the way to change it
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    shared: Arc<Shared>,
}

/// A change that was handed over
#[derive(Debug)]
#[must_use = "a change is on disk only after a wait"]
pub(crate) struct Written {
    number: Result<u64, StoreError>,
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the state in `dir`, making it where there is none, and starts the thread that writes it
    ///
    /// A disk that cannot be written is no error: [`Store::status`] tells.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let mut file = StateFile::new(dir);
        let found = file.open()?;
        let path = file.path().to_owned();
        let mut journal = Journal::new(found.image);
        let now = Instant::now();
        journal.put([writer::format()], now);
        if let Some(error) = found.unwritable {
            log::error!("{:#}", anyhow::Error::from(error.clone()));
            journal.failed(None, error, now);
        }
        let shared = Arc::new(Shared::new(journal));
        let writers = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::run(file, &writers));
        thread.map_err(|error| StoreError::Directory {
            path: path.clone(),
            source: Cause::of(&error),
        })?;
        Ok(Self { path, shared })
    }

    /// A value
    pub(crate) fn value<T: DeserializeOwned>(&self, slot: Slot) -> Result<Option<T>, StoreError> {
        let value = self.bytes(&slot.key());
        value.map(|value| self.parse(&value)).transpose()
    }

    /// Changes a value
    pub(crate) fn put<T: Serialize>(&self, slot: Slot, value: &T) -> Written {
        self.write(slot.key(), value)
    }

    /// Forgets a value
    pub(crate) fn remove(&self, slot: Slot) -> Written {
        self.change([(slot.key(), None)])
    }

    /// A value that is not JSON, and is wiped after its use
    pub(crate) fn secret(&self, slot: Slot) -> Option<Zeroizing<Vec<u8>>> {
        self.bytes(&slot.key())
            .map(|bytes| Zeroizing::new(bytes.to_vec()))
    }

    /// Changes such a value
    pub(crate) fn put_secret(&self, slot: Slot, value: &[u8]) -> Written {
        self.change([(slot.key(), Some(bytes(value.to_vec())))])
    }

    /// Stores an attachment under its container's id
    pub(crate) fn put_attachment<T: Serialize>(&self, id: &str, value: &T) -> Written {
        self.write(Key::Attachment(id.to_owned()), value)
    }

    /// Forgets an attachment
    pub(crate) fn remove_attachment(&self, id: &str) -> Written {
        self.change([(Key::Attachment(id.to_owned()), None)])
    }

    /// Every attachment
    pub(crate) fn attachments<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let all: Vec<Bytes> = self.shared.with(|journal| {
            let all = journal.image().iter();
            let attachments = all.filter(|(key, _value)| matches!(key, Key::Attachment(_)));
            attachments.map(|(_key, value)| value.clone()).collect()
        });
        all.iter().map(|value| self.parse(value)).collect()
    }

    /// Stores what changed about addresses, all of it or nothing
    pub(crate) fn put_addresses(&self, change: ipam::Change, mark: &Mark) -> Written {
        let parts = [
            ("space", change.space),
            ("ledger", change.ledger),
            ("record", change.record),
            ("heard", change.heard),
            ("mark", serde_json::to_vec(mark).ok()),
        ];
        let parts = parts.into_iter().filter_map(|(name, part)| {
            let value = bytes(part?);
            Some((Key::Part(name.to_owned()), Some(value)))
        });
        let held = |held: &ipam::Held| serde_json::to_vec(held).map(bytes);
        let addresses = change.addresses.iter().map(|(address, holder)| {
            let holder = holder.as_ref().map(held).transpose()?;
            Ok((Key::Address(address.to_bits()), holder))
        });
        match addresses.collect::<Result<Vec<_>, serde_json::Error>>() {
            Ok(addresses) => self.change(parts.chain(addresses)),
            Err(error) => self.unwritable(&error),
        }
    }

    /// What was kept about addresses, and when last; none before the first time
    pub(crate) fn addresses(&self) -> Result<Option<(ipam::State, Mark)>, StoreError> {
        let part = |name: &str| {
            let value = self.bytes(&Key::Part(name.to_owned()));
            value.map(|value| value.to_vec())
        };
        let Some(mark) = part("mark") else {
            return Ok(None);
        };
        let mut state = ipam::State {
            space: part("space"),
            ledger: part("ledger"),
            record: part("record"),
            heard: part("heard"),
            ..ipam::State::default()
        };
        let held: Vec<(u32, Bytes)> = self.shared.with(|journal| {
            let held = journal.image().iter().filter_map(|(key, value)| match key {
                Key::Address(address) => Some((*address, value.clone())),
                Key::Value(_) | Key::Attachment(_) | Key::Part(_) => None,
            });
            held.collect()
        });
        for (address, value) in held {
            let held = self.parse(&value)?;
            state.addresses.insert(Ipv4Addr::from_bits(address), held);
        }
        Ok(Some((state, self.parse(&mark)?)))
    }

    /// Everything that was handed over so far
    #[cfg(test)]
    pub(crate) fn written(&self) -> Written {
        self.change([])
    }

    /// Why not everything is on disk, if it is not
    pub(crate) fn unwritten(&self) -> Option<StoreError> {
        let is_whole = self.shared.with(|journal| {
            let durable = journal.progress().durable;
            durable >= journal.latest()
        });
        (!is_whole).then(|| self.why())
    }

    /// Something in the state is not what it should be
    pub(crate) fn nonsense(&self, what: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            source: Cause::of(&what),
        }
    }

    /// How far the disk is, at each time
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress()
    }

    /// Why what was handed over is not on disk
    pub(crate) fn why(&self) -> StoreError {
        why(&self.shared, &self.path)
    }

    /// State of the store, for people and programs
    pub(crate) fn status(&self) -> StoreStatus {
        let health = self.shared.with(|journal| journal.health(Instant::now()));
        let millis = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let path = self.path.display().to_string();
        match health {
            Health::Ok => StoreStatus {
                path,
                ..StoreStatus::default()
            },
            Health::Slow(waited) => StoreStatus {
                state: StoreState::Slow,
                reason: Some(StoreReason::NoAnswer),
                since_ms: Some(millis(waited)),
                message: Some(line(StoreError::Slow {
                    path: self.path.clone(),
                    waited,
                })),
                path,
            },
            Health::Failed(since, error) => StoreStatus {
                state: StoreState::Failed,
                reason: Some(error.reason()),
                since_ms: Some(millis(since)),
                message: Some(line(error)),
                path,
            },
        }
    }

    /// Writes what can be written, and gives up the file, within this time
    pub(crate) fn close(&self, limit: Duration) {
        self.shared.stop(limit);
    }

    fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.shared.with(|journal| journal.image().get(key).cloned())
    }

    fn write<T: Serialize>(&self, key: Key, value: &T) -> Written {
        match serde_json::to_vec(value) {
            Ok(value) => self.change([(key, Some(bytes(value)))]),
            Err(error) => self.unwritable(&error),
        }
    }

    fn change(&self, changes: impl IntoIterator<Item = (Key, Option<Bytes>)>) -> Written {
        let number = self.shared.with(|journal| journal.put(changes, Instant::now()));
        self.handed_over(Ok(number))
    }

    fn unwritable(&self, error: &serde_json::Error) -> Written {
        self.handed_over(Err(self.damaged(error)))
    }

    fn handed_over(&self, number: Result<u64, StoreError>) -> Written {
        Written {
            number,
            path: self.path.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    fn parse<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(value).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &serde_json::Error) -> StoreError {
        self.nonsense(&error.to_string())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close(END);
    }
}

impl Slot {
    fn key(self) -> Key {
        Key::Value(self.0.to_owned())
    }
}

impl Written {
    /// Waits until it is on disk, with all changes before it; told why if the disk refuses it or does not answer
    ///
    /// After an error it is still in memory, and will be on disk later.
    pub(crate) async fn wait(self) -> Result<(), StoreError> {
        let number = self.number?;
        let mut progress = self.shared.progress();
        let is_over = |progress: &Progress| progress.durable >= number || progress.refused >= number;
        // The last look ends with this statement: whoever holds it keeps the store from telling more.
        let is_durable = tokio::time::timeout(PATIENCE, progress.wait_for(is_over))
            .await
            .is_ok_and(|over| over.is_ok_and(|progress| progress.durable >= number));
        match is_durable {
            true => Ok(()),
            false => Err(why(&self.shared, &self.path)),
        }
    }

    /// Leaves it to the thread: nothing that is promised follows from it
    pub(crate) fn later(self) {
        if let Err(error) = self.number {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }

    /// Its number in [`Progress`]; none if it can never be written
    pub(crate) fn number(&self) -> Option<u64> {
        self.number.as_ref().ok().copied()
    }
}

fn why(shared: &Shared, path: &Path) -> StoreError {
    shared.with(|journal| match journal.failure() {
        Some(error) => error.clone(),
        None => StoreError::Slow {
            path: path.to_owned(),
            waited: journal.waits(Instant::now()),
        },
    })
}

/// Returns an error with its cause, on one line
pub(crate) fn line(error: StoreError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[cfg(test)]
mod tests;
