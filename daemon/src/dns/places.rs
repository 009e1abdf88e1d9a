//! Where names are to be asked for: where the command line says, or at the host's own addresses on the
//! network and at that of Docker's bridge, by which containers reach their host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnetwork::IpNetwork;
use link::{LinkEvent, Links};
use model::IfName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::common::ipv4;

/// The usual port of name servers
const DOMAIN_PORT: u16 = 53;

/// The bridge that Docker joins containers to by itself
const BRIDGE: &str = "docker0";

/// Docker changes several things at once; one look after that is enough.
const QUIET: Duration = Duration::from_millis(50);

/// The places, shared by those who know of some
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    always: Vec<SocketAddr>,
    /// Also at addresses that come and go
    follows: bool,
    moving: Mutex<Moving>,
    wanted: watch::Sender<Vec<SocketAddr>>,
}

#[derive(Debug, Default)]
struct Moving {
    exposed: Vec<IpAddr>,
    bridge: Option<Ipv4Addr>,
}

impl Places {
    /// These, and those that come and go if `follows`; what is wanted at each time
    pub(crate) fn new(always: Vec<SocketAddr>, follows: bool) -> (Self, watch::Receiver<Vec<SocketAddr>>) {
        let (wanted, listeners) = watch::channel(always.clone());
        let places = Self(Arc::new(Inner {
            always,
            follows,
            moving: Mutex::default(),
            wanted,
        }));
        (places, listeners)
    }

    /// The host's own addresses on the network
    pub(crate) fn set_exposed<'a>(&self, addresses: impl Iterator<Item = &'a IpNetwork>) {
        let exposed = addresses.map(IpNetwork::ip).collect();
        self.change(|moving| moving.exposed = exposed);
    }

    fn change(&self, change: impl FnOnce(&mut Moving)) {
        let inner = &*self.0;
        if !inner.follows {
            return;
        }
        let mut moving = inner.moving.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut moving);
        let bridge = moving.bridge.map(IpAddr::V4);
        let addresses = moving.exposed.iter().copied().chain(bridge);
        let places = addresses.map(|address| SocketAddr::new(address, DOMAIN_PORT));
        let mut wanted: Vec<SocketAddr> = inner.always.iter().copied().chain(places).collect();
        wanted.dedup();
        inner.wanted.send_if_modified(|last| {
            let differs = *last != wanted;
            *last = wanted;
            differs
        });
    }

    /// Where containers ask that are on no network but Docker's, if they can: on port 53, as resolvers know no
    /// other
    pub(crate) fn for_containers(&self) -> Option<Ipv4Addr> {
        let moving = self.0.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let reachable = |place: &SocketAddr| match place.ip() {
            IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => {
                (place.port() == DOMAIN_PORT).then_some(address)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        moving.bridge.or_else(|| self.0.always.iter().find_map(reachable))
    }

    /// Follows the address of Docker's bridge until `stop`
    pub(crate) async fn follow_bridge(self, links: Links, stop: CancellationToken) {
        let Ok(bridge) = BRIDGE.parse::<IfName>() else {
            return;
        };
        if !self.0.follows {
            return;
        }
        let effect = "whether Docker's bridge comes or goes is not noticed";
        let Some(mut changes) = Changes::watch(&links, stop, effect).await else {
            return;
        };
        loop {
            match links.addresses(&bridge).await {
                Ok(addresses) => self.change(|moving| moving.bridge = ipv4(&addresses).first().copied()),
                Err(error) => log::warn!("cannot read the addresses of {bridge}: {error}"),
            }
            if !changes.wait_for(|event| may_concern(event, &bridge)).await {
                return;
            }
            changes.skip(QUIET).await;
        }
    }
}

fn may_concern(event: &LinkEvent, bridge: &IfName) -> bool {
    match event {
        LinkEvent::LinkRemoved { name, .. } => name == bridge,
        LinkEvent::Address { .. } | LinkEvent::AddressRemoved { .. } | LinkEvent::Overrun => true,
        LinkEvent::Link(_)
        | LinkEvent::BridgePort { .. }
        | LinkEvent::Route(_)
        | LinkEvent::RouteRemoved(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_followed_beside_what_is_always_wanted() {
        let local: SocketAddr = "127.0.0.1:6753".parse().unwrap();
        let (places, wanted) = Places::new(vec![local], true);
        assert_eq!(
            (wanted.borrow().clone(), places.for_containers()),
            (vec![local], None)
        );
        let exposed: IpNetwork = "10.32.0.1/12".parse().unwrap();
        places.set_exposed([exposed].iter());
        places.change(|moving| moving.bridge = Some([172, 17, 0, 1].into()));
        let all = ["127.0.0.1:6753", "10.32.0.1:53", "172.17.0.1:53"].map(|text| text.parse().unwrap());
        assert_eq!(*wanted.borrow(), all);
        assert_eq!(places.for_containers(), Some([172, 17, 0, 1].into()));
        places.set_exposed([].iter());
        places.change(|moving| moving.bridge = None);
        assert_eq!(*wanted.borrow(), [local]);
    }

    #[test]
    fn a_place_that_is_told_is_the_only_one() {
        let told: SocketAddr = "192.0.2.1:53".parse().unwrap();
        let (places, wanted) = Places::new(vec![told], false);
        places.change(|moving| moving.bridge = Some([172, 17, 0, 1].into()));
        assert_eq!(*wanted.borrow(), [told]);
        assert_eq!(places.for_containers(), Some([192, 0, 2, 1].into()));
        let (places, _wanted) = Places::new(vec!["192.0.2.1:5353".parse().unwrap()], false);
        assert_eq!(places.for_containers(), None, "resolvers ask on port 53 alone");
    }
}
