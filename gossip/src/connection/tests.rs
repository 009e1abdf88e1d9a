use std::time::Duration;

use model::{ShortId, Uid};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use super::*;
use crate::config::Offer;
use crate::identity::{Identity, Psk};
use crate::output::Channel;
use crate::records::COUNTER_LIMIT;

#[test]
fn two_sides_introduce_themselves_and_talk() {
    let mut pair = Pair::new(None, None);
    pair.introduce();
    assert!(pair.ends.iter().all(|end| end.connection.is_up()));
    let message = Message::Channel(Channel(1), vec![7; 200_000]);
    pair.ends[0].connection.send(&wire::encode(&message));
    assert_eq!(pair.exchange(), [vec![], vec![Received::Message(message)]]);
}

#[test]
fn only_one_side_with_a_password_is_noticed_by_both() {
    let mut pair = Pair::new(Some(1), None);
    assert_eq!(
        pair.exchange(),
        [
            vec![Received::Ended(Ended::Rejected(Reject::PasswordMissing))],
            vec![Received::Ended(Ended::Rejected(Reject::PasswordUnexpected))],
        ]
    );
}

#[test]
fn the_side_that_dialled_hears_that_its_password_is_another() {
    let mut pair = Pair::new(Some(1), Some(2));
    assert_eq!(
        pair.exchange(),
        [
            vec![
                Received::Secured,
                Received::Ended(Ended::RefusedInClear(Reject::PasswordWrong))
            ],
            vec![Received::Ended(Ended::Rejected(Reject::PasswordWrong))],
        ]
    );
}

#[test]
fn a_goodbye_ends_the_other_side() {
    for (goodbye, ended) in [
        (Goodbye::Leave, Ended::Left),
        (Goodbye::Restart, Ended::Restarting),
        (Goodbye::Duplicate, Ended::Duplicate),
        (
            Goodbye::Refused(Reject::Ourselves),
            Ended::Refused(Reject::Ourselves),
        ),
    ] {
        let mut pair = Pair::new(None, None);
        pair.introduce();
        pair.ends[0].connection.close(goodbye);
        assert_eq!(pair.exchange()[1], [Received::Ended(ended)]);
    }
}

#[test]
fn who_does_not_introduce_himself_in_time_is_cut_off() {
    let timers = Timers::default();
    let mut pair = Pair::new(None, None);
    pair.exchange();
    let connection = &mut pair.ends[0].connection;
    assert_eq!(connection.deadline(), (pair.now + timers.handshake, "handshake"));
    assert_eq!(connection.handle_timeout(pair.now + timers.handshake / 2), None);
    // Bytes do not prolong it: a Hello does.
    connection.feed(&[3], &timers, pair.now + timers.handshake / 2);
    let ended = connection.handle_timeout(pair.now + timers.handshake);
    assert_eq!(ended, Some(Ended::HandshakeTimeout));
}

#[test]
fn silence_ends_a_connection_and_any_byte_prolongs_it() {
    let timers = Timers::default();
    let mut pair = Pair::new(None, None);
    pair.introduce();
    let later = pair.now + Duration::from_secs(1);
    let connection = &mut pair.ends[0].connection;
    connection.feed(&[3], &timers, later);
    assert_eq!(connection.deadline(), (later + timers.silence, "silence"));
    assert_eq!(
        connection.handle_timeout(later + timers.silence),
        Some(Ended::Silence)
    );
}

#[test]
fn a_stranger_is_read_for_four_kilobytes_and_not_more() {
    let mut pair = Pair::new(None, None);
    pair.exchange();
    // A sealed frame of 4 KiB, announced after the handshake, before the Hello.
    assert_eq!(
        pair.feed(1, &[3, 0x10, 0x00]),
        [Received::Ended(Ended::Oversized)]
    );

    let mut pair = Pair::new(None, None);
    let greeting = pair.ends[0].connection.take_output();
    assert_eq!(pair.feed(1, &greeting), []);
    assert_eq!(
        pair.feed(1, &[1, 0xff, 0xff]),
        [Received::Ended(Ended::Oversized)]
    );
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_length() {
    let mut pair = Pair::new(None, None);
    pair.introduce();
    pair.seal_raw(0, &(wire::LIMIT as u32 + 1).to_be_bytes());
    assert_eq!(pair.exchange()[1], [Received::Ended(Ended::Oversized)]);
}

#[test]
fn messages_at_the_wrong_time_are_malformed() {
    let pair = Pair::new(None, None);
    let greeting = hello(&pair.ends[0].secrets);
    let ended = |before: &[Message], message: Message| {
        let mut pair = Pair::new(None, None);
        pair.exchange();
        for message in before.iter().chain([&message]) {
            pair.ends[0].connection.send(&wire::encode(message));
        }
        pair.exchange()[1].pop()
    };
    let hello = || Message::Hello(Box::new(greeting.clone()));
    let malformed = Some(Received::Ended(Ended::Malformed));
    assert_eq!(ended(&[], Message::Keepalive), malformed);
    assert_eq!(ended(&[], Message::Welcome), malformed);
    assert_eq!(ended(&[hello()], hello()), malformed);
    assert_eq!(ended(&[hello()], Message::Keepalive), malformed);
    assert_eq!(ended(&[hello(), Message::Welcome], hello()), malformed);
    assert_eq!(ended(&[hello(), Message::Welcome], Message::Welcome), malformed);
    assert_eq!(ended(&[hello()], Message::Welcome), Some(Received::Welcome));

    // Another's proof, or one for another handshake, proves nothing.
    let other = hello_of(&pair.ends[1].secrets, 7);
    let foreign = Hello {
        identity: hello_of(&pair.ends[0].secrets, 8).identity,
        ..greeting.clone()
    };
    for hello in [other, foreign] {
        let forged = Some(Received::Ended(Ended::Forged));
        assert_eq!(ended(&[], Message::Hello(Box::new(hello))), forged);
    }
}

#[test]
fn other_programs_and_weave_net_are_told_apart() {
    let mut pair = Pair::new(None, None);
    assert_eq!(pair.feed(0, b"SSH-2.0-"), [Received::Ended(Ended::Foreign)]);
    assert!(matches!(
        pair.feed(1, b"weave\x01\x02")[..],
        [Received::Ended(Ended::Rejected(Reject::Versions { .. }))]
    ));
}

#[test]
fn under_load_the_side_that_dials_solves_a_puzzle_first() {
    let puzzle = Puzzle {
        difficulty: 8,
        challenge: [7; 16],
    };
    let mut pair = Pair::with_puzzle(Some(1), Some(1), Some(puzzle));
    pair.introduce();
    assert!(pair.ends.iter().all(|end| end.connection.is_up()));

    // Without a solution, or with a wrong one, no handshake begins.
    for frame in [
        &[1, 0, 1, 7][..],
        &[4, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9],
        &[4, 0, 1, 0],
    ] {
        let mut pair = Pair::with_puzzle(None, None, Some(puzzle));
        let greeting = pair.ends[0].connection.take_output();
        assert_eq!(pair.feed(1, &greeting), []);
        pair.ends[1].connection.take_output();
        assert_eq!(pair.feed(1, frame), [Received::Ended(Ended::Malformed)]);
        assert_eq!(pair.ends[1].connection.take_output(), []);
    }

    // Nobody who dials is asked for so much work that it would be an attack, nor asks for any himself.
    let greedy = Puzzle {
        difficulty: 255,
        ..puzzle
    };
    let mut pair = Pair::with_puzzle(None, None, Some(greedy));
    assert_eq!(pair.exchange()[0], [Received::Ended(Ended::Malformed)]);
    let mut pair = Pair::with_puzzle(None, None, Some(puzzle));
    let asks = pair.ends[1].connection.take_output();
    assert_eq!(pair.feed(1, &asks), [Received::Ended(Ended::Malformed)]);
}

#[test]
fn a_reject_in_the_clear_is_told_apart_from_a_sealed_one() {
    let mut pair = Pair::new(Some(1), Some(1));
    let greeting = pair.ends[1].connection.take_output();
    pair.feed(0, &greeting);
    let forged = Ended::RefusedInClear(Reject::Ourselves);
    assert_eq!(pair.feed(0, &[2, 0, 1, 5]), [Received::Ended(forged)]);
    assert!(!forged.is_final(), "anybody between can say so");
    assert!(Ended::Refused(Reject::Ourselves).is_final());
}

#[test]
fn a_process_notices_that_it_has_dialled_itself() {
    let mut pair = Pair::new(None, None);
    let keys = pair.ends[0].secrets.keys.clone();
    pair.ends[1].secrets.keys = keys;
    let ended = pair.exchange();
    assert!(
        ended
            .iter()
            .flatten()
            .any(|received| *received == Received::Ended(Ended::Ourselves))
    );
}

#[test]
fn a_replayed_frame_is_a_forgery() {
    let mut pair = Pair::new(None, None);
    pair.introduce();
    pair.ends[0].connection.send(&wire::encode(&Message::Keepalive));
    let frame = pair.ends[0].connection.take_output();
    assert_eq!(pair.feed(1, &frame), [Received::Message(Message::Keepalive)]);
    assert_eq!(pair.feed(1, &frame), [Received::Ended(Ended::Forged)]);
}

proptest! {
    #[test]
    fn any_bytes_from_a_stranger_end_the_connection_or_wait(
        bytes: Vec<u8>, magic: bool, psk: bool, outbound: bool,
    ) {
        let mut pair = Pair::new(psk.then_some(1), psk.then_some(1));
        let side = usize::from(!outbound);
        if magic {
            let prologue = pair.ends[1 - side].connection.take_output();
            pair.feed(side, &prologue);
        }
        pair.feed(side, &bytes);
        prop_assert!(pair.ends[side].connection.frames.pending().len() <= EARLY + frame::HEADER);
    }

    #[test]
    fn any_bytes_from_a_neighbour_end_the_connection_or_wait(
        raw: Vec<u8>, tag in 0..11u8, body: Vec<u8>,
    ) {
        let mut pair = Pair::new(None, None);
        pair.introduce();
        let len = (body.len() as u32 + 2).to_be_bytes();
        pair.seal_raw(0, &[&len[..], &[tag, 1], &body].concat());
        pair.seal_raw(0, &raw);
        pair.exchange();
        pair.feed(1, &raw);
    }
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

struct End {
    connection: Connection,
    secrets: Secrets,
}

impl Pair {
    /// The first dialled the second
    fn new(psk_a: Option<u8>, psk_b: Option<u8>) -> Self {
        Self::with_puzzle(psk_a, psk_b, None)
    }

    /// The second asks the first to solve a puzzle
    fn with_puzzle(psk_a: Option<u8>, psk_b: Option<u8>, puzzle: Option<Puzzle>) -> Self {
        let now = Instant::now();
        let end = |outbound: bool, seed: u64, psk: Option<u8>| {
            let mut rng = StdRng::seed_from_u64(seed);
            let secrets = Secrets {
                keys: StaticKeypair::generate(&mut rng),
                passwords: Passwords::of(psk.map(|byte| Psk::new(Zeroizing::new([byte; 32])))),
                network: NetworkName::default(),
            };
            let start = Start {
                outbound,
                local: "192.0.2.1:1".parse().unwrap(),
                remote: "192.0.2.2:2".parse().unwrap(),
                id: seed,
                beat_key: beat_key(),
                seed: noise::seed(&mut rng),
                puzzle: puzzle.filter(|_| !outbound),
                password: 0,
            };
            let connection = Connection::new(start, &secrets, &Timers::default(), now);
            End { connection, secrets }
        };
        Self {
            ends: [end(true, 1, psk_a), end(false, 2, psk_b)],
            now,
        }
    }

    /// Moves bytes until nobody has any; tells what each side received
    fn exchange(&mut self) -> [Vec<Received>; 2] {
        let mut received = [vec![], vec![]];
        loop {
            let mut quiet = true;
            for side in 0..2 {
                let bytes = self.ends[side].connection.take_output();
                quiet &= bytes.is_empty();
                received[1 - side].extend(self.feed(1 - side, &bytes));
            }
            if quiet {
                return received;
            }
        }
    }

    fn feed(&mut self, side: usize, bytes: &[u8]) -> Vec<Received> {
        let End { connection, secrets } = &mut self.ends[side];
        connection.feed(bytes, &Timers::default(), self.now);
        std::iter::from_fn(|| connection.poll(secrets, &Timers::default(), self.now)).collect()
    }

    fn introduce(&mut self) {
        self.exchange();
        let hellos = [0, 1].map(|side| Box::new(hello(&self.ends[side].secrets)));
        for (end, hello) in self.ends.iter_mut().zip(&hellos) {
            end.connection.send(&wire::encode(&Message::Hello(hello.clone())));
        }
        let [first, second] = hellos;
        let expected = [vec![Received::Hello(second)], vec![Received::Hello(first)]];
        assert_eq!(self.exchange(), expected);
        for end in &mut self.ends {
            assert!(!end.connection.is_up());
            end.connection.send(&wire::encode(&Message::Welcome));
        }
        assert_eq!(self.exchange(), [[Received::Welcome], [Received::Welcome]]);
    }

    /// Sends plaintext that is no message
    fn seal_raw(&mut self, side: usize, plaintext: &[u8]) {
        let connection = &mut self.ends[side].connection;
        let (Stage::Greeting { stream, .. } | Stage::Up(stream)) = &mut connection.stage else {
            return;
        };
        stream.write(plaintext, &mut connection.out).unwrap();
    }
}

fn beat_key() -> BeatKey {
    BeatKey::new(Zeroizing::new([0xff; 32]))
}

/// The longest one that proves this end of the handshake
fn hello(secrets: &Secrets) -> Hello {
    hello_of(secrets, 7)
}

fn hello_of(secrets: &Secrets, seed: u8) -> Hello {
    let identity = Identity::from_seed(Zeroizing::new([seed; 32]));
    Hello {
        name: crate::records::tests::name(1),
        nickname: "n".repeat(253).parse().unwrap(),
        identity: identity.key(),
        proof: identity.sign(Purpose::Handshake, &secrets.keys.public()),
        uid: Uid(u64::MAX),
        epoch: COUNTER_LIMIT - 1,
        short_id: ShortId::truncated(0xfff),
        conn_id: u64::MAX,
        beat_key: beat_key(),
        trusts_you: true,
        offer: Offer {
            fastdp: true,
            vxlan_port: u16::MAX,
            sleeve_port: u16::MAX,
            overlay_mtu: u16::MAX,
        },
        control_port: u16::MAX,
        you: "[2001:db8::1]:65535".parse().unwrap(),
        version: "v".repeat(64),
    }
}
