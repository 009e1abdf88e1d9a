//! A look at a state file before it is used.
//!
//! redb trusts the pages of a file that was closed in order, and panics where they make no sense. So
//! their checksums are verified first, in a copy in memory: whatever redb would repair or write while it
//! does that, the file stays as it is, and its panic is an answer like others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, StorageBackend as _, TableHandle as _};

use super::{FORMAT, Slot, VALUES};

/// Why a file is not to be used
#[derive(Debug)]
pub(super) enum Unfit {
    /// Not one of ours
    Foreign,
    /// One of ours, of another version
    Format(u32),
    /// Broken
    Damaged(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<redb::Error>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Damaged(Box::new(error.into()))
    }
}

/// Whether these are the bytes of a state file that can be used
pub(super) fn examine(bytes: &[u8]) -> Result<(), Unfit> {
    if bytes.is_empty() {
        return Ok(());
    }
    if !bytes.starts_with(b"redb") {
        return Err(Unfit::Foreign);
    }
    quietly(|| look_inside(bytes)).unwrap_or_else(|| Err(Unfit::Damaged("its pages make no sense".into())))
}

fn look_inside(bytes: &[u8]) -> Result<(), Unfit> {
    let backend = InMemoryBackend::new();
    backend.set_len(bytes.len() as u64).map_err(redb::Error::from)?;
    backend.write(0, bytes).map_err(redb::Error::from)?;
    let mut database = Database::builder().create_with_backend(backend)?;
    if !database.check_integrity()? {
        return Err(Unfit::Damaged("a checksum is wrong".into()));
    }
    let read = database.begin_read()?;
    let mut tables = read.list_tables()?;
    if tables.next().is_none() {
        // Its maker was killed before it had written anything.
        return Ok(());
    }
    if !read.list_tables()?.any(|table| table.name() == VALUES.name()) {
        return Err(Unfit::Foreign);
    }
    let Ok(values) = read.open_table(VALUES) else {
        return Err(Unfit::Foreign);
    };
    let format = values.get(Slot::FORMAT.0)?;
    match format.map(|bytes| serde_json::from_slice::<u32>(bytes.value())) {
        Some(Ok(FORMAT)) => Ok(()),
        Some(Ok(found)) => Err(Unfit::Format(found)),
        Some(Err(error)) => Err(Unfit::Damaged(error.into())),
        None => Err(Unfit::Foreign),
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
