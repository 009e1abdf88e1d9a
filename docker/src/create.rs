//! The body of a container's creation: whether it joins the network, and what is changed so that it does.

mod addresses;
mod connect;
mod hostname;
mod rewrite;

use std::net::Ipv4Addr;

pub use addresses::Refused;
pub use connect::{Connect, option};
pub use hostname::{HostnamePolicy, PatternError};
pub use rewrite::{addresses, rewrite};

/// What whoever started the program wants of containers
#[derive(Debug, Clone)]
pub struct Policy {
    /// How containers resolve names; nothing if they are left with what Docker gives them
    pub dns: Option<Dns>,
    /// Whether a container that does not say gets an address of the default subnet, or is left alone
    pub default_addresses: bool,
    /// How a container's hostname comes from its name
    pub hostname: HostnamePolicy,
    /// The Docker network that containers are connected to
    pub network: String,
}

/// Containers resolve names, and get an address each; the network is `weave`
impl Default for Policy {
    fn default() -> Self {
        Self {
            dns: None,
            default_addresses: true,
            hostname: HostnamePolicy::default(),
            network: "weave".to_owned(),
        }
    }
}

/// Who answers questions of names, and of which
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Where containers reach it
    pub server: Ipv4Addr,
    /// The domain of the containers' names; its last dot may be there or not
    pub domain: String,
}

impl Dns {
    /// The domain without its last dot
    pub(crate) fn domain(&self) -> &str {
        self.domain.trim_end_matches('.')
    }
}

/// What becomes of a container's creation
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// Left alone: the bytes go on as they came
    Unchanged,
    /// It is on the network
    Joined {
        /// What Docker is asked instead
        body: Vec<u8>,
        /// What is asked once it is created
        connect: Connect,
    },
}
