use std::sync::atomic::Ordering::Relaxed;

use fallback_sleeve::segment::Segmenter;
use fallback_sleeve::{Sealer, Suite};

use super::*;

/// The most that `--sleeve-threads` takes
const THREADS: usize = 64;
/// What a thread numbers before it sends, see `Outgoing`
const TRAIN: usize = Segmenter::MAX_SEGMENTS;
/// How far behind the newest a datagram may be (docs/wire/sleeve.md)
const WINDOW: usize = 65_472;

#[test]
fn trains_that_threads_hold_back_are_taken_late() {
    let (session, suite, key) = (SessionId::new(1, 1), Suite::Aes256Gcm, [7; 32]);
    let sealer = Sealer::new(session, suite, &key);
    let mut opener = Opener::new(session, suite, &key);
    let stride = sealer.room().total();
    let train = || {
        let mut datagrams = vec![0; stride * TRAIN];
        let inner = InnerHeader {
            flags: 0,
            vni: Vni::truncated(0),
        };
        let sealed = sealer.seal_batch(Kind::Data, inner, &mut datagrams, stride);
        assert_eq!(sealed, Ok(TRAIN));
        datagrams
    };
    let mut open = |mut train: Vec<u8>| {
        for datagram in train.chunks_mut(stride) {
            opener.open_in_place(datagram).unwrap();
        }
    };

    // All threads but one wait for a CPU with what they have numbered.
    let held: Vec<_> = (1..THREADS).map(|_thread| train()).collect();
    for _meanwhile in 0..WINDOW / TRAIN - held.len() {
        open(train());
    }
    held.into_iter().rev().for_each(&mut open);

    let used = WINDOW / TRAIN * TRAIN;
    assert_eq!(sealer.used(), used as u64);
    let counters = opener.counters();
    assert_eq!(counters.opened.load(Relaxed), used as u64);
    assert_eq!(
        counters.too_old.load(Relaxed) + counters.replayed.load(Relaxed),
        0
    );
}
