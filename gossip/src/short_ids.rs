//! Short ids: 12 bits that every peer has to itself.
//!
//! Each peer draws one. Of two peers that drew the same, the one with the higher name draws again, among those that no
//! peer it knows of has. It does so at once while it is new among others. Later a change costs traffic, and a peer that
//! somebody invents can claim any id: so the claim has to last, each time twice as long. Meanwhile peers send to the
//! one that they knew first ([`Topology`](crate::Topology)).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::{PeerName, ShortId, later};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::table::Table;

/// How long a host that has met its first peer counts as new
const NEW: Duration = Duration::from_secs(5);

/// How long a claim of another peer has to last before the first change
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest such wait
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Claims by other peers on the own short id
#[derive(Debug, Default)]
pub(crate) struct Contest {
    /// When the first other peer was met
    met: Option<Instant>,
    /// Since when a lower name has the id
    since: Option<Instant>,
    /// The number of changes that cost traffic
    changes: u32,
}

impl Contest {
    /// Notes whether a lower name has the id; returns true if it is time to take another
    pub(crate) fn is_lost(&mut self, is_claimed: bool, knows_others: bool, now: Instant) -> bool {
        if knows_others {
            self.met.get_or_insert(now);
        }
        if !is_claimed {
            self.since = None;
            return false;
        }
        self.since.get_or_insert(now);
        self.due().is_some_and(|due| due <= now)
    }

    /// Another id was taken
    pub(crate) const fn changed(&mut self) {
        if self.since.is_some() {
            self.changes = self.changes.saturating_add(1);
        }
        self.since = None;
    }

    /// When it is time to take another id
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let is_new = self.met.is_none_or(|met| since <= later(met, NEW));
        let factor = 2_u32.saturating_pow(self.changes);
        let wait = PATIENCE.saturating_mul(factor).min(MOST_PATIENCE);
        Some(if is_new { since } else { later(since, wait) })
    }
}

/// Any id
pub(crate) fn draw(rng: &mut StdRng) -> ShortId {
    ShortId::truncated(rng.random())
}

/// Returns true if a lower name than `name` has this id
pub(crate) fn is_claimed(name: PeerName, id: ShortId, table: &Table) -> bool {
    // Names ascend: the first that is not lower ends the search.
    let mut lower = table.iter().take_while(|record| record.name < name);
    lower.any(|record| record.short_id == id)
}

/// Returns an id that no peer has, if there is one left
pub(crate) fn draw_free(table: &Table, rng: &mut StdRng) -> Option<ShortId> {
    let taken: BTreeSet<ShortId> = table.iter().map(|record| record.short_id).collect();
    let free: Vec<ShortId> = (0..ShortId::COUNT)
        .map(ShortId::truncated)
        .filter(|id| !taken.contains(id))
        .collect();
    (!free.is_empty()).then(|| free[rng.random_range(0..free.len())])
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rand::SeedableRng;

    use super::*;
    use crate::records::PeerRecord;
    use crate::records::tests::{name, record};

    fn table(ids: &[(u16, u16)]) -> Table {
        let mut table = Table::default();
        for (n, id) in ids {
            let record = PeerRecord {
                short_id: ShortId::truncated(*id),
                ..record(*n, 1, &[])
            };
            table.merge(record, None, Instant::now());
        }
        table
    }

    #[test]
    fn the_lower_name_keeps_its_id_and_the_other_takes_a_free_one() {
        let table = table(&[(1, 7), (2, 7), (3, 8)]);
        let mut rng = StdRng::seed_from_u64(1);
        let id = ShortId::truncated(7);
        assert!(!is_claimed(name(1), id, &table));
        assert!(is_claimed(name(2), id, &table));
        let other = draw_free(&table, &mut rng).unwrap();
        assert!(![7, 8].contains(&other.value()));
    }

    #[test]
    fn the_last_free_id_is_found_and_none_is_none() {
        let all_but_one: Vec<(u16, u16)> = (1..ShortId::COUNT)
            .map(|n| (n, if n == 5 { 4 } else { n }))
            .collect();
        let mut rng = StdRng::seed_from_u64(1);
        let full = table(&all_but_one);
        let found = draw_free(&full, &mut rng).unwrap();
        assert!([0, 5].contains(&found.value()));

        let every: Vec<(u16, u16)> = (0..ShortId::COUNT).map(|n| (n + 1, n)).collect();
        assert_eq!(draw_free(&table(&every), &mut rng), None);
    }

    #[test]
    fn a_new_peer_yields_at_once_and_another_to_what_lasts() {
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let mut contest = Contest::default();
        assert!(!contest.is_lost(false, true, at(0)));
        assert!(contest.is_lost(true, true, at(1)), "new among others");
        contest.changed();
        assert!(!contest.is_lost(true, true, at(10)));
        assert!(!contest.is_lost(true, true, at(19)));
        assert!(!contest.is_lost(false, true, at(20)), "the claim is gone");
        assert!(!contest.is_lost(true, true, at(30)));
        assert_eq!(contest.due(), Some(at(50)));
        assert!(contest.is_lost(true, true, at(50)));
        contest.changed();
        contest.changes = u32::MAX;
        assert!(!contest.is_lost(true, true, at(60)));
        assert_eq!(contest.due(), Some(at(360)));
    }
}
