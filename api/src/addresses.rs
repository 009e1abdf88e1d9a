//! The addresses of one container.

use std::net::IpAddr;
use std::ops::Deref;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ADDRESSES_LIMIT;
use crate::bounded::bounded;

/// Addresses that one container can have together, at most [`ADDRESSES_LIMIT`]
///
/// Each is a host's address with the length of its network's prefix. Several may share a network;
/// two networks of which one contains the other are refused, because the container could not tell
/// where a packet should go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Addresses(Vec<IpNetwork>);

impl Deref for Addresses {
    type Target = [IpNetwork];

    fn deref(&self) -> &[IpNetwork] {
        &self.0
    }
}

impl TryFrom<Vec<IpNetwork>> for Addresses {
    type Error = AddressesError;

    fn try_from(list: Vec<IpNetwork>) -> Result<Self, AddressesError> {
        if list.len() > ADDRESSES_LIMIT {
            return Err(AddressesError::TooMany(list.len()));
        }
        for (at, &address) in list.iter().enumerate() {
            if !is_station(address) {
                return Err(AddressesError::NotAStation(address));
            }
            for &earlier in list.iter().take(at) {
                if earlier.ip() == address.ip() {
                    return Err(AddressesError::Twice(address.ip()));
                }
                if earlier.prefix() != address.prefix()
                    && (earlier.contains(address.network()) || address.contains(earlier.network()))
                {
                    return Err(AddressesError::Overlap(earlier, address));
                }
            }
        }
        Ok(Self(list))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> = bounded::<_, _, ADDRESSES_LIMIT>(deserializer)?;
        let list: Result<Vec<_>, _> = texts.iter().map(|text| parse_cidr(text)).collect();
        list.and_then(Self::try_from).map_err(serde::de::Error::custom)
    }
}

/// An address or a network with the length of its prefix, as in `10.0.1.1/24`
///
/// Stricter than [`IpNetwork`]'s own parser, which takes a missing prefix for that of a single host.
pub fn parse_cidr(text: &str) -> Result<IpNetwork, AddressesError> {
    let error = || AddressesError::Malformed(text.chars().take(64).collect());
    let (address, prefix) = text.split_once('/').ok_or_else(error)?;
    let address: IpAddr = address.parse().map_err(|_bad| error())?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error());
    }
    let prefix = prefix.parse().map_err(|_bad| error())?;
    IpNetwork::new(address, prefix).map_err(|_bad| error())
}

fn is_station(address: IpNetwork) -> bool {
    let ip = address.ip();
    if address.prefix() == 0 || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        return false;
    }
    match address {
        IpNetwork::V4(v4) => v4.prefix() >= 31 || (v4.ip() != v4.network() && v4.ip() != v4.broadcast()),
        IpNetwork::V6(v6) => v6.prefix() >= 127 || v6.ip() != v6.network(),
    }
}

/// The addresses cannot be given to a container
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressesError {
    /// No address with a prefix
    #[error("{0:?} is not a CIDR; expected an address with a prefix length as in 10.0.1.1/24")]
    Malformed(String),
    /// A network's own address, its broadcast address, or a special one
    #[error("{0} is not an address that a container can have")]
    NotAStation(IpNetwork),
    /// The same address again
    #[error("address {0} is given twice")]
    Twice(IpAddr),
    /// One network contains the other
    #[error("networks of {0} and {1} overlap")]
    Overlap(IpNetwork, IpNetwork),
    /// More than [`ADDRESSES_LIMIT`]
    #[error("{0} addresses are more than one container can have (64)")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(texts: &[&str]) -> Result<Addresses, AddressesError> {
        let list: Result<Vec<_>, _> = texts.iter().map(|text| parse_cidr(text)).collect();
        list.and_then(Addresses::try_from)
    }

    #[test]
    fn host_bits_are_kept() {
        for list in [
            &["10.0.1.1/24"][..],
            &["10.0.1.1/24", "10.0.1.2/24", "10.0.2.1/24"],
            &["10.0.1.0/31", "10.0.1.7/32", "fd00::1/64"],
            &[],
        ] {
            let parsed = addresses(list).unwrap();
            let texts: Vec<String> = parsed.iter().map(ToString::to_string).collect();
            assert_eq!(texts, list);
        }
    }

    #[test]
    fn each_mistake_is_told_in_one_line() {
        for (list, told) in [
            (&["10.0.1.1"][..], "\"10.0.1.1\" is not a CIDR"),
            (&["10.0.1.1/33"], "is not a CIDR"),
            (&["10.0.1.1/"], "is not a CIDR"),
            (&["10.0.1.1/+8"], "is not a CIDR"),
            (&["10.0.1/24"], "is not a CIDR"),
            (&["10.0.1.1/255.255.255.0"], "is not a CIDR"),
            (&["10.0.1.0/24"], "not an address that a container can have"),
            (&["10.0.1.255/24"], "not an address that a container can have"),
            (&["127.0.0.1/8"], "not an address that a container can have"),
            (&["224.0.0.1/24"], "not an address that a container can have"),
            (&["10.0.1.1/0"], "not an address that a container can have"),
            (&["fd00::/64"], "not an address that a container can have"),
            (&["10.0.1.1/24", "10.0.1.1/24"], "10.0.1.1 is given twice"),
            (&["10.0.1.1/24", "10.0.1.1/16"], "10.0.1.1 is given twice"),
            (
                &["10.0.1.1/24", "10.0.2.1/16"],
                "networks of 10.0.1.1/24 and 10.0.2.1/16 overlap",
            ),
        ] {
            let error = addresses(list).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains('\n'), "{list:?}: {error}");
        }
        let many: Vec<String> = (1..=65).map(|n| format!("10.0.1.{n}/24")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(addresses(&many), Err(AddressesError::TooMany(65)));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs(text: String) {
            let _ = parse_cidr(&text);
        }
    }
}
