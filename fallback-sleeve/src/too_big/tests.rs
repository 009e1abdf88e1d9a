use proptest::prelude::*;

use super::*;
use crate::checksum::tests::simple;
use crate::packets::{Spec, any_spec};

fn v4() -> Spec {
    Spec::tcp4(1400)
}

fn v6() -> Spec {
    Spec {
        v6: true,
        ..Spec::tcp4(1400)
    }
}

fn expect_reply(frame: &[u8], mtu: u16) -> Vec<u8> {
    match too_big(frame, mtu) {
        TooBig::Reply(reply) => reply,
        other @ (TooBig::MayFragment | TooBig::Nothing) => panic!("no reply but {other:?}"),
    }
}

#[test]
fn an_ipv4_sender_is_told_the_mtu() {
    let frame = v4().frame();
    let reply = expect_reply(&frame, 1300);
    let (link, packet) = reply.split_at(14);
    assert_eq!(
        link,
        [2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b, 0x08, 0x00],
        "turned around"
    );
    assert_eq!(
        packet[..12],
        [0x45, 0xc0, 0x02, 0x40, 0, 0, 0, 0, 64, 1, packet[10], packet[11]][..]
    );
    assert_eq!(
        packet[12..20],
        [10, 7, 0, 2, 10, 7, 0, 1],
        "from the destination to the source"
    );
    assert_eq!(packet[20..22], [3, 4], "fragmentation needed");
    assert_eq!(packet[24..28], [0, 0, 0x05, 0x14], "next-hop MTU 1300");
    assert_eq!(
        packet[28..],
        frame[14..14 + 548],
        "as much of the packet as makes 576 bytes"
    );
    assert_eq!((simple(&packet[..20]), simple(&packet[20..])), (0xffff, 0xffff));
}

#[test]
fn an_ipv6_sender_is_told_the_mtu() {
    let frame = v6().frame();
    let reply = expect_reply(&frame, 1300);
    let (link, packet) = reply.split_at(14);
    assert_eq!(link, [2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x0b, 0x86, 0xdd]);
    assert_eq!(packet[..8], [0x60, 0, 0, 0, 0x04, 0xd8, 58, 64]);
    assert_eq!(
        (&packet[8..24], &packet[24..40]),
        (&[0xfe; 16][..], &[0xfd; 16][..])
    );
    assert_eq!(packet[40..42], [2, 0], "packet too big");
    assert_eq!(packet[44..48], [0, 0, 0x05, 0x14], "MTU 1300");
    assert_eq!(
        packet[48..],
        frame[14..14 + 1232],
        "as much of the packet as makes 1280 bytes"
    );
    let pseudo = [&packet[8..40], &[0, 0, 0x04, 0xd8, 0, 0, 0, 58], &packet[40..]].concat();
    assert_eq!(simple(&pseudo), 0xffff);
}

#[test]
fn tags_of_the_container_are_given_back_and_taken_off_the_mtu() {
    for spec in [v4(), v6()] {
        let tags = vec![[0x88, 0xa8, 0, 7], [0x81, 0, 0, 5]];
        let l3 = 14 + 8;
        let frame = Spec { tags, ..spec.clone() }.frame();
        let reply = expect_reply(&frame, 1400);
        assert_eq!(reply[12..l3], frame[12..l3]);
        let mtu = if spec.v6 {
            &reply[l3 + 46..l3 + 48]
        } else {
            &reply[l3 + 26..l3 + 28]
        };
        assert_eq!(mtu, 1392u16.to_be_bytes());
    }
}

/// A byte, and where to put it
type Change = (usize, u8);

/// What becomes of a frame with these changes, at byte offsets from its IP header
fn with(spec: &Spec, changes: &[Change]) -> TooBig {
    let mut frame = spec.frame();
    for (at, byte) in changes {
        frame[spec.l3() + at] = *byte;
    }
    too_big(&frame, 1300)
}

#[test]
fn what_may_not_be_answered_is_fragmented() {
    let table: [(&str, Spec, &[Change]); 15] = [
        ("no DF", v4(), &[(6, 0)]),
        ("later fragment", v4(), &[(6, 0x40), (7, 1)]),
        ("ICMP destination unreachable", v4(), &[(9, 1), (20, 3)]),
        ("ICMP time exceeded", v4(), &[(9, 1), (20, 11)]),
        ("from 0.0.0.0", v4(), &[(12, 0)]),
        ("from loopback", v4(), &[(12, 127)]),
        ("to multicast", v4(), &[(16, 224)]),
        (
            "to broadcast",
            v4(),
            &[(16, 255), (17, 255), (18, 255), (19, 255)],
        ),
        ("ICMPv6 error", v6(), &[(6, 58), (40, 3)]),
        (
            "ICMPv6 error behind options",
            v6(),
            &[(6, 60), (40, 58), (41, 0), (48, 1)],
        ),
        (
            "ICMPv6 error in a first fragment",
            v6(),
            &[(6, 44), (40, 58), (42, 0), (43, 1), (48, 1)],
        ),
        ("IPv6 to multicast", v6(), &[(24, 0xff)]),
        ("IPv6 from multicast", v6(), &[(8, 0xff)]),
        (
            "small IPv6",
            Spec {
                payload: vec![0; 1280 - 72],
                ..v6()
            },
            &[],
        ),
        ("not IP", v4(), &[(0, 0x55)]),
    ];
    for (name, spec, changes) in table {
        assert_eq!(with(&spec, changes), TooBig::MayFragment, "{name}");
    }
    let mut group = v4().frame();
    group[0] |= 1;
    assert_eq!(
        too_big(&group, 1300),
        TooBig::MayFragment,
        "to a group of stations"
    );
    let unspecified: Vec<_> = (8..24).map(|at| (at, 0)).collect();
    assert_eq!(with(&v6(), &unspecified), TooBig::MayFragment, "from ::");
}

#[test]
fn icmp_queries_are_answered() {
    for (spec, changes) in [
        (v4(), &[(9, 1), (20, 8)][..]),
        (v6(), &[(6, 58), (40, 128)]),
        (v6(), &[(6, 0), (40, 58), (41, 1), (56, 128)]),
    ] {
        assert!(matches!(with(&spec, changes), TooBig::Reply(_)), "{changes:?}");
    }
}

#[test]
fn nobody_is_told_less_than_every_link_must_carry() {
    let reply = expect_reply(&v6().frame(), 600);
    assert_eq!(reply[14 + 46..14 + 48], 1280u16.to_be_bytes());
    let reply = expect_reply(&v4().frame(), 3);
    assert_eq!(reply[14 + 26..14 + 28], 68u16.to_be_bytes());
}

#[test]
fn what_is_no_frame_gets_nothing() {
    assert_eq!(too_big(&[0; 13], 1300), TooBig::Nothing);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(frame in prop::collection::vec(any::<u8>(), 0..200), mtu: u16) {
        let _ = too_big(&frame, mtu);
    }

    #[test]
    fn damaged_frames_never_panic_and_no_reply_is_answered(
        spec in any_spec(any::<bool>(), 2000),
        damage in prop::collection::vec((0..80usize, any::<u8>()), 0..6),
        len in 0..2000usize,
        mtu: u16,
    ) {
        let mut frame = spec.frame();
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(len);
        if let TooBig::Reply(reply) = too_big(&frame, mtu) {
            prop_assert_eq!(too_big(&reply, 50), TooBig::MayFragment, "errors about errors");
        }
    }
}
