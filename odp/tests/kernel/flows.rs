//! Flows: many, twice, refused, foreign.

use std::collections::BTreeMap;

use model::Mac;
use odp::{Dpif, Execute, FlowId, FlowMatch, PacketKey, Refusal, reconcile};
use openvswitch_sys::{Action, FlowKey, PortNo, Ufid, Vlans};

use crate::host::{DST, Host, SRC, frame};
use crate::namespace::{eventually, sh};

pub(crate) fn many(host: &Host, n: u32) -> Vec<(FlowKey, Vec<Action>)> {
    let key = |i: u32| {
        let [_, a, b, c] = i.to_be_bytes();
        FlowKey {
            src: Mac::new([2, 1, 0, a, b, c]),
            ..host.key(Vlans::None)
        }
    };
    (0..n)
        .map(|i| (key(i), vec![Action::Output(host.near)]))
        .collect()
}

pub(crate) fn three_thousand_flows_are_put_dumped_and_deleted() {
    let mut host = Host::new();
    let flows = many(&host, 3000);

    assert_eq!(host.odp.put_flows(&host.dp, &flows).unwrap(), vec![Ok(()); 3000]);

    let dumped = host.odp.dump_flows(&host.dp).unwrap();
    let keys: BTreeMap<_, _> = dumped
        .into_iter()
        .filter_map(|flow| match flow.matches {
            FlowMatch::Canonical(key) => Some((key, flow.actions)),
            FlowMatch::Other { .. } => None,
        })
        .collect();
    assert_eq!(keys, flows.iter().cloned().collect());
    assert_eq!(sh("ovs-dpctl dump-flows weave").lines().count(), 3000);
    assert_eq!(
        host.odp.datapath(&host.dp.name).unwrap().unwrap().stats.flows,
        3000
    );

    let ufids: Vec<Ufid> = flows.iter().map(|(key, _)| key.ufid()).collect();
    assert_eq!(host.odp.del_flows(&host.dp, &ufids[..2000]).unwrap(), 2000);
    assert_eq!(
        host.odp.del_flows(&host.dp, &ufids).unwrap(),
        1000,
        "gone ones are fine"
    );
    assert_eq!(sh("ovs-dpctl dump-flows weave"), "");
}

pub(crate) fn putting_twice_is_putting_once() {
    let mut host = Host::new();
    let key = host.key(Vlans::None);
    host.put(key, vec![host.tell(1)]);
    host.inject(&frame(&[0x88, 0xb5], 60));
    assert_eq!(host.upcall().cookie, Some(1));
    let once = host.odp.dump_flows(&host.dp).unwrap();
    assert_eq!(once[0].stats.packets, 1);

    host.put(key, vec![host.tell(1)]);
    let mut twice = host.odp.dump_flows(&host.dp).unwrap();
    for (flow, before) in twice.iter_mut().zip(&once) {
        // The kernel works it out anew from its clock ticks for each dump.
        let moved = flow.used.unwrap().abs_diff(before.used.unwrap());
        assert!(moved <= 20, "{moved} ms");
        flow.used = before.used;
    }
    assert_eq!(twice, once, "statistics included");

    host.put(key, vec![Action::Output(PortNo::LOCAL)]);
    let replaced = host.odp.dump_flows(&host.dp).unwrap();
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0].actions, [Action::Output(PortNo::LOCAL)]);
    assert_eq!(replaced[0].stats, once[0].stats);
}

pub(crate) fn a_refused_flow_does_not_stop_the_others() {
    let mut host = Host::new();
    let mut flows = many(&host, 600);
    flows[1].1 = vec![Action::Output(PortNo(70_000))];
    flows[300].1 = vec![Action::Other(3, vec![0xff; 8])];
    flows[599].1 = vec![Action::Other(3, vec![0; 65_530])];
    let results = host.odp.put_flows(&host.dp, &flows).unwrap();
    let refused: Vec<_> = results
        .iter()
        .enumerate()
        .filter_map(|(i, r)| Some((i, r.err()?)))
        .collect();
    assert_eq!(
        refused,
        [
            (1, Refusal::Invalid),
            (300, Refusal::Invalid),
            (599, Refusal::TooLong)
        ]
    );
    assert_eq!(host.odp.dump_flows(&host.dp).unwrap().len(), 597);
}

pub(crate) fn the_difference_is_applied_also_to_flows_of_others() {
    let mut host = Host::new();
    let flows = many(&host, 4);
    let changed = vec![(flows[1].0, vec![]), flows[2].clone(), flows[3].clone()];
    host.odp.put_flows(&host.dp, &changed).unwrap();
    sh("ovs-dpctl add-flow weave 'in_port(2),eth(),eth_type(0x0800),ipv4(dst=10.0.0.1)' 1");
    let wanted: BTreeMap<_, _> = flows[..3].iter().cloned().collect();

    let difference = reconcile(&wanted, &host.odp.dump_flows(&host.dp).unwrap());

    assert_eq!(difference.put, flows[..2], "one missing, one with other actions");
    assert_eq!(difference.delete.len(), 2, "{:?}", difference.delete);
    assert!(difference.delete.contains(&FlowId::Ufid(flows[3].0.ufid())));
    assert_eq!(host.odp.apply(&host.dp, &difference).unwrap(), []);
    let after = host.odp.dump_flows(&host.dp).unwrap();
    assert!(reconcile(&wanted, &after).is_empty(), "{after:?}");
    assert_eq!(sh("ovs-dpctl dump-flows weave").lines().count(), 3);
}

pub(crate) fn a_flow_and_its_packet_go_down_together() {
    let mut host = Host::new();
    host.inject(&frame(&[0x88, 0xb5], 60));
    assert!(crate::namespace::wait(&host.upcalls));
    let actions = vec![host.tell(3)];
    let (odp, dp) = (&mut host.odp, &host.dp);
    host.upcalls
        .recv_batch(|upcall| {
            let flows = [(upcall.key.flow_key(), actions.clone())];
            let installed = odp.install_and_execute(dp, &flows, &[Execute::answer(&upcall, &actions)]);
            let installed = installed.unwrap();
            assert_eq!(
                (&installed.flows[..], &installed.packets[..]),
                (&[Ok(())][..], &[Ok(())][..])
            );
        })
        .unwrap();
    let again = host.upcall();
    assert_eq!((again.cookie, again.packet), (Some(3), frame(&[0x88, 0xb5], 60)));
    assert_eq!(
        (again.key.src, again.key.dst, again.key.in_port),
        (SRC, DST, host.far)
    );
    assert_eq!(host.odp.dump_flows(&host.dp).unwrap().len(), 1);

    let bad = Execute {
        packet: &[0; 60],
        key: PacketKey::InPort(PortNo::LOCAL),
        actions: &[Action::Output(PortNo(70_000))],
        hash: None,
    };
    let results = host.odp.execute(&host.dp, &[bad]).unwrap();
    assert_eq!(results, [Err(Refusal::Invalid)]);
}

pub(crate) fn statistics_count_what_matched() {
    let mut host = Host::new();
    let before = odp::monotonic_ms();
    host.put(host.key(Vlans::None), vec![]);
    let idle = host.odp.dump_flows(&host.dp).unwrap().remove(0);
    assert_eq!((idle.used, idle.stats.packets), (None, 0));
    for _ in 0..5 {
        host.inject(&frame(&[0x88, 0xb5], 100));
    }
    eventually("five packets counted", || {
        host.odp.dump_flows(&host.dp).unwrap()[0].stats.packets == 5
    });
    let flow = host.odp.dump_flows(&host.dp).unwrap().remove(0);
    assert_eq!(flow.stats.bytes, 500);
    let ago = flow.used_ms_ago(odp::monotonic_ms()).unwrap();
    // The kernel's tick is coarser than its clock.
    assert!(ago <= odp::monotonic_ms() - before + 20, "{ago} ms ago");
    let state = host.odp.datapath(&host.dp.name).unwrap().unwrap();
    assert_eq!((state.stats.hit, state.stats.missed, state.stats.lost), (5, 0, 0));
    assert_eq!((state.stats.flows, state.megaflow_stats.masks), (1, 1));
    let near = host
        .odp
        .vports(&host.dp)
        .unwrap()
        .into_iter()
        .find(|v| v.port == host.near)
        .unwrap();
    assert_eq!((near.stats.tx_packets, near.stats.tx_bytes), (5, 500));
}
