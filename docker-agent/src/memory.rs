//! What is known of containers between one call and the next.

mod multicast;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::ContainerId;
use tokio::sync::Notify;

use self::multicast::Ways;

/// The containers and their interfaces, as far as they were seen
///
/// What is forgotten costs little: weaved finds out by itself that a container ended, only later.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: Mutex<Known>,
    /// weaved did not answer when Docker wanted an interface
    missed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// Where Docker keeps its files
    docker_root: Option<PathBuf>,
    /// By Docker's id of the interface
    endpoints: BTreeMap<String, Endpoint>,
    multicast: Ways,
    /// The networks without multicast, by Docker's ids
    quiet: BTreeSet<String>,
}

/// An interface that Docker was given
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// What weaved knows its container as
    pub(crate) container: ContainerId,
    /// What it is called on the host until it is moved, as long as that matters
    pub(crate) interface: Option<String>,
    /// Whether the proxy connected the container
    pub(crate) by_proxy: bool,
    /// Whether multicast goes by it
    pub(crate) multicast: bool,
    /// Its address, as Docker has it
    pub(crate) address: Option<IpAddr>,
}

/// An interface that multicast is to go by, after another has left
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heir {
    /// Docker's id of it
    pub(crate) endpoint: String,
    /// What weaved knows its container as
    pub(crate) container: ContainerId,
    /// The file of the container's namespace
    pub(crate) netns: String,
}

impl Memory {
    /// weaved did not answer when Docker wanted an interface
    pub(crate) fn weaved_missed(&self) {
        self.missed.notify_one();
    }

    /// Waits until weaved did not answer, since the last that waited
    pub(crate) async fn weaved_is_missed(&self) {
        self.missed.notified().await;
    }

    /// Docker keeps its files there
    pub(crate) fn docker_root(&self, path: PathBuf) {
        self.known().docker_root = Some(path);
    }

    /// The file that is a container's `/etc/hosts`, if Docker has said where such are
    pub(crate) fn hosts_of(&self, container: &ContainerId) -> Option<PathBuf> {
        let known = self.known();
        crate::plugin::hosts_path(known.docker_root.as_deref()?, container.as_str())
    }

    /// An interface is of this container, which has no other from here on
    ///
    /// A Docker that was killed never says that the one before is gone.
    pub(crate) fn endpoint(&self, id: &str, endpoint: Endpoint) {
        let mut known = self.known();
        known
            .endpoints
            .retain(|_id, other| other.container != endpoint.container);
        known.endpoints.insert(id.to_owned(), endpoint);
    }

    /// The same, unless more is known of it, or of a newer one
    pub(crate) fn endpoint_if_unknown(&self, id: &str, endpoint: Endpoint) {
        let mut known = self.known();
        let has_one = known
            .endpoints
            .values()
            .any(|other| other.container == endpoint.container);
        if !has_one {
            known.endpoints.entry(id.to_owned()).or_insert(endpoint);
        }
    }

    /// What is known of an interface
    pub(crate) fn endpoint_of(&self, id: &str) -> Option<Endpoint> {
        self.known().endpoints.get(id).cloned()
    }

    /// Whether multicast is to go by this interface of a container, and not by another that it has already
    ///
    /// Docker refuses a second route.
    pub(crate) fn takes_multicast(&self, id: &str, netns: &str) -> bool {
        let mut known = self.known();
        let Known {
            endpoints, multicast, ..
        } = &mut *known;
        multicast.keep(|endpoint| endpoints.contains_key(endpoint));
        multicast.come(netns, id)
    }

    /// By which interface multicast is to go when this one leaves its container, if that has another
    pub(crate) fn multicast_after(&self, id: &str) -> Option<Heir> {
        let mut known = self.known();
        let Known {
            endpoints, multicast, ..
        } = &mut *known;
        multicast.keep(|endpoint| endpoint == id || endpoints.contains_key(endpoint));
        let (netns, endpoint) = multicast.leave(id)?;
        let container = endpoints.get(&endpoint)?.container.clone();
        Some(Heir {
            endpoint,
            container,
            netns,
        })
    }

    /// Whether the containers of a network have multicast was said
    pub(crate) fn network(&self, id: &str, has_multicast: bool) {
        let mut known = self.known();
        match has_multicast {
            true => known.quiet.remove(id),
            false => known.quiet.insert(id.to_owned()),
        };
    }

    /// Whether the containers of a network have multicast; they do unless it was said that not
    pub(crate) fn has_multicast(&self, network: &str) -> bool {
        !self.known().quiet.contains(network)
    }

    /// Forgets an interface; what was known of it
    pub(crate) fn forget_endpoint(&self, id: &str) -> Option<Endpoint> {
        self.known().endpoints.remove(id)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one insertion or removal: there is no half of one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(key: &str) -> Endpoint {
        Endpoint {
            container: key.parse().unwrap(),
            interface: Some("vc1".to_owned()),
            by_proxy: true,
            multicast: true,
            address: None,
        }
    }

    #[test]
    fn a_container_that_got_a_new_interface_keeps_it_when_the_old_one_goes() {
        let memory = Memory::default();
        memory.endpoint("old", endpoint("key:1"));
        memory.endpoint("new", endpoint("key:1"));
        memory.endpoint_if_unknown("old", endpoint("key:1"));
        assert_eq!(memory.forget_endpoint("old"), None);
        assert_eq!(memory.forget_endpoint("new"), Some(endpoint("key:1")));
        assert_eq!(memory.forget_endpoint("new"), None);
    }

    #[test]
    fn multicast_goes_by_one_interface_of_a_container() {
        let memory = Memory::default();
        for (id, key) in [("e1", "key:1"), ("e2", "key:2"), ("e3", "key:3")] {
            memory.endpoint(id, endpoint(key));
        }
        assert!(memory.takes_multicast("e1", "/netns/a") && memory.takes_multicast("e2", "/netns/b"));
        assert!(!memory.takes_multicast("e3", "/netns/a"));
        assert!(memory.takes_multicast("e1", "/netns/a"), "asked again");
        memory.forget_endpoint("e1");
        assert!(memory.takes_multicast("e3", "/netns/a"));
    }

    #[test]
    fn what_is_learnt_later_does_not_replace_what_was_given() {
        let memory = Memory::default();
        memory.endpoint("e", endpoint("key:1"));
        memory.endpoint_if_unknown("e", endpoint("key:2"));
        assert_eq!(memory.endpoint_of("e"), Some(endpoint("key:1")));
    }
}
