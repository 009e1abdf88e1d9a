//! A look at a state file before it is used.
//!
//! redb trusts the pages of a file that was closed in order, and panics where they make no sense. So
//! their checksums are verified first, in a copy in memory: whatever redb would repair or write while it
//! does that, the file stays as it is, and its panic is an answer like others. What the state is, is read from the
//! copy as well: a file that cannot be written, not even repaired, can be used all the same.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableHandle as _};
use zeroize::Zeroizing;

use super::error::Cause;
use super::image::{Image, Key, bytes};
use super::memory::Copy;
use super::{ADDRESSES, ATTACHMENTS, FORMAT, IPAM, Slot, VALUES};

/// Why a file is not to be used
#[derive(Debug)]
pub(super) enum Unfit {
    /// Not one of ours
    Foreign,
    /// One of ours, of another version
    Format(u32),
    /// Broken
    Damaged(Cause),
}

impl<E: Into<redb::Error>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Damaged(Cause::of(&error.into()))
    }
}

/// Returns the state that these bytes of a file are, if it can be used
pub(super) fn examine(file: Zeroizing<Vec<u8>>) -> Result<Image, Unfit> {
    if file.is_empty() {
        return Ok(Image::new());
    }
    if !file.starts_with(b"redb") {
        return Err(Unfit::Foreign);
    }
    let damaged = || Err(Unfit::Damaged(Cause::of(&"its pages make no sense")));
    quietly(|| look_inside(file)).unwrap_or_else(damaged)
}

fn look_inside(file: Zeroizing<Vec<u8>>) -> Result<Image, Unfit> {
    let mut database = Database::builder().create_with_backend(Copy::new(file))?;
    if !database.check_integrity()? {
        return Err(Unfit::Damaged(Cause::of(&"a checksum is wrong")));
    }
    let read = database.begin_read()?;
    if read.list_tables()?.next().is_none() {
        // Its maker was killed before it had written anything.
        return Ok(Image::new());
    }
    if !read.list_tables()?.any(|table| table.name() == VALUES.name()) {
        return Err(Unfit::Foreign);
    }
    let Ok(values) = read.open_table(VALUES) else {
        return Err(Unfit::Foreign);
    };
    let format = values.get(Slot::FORMAT.0)?;
    match format.map(|bytes| serde_json::from_slice::<u32>(bytes.value())) {
        Some(Ok(FORMAT)) => {}
        Some(Ok(found)) => return Err(Unfit::Format(found)),
        Some(Err(error)) => return Err(Unfit::Damaged(Cause::of(&error))),
        None => return Err(Unfit::Foreign),
    }
    image(&read).map_err(Unfit::from)
}

fn image(read: &ReadTransaction) -> Result<Image, redb::Error> {
    let mut image = Image::new();
    type Named = fn(String) -> Key;
    let tables: [(_, Named); 3] = [
        (VALUES, Key::Value),
        (ATTACHMENTS, Key::Attachment),
        (IPAM, Key::Part),
    ];
    for (table, key) in tables {
        let Some(table) = existing(read.open_table(table))? else {
            continue;
        };
        for entry in table.iter()? {
            let (name, value) = entry?;
            image.insert(key(name.value().to_owned()), bytes(value.value().to_vec()));
        }
    }
    if let Some(addresses) = existing(read.open_table(ADDRESSES))? {
        for entry in addresses.iter()? {
            let (address, value) = entry?;
            image.insert(Key::Address(address.value()), bytes(value.value().to_vec()));
        }
    }
    Ok(image)
}

fn existing<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `act` comes to; nothing, and nothing on the terminal either, if it panics
fn quietly<T>(act: impl FnOnce() -> T) -> Option<T> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    QUIET.set(false);
    result.ok()
}
