//! Short ids, and the VXLAN network identifier that carries two of them.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_by_text;

/// A peer's 12-bit id, unique among the peers of one network
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(u16);

impl ShortId {
    /// How many there are
    pub const COUNT: u16 = 1 << 12;

    /// The id of this value, if it has at most 12 bits
    pub const fn new(value: u16) -> Result<Self, ShortIdError> {
        if value < Self::COUNT {
            Ok(Self(value))
        } else {
            Err(ShortIdError(value))
        }
    }

    /// The low 12 bits of `value`
    pub const fn truncated(value: u16) -> Self {
        Self(value & (Self::COUNT - 1))
    }

    /// The id as a number below [`ShortId::COUNT`]
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortId({:#05x})", self.0)
    }
}

impl FromStr for ShortId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value: u16 = text.parse().map_err(|e| format!("short id {text:?}: {e}"))?;
        Self::new(value).map_err(|e| e.to_string())
    }
}

serde_by_text!(ShortId, u16, |id| id.0, |raw| Self::new(raw));

/// The value has more than 12 bits
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a short id has 12 bits; {0} has more")]
pub struct ShortIdError(pub u16);

/// A VXLAN network identifier: the source peer's short id in the low 12 bits, the destination's
/// in the high 12
///
/// The destination is the peer that the frame is for or, for a copy of a flooded frame, the
/// neighbour that the copy goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The identifier of frames from `source` to `destination`
    pub const fn new(source: ShortId, destination: ShortId) -> Self {
        Self(source.0 as u32 | (destination.0 as u32) << 12)
    }

    /// The identifier in the low 24 bits of `bits`
    pub const fn truncated(bits: u32) -> Self {
        Self(bits & 0xff_ffff)
    }

    /// The peer that the frame came from first
    pub const fn source(self) -> ShortId {
        ShortId::truncated(self.0 as u16)
    }

    /// The peer that the frame is for
    pub const fn destination(self) -> ShortId {
        ShortId::truncated((self.0 >> 12) as u16)
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#08x}", self.0)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({}->{})", self.source(), self.destination())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_vni_gives_back_both_ids(source in 0..4096u16, destination in 0..4096u16) {
            let vni = Vni::new(ShortId::truncated(source), ShortId::truncated(destination));
            prop_assert_eq!(vni.source().value(), source);
            prop_assert_eq!(vni.destination().value(), destination);
            prop_assert_eq!(Vni::truncated(u32::from(vni)), vni);
        }
    }
}
