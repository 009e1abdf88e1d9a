//! Questions as `dig` asks them, and what their answers have to be.
//!
//! ```text
//!  0       2       4       6       8       10      12
//! +-------+-------+-------+-------+-------+-------+------ - - -+------+-------+----- - - -+
//! | id    | flags | 1     | 0     | 0     | 1     | name       | A    | IN    | OPT        |
//! +-------+-------+-------+-------+-------+-------+------ - - -+------+-------+----- - - -+
//! ```

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

/// How many names there are
pub(super) const NAMES: usize = 10_000;

/// From one question's name to the next one's: it has no divisor with [`NAMES`] in common
const STRIDE: usize = 7919;

/// Of so many questions one is in upper case
const SHOUTED: usize = 4;

/// The name without its domain
pub(super) fn host_name(index: usize) -> String {
    format!("c{index:05}")
}

/// Its address, in a network that is kept for measurements (RFC 2544)
pub(super) fn address(index: usize) -> Ipv4Addr {
    let [.., high, low] = index.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// One question of a sequence that goes through all names, again and again, in another case each time
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    number: usize,
}

impl Question {
    pub(super) const fn new(number: usize) -> Self {
        Self { number }
    }

    /// No other one of 65,536 in a row has it
    pub(super) fn id(self) -> u16 {
        let [.., high, low] = self.number.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Of which name
    fn index(self) -> usize {
        self.number % NAMES * STRIDE % NAMES
    }

    fn name(self) -> String {
        let name = format!("{}.weave.local", host_name(self.index()));
        match (self.number / NAMES + self.index()).is_multiple_of(SHOUTED) {
            true => name.to_ascii_uppercase(),
            false => name,
        }
    }

    /// What is sent
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for number in [self.id(), RECURSION_DESIRED | AUTHENTIC_DATA, 1, 0, 0, 1] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.asked());
        bytes.extend_from_slice(&OPT);
        bytes
    }

    /// The name, in the case that it is asked in, and what is asked of it
    fn asked(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for label in self.name().split('.') {
            bytes.extend(u8::try_from(label.len()));
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&A_IN);
        bytes
    }

    /// Fails unless these bytes are the answer
    pub(super) fn check(self, answer: &[u8]) -> Result<()> {
        let is = |what: bool| what.then_some(());
        let right = || {
            let (header, rest) = answer.split_at_checked(HEADER_BYTES)?;
            is(header.get(..2)? == self.id().to_be_bytes())?;
            let flags = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
            is(flags & (RESPONSE | TRUNCATED | CODE) == RESPONSE)?;
            // One question, one record
            is(header.get(4..8)? == [0, 1, 0, 1])?;
            let rest = rest.strip_prefix(self.asked().as_slice())?;
            // The owner is what was asked; type and class follow, then for how long it holds.
            let rest = rest.strip_prefix(&POINTER_TO_QUESTION)?.strip_prefix(&A_IN)?;
            let (_ttl, rest) = rest.split_at_checked(4)?;
            let rest = rest.strip_prefix(&[0, 4])?;
            is(rest.get(..4)? == address(self.index()).octets())
        };
        right().with_context(|| format!("{} was answered with {answer:02x?}", self.name()))
    }
}

/// The id of an answer
pub(super) fn id_of(answer: &[u8]) -> Result<u16> {
    ensure!(
        answer.len() >= HEADER_BYTES,
        "an answer of {} bytes",
        answer.len()
    );
    Ok(u16::from_be_bytes([answer[0], answer[1]]))
}

const HEADER_BYTES: usize = 12;

const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const AUTHENTIC_DATA: u16 = 0x0020;
/// Of which 0 is NOERROR
const CODE: u16 = 0x000f;

/// Type and class
const A_IN: [u8; 4] = [0, 1, 0, 1];

/// A name that is the one at this offset (RFC 1035, 4.1.4)
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, 12];

/// Datagrams of up to 1232 bytes can be taken, and a cookie of 8 bytes (RFC 6891, RFC 7873)
const OPT: [u8; 23] = [
    0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 0xc0, 0x0c, 0x1e, 0xc0, 0x0c, 0x1e, 0xc0, 0x0c,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A right answer, made by hand
    fn answer(question: Question) -> Vec<u8> {
        let header = [0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4];
        [
            &question.id().to_be_bytes()[..],
            &header,
            &question.asked(),
            &record,
            &address(question.index()).octets(),
        ]
        .concat()
    }

    #[test]
    fn questions_are_of_all_names_and_some_of_each_in_upper_case() {
        let of = |numbers: std::ops::Range<usize>| -> BTreeSet<String> {
            numbers.map(|number| Question::new(number).name()).collect()
        };
        let once = of(0..NAMES);
        assert_eq!(once.len(), NAMES);
        let shouted = once.iter().filter(|name| name.ends_with("LOCAL")).count();
        assert_eq!(shouted, NAMES / SHOUTED);
        assert_eq!(of(0..SHOUTED * NAMES).len(), 2 * NAMES);
    }

    #[test]
    fn a_question_is_as_dig_asks_it() {
        let expected = [
            &[0, 0, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1][..],
            b"\x06C00000\x05WEAVE\x05LOCAL\0\0\x01\0\x01",
            &OPT,
        ]
        .concat();
        assert_eq!(Question::new(0).bytes(), expected);
    }

    #[test]
    fn an_answer_is_right_in_all_that_was_asked() {
        let question = Question::new(4711);
        let right = answer(question);
        question.check(&right).unwrap();
        assert_eq!(id_of(&right).unwrap(), 4711);
        // The code, the case of a letter, the kind of record, the address; and what is cut off
        for at in [3, 14, right.len() - 14, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[at] ^= 0x21;
            assert!(question.check(&wrong).is_err(), "byte {at}");
        }
        for length in 0..right.len() {
            assert!(question.check(&right[..length]).is_err(), "{length} bytes");
        }
        assert!(Question::new(4712).check(&right).is_err());
        assert!(id_of(&right[..4]).is_err());
    }
}
