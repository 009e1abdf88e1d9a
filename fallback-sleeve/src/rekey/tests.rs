use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::datagram::{InnerHeader, Kind};
use model::{ShortId, Vni};

/// One end: its keys, and what a driver would hold for it
struct End {
    keys: Keys,
    rng: StdRng,
    openers: BTreeMap<SessionId, Opener>,
    sealer: Option<Sealer>,
    /// Keys that it was ever offered
    offered: Vec<[u8; 32]>,
}

impl End {
    fn new(suite: Suite, seed: u64, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            keys: Keys::new(KeysConfig::new(suite, seed as u16), &mut rng, now),
            rng,
            openers: BTreeMap::new(),
            sealer: None,
            offered: Vec::new(),
        }
    }

    /// Does what the keys ask for and returns what is to be sent
    fn act(&mut self) -> Vec<Zeroizing<Vec<u8>>> {
        let mut messages = Vec::new();
        while let Some(output) = self.keys.poll_output() {
            match output {
                Output::Open(opener) => assert!(self.openers.insert(opener.session(), opener).is_none()),
                Output::Close(session) => assert!(self.openers.remove(&session).is_some()),
                Output::Seal(sealer) => self.sealer = Some(sealer),
                Output::Send(message) => messages.push(message),
            }
        }
        messages
    }

    fn receive(&mut self, message: &[u8], now: Instant) -> Result<(), KeysError> {
        if let Ok(KeyMessage::Offer(offer)) = KeyMessage::parse(message) {
            self.offered.push(*offer.key);
        }
        self.keys.handle_message(message, now)
    }

    fn seal(&self) -> Vec<u8> {
        let sealer = self.sealer.as_ref().unwrap();
        let mut datagram = vec![0; sealer.room().total() + 5];
        let inner = InnerHeader {
            flags: 0,
            vni: Vni::new(ShortId::truncated(1), ShortId::truncated(2)),
        };
        sealer.seal_in_place(Kind::Data, inner, &mut datagram).unwrap();
        datagram
    }

    fn opens(&mut self, datagram: &[u8]) -> bool {
        let session = crate::datagram::Header::parse(datagram).unwrap().session;
        let opener = self.openers.get_mut(&session);
        opener.is_some_and(|opener| opener.open_in_place(&mut datagram.to_vec()).is_ok())
    }
}

/// Carries messages until both are silent
fn talk(a: &mut End, b: &mut End, now: Instant) {
    loop {
        let (from_a, from_b) = (a.act(), b.act());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        // An answer may be overtaken by a newer offer, which is answered as well.
        let fine = |result| matches!(result, Ok(()) | Err(KeysError::NotOffered(_)));
        assert!(from_a.iter().all(|message| fine(b.receive(message, now))));
        assert!(from_b.iter().all(|message| fine(a.receive(message, now))));
    }
}

fn pair(suite: Suite, now: Instant) -> (End, End) {
    let (mut a, mut b) = (End::new(suite, 1, now), End::new(suite, 2, now));
    talk(&mut a, &mut b, now);
    (a, b)
}

const SEALED: Suite = Suite::ChaCha20Poly1305;

#[test]
fn neighbours_agree_on_a_key_for_each_direction() {
    for suite in [Suite::Clear, Suite::Aes256Gcm, SEALED] {
        let (mut a, mut b) = pair(suite, Instant::now());
        assert!(b.opens(&a.seal()) && a.opens(&b.seal()), "{suite:?}");
        assert_eq!(
            a.openers.keys().map(|session| session.slot()).collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(a.sealer.as_ref().unwrap().session().slot(), 2);
    }
}

#[test]
fn a_key_is_replaced_by_age_and_the_old_one_received_for_a_while() {
    let start = Instant::now();
    let (mut a, mut b) = pair(SEALED, start);
    let late = a.seal();
    let (at, _) = b.keys.poll_timeout().unwrap();
    assert_eq!(at, start + LOOK, "use is looked at before age is due");
    let mut now = start;
    while b.offered.len() == 1 && a.offered.len() == 1 {
        now = b.keys.poll_timeout().unwrap().0;
        b.keys.handle_timeout(&mut b.rng, now);
        talk(&mut a, &mut b, now);
    }
    assert_eq!(now, start + Duration::from_secs(120));
    assert_eq!(b.openers.len(), 2);
    assert!(b.opens(&late), "sent before, received after");
    assert!(b.opens(&a.seal()));
    let (at, why) = b.keys.poll_timeout().unwrap();
    assert!(at <= now + Duration::from_secs(10), "{why}");
    b.keys.handle_timeout(&mut b.rng, now + Duration::from_secs(10));
    talk(&mut a, &mut b, now);
    assert_eq!(b.openers.len(), 1);
    assert!(b.opens(&a.seal()));
}

#[test]
fn a_key_is_replaced_by_use() {
    let start = Instant::now();
    let (mut a, mut b) = pair(SEALED, start);
    b.keys.config.max_datagrams = 100;
    for i in 0..100 {
        b.keys.handle_timeout(&mut b.rng, start + LOOK);
        assert!(b.keys.poll_output().is_none(), "after {i}");
        assert!(b.opens(&a.seal()));
    }
    b.keys.handle_timeout(&mut b.rng, start + LOOK);
    talk(&mut a, &mut b, start + LOOK);
    assert_eq!(a.offered.len(), 2);
    assert!(b.opens(&a.seal()));
}

#[test]
fn clear_sessions_are_not_replaced() {
    let start = Instant::now();
    let (mut a, _) = pair(Suite::Clear, start);
    assert_eq!(a.keys.poll_timeout(), None);
    a.keys
        .handle_timeout(&mut a.rng, start + Duration::from_secs(86_400));
    assert!(a.keys.poll_output().is_none());
}

#[test]
fn a_restarted_sender_gets_a_fresh_key() {
    let start = Instant::now();
    let (mut a, mut b) = pair(SEALED, start);
    let old_offers = a.offered.clone();
    // The sender dies with its state; the receiver lives on and sees a new control channel.
    a = End::new(SEALED, 77, start);
    a.offered = old_offers;
    b.keys.reconnected(&mut b.rng, start);
    talk(&mut a, &mut b, start);
    assert!(b.opens(&a.seal()));
    let keys: BTreeSet<_> = a.offered.iter().collect();
    assert_eq!(keys.len(), a.offered.len(), "no key was offered twice");
}

#[test]
fn an_offer_whose_answer_was_lost_is_still_received() {
    let start = Instant::now();
    let (mut a, mut b) = (End::new(SEALED, 1, start), End::new(SEALED, 2, start));
    for offer in b.act() {
        a.receive(&offer, start).unwrap();
    }
    let accept_lost = a.act();
    assert!(b.opens(&a.seal()));
    let late = a.seal();
    b.keys.reconnected(&mut b.rng, start);
    talk(&mut a, &mut b, start);
    assert!(b.opens(&late));
    assert!(b.opens(&a.seal()));
    let stale = accept_lost.last().unwrap();
    assert!(matches!(b.receive(stale, start), Err(KeysError::NotOffered(_))));
}

#[test]
fn what_would_weaken_the_path_is_refused() {
    let now = Instant::now();
    let (mut a, _) = pair(SEALED, now);
    let clear = KeyMessage::Offer(SessionKey {
        session: SessionId::new(0, 5),
        suite: Suite::Clear,
        key: Zeroizing::new([0; 32]),
    });
    assert_eq!(a.receive(&clear.emit(), now), Err(KeysError::ClearRefused));
    let offer = KeyMessage::Offer(SessionKey {
        session: SessionId::new(0, 6),
        suite: SEALED,
        key: Zeroizing::new([6; 32]),
    });
    assert_eq!(a.receive(&offer.emit(), now), Ok(()));
    assert_eq!(
        a.receive(&offer.emit(), now),
        Err(KeysError::Repeated(SessionId::new(0, 6))),
        "nonces would repeat"
    );
    let unknown = KeyMessage::Accept(SessionId::new(0, 7)).emit();
    assert_eq!(
        a.receive(&unknown, now),
        Err(KeysError::NotOffered(SessionId::new(0, 7)))
    );
    let error = a.receive(&[1, 2, 3], now);
    assert!(matches!(
        error,
        Err(KeysError::Message(KeyMessageError::Length(3)))
    ));
}

#[test]
fn a_neighbour_that_is_gone_leaves_no_session() {
    let now = Instant::now();
    let (mut a, _) = pair(SEALED, now);
    a.keys.reconnected(&mut a.rng, now);
    a.keys.shut_down();
    let _unsent = a.act();
    assert!(a.openers.is_empty());
    assert_eq!(a.keys.poll_timeout(), None);
}

proptest! {
    #[test]
    fn whatever_happens_traffic_passes_once_all_is_said(
        steps in prop::collection::vec((0..6u8, 0..90_000u64), 1..60),
    ) {
        let mut now = Instant::now();
        let (mut a, mut b) = pair(SEALED, now);
        for (what, pause) in steps {
            now += Duration::from_millis(pause);
            match what {
                0 => a.keys.reconnected(&mut a.rng, now),
                1 => b.keys.reconnected(&mut b.rng, now),
                // What is under way is lost with the control channel; a new one follows.
                2 => {
                    a.act();
                    b.act();
                    a.keys.reconnected(&mut a.rng, now);
                    b.keys.reconnected(&mut b.rng, now);
                }
                3 => a.keys.handle_timeout(&mut a.rng, now),
                4 => b.keys.handle_timeout(&mut b.rng, now),
                _ => talk(&mut a, &mut b, now),
            }
            let bound = MAX_RETIRING + 2;
            prop_assert!(a.openers.len() <= bound && b.openers.len() <= bound);
        }
        a.keys.handle_timeout(&mut a.rng, now);
        b.keys.handle_timeout(&mut b.rng, now);
        talk(&mut a, &mut b, now);
        prop_assert!(a.opens(&b.seal()) && b.opens(&a.seal()));
        let all: Vec<_> = a.offered.iter().chain(&b.offered).collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn any_bytes_never_panic(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
        let now = Instant::now();
        let (mut a, _) = pair(SEALED, now);
        for message in messages {
            let _ = a.receive(&message, now);
        }
    }
}
