//! The state in memory: what is on disk, and what is to be.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The place of one value in the state
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A value by its name
    Value(String),
    /// An attachment by its container's id
    Attachment(String),
    /// A part of the state of `ipam` by its name
    Part(String),
    /// The holder of an address
    Address(u32),
}

/// A value as it is on disk; wiped when nobody has it and never printed, since one of them is a private key
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(Arc<Zeroizing<Vec<u8>>>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// All values
pub(super) type Image = BTreeMap<Key, Bytes>;

/// Returns bytes as a value
pub(super) fn bytes(bytes: Vec<u8>) -> Bytes {
    Bytes(Arc::new(Zeroizing::new(bytes)))
}
