use model::ShortId;
use proptest::prelude::*;

use super::*;
use crate::Sealer;

const KEY: [u8; 32] = [9; 32];
const SESSION: SessionId = SessionId::new(3, 0x5555_5555_5555_5555);
const SUITES: [Suite; 3] = [Suite::Clear, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

fn inner() -> InnerHeader {
    InnerHeader {
        flags: 0x41,
        vni: Vni::new(ShortId::truncated(5), ShortId::truncated(6)),
    }
}

fn pair(suite: Suite) -> (Sealer, Opener) {
    (
        Sealer::new(SESSION, suite, &KEY),
        Opener::new(SESSION, suite, &KEY),
    )
}

fn sealed(sealer: &Sealer, body: &[u8]) -> Vec<u8> {
    let room = sealer.room();
    let mut datagram = vec![0; room.head];
    datagram.extend_from_slice(body);
    datagram.resize(room.total() + body.len(), 0);
    sealer.seal_in_place(Kind::Data, inner(), &mut datagram).unwrap();
    datagram
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[test]
fn what_was_sealed_opens_in_every_suite() {
    for suite in SUITES {
        let (sealer, mut opener) = pair(suite);
        let mut datagram = sealed(&sealer, b"a frame");
        let opened = opener.open_in_place(&mut datagram).unwrap();
        assert_eq!(&datagram[opened.body.clone()], b"a frame");
        assert_eq!(
            (opened.kind, opened.flags, opened.vni),
            (Kind::Data, 0x41, inner().vni)
        );
        assert_eq!(read(&opener.counters().opened), 1);
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        let (sealer, mut opener) = pair(suite);
        let good = sealed(&sealer, b"a frame");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_in_place(&mut bad).is_err(), "{suite:?} bit {bit}");
        }
        assert!(opener.open_in_place(&mut good.clone()).is_ok());
        assert!(read(&opener.counters().forged) > 0);
    }
}

#[test]
fn a_forgery_does_not_move_the_window() {
    let (sealer, mut opener) = pair(Suite::Aes256Gcm);
    let mut forged = sealed(&sealer, b"x");
    forged[3..8].copy_from_slice(&[0x80, 0, 0, 0, 0]);
    assert_eq!(opener.open_in_place(&mut forged), Err(OpenError::Forged));
    assert!(opener.open_in_place(&mut sealed(&sealer, b"y")).is_ok());
    assert_eq!(read(&opener.counters().highest), 2);
}

#[test]
fn replays_and_old_ones_are_refused_and_counted() {
    let (sealer, mut opener) = pair(Suite::Aes256Gcm);
    let first = sealed(&sealer, b"first");
    let second = sealed(&sealer, b"second");
    assert!(opener.open_in_place(&mut second.clone()).is_ok());
    assert!(opener.open_in_place(&mut first.clone()).is_ok(), "late but new");
    assert_eq!(
        opener.open_in_place(&mut first.clone()),
        Err(OpenError::Replayed(0))
    );
    let third = sealed(&sealer, b"third");
    for _ in 0..ReplayWindow::SIZE {
        assert!(opener.open_in_place(&mut sealed(&sealer, b"")).is_ok());
    }
    assert_eq!(
        opener.open_in_place(&mut third.clone()),
        Err(OpenError::TooOld(2))
    );
    assert_eq!(
        (
            read(&opener.counters().replayed),
            read(&opener.counters().too_old)
        ),
        (1, 1)
    );
}

#[test]
fn a_clear_session_takes_only_its_own_clear_datagrams() {
    let (sealer, mut opener) = pair(Suite::Clear);
    let datagram = sealed(&sealer, b"frame");
    assert!(opener.open_in_place(&mut datagram.clone()).is_ok());
    assert!(
        opener.open_in_place(&mut datagram.clone()).is_ok(),
        "no replay check"
    );
    let mut other = datagram.clone();
    other[15] ^= 1;
    let session = SessionId::new(3, 0x5555_5555_5555_5554);
    assert_eq!(opener.open_in_place(&mut other), Err(OpenError::Session(session)));
    let mut flagged = datagram.clone();
    flagged[0] |= 0x80;
    assert_eq!(opener.open_in_place(&mut flagged), Err(OpenError::Sealed));
}

#[test]
fn each_refusal_has_its_error_and_its_count() {
    let (sealer, mut opener) = pair(Suite::Aes256Gcm);
    let good = sealed(&sealer, b"");
    let mut clear = good.clone();
    clear[0] &= 0x7f;
    let mut kind = good.clone();
    kind[0] = 9;
    let mut slot = good.clone();
    slot[1] = 0x10;
    let mut long = vec![0; MAX_LEN + 1];
    let mut try_open = |datagram: &mut [u8]| opener.open_in_place(datagram).unwrap_err();
    assert_eq!(try_open(&mut []), OpenError::TooShort(0));
    assert_eq!(try_open(&mut good[..35].to_vec()), OpenError::TooShort(35));
    assert_eq!(try_open(&mut clear), OpenError::NotSealed);
    assert_eq!(try_open(&mut kind), OpenError::Header(HeaderError::Kind(9)));
    assert_eq!(try_open(&mut slot), OpenError::Header(HeaderError::Reserved));
    assert_eq!(try_open(&mut long), OpenError::TooLong(MAX_LEN + 1));
    let counters = opener.counters();
    assert_eq!(read(&counters.too_short), 2);
    assert_eq!(read(&counters.wrong_seal), 1);
    assert_eq!(read(&counters.malformed), 2);
    assert_eq!(read(&counters.too_long), 1);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), suite in 0..3usize, ours: bool) {
        let (_, mut opener) = pair(SUITES[suite]);
        let mut datagram = bytes;
        if ours && datagram.len() >= 16 {
            let (slot, random) = SESSION.emit();
            datagram[0] = 1 | u8::from(SUITES[suite].is_sealed()) << 7;
            datagram[1..3].copy_from_slice(&slot);
            datagram[8..16].copy_from_slice(&random);
        }
        if let Ok(opened) = opener.open_in_place(&mut datagram) {
            prop_assert!(datagram.get(opened.body).is_some());
        }
    }
}
