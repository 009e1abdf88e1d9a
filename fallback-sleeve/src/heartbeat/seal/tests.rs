use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::BeatFields;
use super::*;

const FIELDS: BeatFields = BeatFields {
    id: 0x0102_0304_0506_0708,
    sequence: 0xa1,
    size: 1500,
};
const KEY: [u8; 32] = [0x42; 32];
const PATHS: [PathKind; 2] = [PathKind::Fastdp, PathKind::Sleeve];

fn sealer(path: PathKind) -> BeatSealer {
    BeatSealer::new(Zeroizing::new(KEY), path)
}

fn opener(path: PathKind) -> BeatOpener {
    BeatOpener::new(Zeroizing::new(KEY), path)
}

/// A body with this counter, sealed as the format says
fn body(counter: u64) -> [u8; Beat::LEN] {
    let mut sealer = sealer(PathKind::Sleeve);
    sealer.next = Some(counter);
    sealer.seal(Beat::Ping(FIELDS)).unwrap()
}

#[test]
fn a_ping_and_a_pong_read_and_write_their_bytes() {
    let mut sealer = sealer(PathKind::Fastdp);
    let mut opener = opener(PathKind::Fastdp);
    for (beat, kind, counter, mac) in [
        (Beat::Ping(FIELDS), 0x01, 0, PING_MAC),
        (Beat::Pong(FIELDS), 0x02, 1, PONG_MAC),
    ] {
        let bytes = [
            0x02, // version
            kind, // ping or pong
            0x05, 0xdc, // size: 1500
            0x00, 0x00, 0x00, 0xa1, // sequence
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // id
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, counter, // counter
        ];
        let body = [&bytes[..], &mac].concat();
        assert_eq!(sealer.seal(beat).unwrap()[..], body, "{beat:?}");
        let padded = [&body[..], &[0; 99]].concat();
        assert_eq!(opener.open(&padded), Ok(beat), "padding is not looked at");
    }
}

/// BLAKE3 keyed with 32 times 0x42 over 0x01 and the 24 bytes of the ping above
const PING_MAC: [u8; 16] = [
    0x25, 0xd7, 0x1e, 0xd6, 0xaf, 0x24, 0xe0, 0x95, 0xfe, 0x86, 0xba, 0x33, 0x37, 0xf0, 0xfa, 0x2f,
];
/// The same for the pong
const PONG_MAC: [u8; 16] = [
    0x34, 0xd2, 0x28, 0x04, 0x80, 0x48, 0x64, 0x5b, 0x94, 0x3e, 0xb4, 0x24, 0x8f, 0x20, 0x41, 0xb3,
];

#[test]
fn a_changed_bit_anywhere_is_forged() {
    let good = sealer(PathKind::Sleeve).seal(Beat::Ping(FIELDS)).unwrap();
    let mut opener = opener(PathKind::Sleeve);
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opener.open(&bad), Err(BeatRefusal::Forged), "bit {bit}");
    }
    assert_eq!(
        opener.open(&good),
        Ok(Beat::Ping(FIELDS)),
        "forgeries changed nothing"
    );
}

#[test]
fn a_heartbeat_of_another_path_or_key_is_forged() {
    for (from, to) in [(PATHS[0], PATHS[1]), (PATHS[1], PATHS[0])] {
        let body = sealer(from).seal(Beat::Ping(FIELDS)).unwrap();
        assert_eq!(opener(to).open(&body), Err(BeatRefusal::Forged));
    }
    let body = sealer(PathKind::Fastdp).seal(Beat::Ping(FIELDS)).unwrap();
    let mut other = BeatOpener::new(Zeroizing::new([0x43; 32]), PathKind::Fastdp);
    assert_eq!(other.open(&body), Err(BeatRefusal::Forged));
}

#[test]
fn each_heartbeat_is_taken_once() {
    let mut opener = opener(PathKind::Sleeve);
    assert_eq!(opener.open(&body(5)), Ok(Beat::Ping(FIELDS)));
    assert_eq!(opener.open(&body(5)), Err(BeatRefusal::Replayed));
    assert_eq!(opener.open(&body(3)), Ok(Beat::Ping(FIELDS)), "late but new");
    assert_eq!(opener.open(&body(3)), Err(BeatRefusal::Replayed));
    assert_eq!(opener.open(&body(200)), Ok(Beat::Ping(FIELDS)));
    assert_eq!(opener.open(&body(73)), Ok(Beat::Ping(FIELDS)), "127 behind");
    assert_eq!(
        opener.open(&body(72)),
        Err(BeatRefusal::Replayed),
        "too old to tell"
    );
}

#[test]
fn a_genuine_body_of_another_version_or_kind_is_malformed() {
    for (at, byte) in [(0, 0x01), (1, 0x00), (1, 0x03)] {
        let mut bytes = body(0);
        bytes[at] = byte;
        let mac = mac_of(&KEY, PathKind::Sleeve, &bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(&mac);
        assert_eq!(opener(PathKind::Sleeve).open(&bytes), Err(BeatRefusal::Malformed));
    }
    assert_eq!(
        opener(PathKind::Sleeve).open(&body(0)[..39]),
        Err(BeatRefusal::Malformed)
    );
}

#[test]
fn a_sealer_never_repeats_a_counter() {
    let mut sealer = sealer(PathKind::Sleeve);
    sealer.next = Some(u64::MAX);
    assert!(sealer.seal(Beat::Ping(FIELDS)).is_some());
    assert_eq!(sealer.seal(Beat::Ping(FIELDS)), None);
    assert_eq!(sealer.seal(Beat::Ping(FIELDS)), None);
    let last = opener(PathKind::Sleeve).open(&body(u64::MAX));
    assert_eq!(
        last,
        Err(BeatRefusal::Replayed),
        "the last counter has no successor"
    );
}

#[test]
fn debug_output_has_no_key() {
    let text = format!("{:?} {:?}", sealer(PathKind::Sleeve), opener(PathKind::Sleeve));
    assert!(!text.contains("66") && !text.contains("key"), "{text}");
}

proptest! {
    #[test]
    fn the_window_says_what_a_set_of_all_counters_says(
        start in 0..1_000u64,
        steps in prop::collection::vec(-200i64..200, 1..300),
    ) {
        let mut recent = Recent { next: 0, seen: 0 };
        let mut taken = BTreeSet::new();
        let mut at = start;
        for step in steps {
            at = at.saturating_add_signed(step);
            let too_old = taken.last().is_some_and(|highest| at + 128 <= *highest);
            let fresh = !too_old && !taken.contains(&at);
            prop_assert_eq!(recent.take(at), fresh, "{}", at);
            if fresh {
                taken.insert(at);
            }
        }
    }

    #[test]
    fn whatever_is_sealed_opens_on_its_path_only(id: u64, sequence: u32, size: u16, pong: bool) {
        let fields = BeatFields { id, sequence, size };
        let beat = if pong { Beat::Pong(fields) } else { Beat::Ping(fields) };
        for path in PATHS {
            let body = sealer(path).seal(beat).unwrap();
            for other in PATHS {
                let expected = if other == path { Ok(beat) } else { Err(BeatRefusal::Forged) };
                prop_assert_eq!(opener(other).open(&body), expected);
            }
        }
    }

    #[test]
    fn any_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let refused = opener(PathKind::Fastdp).open(&bytes).unwrap_err();
        let expected = if bytes.len() < Beat::LEN { BeatRefusal::Malformed } else { BeatRefusal::Forged };
        prop_assert_eq!(refused, expected);
    }
}
