//! Which addresses a container, or the host, is to have.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use ipnetwork::{IpNetwork, Ipv4Network};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ADDRESSES_LIMIT;
use crate::addresses::{Addresses, AddressesError, parse_cidr};
use crate::bounded::bounded;

/// An address, or where one is to come from
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressSpec {
    /// `net:default`: any of the default subnet
    DefaultSubnet,
    /// `net:10.2.1.0/24`: any of this subnet
    Subnet(Ipv4Network),
    /// `10.2.1.1/24`, also as `ip:10.2.1.1/24`: this one
    Address(IpNetwork),
}

impl fmt::Display for AddressSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultSubnet => f.write_str("net:default"),
            Self::Subnet(subnet) => write!(f, "net:{subnet}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for AddressSpec {
    type Err = AddressSpecError;

    fn from_str(text: &str) -> Result<Self, AddressSpecError> {
        let Some(subnet) = text.strip_prefix("net:") else {
            let address = text.strip_prefix("ip:").unwrap_or(text);
            return Ok(Self::Address(parse_cidr(address)?));
        };
        if subnet == "default" {
            return Ok(Self::DefaultSubnet);
        }
        match parse_cidr(subnet)? {
            IpNetwork::V4(subnet) if subnet.ip() != subnet.network() => {
                Err(AddressSpecError::HostBits(subnet))
            }
            IpNetwork::V4(subnet) if subnet.prefix() > 30 => Err(AddressSpecError::TooSmall(subnet)),
            IpNetwork::V4(subnet) => Ok(Self::Subnet(subnet)),
            IpNetwork::V6(_) => Err(AddressSpecError::NotIpv4(subnet.to_owned())),
        }
    }
}

impl Serialize for AddressSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What can be asked for together, at most [`ADDRESSES_LIMIT`]: no subnet twice, and addresses that are
/// [`Addresses`]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AddressSpecs(Vec<AddressSpec>);

impl Deref for AddressSpecs {
    type Target = [AddressSpec];

    fn deref(&self) -> &[AddressSpec] {
        &self.0
    }
}

impl TryFrom<Vec<AddressSpec>> for AddressSpecs {
    type Error = AddressSpecError;

    fn try_from(list: Vec<AddressSpec>) -> Result<Self, AddressSpecError> {
        if list.len() > ADDRESSES_LIMIT {
            return Err(AddressesError::TooMany(list.len()).into());
        }
        for (at, spec) in list.iter().enumerate() {
            if !matches!(spec, AddressSpec::Address(_)) && list.iter().take(at).any(|earlier| earlier == spec)
            {
                return Err(AddressSpecError::Twice(*spec));
            }
        }
        let given = list.iter().filter_map(|spec| match spec {
            AddressSpec::Address(address) => Some(*address),
            AddressSpec::DefaultSubnet | AddressSpec::Subnet(_) => None,
        });
        Addresses::try_from(given.collect::<Vec<_>>())?;
        Ok(Self(list))
    }
}

impl<'de> Deserialize<'de> for AddressSpecs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list: Vec<AddressSpec> = bounded::<_, _, ADDRESSES_LIMIT>(deserializer)?;
        Self::try_from(list).map_err(serde::de::Error::custom)
    }
}

/// The text says no address, nor where one is to come from
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressSpecError {
    /// What an address may not be
    #[error(transparent)]
    Address(#[from] AddressesError),
    /// A subnet that is rather an address
    #[error("invalid subnet - bits after network prefix are not all zero: {0}")]
    HostBits(Ipv4Network),
    /// A subnet without an address that a container could have
    #[error("invalid subnet - smaller than minimum size 4: {0}")]
    TooSmall(Ipv4Network),
    /// Addresses are handed out of IPv4 only
    #[error("invalid subnet - not IPv4: {0}")]
    NotIpv4(String),
    /// The same again
    #[error("{0} is given twice")]
    Twice(AddressSpec),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_has_its_meaning() {
        for (text, shown) in [
            ("net:default", "net:default"),
            ("net:10.2.1.0/24", "net:10.2.1.0/24"),
            ("net:10.32.0.0/12", "net:10.32.0.0/12"),
            ("10.2.1.1/24", "10.2.1.1/24"),
            ("ip:10.2.1.1/24", "10.2.1.1/24"),
            ("fd00::1/64", "fd00::1/64"),
        ] {
            assert_eq!(text.parse::<AddressSpec>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn each_mistake_is_told_in_one_line() {
        for (text, told) in [
            (
                "net:10.2.1.1/24",
                "invalid subnet - bits after network prefix are not all zero: 10.2.1.1/24",
            ),
            (
                "net:10.2.1.0/31",
                "invalid subnet - smaller than minimum size 4: 10.2.1.0/31",
            ),
            (
                "net:10.2.1.1/32",
                "invalid subnet - smaller than minimum size 4: 10.2.1.1/32",
            ),
            ("net:fd00::/64", "invalid subnet - not IPv4: fd00::/64"),
            ("net:", "\"\" is not a CIDR"),
            ("net:10.2.1.0", "\"10.2.1.0\" is not a CIDR"),
            ("ip:", "\"\" is not a CIDR"),
            ("10.2.1.1", "\"10.2.1.1\" is not a CIDR"),
        ] {
            let error = text.parse::<AddressSpec>().unwrap_err().to_string();
            assert!(
                error.starts_with(told) && !error.contains('\n'),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_is_asked_together_does_not_contradict_itself() {
        let together = |texts: &[&str]| {
            let specs = texts.iter().map(|text| text.parse().unwrap());
            AddressSpecs::try_from(specs.collect::<Vec<AddressSpec>>()).map_err(|error| error.to_string())
        };
        assert!(together(&["net:default", "net:10.2.1.0/24", "10.2.2.1/24", "10.2.2.2/24"]).is_ok());
        for (texts, told) in [
            (&["net:default", "net:default"][..], "net:default is given twice"),
            (
                &["10.2.1.1/24", "ip:10.2.1.1/24"],
                "address 10.2.1.1 is given twice",
            ),
            (
                &["10.2.1.0/24"],
                "10.2.1.0/24 is not an address that a container can have",
            ),
        ] {
            assert_eq!(together(texts).unwrap_err(), told, "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs(text: String) {
            let _ = text.parse::<AddressSpec>();
        }
    }
}
