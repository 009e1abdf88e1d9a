//! A copy of a state file in memory, wiped when it is dropped: the private key is in it.

use std::io;
use std::sync::{PoisonError, RwLock};

use redb::StorageBackend;
use zeroize::Zeroizing;

/// The copy, as redb reads and writes it
#[derive(Debug)]
pub(super) struct Copy(RwLock<Zeroizing<Vec<u8>>>);

impl Copy {
    /// A copy with these bytes
    pub(super) const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(RwLock::new(bytes))
    }
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the copy")
}

/// Returns the range of these bytes, if there is memory for it at all
fn range(offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(|_too_big| beyond())?;
    let end = start.checked_add(len).ok_or_else(beyond)?;
    Ok(start..end)
}

impl StorageBackend for Copy {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let part = bytes.get(range(offset, out.len())?).ok_or_else(beyond)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_too_big| beyond())?;
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if len <= bytes.len() {
            bytes.truncate(len);
            return Ok(());
        }
        // A vector that grows leaves its old bytes behind, unwiped.
        let mut grown = Zeroizing::new(Vec::new());
        grown
            .try_reserve_exact(len)
            .map_err(|_no_memory| io::Error::from(io::ErrorKind::OutOfMemory))?;
        grown.extend_from_slice(&bytes);
        grown.resize(len, 0);
        *bytes = grown;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let part = bytes.get_mut(range(offset, data.len())?).ok_or_else(beyond)?;
        part.copy_from_slice(data);
        Ok(())
    }
}
