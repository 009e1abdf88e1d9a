//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_by_text;

/// A 48-bit Ethernet address (IEEE 802)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac([u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, which no station has
    pub const ZERO: Self = Self([0; 6]);

    /// The address with these octets, in transmission order
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets, in transmission order
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The low 48 bits of `bits`, first octet highest
    pub const fn from_bits(bits: u64) -> Self {
        let b = bits.to_be_bytes();
        Self([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// The address as a number, first octet highest
    pub const fn to_bits(self) -> u64 {
        let o = self.0;
        u64::from_be_bytes([0, 0, o[0], o[1], o[2], o[3], o[4], o[5]])
    }

    /// Broadcast or multicast: the I/G bit is set
    pub const fn is_group(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// The same 48 bits made a valid station address: locally administered, unicast
    #[must_use]
    pub const fn to_local_unicast(self) -> Self {
        let o = self.0;
        Self([o[0] & 0xfc | 0x02, o[1], o[2], o[3], o[4], o[5]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError(text.chars().take(64).collect());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_bad| error())?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(error()),
        }
    }
}

serde_by_text!(
    Mac,
    [u8; 6],
    |mac| mac.0,
    |raw| Ok::<_, std::convert::Infallible>(Self(raw))
);

/// The text is not six two-digit hexadecimal octets with colons between them
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Ethernet address; expected six octets as in 7a:c0:00:12:34:56")]
pub struct MacError(pub String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_bits_round_trip(octets: [u8; 6]) {
            let mac = Mac::new(octets);
            prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
            prop_assert_eq!(Mac::from_bits(mac.to_bits()), mac);
            let local = mac.to_local_unicast();
            prop_assert!(!local.is_group() && local.octets()[0] & 2 == 2);
        }

        #[test]
        fn any_text_parses_or_errs(text: String) {
            let _ = text.parse::<Mac>();
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "1:2:3:4:5:6",
            "00:11:22:33:44",
            "00:11:22:33:44:55:66",
            "+0:11:22:33:44:55",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
