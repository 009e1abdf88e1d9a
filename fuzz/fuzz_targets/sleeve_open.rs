//! Datagrams of the sleeve, clear and sealed, and what is in them: frames, fragments, heartbeats.
#![no_main]

use std::time::{Duration, Instant};

use fallback_sleeve::datagram::{InnerHeader, Kind, SessionId};
use fallback_sleeve::heartbeat::BeatOpener;
use fallback_sleeve::{Opener, Reassembler, Sealer, Suite};
use model::fuzz::Input;
use model::{PathKind, Vni};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let suite = match input.byte() % 3 {
        0 => Suite::Clear,
        1 => Suite::Aes256Gcm,
        _ => Suite::ChaCha20Poly1305,
    };
    let sealer = Sealer::new(SESSION, suite, &KEY);
    let mut opener = Opener::new(SESSION, suite, &KEY);
    let mut reassembler = Reassembler::new();
    let mut beats = BeatOpener::new(KEY.into(), PathKind::Sleeve);
    let mut now = Instant::now();
    while !input.is_empty() {
        let op = input.byte();
        let mut datagram;
        if op & 1 == 0 {
            // As anybody can send it
            datagram = input.piece().to_vec();
        } else {
            // As the neighbor sends it
            let inner = InnerHeader {
                flags: input.byte(),
                vni: Vni::truncated(input.u32()),
            };
            let kind = [Kind::Data, Kind::Fragment, Kind::Control][usize::from(op >> 1) % 3];
            let room = sealer.room();
            let body = input.piece();
            datagram = vec![0; room.head];
            datagram.extend_from_slice(body);
            datagram.resize(datagram.len() + room.tail, 0);
            sealer
                .seal_in_place(kind, inner, &mut datagram)
                .expect("there is room");
            let mut again = datagram.clone();
            let mut once = datagram.clone();
            let opened = opener.open_in_place(&mut once).expect("it was sealed for it");
            assert_eq!(
                (opened.kind, opened.flags, opened.vni),
                (kind, inner.flags, inner.vni)
            );
            assert_eq!(&once[opened.body], body);
            // Clear datagrams have no counter that can be trusted.
            assert_eq!(opener.open_in_place(&mut again).is_ok(), suite == Suite::Clear);
        }
        if let Ok(opened) = opener.open_in_place(&mut datagram) {
            hear(
                opened.kind,
                &datagram[opened.body],
                opened.vni,
                &mut reassembler,
                &mut beats,
                now,
            );
        } else if op & 1 == 1 {
            let kind = [Kind::Data, Kind::Fragment, Kind::Control][usize::from(op >> 1) % 3];
            let body = datagram.get(sealer.room().head..).unwrap_or_default();
            if suite == Suite::Clear {
                hear(kind, body, Vni::truncated(1), &mut reassembler, &mut beats, now);
            }
        }
        if op & 0x80 != 0 {
            now += Duration::from_millis(300);
            reassembler.expire(now);
        }
    }
});

fn hear(
    kind: Kind,
    body: &[u8],
    vni: Vni,
    reassembler: &mut Reassembler,
    beats: &mut BeatOpener,
    now: Instant,
) {
    match kind {
        Kind::Fragment => {
            if let Ok(Some(frame)) = reassembler.insert(vni, body, now) {
                assert!(!frame.is_empty());
            }
        }
        Kind::Control => {
            let _beat = beats.open(body);
        }
        Kind::Data => {
            let _tags = fallback_sleeve::vlan::PeerTags::parse(body);
        }
    }
}

const SESSION: SessionId = SessionId::new(7, 0x0123_4567_89ab_cdef);
const KEY: [u8; 32] = [0x42; 32];
