//! What each kind of frame gets.

use super::*;

/// What a verdict shall be
struct Wanted {
    actions: Vec<A>,
    cached: bool,
    dropped: Option<DropReason>,
}

/// These actions, by a flow
fn flow(actions: impl Into<Vec<A>>) -> Wanted {
    Wanted {
        actions: actions.into(),
        cached: true,
        dropped: None,
    }
}

/// These actions, this once
fn once(actions: Vec<A>) -> Wanted {
    Wanted {
        cached: false,
        ..flow(actions)
    }
}

/// Dropped by a flow
fn drop_flow(reason: DropReason) -> Wanted {
    Wanted {
        dropped: Some(reason),
        ..flow([])
    }
}

/// Dropped this once
fn refuse(reason: DropReason) -> Wanted {
    Wanted {
        cached: false,
        ..drop_flow(reason)
    }
}

fn check(table: impl IntoIterator<Item = (&'static str, UpcallKey, Wanted)>) {
    for (what, key, wanted) in table {
        let mut bench = Bench::new();
        let count = |bench: &Bench| {
            wanted
                .dropped
                .map(|reason| bench.switch.counters().drops.of(reason))
        };
        let before = count(&bench);
        let verdict = bench.miss(&key);
        assert_eq!(verdict.actions, wanted.actions, "{what}");
        assert_eq!(verdict.install, wanted.cached.then(|| key.flow_key()), "{what}");
        assert_eq!(verdict.dropped, wanted.dropped, "{what}");
        assert!(verdict.further.is_empty());
        assert_eq!(count(&bench), before.map(|count| count + 1), "{what}: counted");
    }
}

/// Station 1, on C1, sends
fn sends(dst: Mac) -> UpcallKey {
    key(C1, station(1), dst)
}

fn locals(but: Option<PortNo>) -> Vec<A> {
    let ports = [HOST, C1, C2].into_iter().filter(|port| Some(*port) != but);
    ports.map(A::Output).collect()
}

/// To peer `n` by the sleeve
fn tagged(n: u16) -> Vec<A> {
    vec![A::PushVlan(one(n)), A::Output(TAP)]
}

/// From another peer to peer `destination` by the sleeve
fn relayed(destination: u16, source: u16) -> Vec<A> {
    vec![
        A::PushVlan(one(source)),
        A::PushVlan(outer(destination)),
        A::Output(TAP),
    ]
}

/// After these tags are off
fn untagged(tags: usize, then: Vec<A>) -> Vec<A> {
    [vec![A::PopVlan; tags], then].concat()
}

fn flood_from(port: PortNo) -> Vec<A> {
    [
        locals(Some(port)),
        tagged(2),
        vec![A::PopVlan],
        tunnelled(1, vni(0, 1)),
    ]
    .concat()
}

const NOBODY: Mac = Mac::new([2, 0, 0, 0, 0, 99]);

#[test]
fn frames_of_containers() {
    use DropReason::*;
    let reserved = |last| Mac::new([1, 0x80, 0xc2, 0, 0, last]);
    check([
        (
            "to a neighbour on this host",
            sends(station(2)),
            flow([A::Output(C2)]),
        ),
        ("to the own port", sends(station(1)), drop_flow(SamePort)),
        (
            "to a fastdp neighbour",
            sends(station(11)),
            flow(tunnelled(1, vni(0, 1))),
        ),
        ("behind it", sends(station(13)), flow(tunnelled(1, vni(0, 3)))),
        ("to a sleeve neighbour", sends(station(12)), flow(tagged(2))),
        ("behind it", sends(station(14)), flow(tagged(4))),
        (
            "from the host's own leg",
            key(HOST, station(3), station(2)),
            flow([A::Output(C2)]),
        ),
        ("broadcast", sends(Mac::BROADCAST), flow(flood_from(C1))),
        ("unknown", key(C2, station(2), NOBODY), once(flood_from(C2))),
        ("spanning tree", sends(reserved(0)), drop_flow(LinkLocal)),
        (
            "the last reserved group",
            sends(reserved(0x0f)),
            drop_flow(LinkLocal),
        ),
        ("the first beyond", sends(reserved(0x10)), flow(flood_from(C1))),
        ("to zero", sends(Mac::ZERO), refuse(BadDestination)),
        ("from zero", key(C1, Mac::ZERO, station(2)), refuse(BadSource)),
        (
            "from a group",
            key(C1, Mac::BROADCAST, station(2)),
            refuse(BadSource),
        ),
        (
            "by an unknown port",
            key(PortNo(77), station(1), station(2)),
            refuse(UnknownPort),
        ),
    ]);
}

#[test]
fn frames_through_the_tunnel() {
    use DropReason::*;
    let from = |source, destination, dst| vxlan(1, vni(source, destination), station(10 + source as u8), dst);
    let flood = || [locals(None), relayed(2, 1)].concat();
    check([
        ("to a container", from(1, 0, station(1)), flow([A::Output(C1)])),
        (
            "from behind the neighbour",
            from(3, 0, station(1)),
            flow([A::Output(C1)]),
        ),
        ("broadcast", from(1, 0, Mac::BROADCAST), flow(flood())),
        ("unknown", from(1, 0, NOBODY), once(flood())),
        (
            "known elsewhere, not sent on",
            from(1, 0, station(12)),
            once(flood()),
        ),
        ("relayed to the sleeve", from(1, 2, NOBODY), flow(relayed(2, 1))),
        (
            "relayed through the sleeve",
            from(3, 4, NOBODY),
            flow(relayed(4, 3)),
        ),
        (
            "relayed though a broadcast",
            from(3, 4, Mac::BROADCAST),
            flow(relayed(4, 3)),
        ),
        ("back where it came from", from(1, 3, NOBODY), drop_flow(Hairpin)),
        ("to its own source", from(3, 3, NOBODY), drop_flow(Hairpin)),
        ("from ourselves", from(0, 0, station(2)), refuse(OwnSource)),
        ("from a stranger", from(40, 0, station(2)), refuse(UnknownSource)),
        (
            "to a stranger",
            from(1, 40, station(2)),
            drop_flow(UnknownDestination),
        ),
        (
            "reserved",
            from(1, 0, Mac::new([1, 0x80, 0xc2, 0, 0, 2])),
            drop_flow(LinkLocal),
        ),
        (
            "without a tunnel",
            key(VXLAN, station(11), station(2)),
            refuse(BadTunnel),
        ),
    ]);
}

#[test]
fn frames_through_the_tap() {
    use DropReason::*;
    let container_tag = Tag::dot1q(5);
    let single = |n: u16, dst| tap(Vlans::One(one(n)), station(10 + n as u8), dst);
    let double = |destination, n: u16| {
        tap(
            Vlans::Two(outer(destination), one(n)),
            station(10 + n as u8),
            NOBODY,
        )
    };
    let two = |a, b| tap(Vlans::Two(a, b), station(12), station(1));
    let flood = |n| untagged(1, [locals(None), tunnelled(1, vni(n, 1))].concat());
    check([
        (
            "to a container",
            single(2, station(1)),
            flow(untagged(1, vec![A::Output(C1)])),
        ),
        (
            "with its own tag",
            two(one(2), container_tag),
            flow(untagged(1, vec![A::Output(C1)])),
        ),
        (
            "broadcast: the sleeve's part is done",
            single(2, Mac::BROADCAST),
            flow(flood(2)),
        ),
        ("unknown", single(4, NOBODY), once(flood(4))),
        (
            "known elsewhere, not sent on",
            single(4, station(12)),
            once(flood(4)),
        ),
        (
            "relayed to fastdp",
            double(3, 4),
            flow(untagged(2, tunnelled(1, vni(4, 3)))),
        ),
        (
            "relayed to the sleeve",
            double(4, 1),
            flow(untagged(2, relayed(4, 1))),
        ),
        (
            "a pair that is for us",
            double(0, 2),
            once(untagged(2, [locals(None), tunnelled(1, vni(2, 1))].concat())),
        ),
        ("from ourselves", single(0, station(2)), refuse(OwnSource)),
        ("from a stranger", single(40, station(2)), refuse(UnknownSource)),
        ("to a stranger", double(40, 2), drop_flow(UnknownDestination)),
        (
            "the device's own noise",
            tap(Vlans::None, station(60), Mac::BROADCAST),
            refuse(BadTag),
        ),
        (
            "half a pair",
            tap(Vlans::One(outer(1)), station(12), station(2)),
            refuse(BadTag),
        ),
        (
            "a pair of the wrong kind",
            two(outer(1), outer(2)),
            refuse(BadTag),
        ),
    ]);
}

#[test]
fn a_tunnel_id_of_more_than_24_bits_is_refused() {
    let mut bench = Bench::new();
    let mut wide = vxlan(1, vni(1, 0), station(11), station(1));
    for bits in [1 << 24, 1 << 32, u64::MAX] {
        if let Some(tunnel) = &mut wide.tunnel {
            tunnel.id = bits;
        }
        assert_eq!(bench.miss(&wide).dropped, Some(DropReason::BadTunnel));
    }
}

#[test]
fn strangers_and_odd_sources_teach_nothing() {
    let mut bench = Bench::new();
    let known = bench.switch.station_count();
    bench.miss(&vxlan(1, vni(40, 0), station(50), station(2)));
    bench.miss(&key(C1, Mac::BROADCAST, station(2)));
    bench.miss(&tap(Vlans::None, station(60), Mac::BROADCAST));
    // A relayed frame's source is of no concern here.
    bench.miss(&vxlan(1, vni(1, 2), station(70), station(2)));
    assert_eq!(bench.switch.station_count(), known);
}
