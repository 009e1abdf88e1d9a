//! The driver of addresses: weaved hands them out, so that no two hosts have the same.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::net::Ipv4Addr;

use api::{AddressSpec, ClientError, ContainerRequest, ErrorKind, ReserveRequest, reserved_for, routes};
use docker::plugin::{
    AddressAnswer, AddressReleased, AddressRequest, AddressSpaces, Done, Pool, PoolAnswer, PoolRequest,
    request,
};
use hyper::Response;
use ipnetwork::{IpNetwork, Ipv4Network};

use super::calls::{CallError, Driver};
use super::said;
use crate::body::Body;

/// How many addresses of a subnet are tried, before it counts as full
const TRIES: u32 = 4096;

impl Driver {
    pub(super) fn address_spaces() -> Response<Body> {
        said(&AddressSpaces {
            local_default_address_space: "weavelocal".to_owned(),
            global_default_address_space: "weaveglobal".to_owned(),
        })
    }

    /// A network is to have a subnet: the one that is asked for, or the default one
    pub(super) async fn request_pool(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: PoolRequest = request(body)?;
        let default = match asked.pool.is_empty() {
            true => self.weaved.ask(&routes::IPAM).await?.default_subnet,
            // Not looked at.
            false => Ipv4Network::from(Ipv4Addr::UNSPECIFIED),
        };
        let pool = Pool::of(&asked, default)?;
        Ok(said(&PoolAnswer {
            pool_id: pool.to_string(),
            pool: pool.subnet.to_string(),
            ..PoolAnswer::default()
        }))
    }

    /// A container is to have an address
    pub(super) async fn request_address(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: AddressRequest = request(body)?;
        let pool: Pool = asked.pool_id.parse()?;
        let address = match (asked.is_gateway(), asked.address.as_str()) {
            // Docker wants one for each network, and there is none: this one no container has.
            (true, "") => pool.subnet,
            (true, address) => pool.address(address)?,
            (false, "") => self.any_of(&pool).await?,
            (false, address) => self.this(pool.address(address)?).await?,
        };
        Ok(said(&AddressAnswer {
            address: address.to_string(),
            ..AddressAnswer::default()
        }))
    }

    /// It is not to have it any more
    pub(super) async fn release_address(&self, body: &[u8]) -> Result<Response<Body>, CallError> {
        let asked: AddressReleased = request(body)?;
        if let Ok(address) = asked.address.parse() {
            let container = reserved_for(address);
            self.weaved
                .send(&routes::RELEASE_ADDRESS, &ContainerRequest { container })
                .await?;
        }
        Ok(said(&Done {}))
    }

    async fn this(&self, address: Ipv4Network) -> Result<Ipv4Network, CallError> {
        let address = AddressSpec::Address(IpNetwork::V4(address));
        v4(self.reserve(address).await?)
    }

    async fn any_of(&self, pool: &Pool) -> Result<Ipv4Network, CallError> {
        let of = pool.chosen_of();
        match self.reserve(AddressSpec::Subnet(of)).await {
            Ok(address) => Ok(pool.address(&address.ip().to_string())?),
            // weaved hands out addresses of its range only.
            Err(ClientError::Refused(error)) if error.kind == ErrorKind::BadInput => self.outside(pool).await,
            Err(error) => Err(error.into()),
        }
    }

    /// An address that weaved has no say in: hosts begin at different places of the subnet, and leave out what
    /// anybody has by a name
    async fn outside(&self, pool: &Pool) -> Result<Ipv4Network, CallError> {
        let status = self.weaved.ask(&routes::STATUS).await?;
        let named = match self.weaved.ask(&routes::NAMES).await {
            Ok(names) => names,
            Err(ClientError::Refused(_no_names)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let taken: BTreeSet<Ipv4Addr> = named.into_iter().map(|name| name.address).collect();
        for address in places(pool.chosen_of(), &status.router.name.to_string()) {
            if taken.contains(&address) {
                continue;
            }
            let address = pool.address(&address.to_string())?;
            match self.reserve(AddressSpec::Address(IpNetwork::V4(address))).await {
                Ok(address) => return v4(address),
                Err(ClientError::Refused(error)) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallError::Full(pool.chosen_of()))
    }

    async fn reserve(&self, address: AddressSpec) -> Result<IpNetwork, ClientError> {
        self.weaved
            .send(&routes::RESERVE_ADDRESS, &ReserveRequest { address })
            .await
    }
}

fn v4(address: IpNetwork) -> Result<Ipv4Network, CallError> {
    match address {
        IpNetwork::V4(address) => Ok(address),
        IpNetwork::V6(address) => Err(CallError::Weaved(format!("weaved gave {address}, of IPv6"))),
    }
}

/// The addresses of a subnet's hosts, from where this host begins
fn places(subnet: Ipv4Network, host: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    // Without its own address and that of all its hosts.
    let hosts = subnet.size().saturating_sub(2);
    let first = u32::from(subnet.network()).saturating_add(1);
    let begin = match hosts {
        0 => 0,
        hosts => hasher.finish() % u64::from(hosts),
    };
    (0..hosts.min(TRIES)).map(move |step| {
        let place = (begin + u64::from(step)) % u64::from(hosts);
        // Less than `hosts`, which is a u32.
        Ipv4Addr::from(first + u32::try_from(place).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_for_what_its_container_will_be_known_as() {
        let address = [10, 3, 0, 7].into();
        let known = docker::connected::known_as(&serde_json::Map::new(), "e1", "10.3.0.7/24");
        assert_eq!(known, reserved_for(address).as_str());
    }

    #[test]
    fn hosts_begin_at_different_places_and_go_through_all() {
        let subnet: Ipv4Network = "10.3.0.0/24".parse().unwrap();
        let of = |host| places(subnet, host).collect::<Vec<_>>();
        let (one, other) = (of("host1"), of("host2"));
        assert_ne!(one[0], other[0]);
        let all: BTreeSet<_> = one.iter().collect();
        assert_eq!((one.len(), all.len()), (254, 254));
        assert!(!one.contains(&[10, 3, 0, 0].into()) && !one.contains(&[10, 3, 0, 255].into()));
        assert_eq!(places("10.3.0.1/32".parse().unwrap(), "host1").count(), 0);
        let large = places("10.0.0.0/8".parse().unwrap(), "host1");
        assert_eq!(large.count(), TRIES as usize);
    }
}
