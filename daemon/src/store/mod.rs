//! What outlives the process: identity, short id, targets, neighbours, attachments.
//!
//! One redb file, `weaved.redb`, in the state directory; every write is one durable transaction.
//! The file's lock makes a second daemon on the same directory an error. A file that is damaged or
//! not ours is an error that names it; nothing is overwritten.

mod examine;
mod mark;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::examine::{Unfit, examine};
pub(crate) use self::mark::Mark;

/// Values by name, in JSON
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");
/// Attached containers by id, in JSON
const ATTACHMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("attachments");

/// What a machine of `ipam` wants kept, by name, in its own form
const IPAM: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ipam");
/// Which container has which address, in JSON
const ADDRESSES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("addresses");

const FORMAT: u32 = 1;
/// The state is a few kilobytes; the default cache of redb is a gigabyte.
const CACHE_SIZE: usize = 1 << 20;

/// The name of a stored value and, by use, its type
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot(&'static str);

impl Slot {
    /// The key, in the private form of [`crate::identity`]
    pub(crate) const IDENTITY: Self = Self("identity");
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

/// The open state file
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// Closed after an error of the disk: redb answers nothing more then, and opening it anew repairs it
    database: Mutex<Option<Database>>,
}

impl Store {
    /// Opens the state file in `dir`, making both where they do not exist
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| StoreError::Directory {
                path: dir.to_owned(),
                source,
            })?;
        let path = dir.join("weaved.redb");
        let database = Mutex::new(Some(open(&path)?));
        let store = Self { path, database };
        if store.value::<u32>(Slot::FORMAT)?.is_none() {
            store.put(Slot::FORMAT, &FORMAT)?;
        }
        Ok(store)
    }

    /// A stored value
    pub(crate) fn value<T: DeserializeOwned>(&self, slot: Slot) -> Result<Option<T>, StoreError> {
        let bytes = self.with(|database| {
            let read = database.begin_read()?;
            let table = match read.open_table(VALUES) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(table.get(slot.0)?.map(|bytes| bytes.value().to_vec()))
        })?;
        let value = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        value.map_err(|error| self.damaged(error))
    }

    /// Stores a value; it is on disk when this returns
    pub(crate) fn put<T: Serialize>(&self, slot: Slot, value: &T) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|error| self.damaged(error))?;
        self.write(VALUES, |table| {
            table.insert(slot.0, bytes.as_slice()).map(|_old| ())
        })
    }

    /// Forgets a value
    pub(crate) fn remove(&self, slot: Slot) -> Result<(), StoreError> {
        self.write(VALUES, |table| table.remove(slot.0).map(|_old| ()))
    }

    /// Stores an attachment under its container's id
    pub(crate) fn put_attachment<T: Serialize>(&self, id: &str, value: &T) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|error| self.damaged(error))?;
        self.write(ATTACHMENTS, |table| {
            table.insert(id, bytes.as_slice()).map(|_old| ())
        })
    }

    /// Forgets an attachment
    pub(crate) fn remove_attachment(&self, id: &str) -> Result<(), StoreError> {
        self.write(ATTACHMENTS, |table| table.remove(id).map(|_old| ()))
    }

    /// Every attachment
    pub(crate) fn attachments<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let all = self.with(|database| {
            let read = database.begin_read()?;
            let table = match read.open_table(ATTACHMENTS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (_id, bytes) = entry?;
                all.push(bytes.value().to_vec());
            }
            Ok(all)
        })?;
        let values = all.iter().map(|bytes| serde_json::from_slice(bytes));
        values
            .collect::<Result<_, _>>()
            .map_err(|error| self.damaged(error))
    }

    /// Stores what changed about addresses, all of it or nothing; it is on disk when this returns
    pub(crate) fn put_addresses(&self, change: &ipam::Change, mark: &Mark) -> Result<(), StoreError> {
        let held = |held: &Option<ipam::Held>| held.as_ref().map(serde_json::to_vec).transpose();
        let addresses = change
            .addresses
            .iter()
            .map(|(address, holder)| Ok((*address, held(holder)?)));
        let addresses: Vec<_> = addresses
            .collect::<Result<_, serde_json::Error>>()
            .map_err(|error| self.damaged(error))?;
        let mark = serde_json::to_vec(mark).map_err(|error| self.damaged(error))?;
        self.with(|database| {
            let write = database.begin_write()?;
            {
                let mut parts = write.open_table(IPAM)?;
                for (name, part) in [
                    ("space", &change.space),
                    ("ledger", &change.ledger),
                    ("record", &change.record),
                    ("heard", &change.heard),
                    ("mark", &Some(mark)),
                ] {
                    if let Some(part) = part {
                        parts.insert(name, part.as_slice())?;
                    }
                }
                let mut table = write.open_table(ADDRESSES)?;
                for (address, holder) in &addresses {
                    match holder {
                        Some(holder) => drop(table.insert(address.to_bits(), holder.as_slice())?),
                        None => drop(table.remove(address.to_bits())?),
                    }
                }
            }
            Ok(write.commit()?)
        })
    }

    /// What was kept about addresses, and when last; none before the first time
    pub(crate) fn addresses(&self) -> Result<Option<(ipam::State, Mark)>, StoreError> {
        let read = self.with(|database| {
            let read = database.begin_read()?;
            let (parts, table) = match (read.open_table(IPAM), read.open_table(ADDRESSES)) {
                (Ok(parts), Ok(table)) => (parts, table),
                (Err(redb::TableError::TableDoesNotExist(_)), _)
                | (_, Err(redb::TableError::TableDoesNotExist(_))) => return Ok(None),
                (Err(error), _) | (_, Err(error)) => return Err(error.into()),
            };
            let part = |name| Ok::<_, redb::Error>(parts.get(name)?.map(|bytes| bytes.value().to_vec()));
            let state = ipam::State {
                space: part("space")?,
                ledger: part("ledger")?,
                record: part("record")?,
                heard: part("heard")?,
                addresses: BTreeMap::new(),
            };
            let mut held = Vec::new();
            for entry in table.iter()? {
                let (address, bytes) = entry?;
                held.push((Ipv4Addr::from_bits(address.value()), bytes.value().to_vec()));
            }
            Ok(Some((state, held, part("mark")?.unwrap_or_default())))
        })?;
        let Some((mut state, held, mark)) = read else {
            return Ok(None);
        };
        for (address, bytes) in held {
            let held = serde_json::from_slice(&bytes).map_err(|error| self.damaged(error))?;
            state.addresses.insert(address, held);
        }
        let mark = serde_json::from_slice(&mark).map_err(|error| self.damaged(error))?;
        Ok(Some((state, mark)))
    }

    fn write(
        &self,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
        change: impl FnOnce(&mut redb::Table<'_, &'static str, &'static [u8]>) -> Result<(), redb::StorageError>,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write()?;
            change(&mut write.open_table(table)?)?;
            Ok(write.commit()?)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match database.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let result = act(&open);
        if !result.as_ref().is_err_and(is_of_the_disk) {
            *database = Some(open);
        }
        result.map_err(|error| failure(&self.path, error))
    }

    fn damaged(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

/// Opens a state file that is fit to be used, making it where there is none
fn open(path: &Path) -> Result<Database, StoreError> {
    let failed = |source| StoreError::Directory {
        path: path.to_owned(),
        source,
    };
    let in_use = || StoreError::InUse {
        path: path.to_owned(),
    };
    // redb makes files by the umask; the key inside is for root alone.
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // The lock that redb takes too, so that nobody writes while the file is examined.
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(in_use()),
        Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    examine(&bytes).map_err(|unfit| {
        let path = path.to_owned();
        match unfit {
            Unfit::Foreign => StoreError::Foreign { path },
            Unfit::Format(found) => StoreError::Format { path, found },
            Unfit::Damaged(source) => StoreError::Damaged { path, source },
        }
    })?;
    let _best_effort = file.set_permissions(fs::Permissions::from_mode(0o600));
    let database = Database::builder().set_cache_size(CACHE_SIZE).create_file(file);
    database.map_err(|error| {
        if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
            return in_use();
        }
        failure(path, error.into())
    })
}

/// What an error of redb means for the state
fn failure(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    let is_of_the_disk = is_of_the_disk(&error);
    let source = Box::new(error);
    if is_of_the_disk {
        StoreError::Disk { path, source }
    } else {
        StoreError::Damaged { path, source }
    }
}

const fn is_of_the_disk(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

/// The state could not be read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory or file cannot be made or opened
    #[error("cannot open the state in {}", path.display())]
    Directory {
        /// What could not be opened
        path: PathBuf,
        /// What the kernel said
        #[source]
        source: io::Error,
    },
    /// Another daemon has it open
    #[error("another weaved uses the state in {}; give this one its own --state-dir", path.display())]
    InUse {
        /// The state file
        path: PathBuf,
    },
    /// Not a file of ours
    #[error("{} is not a weaved state file; move it away to start afresh", path.display())]
    Foreign {
        /// The file
        path: PathBuf,
    },
    /// Written by another version
    #[error("{} has format {found}, this weaved knows format {FORMAT}", path.display())]
    Format {
        /// The state file
        path: PathBuf,
        /// The format found there
        found: u32,
    },
    /// The disk is full, or fails
    #[error("cannot read or write the state file {}", path.display())]
    Disk {
        /// The state file
        path: PathBuf,
        /// What redb says
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Broken
    #[error("the state file {} cannot be used; move it away to start afresh", path.display())]
    Damaged {
        /// The state file
        path: PathBuf,
        /// What is wrong with it
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests;
