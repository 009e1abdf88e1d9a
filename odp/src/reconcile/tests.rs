//! Applying the difference gives what was wanted, and applying twice is applying once.

use std::collections::BTreeMap;

use model::Mac;
use openvswitch_sys::{FlowStats, PortNo, Vlans};
use proptest::prelude::*;

use super::*;
use crate::{Datapath, Dpif, Fake};

fn flow(n: u8) -> FlowKey {
    let mac = |last| Mac::new([2, 0, 0, 0, 0, last]);
    FlowKey {
        in_port: PortNo(1),
        src: mac(n),
        dst: mac(0),
        tunnel: None,
        vlans: Vlans::None,
    }
}

fn table(entries: BTreeMap<u8, u8>) -> BTreeMap<FlowKey, Vec<Action>> {
    entries
        .into_iter()
        .map(|(n, to)| (flow(n), vec![Action::Output(PortNo(to.into()))]))
        .collect()
}

fn fake_with(flows: &BTreeMap<FlowKey, Vec<Action>>) -> (Fake, Datapath) {
    let mut fake = Fake::new();
    let dp = fake.create_or_adopt(&"weave".parse().unwrap(), &[]).unwrap();
    let flows: Vec<_> = flows.clone().into_iter().collect();
    fake.put_flows(&dp, &flows).unwrap();
    (fake, dp)
}

proptest! {
    #[test]
    fn the_difference_applied_gives_what_was_wanted(
        wanted: BTreeMap<u8, u8>, before: BTreeMap<u8, u8>,
    ) {
        let (wanted, before) = (table(wanted), table(before));
        let (mut fake, dp) = fake_with(&before);
        let difference = reconcile(&wanted, &fake.dump_flows(&dp).unwrap());
        prop_assert_eq!(difference.is_empty(), wanted == before);
        prop_assert_eq!(fake.apply(&dp, &difference).unwrap(), vec![]);
        let after = fake.dump_flows(&dp).unwrap();
        let actual: BTreeMap<_, _> = after
            .iter()
            .filter_map(|f| match f.matches {
                FlowMatch::Canonical(key) => Some((key, f.actions.clone())),
                FlowMatch::Other { .. } => None,
            })
            .collect();
        prop_assert_eq!(&actual, &wanted);
        prop_assert!(reconcile(&wanted, &after).is_empty());
    }
}

#[test]
fn flows_of_others_are_deleted_by_the_name_the_kernel_knows() {
    let foreign = |ufid, matches| Flow {
        ufid,
        matches,
        actions: vec![],
        stats: FlowStats::default(),
        used: None,
    };
    let ours = flow(1);
    let actual = [
        foreign(
            None,
            FlowMatch::Other {
                key: vec![1],
                mask: vec![],
            },
        ),
        foreign(
            Some(Ufid([9; 16])),
            FlowMatch::Other {
                key: vec![2],
                mask: vec![],
            },
        ),
        foreign(Some(Ufid([8; 16])), FlowMatch::Canonical(ours)),
        foreign(None, FlowMatch::Canonical(ours)),
    ];
    let wanted = BTreeMap::from([(ours, vec![])]);
    let difference = reconcile(&wanted, &actual);
    assert_eq!(difference.put, [(ours, vec![])]);
    assert_eq!(
        difference.delete,
        [
            FlowId::Key(vec![1]),
            FlowId::Ufid(Ufid([9; 16])),
            FlowId::Ufid(Ufid([8; 16])),
            FlowId::Key(ours.encode()),
        ]
    );
}
