//! Short ids: 12 bits that every peer has to itself.
//!
//! Each draws one. Where two have drawn the same, the lower name keeps it and the other draws again,
//! among those that nobody it knows of has.

use std::collections::BTreeSet;

use model::{PeerName, ShortId};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::table::Table;

/// Any id
pub(crate) fn draw(rng: &mut StdRng) -> ShortId {
    ShortId::truncated(rng.random())
}

/// Another id for `name`, if a lower name has `id` too and there is one left
pub(crate) fn resolve(name: PeerName, id: ShortId, table: &Table, rng: &mut StdRng) -> Option<ShortId> {
    // Names ascend: the first that is not lower ends the search.
    let mut lower = table.iter().take_while(|record| record.name < name);
    if !lower.any(|record| record.short_id == id) {
        return None;
    }
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
        assert_eq!(resolve(name(1), id, &table, &mut rng), None);
        let other = resolve(name(2), id, &table, &mut rng).unwrap();
        assert!(![7, 8].contains(&other.value()));
    }

    #[test]
    fn the_last_free_id_is_found_and_none_is_none() {
        let all_but_one: Vec<(u16, u16)> = (1..ShortId::COUNT)
            .map(|n| (n, if n == 5 { 4 } else { n }))
            .collect();
        let mut rng = StdRng::seed_from_u64(1);
        let full = table(&all_but_one);
        let found = resolve(name(5), ShortId::truncated(4), &full, &mut rng).unwrap();
        assert!([0, 5].contains(&found.value()));

        let every: Vec<(u16, u16)> = (0..ShortId::COUNT).map(|n| (n + 1, n)).collect();
        let full = table(&every);
        assert_eq!(resolve(name(5000), ShortId::truncated(4), &full, &mut rng), None);
    }
}
