//! Why a frame goes nowhere, counted.

use std::fmt;

use model::bump;

/// Why a frame was not passed on
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// It came in by a port of which the switch was not told
    UnknownPort,
    /// Its source address is a group's or zero
    BadSource,
    /// Its destination address is zero
    BadDestination,
    /// It is for `01:80:c2:00:00:0x`, which bridges do not forward (IEEE 802.1D)
    LinkLocal,
    /// Its destination is on the port it came from
    SamePort,
    /// It came through the VXLAN port without an IPv4 tunnel or with an id of more than 24 bits
    BadTunnel,
    /// It came through the TAP without the tags that name peers
    BadTag,
    /// It claims to come from this host
    OwnSource,
    /// Its source peer is not in the topology
    UnknownSource,
    /// It came through the VXLAN port from an address at which no neighbour has proved itself
    UnprovedAddress,
    /// It came from a neighbour that is not its source, which is a neighbour itself and sends directly
    WrongRelay,
    /// The peer it is to be relayed to is not in the topology
    UnknownDestination,
    /// No way leads to its peer
    NoRoute,
    /// The neighbour on its way has no path that works
    NoPath,
    /// It would go back to the neighbour it came from
    Hairpin,
    /// There is nobody else to flood it to
    Nobody,
    /// Its source caused too many misses
    RateLimited,
}

impl DropReason {
    /// All of them
    pub const ALL: [Self; 17] = [
        Self::UnknownPort,
        Self::BadSource,
        Self::BadDestination,
        Self::LinkLocal,
        Self::SamePort,
        Self::BadTunnel,
        Self::BadTag,
        Self::OwnSource,
        Self::UnknownSource,
        Self::UnprovedAddress,
        Self::WrongRelay,
        Self::UnknownDestination,
        Self::NoRoute,
        Self::NoPath,
        Self::Hairpin,
        Self::Nobody,
        Self::RateLimited,
    ];

    /// A word for metrics
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnknownPort => "unknown_port",
            Self::BadSource => "bad_source",
            Self::BadDestination => "bad_destination",
            Self::LinkLocal => "link_local",
            Self::SamePort => "same_port",
            Self::BadTunnel => "bad_tunnel",
            Self::BadTag => "bad_tag",
            Self::OwnSource => "own_source",
            Self::UnknownSource => "unknown_source",
            Self::UnprovedAddress => "unproved_address",
            Self::WrongRelay => "wrong_relay",
            Self::UnknownDestination => "unknown_destination",
            Self::NoRoute => "no_route",
            Self::NoPath => "no_path",
            Self::Hairpin => "hairpin",
            Self::Nobody => "nobody",
            Self::RateLimited => "rate_limited",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownPort => "unknown input port",
            Self::BadSource => "source address of a group or zero",
            Self::BadDestination => "destination address zero",
            Self::LinkLocal => "link-local group",
            Self::SamePort => "destination on the same port",
            Self::BadTunnel => "malformed tunnel key",
            Self::BadTag => "no peer tags",
            Self::OwnSource => "from this host itself",
            Self::UnknownSource => "unknown source peer",
            Self::UnprovedAddress => "from an address that no neighbour has proved",
            Self::WrongRelay => "relayed for a peer that sends directly",
            Self::UnknownDestination => "unknown destination peer",
            Self::NoRoute => "no route to the peer",
            Self::NoPath => "no path to the neighbour",
            Self::Hairpin => "back to where it came from",
            Self::Nobody => "nobody to flood to",
            Self::RateLimited => "too many misses",
        })
    }
}

/// How many frames were dropped, by reason
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// One more
    pub fn count(&mut self, reason: DropReason) {
        bump(&mut self.0[reason as usize]);
    }

    /// How many for this reason
    pub const fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Each reason with its count
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place_and_label() {
        let mut drops = Drops::default();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            drops.count(reason);
            assert_eq!(drops.of(reason), 1);
        }
        let labels: std::collections::BTreeSet<_> = DropReason::ALL.map(DropReason::label).into();
        assert_eq!(labels.len(), DropReason::ALL.len());
        assert!(drops.iter().all(|(_, count)| count == 1));
    }
}
