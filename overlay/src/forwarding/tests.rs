use super::*;
use crate::sim::net::{Graph, name};

/// Host 0 with neighbours 1 (fastdp) and 2 (sleeve) and 5 (no path); 3 is behind 1, 4 behind 2
fn forwarding(mode: Mode) -> Forwarding<usize> {
    let graph = Graph::new(6, &[(0, 1), (0, 2), (0, 5), (1, 3), (2, 4)]);
    let neighbour = |n, path| (name(n), Neighbour { session: n, path });
    let neighbours = [
        neighbour(5, None),
        neighbour(2, Some(PathKind::Sleeve)),
        neighbour(1, Some(PathKind::Fastdp)),
    ];
    Forwarding::new(mode, Arc::new(graph.routes(0)), neighbours)
}

fn id(n: u16) -> ShortId {
    ShortId::truncated(n + 1)
}

fn vni(source: u16, destination: u16) -> Vni {
    Vni::new(id(source), id(destination))
}

fn station(n: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, n])
}

/// Station 1 is here, station 1`n` at peer `n`, station 50 at a peer that nobody knows
fn macs() -> MacTable {
    let table = MacTable::new(64, 1);
    table.learn(station(1), Station::Local, 1);
    for n in 1..6 {
        table.learn(station(10 + n as u8), Station::Peer(id(n)), 1);
    }
    table.learn(station(50), Station::Peer(id(50)), 1);
    table
}

type Sent = Vec<(usize, Vni)>;

#[test]
fn what_the_datapath_puts_out_goes_to_the_session_on_the_way() {
    let forwarding = forwarding(Mode::Tagged);
    let two = |destination, source| PeerTags::Two {
        destination: id(destination),
        source: id(source),
    };
    let table: [(PeerTags, Result<Sent, DropReason>); 6] = [
        (PeerTags::One(id(2)), Ok(vec![(2, vni(0, 2))])),
        (PeerTags::One(id(4)), Ok(vec![(2, vni(0, 4))])),
        // Too long for fastdp: the datapath sent it this way on purpose.
        (PeerTags::One(id(3)), Ok(vec![(1, vni(0, 3))])),
        (two(4, 3), Ok(vec![(2, vni(3, 4))])),
        (PeerTags::One(id(60)), Err(DropReason::UnknownDestination)),
        (PeerTags::One(id(0)), Err(DropReason::NoRoute)),
    ];
    for (tags, wanted) in table {
        let mut sent = vec![];
        let outcome = forwarding.egress_tagged(tags, |vni, to| sent.push((*to, vni)));
        assert_eq!(outcome.map(|()| sent), wanted, "{tags:?}");
    }
}

#[test]
fn what_the_bridge_puts_out_goes_where_the_station_is_or_everywhere() {
    let forwarding = forwarding(Mode::Bridge);
    let flood = || Ok(vec![(1, vni(0, 1)), (2, vni(0, 2)), (5, vni(0, 5))]);
    let table: [(&str, Mac, Mac, Result<Sent, DropReason>); 9] = [
        ("known", station(7), station(12), Ok(vec![(2, vni(0, 2))])),
        (
            "known, further away",
            station(7),
            station(14),
            Ok(vec![(2, vni(0, 4))]),
        ),
        ("local", station(7), station(1), Err(DropReason::SamePort)),
        ("unknown", station(7), station(99), flood()),
        ("at a peer that is gone", station(7), station(50), flood()),
        ("broadcast", station(7), Mac::BROADCAST, flood()),
        (
            "spanning tree",
            station(7),
            Mac::new([1, 0x80, 0xc2, 0, 0, 0]),
            Err(DropReason::LinkLocal),
        ),
        ("from zero", Mac::ZERO, station(12), Err(DropReason::BadSource)),
        ("to zero", station(7), Mac::ZERO, Err(DropReason::BadDestination)),
    ];
    for (what, src, dst, wanted) in table {
        let macs = macs();
        let mut sent = vec![];
        let outcome = forwarding.egress_bridge(&macs, src, dst, 1, |vni, to| sent.push((*to, vni)));
        let learnt = macs.lookup(src);
        let refused = matches!(outcome, Err(reason) if reason != DropReason::SamePort);
        assert_eq!(learnt, (!refused).then_some(Station::Local), "{what}");
        assert_eq!(outcome.map(|()| sent), wanted, "{what}");
    }
}

#[test]
fn what_comes_by_the_sleeve_is_delivered_relayed_and_flooded() {
    use Inject::{No, Plain, Tagged};
    let one = |n| Tagged(PeerTags::One(id(n)));
    let two = |destination, source| {
        Tagged(PeerTags::Two {
            destination: id(destination),
            source: id(source),
        })
    };
    let everybody = Mac::BROADCAST;
    let nobody = station(99);
    type Wanted = Result<(Inject, Sent), DropReason>;
    // name, from, VNI, destination, with Open vSwitch, without
    let table: [(&str, usize, Vni, Mac, Wanted, Wanted); 14] = [
        (
            "for a station here",
            2,
            vni(2, 0),
            station(1),
            Ok((one(2), vec![])),
            Ok((Plain, vec![])),
        ),
        (
            "broadcast: fastdp's neighbours are the datapath's",
            2,
            vni(2, 0),
            everybody,
            Ok((one(2), vec![])),
            Ok((Plain, vec![(1, vni(2, 1)), (5, vni(2, 5))])),
        ),
        (
            "broadcast from the other side",
            1,
            vni(3, 0),
            everybody,
            Ok((one(3), vec![(2, vni(3, 2))])),
            Ok((Plain, vec![(2, vni(3, 2)), (5, vni(3, 5))])),
        ),
        (
            "unknown",
            1,
            vni(1, 0),
            nobody,
            Ok((one(1), vec![(2, vni(1, 2))])),
            Ok((Plain, vec![(2, vni(1, 2)), (5, vni(1, 5))])),
        ),
        (
            "known elsewhere: flooded, not sent on",
            1,
            vni(1, 0),
            station(14),
            Ok((one(1), vec![(2, vni(1, 2))])),
            Ok((Plain, vec![(2, vni(1, 2)), (5, vni(1, 5))])),
        ),
        (
            "a copy does not go back to whom it came from",
            2,
            vni(4, 0),
            everybody,
            Ok((one(4), vec![])),
            Ok((Plain, vec![(1, vni(4, 1)), (5, vni(4, 5))])),
        ),
        (
            "for a neighbour that sends directly",
            2,
            vni(1, 0),
            everybody,
            Err(DropReason::WrongRelay),
            Err(DropReason::WrongRelay),
        ),
        (
            "relayed by the sleeve",
            1,
            vni(3, 4),
            nobody,
            Ok((No, vec![(2, vni(3, 4))])),
            Ok((No, vec![(2, vni(3, 4))])),
        ),
        (
            "relayed to fastdp",
            2,
            vni(4, 3),
            nobody,
            Ok((two(3, 4), vec![])),
            Ok((No, vec![(1, vni(4, 3))])),
        ),
        (
            "relayed back",
            2,
            vni(3, 4),
            nobody,
            Err(DropReason::Hairpin),
            Err(DropReason::Hairpin),
        ),
        (
            "relayed to its source",
            1,
            vni(3, 3),
            nobody,
            Err(DropReason::Hairpin),
            Err(DropReason::Hairpin),
        ),
        (
            "from ourselves",
            1,
            vni(0, 0),
            everybody,
            Err(DropReason::OwnSource),
            Err(DropReason::OwnSource),
        ),
        (
            "from a stranger",
            1,
            vni(60, 0),
            everybody,
            Err(DropReason::UnknownSource),
            Err(DropReason::UnknownSource),
        ),
        (
            "to a stranger",
            1,
            vni(1, 60),
            everybody,
            Err(DropReason::UnknownDestination),
            Err(DropReason::UnknownDestination),
        ),
    ];
    for (what, from, vni, dst, tagged, bridge) in table {
        for (mode, wanted) in [(Mode::Tagged, tagged), (Mode::Bridge, bridge)] {
            let macs = macs();
            let mut sent = vec![];
            let src = station(77);
            let forward = |vni, to: &usize| sent.push((*to, vni));
            let outcome = forwarding(mode).ingress(&macs, vni, name(from), src, dst, 1, forward);
            assert_eq!(outcome.map(|inject| (inject, sent)), wanted, "{what}, {mode:?}");
            let learns = mode == Mode::Bridge && outcome == Ok(Plain);
            assert_eq!(
                macs.lookup(src),
                learns.then(|| Station::Peer(vni.source())),
                "{what}, {mode:?}"
            );
        }
    }
}

#[test]
fn frames_no_bridge_forwards_are_refused_whence_they_come() {
    let forwarding = forwarding(Mode::Bridge);
    let macs = macs();
    let refused = |src, dst| forwarding.ingress(&macs, vni(2, 0), name(2), src, dst, 1, |_, _| {});
    assert_eq!(refused(Mac::ZERO, station(1)), Err(DropReason::BadSource));
    assert_eq!(refused(Mac::BROADCAST, station(1)), Err(DropReason::BadSource));
    assert_eq!(refused(station(7), Mac::ZERO), Err(DropReason::BadDestination));
    let spanning_tree = Mac::new([1, 0x80, 0xc2, 0, 0, 0]);
    assert_eq!(refused(station(7), spanning_tree), Err(DropReason::LinkLocal));
}

#[test]
fn a_snapshot_may_be_asked_by_many_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&forwarding(Mode::Tagged));
}
