//! Arithmetic with stretches of addresses; the last address there is ends one like any other.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};

/// Addresses from the first to the last; never none
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Span {
    /// None if the first comes after the last
    pub(crate) fn new(first: u32, last: u32) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    pub(crate) const fn one(address: u32) -> Self {
        Self {
            first: address,
            last: address,
        }
    }

    /// All addresses of a network
    pub(crate) fn of(network: Ipv4Network) -> Self {
        Self {
            first: network.network().into(),
            last: network.broadcast().into(),
        }
    }

    /// Those that a host of the network can have: without the first and the last
    pub(crate) fn hosts(network: Ipv4Network) -> Option<Self> {
        let Self { first, last } = Self::of(network);
        Self::new(first.checked_add(1)?, last.checked_sub(1)?)
    }

    pub(crate) const fn len(self) -> u64 {
        (self.last.saturating_sub(self.first) as u64).saturating_add(1)
    }

    pub(crate) const fn contains(self, address: u32) -> bool {
        self.first <= address && address <= self.last
    }

    pub(crate) const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether `next` begins right after this one
    pub(crate) fn touches(self, next: Self) -> bool {
        self.last.checked_add(1) == Some(next.first)
    }

    pub(crate) fn meet(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    pub(crate) fn addresses(self) -> (Ipv4Addr, Ipv4Addr) {
        (self.first.into(), self.last.into())
    }

    /// The first block of so many addresses in it that begins at a multiple of its length, a power of two
    pub(crate) fn aligned(self, len: u64) -> Option<Self> {
        let first = u64::from(self.first).checked_next_multiple_of(len)?;
        let last = first.checked_add(len)?.checked_sub(1)?;
        (last <= u64::from(self.last)).then_some(Self {
            first: first as u32,
            last: last as u32,
        })
    }

    /// The stretch shared among `count`, in halves of halves, so that each gets whole networks where
    /// that can be
    pub(crate) fn shares(self, count: usize) -> Vec<Option<Self>> {
        let left = count / 2;
        let middle = self.first.saturating_add((self.len() / 2) as u32);
        match Self::new(self.first, middle).filter(|_| self.len() > 1) {
            _ if count == 0 => vec![],
            Some(half) if count > 1 => {
                let low = Self {
                    last: half.last.saturating_sub(1),
                    ..half
                };
                let high = Self {
                    first: half.last,
                    ..self
                };
                let mut shares = low.shares(left);
                shares.extend(high.shares(count.saturating_sub(left)));
                shares
            }
            Some(_) | None => {
                let mut shares = vec![None; count];
                shares[0] = Some(self);
                shares
            }
        }
    }
}

/// What of `span` is in none of `taken`, which ascend
pub(crate) fn free_of(span: Span, taken: impl IntoIterator<Item = u32>) -> Vec<Span> {
    let mut free = Vec::new();
    let mut next = Some(span.first);
    for address in taken.into_iter().filter(|address| span.contains(*address)) {
        let Some(first) = next else { break };
        if let Some(before) = address.checked_sub(1).and_then(|last| Span::new(first, last)) {
            free.push(before);
        }
        next = address.checked_add(1);
    }
    free.extend(next.and_then(|first| Span::new(first, span.last)));
    free
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> Span {
        Span::of(text.parse().unwrap())
    }

    #[test]
    fn the_last_address_there_is_is_an_address() {
        let all = span("0.0.0.0/0");
        assert_eq!(all.len(), 1 << 32);
        assert_eq!(all.shares(2)[1], Some(span("128.0.0.0/1")));
        let end = span("255.255.255.252/30");
        assert_eq!(
            free_of(end, [u32::MAX]),
            [Span {
                last: u32::MAX - 1,
                ..end
            }]
        );
        assert_eq!(end.aligned(2), Some(span("255.255.255.252/31")));
        assert_eq!(Span::one(u32::MAX).aligned(2), None);
        assert_eq!(
            Span::hosts("255.255.255.252/30".parse().unwrap()).unwrap().len(),
            2
        );
        assert_eq!(Span::hosts("1.2.3.4/32".parse().unwrap()), None);
    }

    #[test]
    fn three_get_a_quarter_a_quarter_and_a_half_or_so() {
        let shares = span("10.32.0.0/12").shares(3);
        let lens: Vec<u64> = shares.iter().map(|share| share.unwrap().len()).collect();
        assert_eq!(lens, [1 << 19, 1 << 18, 1 << 18]);
    }

    proptest! {
        #[test]
        fn shares_are_the_whole_in_order_with_nothing_twice(first: u32, len in 1..5000u32, count in 1..20usize) {
            let whole = Span { first, last: first.saturating_add(len - 1) };
            let shares = whole.shares(count);
            prop_assert_eq!(shares.len(), count);
            let mut next = u64::from(whole.first);
            for share in shares.into_iter().flatten() {
                prop_assert_eq!(u64::from(share.first), next);
                next = u64::from(share.last) + 1;
            }
            prop_assert_eq!(next, u64::from(whole.last) + 1);
        }

        #[test]
        fn what_is_free_and_what_is_taken_is_all(first: u32, len in 1..64u32, taken: std::collections::BTreeSet<u8>) {
            let whole = Span { first, last: first.saturating_add(len - 1) };
            let taken: Vec<u32> = taken.iter().filter_map(|t| first.checked_add((*t).into())).collect();
            let free: u64 = free_of(whole, taken.clone()).iter().map(|span| span.len()).sum();
            let inside = taken.iter().filter(|address| whole.contains(**address)).count() as u64;
            prop_assert_eq!(free + inside, whole.len());
        }
    }
}
