//! What is said of a name.

use std::net::Ipv4Addr;

use model::{ContainerId, PeerName};

use crate::domain::HostName;

/// A name of a container, and an address that it has
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole name
    pub name: HostName,
    /// Whose name it is
    pub container: ContainerId,
    /// What the name is answered with
    pub address: Ipv4Addr,
}

impl Entry {
    /// Whether both say the same, of whatever case the name is
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.address == other.address
            && self.container == other.container
            && self.name.as_str().eq_ignore_ascii_case(other.name.as_str())
    }
}

/// An entry of the table as people see it
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The name, without the domain if it is in it
    pub hostname: &'a str,
    /// The entry
    pub entry: &'a Entry,
    /// The peer whose container it is
    pub origin: PeerName,
}

/// Which of the own entries are meant: those of which everything that is said here is true
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// They have this name, which is completed if it is a single label
    pub name: Option<String>,
    /// They are of this container
    pub container: Option<ContainerId>,
    /// They have this address
    pub address: Option<Ipv4Addr>,
}
