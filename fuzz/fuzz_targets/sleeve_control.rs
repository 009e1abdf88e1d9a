//! Heartbeats of the sleeve and of fastdp, and what neighbors tell each other about keys.
#![no_main]

use std::time::{Duration, Instant};

use fallback_sleeve::Suite;
use fallback_sleeve::heartbeat::{Beat, BeatFields, BeatOpener, BeatSealer};
use fallback_sleeve::probe::{self, PathProbe, ProbeConfig};
use fallback_sleeve::rekey::{KeyMessage, Keys, KeysConfig, Output};
use model::PathKind;
use model::fuzz::Input;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let mut now = Instant::now();
    let mut rng = StdRng::seed_from_u64(1);
    let path = if how & 1 == 0 {
        PathKind::Sleeve
    } else {
        PathKind::Fastdp
    };
    let suite = if how & 2 == 0 {
        Suite::Clear
    } else {
        Suite::Aes256Gcm
    };
    let mut keys = Keys::new(KeysConfig::new(suite, 3), &mut rng, now);
    let mut opener = BeatOpener::new(KEY.into(), path);
    let mut sealer = BeatSealer::new(KEY.into(), path);
    let mut probe = PathProbe::new(ProbeConfig::default(), PROBE, now);
    let mut last = None;
    while !input.is_empty() {
        let op = input.byte();
        match op & 7 {
            0 => {
                let message = input.piece();
                if let Ok(read) = KeyMessage::parse(message) {
                    assert_eq!(*read.emit(), message, "it is written as it came");
                }
                let _refused = keys.handle_message(message, now);
            }
            1 => keys.reconnected(&mut rng, now),
            2 => {
                let _beat = opener.open(input.piece());
            }
            3 => {
                let fields = BeatFields {
                    id: if op & 8 == 0 { PROBE } else { input.u64() },
                    sequence: input.u32(),
                    size: input.u16(),
                };
                let beat = if op & 16 == 0 {
                    Beat::Ping(fields)
                } else {
                    Beat::Pong(fields)
                };
                let sealed = sealer.seal(beat).expect("counters are left");
                assert_eq!(opener.open(&sealed), Ok(beat));
                opener.open(&sealed).expect_err("it came before");
                let _answer = probe.handle_beat(beat, input.u16(), now);
            }
            4 => {
                if let Some(beat) = last.take() {
                    let _answer = probe.handle_beat(beat, input.u16(), now);
                }
            }
            5 => {
                now += Duration::from_millis(input.u16().into());
                keys.handle_timeout(&mut rng, now);
                probe.handle_timeout(now);
            }
            _ => {
                if let Some((due, _why)) = keys.poll_timeout() {
                    now = now.max(due);
                    keys.handle_timeout(&mut rng, now);
                }
            }
        }
        while let Some(output) = keys.poll_output() {
            if let Output::Send(message) = output {
                KeyMessage::parse(&message).expect("what is sent can be read");
            }
        }
        while let Some(output) = probe.poll_output() {
            if let probe::Output::Transmit(transmit) = output {
                let Beat::Ping(fields) = transmit.beat else {
                    continue;
                };
                last = Some(Beat::Pong(fields));
            }
        }
    }
});

const KEY: [u8; 32] = [0x42; 32];
const PROBE: u64 = 5;
