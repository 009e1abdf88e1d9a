//! The state file: opened, read, written.
//!
//! The directory is locked for as long as the process runs, so that nobody else takes the state while its file is
//! closed after an error. A file that cannot be written is read all the same.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use api::StoreReason;
use redb::Database;
use zeroize::Zeroizing;

use super::error::{Cause, StoreError, disk_reason};
use super::examine::{Unfit, examine};
use super::image::{Bytes, Image, Key};
use super::{ADDRESSES, ATTACHMENTS, IPAM, VALUES};

/// The state is a few kilobytes; the default cache of redb is a gigabyte.
const CACHE_SIZE: usize = 1 << 20;

/// The file, or the place where it is to be
#[derive(Debug)]
pub(super) struct StateFile {
    directory: PathBuf,
    path: PathBuf,
    /// Has the lock
    locked: Option<File>,
    /// Read, and not handed to redb yet
    read: Option<File>,
    /// Closed after an error of the disk: redb answers nothing more then, and opening it anew repairs it
    database: Option<Database>,
}

/// What was found when the file was opened
#[derive(Debug)]
pub(super) struct Found {
    pub(super) image: Image,
    /// Why the file cannot be written, if that is so
    pub(super) unwritable: Option<StoreError>,
}

impl StateFile {
    /// The file in this directory, not opened
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            path: directory.join("weaved.redb"),
            locked: None,
            read: None,
            database: None,
        }
    }

    /// Where it is
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens and reads it, making it where there is none
    pub(super) fn open(&mut self) -> Result<Found, StoreError> {
        self.database = None;
        self.read = None;
        if let Err(error) = self.make_directory() {
            return nothing(error);
        }
        self.lock_directory()?;
        let (mut file, unwritable) = match self.open_file(true) {
            Ok(file) => (file, None),
            Err(error) => match self.open_file(false) {
                Ok(file) => (file, Some(self.unopened(error))),
                Err(absent) if absent.kind() == io::ErrorKind::NotFound => {
                    return nothing(self.unopened(error));
                }
                Err(error) => return Err(self.unopened(error)),
            },
        };
        if let Some(error) = unwritable.as_ref().filter(|error| !error.is_of_the_disk()) {
            return Err(error.clone());
        }
        // The lock that redb takes too, so that nobody writes while the file is examined.
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(self.in_use()),
            Err(fs::TryLockError::Error(error)) => return Err(self.unopened(error)),
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.read_to_end(&mut bytes)
            .map_err(|error| self.unopened(error))?;
        let image = examine(bytes).map_err(|unfit| {
            let path = self.path.clone();
            match unfit {
                Unfit::Foreign => StoreError::Foreign { path },
                Unfit::Format(found) => StoreError::Format { path, found },
                Unfit::Damaged(source) => StoreError::Damaged { path, source },
            }
        })?;
        if unwritable.is_none() {
            let _best_effort = file.set_permissions(fs::Permissions::from_mode(0o600));
            self.read = Some(file);
        }
        Ok(Found { image, unwritable })
    }

    /// Whether it is open for writing
    pub(super) const fn is_open(&self) -> bool {
        self.database.is_some() || self.read.is_some()
    }

    /// Writes changes, all of them or none; they are on disk when this returns
    pub(super) fn write(&mut self, changes: &[(Key, Option<Bytes>)]) -> Result<(), StoreError> {
        let database = match (self.database.take(), self.read.take()) {
            (Some(database), _) => database,
            (None, Some(file)) => Database::builder()
                .set_cache_size(CACHE_SIZE)
                .create_file(file)
                .map_err(
                    |error| match matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                        true => self.in_use(),
                        false => self.failure(&error.into()),
                    },
                )?,
            (None, None) => return Err(self.unopened(io::Error::from_raw_os_error(libc::EIO))),
        };
        let written = write(&database, changes);
        if !written.as_ref().is_err_and(is_of_the_disk) {
            self.database = Some(database);
        }
        written.map_err(|error| self.failure(&error))
    }

    /// Closes it and gives up the lock
    pub(super) fn close(&mut self) {
        self.database = None;
        self.read = None;
        self.locked = None;
    }

    fn make_directory(&self) -> Result<(), StoreError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        made.map_err(|error| self.failed(&self.directory, error))
    }

    fn lock_directory(&mut self) -> Result<(), StoreError> {
        if self.locked.is_some() {
            return Ok(());
        }
        let directory = File::open(&self.directory).map_err(|error| self.failed(&self.directory, error))?;
        match directory.try_lock() {
            // Some file systems of the network lock no directories; the lock of the file remains.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {
                self.locked = Some(directory);
                Ok(())
            }
            Err(fs::TryLockError::WouldBlock) => Err(self.in_use()),
        }
    }

    fn open_file(&self, write: bool) -> io::Result<File> {
        // redb makes files by the umask; the key inside is for root alone.
        fs::OpenOptions::new()
            .read(true)
            .write(write)
            .create(write)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
    }

    fn in_use(&self) -> StoreError {
        StoreError::InUse {
            path: self.path.clone(),
        }
    }

    fn unopened(&self, error: io::Error) -> StoreError {
        self.failed(&self.path, error)
    }

    fn failed(&self, path: &Path, error: io::Error) -> StoreError {
        let source = Cause::of(&error);
        let path = path.to_owned();
        match disk_reason(&error) {
            Some(reason) => StoreError::Disk { path, reason, source },
            None => StoreError::Directory { path, source },
        }
    }

    /// What an error of redb means for the state
    fn failure(&self, error: &redb::Error) -> StoreError {
        let path = self.path.clone();
        let source = Cause::of(error);
        if !is_of_the_disk(error) {
            return StoreError::Damaged { path, source };
        }
        let reason = if let redb::Error::Io(error) = error {
            disk_reason(error)
        } else {
            None
        };
        let reason = reason.unwrap_or(StoreReason::Failing);
        StoreError::Disk { path, reason, source }
    }
}

/// There is no file, and none can be made: if the disk is at fault, weaved begins with an empty state
fn nothing(error: StoreError) -> Result<Found, StoreError> {
    if !error.is_of_the_disk() {
        return Err(error);
    }
    Ok(Found {
        image: Image::new(),
        unwritable: Some(error),
    })
}

const fn is_of_the_disk(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

fn write(database: &Database, changes: &[(Key, Option<Bytes>)]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut values = write.open_table(VALUES)?;
        let mut attachments = write.open_table(ATTACHMENTS)?;
        let mut parts = write.open_table(IPAM)?;
        let mut addresses = write.open_table(ADDRESSES)?;
        for (key, value) in changes {
            let value = value.as_deref();
            match (key, value) {
                (Key::Value(name), Some(value)) => drop(values.insert(name.as_str(), value)?),
                (Key::Value(name), None) => drop(values.remove(name.as_str())?),
                (Key::Attachment(id), Some(value)) => drop(attachments.insert(id.as_str(), value)?),
                (Key::Attachment(id), None) => drop(attachments.remove(id.as_str())?),
                (Key::Part(name), Some(value)) => drop(parts.insert(name.as_str(), value)?),
                (Key::Part(name), None) => drop(parts.remove(name.as_str())?),
                (Key::Address(address), Some(value)) => drop(addresses.insert(*address, value)?),
                (Key::Address(address), None) => drop(addresses.remove(*address)?),
            }
        }
    }
    Ok(write.commit()?)
}
