//! Whether a peer that introduced itself is welcome.

use model::{PeerName, Uid};

use crate::identity::IdentityKey;
use crate::reject::Reject;

/// The order of connections between the same two peers: both keep the lowest
///
/// Both ends compute the same, whichever connection they see first. The one that the peer with the lower name dialed comes
/// first: each end knows that before any Hello (as in RFC 4271, section 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence {
    dialed_by_the_higher_name: bool,
    /// Both random ids of the connection, XORed
    ids: u64,
}

impl Precedence {
    /// Returns the place of a connection with this peer; `outbound` if it was dialed here
    pub(crate) fn new(us: PeerName, peer: PeerName, outbound: bool, ids: u64) -> Self {
        Self {
            dialed_by_the_higher_name: outbound == (us > peer),
            ids,
        }
    }
}

/// Who introduces itself
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer {
    pub(crate) name: PeerName,
    pub(crate) key: IdentityKey,
    pub(crate) uid: Uid,
    pub(crate) epoch: u64,
    pub(crate) connection: Precedence,
}

/// What is known of the name already
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    /// Nothing, or that it belongs to this key
    Unknown,
    /// It belongs to another key
    Disputed,
    /// It is a neighbour
    Connected {
        key: IdentityKey,
        uid: Uid,
        epoch: u64,
        connection: Precedence,
        /// It is connected by the same connection
        is_confirmed: bool,
    },
    /// It was a neighbour a moment ago
    Held,
}

/// What to do with the connection
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Take it
    Welcome,
    /// Take it in place of the one that there is
    Replace,
    /// Keep the one that there is
    Duplicate,
    Refuse(Reject),
}

/// Judges a newcomer; `us` are our own key and uid if the name is ours, `limit` is set when there is
/// no room for another neighbour
pub(crate) fn judge(
    newcomer: Newcomer,
    us: Option<(IdentityKey, Uid)>,
    known: Known,
    limit: Option<u32>,
) -> Verdict {
    let collision = Verdict::Refuse(Reject::NameCollision(newcomer.name));
    match us {
        Some((key, uid)) if key == newcomer.key && uid == newcomer.uid => {
            return Verdict::Refuse(Reject::Ourselves);
        }
        Some(_) => return collision,
        None => {}
    }
    match known {
        Known::Disputed => collision,
        Known::Connected { key, .. } if key != newcomer.key => collision,
        Known::Unknown => match limit {
            Some(limit) => Verdict::Refuse(Reject::ConnectionLimit(limit)),
            None => Verdict::Welcome,
        },
        Known::Held => Verdict::Welcome,
        Known::Connected {
            uid,
            epoch,
            connection,
            is_confirmed,
            ..
        } => {
            let replaces = if uid == newcomer.uid {
                !is_confirmed && newcomer.connection < connection
            } else {
                newcomer.epoch > epoch
            };
            match (replaces, uid == newcomer.uid) {
                (true, _) => Verdict::Replace,
                (false, true) => Verdict::Duplicate,
                (false, false) => collision,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::tests::name;

    const KEY: IdentityKey = IdentityKey([1; 32]);
    const OTHER: IdentityKey = IdentityKey([2; 32]);

    fn newcomer() -> Newcomer {
        Newcomer {
            name: name(1),
            key: KEY,
            uid: Uid(1),
            epoch: 5,
            connection: precedence(50),
        }
    }

    fn precedence(ids: u64) -> Precedence {
        Precedence::new(name(1), name(2), true, ids)
    }

    fn connected(key: IdentityKey, uid: u64, epoch: u64, ids: u64) -> Known {
        Known::Connected {
            key,
            uid: Uid(uid),
            epoch,
            connection: precedence(ids),
            is_confirmed: false,
        }
    }

    #[test]
    fn a_connection_that_both_use_stays() {
        let known = |is_confirmed| Known::Connected {
            key: KEY,
            uid: Uid(1),
            epoch: 5,
            connection: precedence(60),
            is_confirmed,
        };
        assert_eq!(judge(newcomer(), None, known(false), None), Verdict::Replace);
        assert_eq!(judge(newcomer(), None, known(true), None), Verdict::Duplicate);
    }

    #[test]
    fn every_kind_of_acquaintance() {
        let collision = Verdict::Refuse(Reject::NameCollision(name(1)));
        #[rustfmt::skip]
        let table = [
            ("a stranger",                  Known::Unknown,                   Verdict::Welcome),
            ("its name is another's",       Known::Disputed,                  collision),
            ("a neighbour's name",          connected(OTHER, 1, 5, 60),       collision),
            ("a lower second connection",   connected(KEY, 1, 5, 60),         Verdict::Replace),
            ("a higher second connection",  connected(KEY, 1, 5, 40),         Verdict::Duplicate),
            ("restarted",                   connected(KEY, 9, 4, 40),         Verdict::Replace),
            ("the start before",            connected(KEY, 9, 6, 60),         collision),
            ("two starts at once",          connected(KEY, 9, 5, 60),         collision),
            ("back from a restart",         Known::Held,                      Verdict::Welcome),
        ];
        for (what, known, verdict) in table {
            assert_eq!(judge(newcomer(), None, known, None), verdict, "{what}");
        }
    }

    #[test]
    fn nobody_is_a_neighbour_of_himself() {
        let us = |key, uid| judge(newcomer(), Some((key, Uid(uid))), Known::Unknown, None);
        assert_eq!(us(KEY, 1), Verdict::Refuse(Reject::Ourselves));
        // A copy of our disk, running.
        assert_eq!(us(KEY, 2), Verdict::Refuse(Reject::NameCollision(name(1))));
        assert_eq!(us(OTHER, 1), Verdict::Refuse(Reject::NameCollision(name(1))));
    }

    #[test]
    fn the_limit_is_for_new_neighbours_only() {
        let limit = Verdict::Refuse(Reject::ConnectionLimit(3));
        let judge = |known| judge(newcomer(), None, known, Some(3));
        assert_eq!(judge(Known::Unknown), limit);
        assert_eq!(judge(Known::Held), Verdict::Welcome);
        assert_eq!(judge(connected(KEY, 1, 5, 60)), Verdict::Replace);
    }

    proptest! {
        /// Whichever connection each side completes first, both keep the same one.
        #[test]
        fn both_sides_keep_the_same_of_two_connections(dialed_here: [bool; 2], ids: [u64; 2]) {
            prop_assume!(ids[0] != ids[1]);
            let (us, peer) = (name(1), name(2));
            let keeps = |from: PeerName, to: PeerName, swapped: bool, order: [usize; 2]| {
                let place = |at: usize| Precedence::new(from, to, dialed_here[at] != swapped, ids[at]);
                let [there, comes] = order;
                let newcomer = Newcomer { connection: place(comes), ..newcomer() };
                let known = Known::Connected { key: KEY, uid: Uid(1), epoch: 5, connection: place(there), is_confirmed: false };
                match judge(newcomer, None, known, None) {
                    Verdict::Replace => comes,
                    Verdict::Duplicate => there,
                    Verdict::Welcome | Verdict::Refuse(_) => unreachable!(),
                }
            };
            let kept = keeps(us, peer, false, [0, 1]);
            prop_assert_eq!(keeps(us, peer, false, [1, 0]), kept);
            prop_assert_eq!(keeps(peer, us, true, [0, 1]), kept);
            prop_assert_eq!(keeps(peer, us, true, [1, 0]), kept);
        }
    }

    #[test]
    fn a_connection_that_the_lower_name_dialed_comes_first() {
        let (low, high) = (name(1), name(2));
        let first = [
            Precedence::new(low, high, true, 9),
            Precedence::new(high, low, false, 9),
        ];
        let second = [
            Precedence::new(low, high, false, 1),
            Precedence::new(high, low, true, 1),
        ];
        for (first, second) in first.iter().zip(&second) {
            assert!(first < second);
        }
    }
}
