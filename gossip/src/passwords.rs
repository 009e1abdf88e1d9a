//! The keys of the network's password: one, and while it is replaced by another, both.
//!
//! ```text
//!  every host: add the new one  ► accepts both, dials with the old
//!  every host: promote it       ► accepts both, dials with the new
//!  every host: drop the old one ► accepts the new
//! ```
//! Hosts may do so in any order: a dial that is refused for its password is repeated with the other one, and
//! connections that are up stay up.

use crate::identity::Psk;

/// The keys of the passwords that a peer has
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    /// The key to dial with; none in a network without a password
    pub current: Option<Psk>,
    /// Accepted besides, and dialled with when the other is refused
    pub other: Option<Psk>,
}

impl Passwords {
    /// A network with one password, or without
    pub const fn of(current: Option<Psk>) -> Self {
        Self { current, other: None }
    }

    /// Whether there is a password
    pub const fn is_some(&self) -> bool {
        self.current.is_some()
    }

    /// The keys that are accepted
    pub(crate) fn accepted(&self) -> Vec<&Psk> {
        match (&self.current, &self.other) {
            (None, _) => vec![],
            (Some(current), None) => vec![current],
            (Some(current), Some(other)) => vec![current, other],
        }
    }

    /// The key for the dial number `attempt`
    pub(crate) fn to_dial_with(&self, attempt: usize) -> Vec<&Psk> {
        let accepted = self.accepted();
        let at = attempt.checked_rem(accepted.len()).unwrap_or(0);
        accepted.into_iter().skip(at).take(1).collect()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn psk(byte: u8) -> Psk {
        Psk::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn dials_take_turns_and_both_are_accepted() {
        let bytes = |psks: Vec<&Psk>| psks.iter().map(|psk| psk.bytes()[0]).collect::<Vec<_>>();
        let none = Passwords::default();
        assert_eq!(
            (bytes(none.accepted()), bytes(none.to_dial_with(3))),
            (vec![], vec![])
        );
        let one = Passwords::of(Some(psk(1)));
        assert_eq!(
            (bytes(one.accepted()), bytes(one.to_dial_with(3))),
            (vec![1], vec![1])
        );
        let both = Passwords {
            other: Some(psk(2)),
            ..one
        };
        assert_eq!(bytes(both.accepted()), [1, 2]);
        assert_eq!(bytes(both.to_dial_with(0)), [1]);
        assert_eq!(bytes(both.to_dial_with(1)), [2]);
        assert_eq!(bytes(both.to_dial_with(2)), [1]);
    }
}
