//! Pieces of frames, of several senders and in any order.
#![no_main]

use std::time::{Duration, Instant};

use fallback_sleeve::Reassembler;
use fallback_sleeve::fragment::FragmentHeader;
use model::fuzz::Input;
use model::{ShortId, Vni};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let mut reassembler = Reassembler::new();
    let mut now = Instant::now();
    while !input.is_empty() {
        let op = input.byte();
        let vni = Vni::new(ShortId::truncated(u16::from(op & 3) + 1), ShortId::truncated(9));
        let frame = if op & 4 == 0 {
            reassembler.insert(vni, input.piece(), now)
        } else {
            // The head and how much follows it, not the bytes
            let header = FragmentHeader {
                id: u32::from(op >> 4),
                offset: input.u16(),
                length: input.u16(),
            };
            let mut body = header.emit().to_vec();
            body.resize(body.len() + usize::from(input.u16()), 0x5a);
            reassembler.insert(vni, &body, now)
        };
        if let Ok(Some(frame)) = frame {
            assert!(!frame.is_empty() && frame.len() <= usize::from(u16::MAX));
        }
        if op & 8 != 0 {
            now += Duration::from_millis(200);
            reassembler.expire(now);
        }
    }
});
