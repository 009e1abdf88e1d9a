//! The subnets of networks, as the driver of addresses calls them.
//!
//! What a subnet is called says all that there is to know of it, so that nothing has to be remembered:
//! `weave/10.3.0.0/24`, and `weave/10.3.0.0/24/10.3.0.128/25` where addresses are chosen of a part.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnetwork::Ipv4Network;

use super::ipam::PoolRequest;

/// The subnet of a network
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The subnet
    pub subnet: Ipv4Network,
    /// Of which addresses are chosen; none is all of it
    pub part: Option<Ipv4Network>,
}

/// There is no such subnet
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It has no addresses of IPv4
    #[error(
        "weave has no IPv6 addresses to give: create the network without --ipv6, or with --ipam-driver=null"
    )]
    Ipv6,
    /// It is none, or no network's
    #[error("{0:?} is no subnet as in 10.3.0.0/24")]
    NoSubnet(String),
    /// The part is not of it
    #[error("the range {part} is not in the subnet {subnet}")]
    NoPart {
        /// The part
        part: Ipv4Network,
        /// The subnet
        subnet: Ipv4Network,
    },
    /// The address is not of it
    #[error("{address} is no address of the subnet {subnet}")]
    NoAddress {
        /// The address
        address: String,
        /// The subnet
        subnet: Ipv4Network,
    },
}

impl Pool {
    /// The subnet that is asked for; `default` if any will do
    pub fn of(request: &PoolRequest, default: Ipv4Network) -> Result<Self, PoolError> {
        if request.v6 {
            return Err(PoolError::Ipv6);
        }
        let subnet = match request.pool.as_str() {
            "" => default,
            text => network(text)?,
        };
        let part = match request.sub_pool.as_str() {
            "" => None,
            text => Some(network(text)?),
        };
        match part.filter(|part| !part.is_subnet_of(subnet)) {
            Some(part) => Err(PoolError::NoPart { part, subnet }),
            None => Ok(Self { subnet, part }),
        }
    }

    /// What addresses are chosen of
    pub fn chosen_of(&self) -> Ipv4Network {
        self.part.unwrap_or(self.subnet)
    }

    /// An address of it, with its prefix
    pub fn address(&self, text: &str) -> Result<Ipv4Network, PoolError> {
        let refused = || PoolError::NoAddress {
            address: text.to_owned(),
            subnet: self.subnet,
        };
        let address: Ipv4Addr = text.parse().map_err(|_no_address| refused())?;
        if !self.subnet.contains(address) {
            return Err(refused());
        }
        Ipv4Network::new(address, self.subnet.prefix()).map_err(|_no_prefix| refused())
    }
}

fn network(text: &str) -> Result<Ipv4Network, PoolError> {
    let refused = || PoolError::NoSubnet(text.to_owned());
    let network: Ipv4Network = text.parse().map_err(|_no_network| refused())?;
    match text.contains('/') && network.ip() == network.network() {
        true => Ok(network),
        false => Err(refused()),
    }
}

/// What it begins with
const PREFIX: &str = "weave/";

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.subnet)?;
        match self.part {
            Some(part) => write!(f, "/{part}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let refused = || PoolError::NoSubnet(text.to_owned());
        let parts: Vec<&str> = text
            .strip_prefix(PREFIX)
            .ok_or_else(refused)?
            .split('/')
            .collect();
        let (pool, sub_pool) = match parts.as_slice() {
            [ip, prefix] => (format!("{ip}/{prefix}"), String::new()),
            [ip, prefix, part, part_prefix] => (format!("{ip}/{prefix}"), format!("{part}/{part_prefix}")),
            _ => return Err(refused()),
        };
        let request = PoolRequest {
            sub_pool,
            ..PoolRequest::default()
        };
        Self::of(&request, network(&pool)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pool: &str, sub_pool: &str) -> PoolRequest {
        PoolRequest {
            pool: pool.to_owned(),
            sub_pool: sub_pool.to_owned(),
            ..PoolRequest::default()
        }
    }

    #[test]
    fn what_a_subnet_is_called_says_what_it_is() {
        let default = "10.32.0.0/12".parse().unwrap();
        for (pool, part, id) in [
            ("", "", "weave/10.32.0.0/12"),
            ("10.3.0.0/24", "", "weave/10.3.0.0/24"),
            ("10.3.0.0/24", "10.3.0.128/25", "weave/10.3.0.0/24/10.3.0.128/25"),
        ] {
            let pool = Pool::of(&request(pool, part), default).unwrap();
            assert_eq!(pool.to_string(), id);
            assert_eq!(id.parse(), Ok(pool));
        }
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        let default = "10.32.0.0/12".parse().unwrap();
        for (pool, part) in [
            ("10.3.0.1/24", ""),
            ("10.3.0.0", ""),
            ("fd00::/64", ""),
            ("10.3.0.0/24", "10.4.0.0/25"),
            ("10.3.0.0/24", "10.3.0.0/16"),
        ] {
            assert!(Pool::of(&request(pool, part), default).is_err(), "{pool} {part}");
        }
        let v6 = PoolRequest {
            v6: true,
            ..PoolRequest::default()
        };
        assert_eq!(Pool::of(&v6, default), Err(PoolError::Ipv6));
        for id in [
            "",
            "weave/",
            "weave/10.3.0.0",
            "10.3.0.0/24",
            "weave/10.3.0.0/24/10.3.0.0",
            "weave/a/b/c/d/e",
        ] {
            assert!(id.parse::<Pool>().is_err(), "{id}");
        }
    }

    #[test]
    fn an_address_is_of_its_subnet() {
        let pool: Pool = "weave/10.3.0.0/24/10.3.0.128/25".parse().unwrap();
        assert_eq!(pool.chosen_of().to_string(), "10.3.0.128/25");
        assert_eq!(pool.address("10.3.0.7").unwrap().to_string(), "10.3.0.7/24");
        for text in ["", "10.4.0.7", "10.3.0.7/24", "fd00::1"] {
            assert!(pool.address(text).is_err(), "{text}");
        }
    }
}
