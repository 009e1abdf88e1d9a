//! Whether a peer that introduced itself is welcome.

use model::{PeerName, Uid};

use crate::identity::IdentityKey;
use crate::reject::Reject;

/// Who introduces itself
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer {
    pub(crate) name: PeerName,
    pub(crate) key: IdentityKey,
    pub(crate) uid: Uid,
    pub(crate) epoch: u64,
    /// Both random ids of the connection, XORed
    pub(crate) connection: u64,
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
        connection: u64,
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
            ..
        } => {
            let replaces = if uid == newcomer.uid {
                newcomer.connection < connection
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
            connection: 50,
        }
    }

    fn connected(key: IdentityKey, uid: u64, epoch: u64, connection: u64) -> Known {
        Known::Connected {
            key,
            uid: Uid(uid),
            epoch,
            connection,
        }
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
        fn both_sides_keep_the_same_of_two_connections(first: u64, second: u64) {
            prop_assume!(first != second);
            let keeps = |there: u64, comes: u64| {
                let newcomer = Newcomer { connection: comes, ..newcomer() };
                match judge(newcomer, None, connected(KEY, 1, 5, there), None) {
                    Verdict::Replace => comes,
                    Verdict::Duplicate => there,
                    Verdict::Welcome | Verdict::Refuse(_) => unreachable!(),
                }
            };
            prop_assert_eq!(keeps(first, second), keeps(second, first));
        }
    }
}
