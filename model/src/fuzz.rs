//! What fuzz targets have in common; only `cargo fuzz` builds it.

use std::fmt::{Debug, Display};
use std::str::FromStr;

/// The bytes of a fuzzer as a script, read from the front; zeros follow its end
#[derive(Debug, Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Starts at the first byte
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns true if the script is over
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one byte
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// Takes a big-endian number of two bytes
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Takes a big-endian number of four bytes
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Takes a big-endian number of eight bytes
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// Takes so many bytes
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        array[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        array
    }

    /// Takes bytes that have their length in two bytes before them; what is there of them
    pub fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        let (piece, rest) = self.0.split_at(self.0.len().min(len));
        self.0 = rest;
        piece
    }

    /// Takes all that is left
    pub const fn rest(&mut self) -> &'a [u8] {
        std::mem::replace(&mut self.0, &[])
    }
}

/// Reads a text; a value that comes of it is the same after it was printed and read again
///
/// # Panics
///
/// If it is another.
pub fn text<T>(text: &str)
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        let again = printed.parse::<T>().expect("what was printed is read");
        assert_eq!(again, value, "{printed}");
    }
}
