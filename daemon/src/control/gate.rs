//! What waits until the state that it follows from is on disk.
//!
//! ```text
//!   Keep 1 ── message a ── Keep 2 ── answer b, message c        kept(1): a goes      kept(2): b and c go
//! ```
//!
//! Each change of the addresses that is to be kept has a number. An answer or a message that comes after it waits
//! until all changes up to that number are durable; whatever else the control plane does goes on. Pure.

use std::collections::{BTreeSet, VecDeque};

use gossip::Channel;
use ipam::Ticket;
use model::{PeerName, bump};

use super::command::Answer;

/// Bytes of messages that may wait: more than a disk that answers ever lets come together
const MAX_BYTES: usize = 8 << 20;
/// Messages that may wait, of whatever size
const MAX_MESSAGES: usize = 1024;

/// What waits for the disk
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Number of the last change that is to be kept
    asked: u64,
    /// All up to this one are kept
    kept: u64,
    /// Neighbors are to be told of changes, once all up to this one are kept
    flood: Option<u64>,
    answers: VecDeque<(u64, Ticket, Answer)>,
    messages: VecDeque<(u64, Message)>,
    bytes: usize,
    /// Neighbors for whom there was a message too many
    missed: BTreeSet<PeerName>,
    dropped: u64,
    /// The state is about to be deleted: nothing waits for it
    is_off: bool,
}

/// A message to a neighbor
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) peer: PeerName,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
}

impl Gate {
    /// Another change is to be kept; its number
    pub(crate) fn close(&mut self) -> u64 {
        self.asked = self.asked.saturating_add(1);
        self.asked
    }

    /// Everything up to this number is durable
    pub(crate) fn kept(&mut self, number: u64) {
        self.kept = self.kept.max(number);
    }

    /// From here on nothing waits
    pub(crate) const fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// Neighbors are to be told of changes
    pub(crate) const fn flood(&mut self) {
        self.flood = Some(self.asked);
    }

    /// Whether it is time to do so
    pub(crate) fn take_flood(&mut self) -> bool {
        let passes = self.flood.is_some_and(|number| self.passes(number));
        self.flood.take_if(|_number| passes).is_some()
    }

    /// An answer that follows from all changes so far
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.answers.push_back((self.asked, ticket, answer));
    }

    /// Whether the answer to this ticket waits for the disk
    pub(crate) fn has(&self, ticket: Ticket) -> bool {
        self.answers.iter().any(|(_, of, _)| *of == ticket)
    }

    /// The next answer that may be given
    pub(crate) fn take_answer(&mut self) -> Option<(Ticket, Answer)> {
        let (number, ..) = self.answers.front()?;
        if !self.passes(*number) {
            return None;
        }
        let (_number, ticket, answer) = self.answers.pop_front()?;
        Some((ticket, answer))
    }

    /// Answers that follow from changes up to this number: the disk refused those
    pub(crate) fn refuse(&mut self, number: u64) -> Vec<(Ticket, Answer)> {
        let kept = self.kept;
        let (refused, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.answers)
            .into_iter()
            .partition(|(of, ..)| *of > kept && *of <= number);
        self.answers = rest;
        let bare = |(_number, ticket, answer)| (ticket, answer);
        refused.into_iter().map(bare).collect()
    }

    /// Whoever asked has waited for long enough; the answer that waits for the disk, if there is one
    pub(crate) fn give_up(&mut self, ticket: Ticket) -> Option<Answer> {
        let at = self.answers.iter().position(|(_, of, _)| *of == ticket)?;
        self.answers.remove(at).map(|(_, _, answer)| answer)
    }

    /// A message that follows from all changes so far
    pub(crate) fn message(&mut self, message: Message) {
        let bytes = self.bytes.saturating_add(message.bytes.len());
        let is_full = bytes > MAX_BYTES || self.messages.len() >= MAX_MESSAGES;
        if is_full && !self.passes(self.asked) {
            bump(&mut self.dropped);
            self.missed.insert(message.peer);
            return;
        }
        self.bytes = bytes;
        self.messages.push_back((self.asked, message));
    }

    /// The next message that may be sent
    pub(crate) fn take_message(&mut self) -> Option<Message> {
        let (number, _message) = self.messages.front()?;
        if !self.passes(*number) {
            return None;
        }
        let (_number, message) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.bytes.len());
        Some(message)
    }

    /// Neighbors that have missed something, once they can be told again
    pub(crate) fn take_missed(&mut self) -> BTreeSet<PeerName> {
        if self.missed.is_empty() || !self.passes(self.asked) {
            return BTreeSet::new();
        }
        std::mem::take(&mut self.missed)
    }

    /// Messages that found no room
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    const fn passes(&self, number: u64) -> bool {
        self.is_off || self.kept >= number
    }
}

#[cfg(test)]
mod tests {
    use ipam::Ticket;

    use super::*;

    fn message(peer: u8, len: usize) -> Message {
        Message {
            peer: format!("02:00:00:00:00:{peer:02x}").parse().unwrap(),
            channel: Channel(2),
            bytes: vec![0; len],
        }
    }

    #[test]
    fn nothing_passes_a_change_that_is_not_kept() {
        let mut gate = Gate::default();
        gate.message(message(1, 1));
        assert_eq!(gate.take_message(), Some(message(1, 1)), "nothing is to be kept");
        let one = gate.close();
        gate.flood();
        gate.answer(Ticket(1), Answer::Primed);
        gate.message(message(1, 2));
        let two = gate.close();
        gate.answer(Ticket(2), Answer::Removed(7));
        gate.message(message(2, 3));
        assert!(!gate.take_flood());
        assert_eq!(gate.take_answer(), None);
        assert_eq!(gate.take_message(), None);
        gate.kept(one);
        assert!(gate.take_flood());
        assert!(!gate.take_flood(), "once");
        assert_eq!(gate.take_answer(), Some((Ticket(1), Answer::Primed)));
        assert_eq!(gate.take_answer(), None);
        assert_eq!(gate.take_message(), Some(message(1, 2)));
        assert_eq!(gate.take_message(), None);
        gate.kept(two);
        assert_eq!(gate.take_answer(), Some((Ticket(2), Answer::Removed(7))));
        assert_eq!(gate.take_message(), Some(message(2, 3)));
    }

    #[test]
    fn what_the_disk_refused_is_answered_and_nothing_else_of_it_passes() {
        let mut gate = Gate::default();
        let one = gate.close();
        gate.answer(Ticket(1), Answer::Primed);
        gate.message(message(1, 1));
        gate.close();
        gate.answer(Ticket(2), Answer::Primed);
        assert_eq!(gate.refuse(one), [(Ticket(1), Answer::Primed)]);
        assert_eq!(gate.refuse(one), []);
        assert!(gate.has(Ticket(2)) && !gate.has(Ticket(1)));
        assert_eq!(gate.give_up(Ticket(2)), Some(Answer::Primed));
        assert_eq!(gate.give_up(Ticket(2)), None);
        assert_eq!(gate.take_message(), None, "the message waits on");
        gate.turn_off();
        assert_eq!(
            gate.take_message(),
            Some(message(1, 1)),
            "before the state is deleted"
        );
    }

    #[test]
    fn an_answer_whose_change_is_kept_meanwhile_is_not_refused() {
        let mut gate = Gate::default();
        let one = gate.close();
        gate.answer(Ticket(1), Answer::Primed);
        gate.kept(one);
        assert_eq!(gate.refuse(one), []);
        assert_eq!(gate.take_answer(), Some((Ticket(1), Answer::Primed)));
    }

    #[test]
    fn messages_without_end_take_no_memory_without_end() {
        let mut gate = Gate::default();
        let one = gate.close();
        let big = MAX_BYTES / 4;
        for peer in 1..=6 {
            gate.message(message(peer, big));
        }
        assert_eq!(gate.dropped(), 2);
        assert_eq!(gate.take_missed(), BTreeSet::new(), "they cannot be told yet");
        gate.kept(one);
        let missed = [message(5, 0).peer, message(6, 0).peer];
        assert_eq!(gate.take_missed(), BTreeSet::from(missed));
        assert_eq!(gate.take_missed(), BTreeSet::new());
        for peer in 1..=4 {
            assert_eq!(gate.take_message(), Some(message(peer, big)));
        }
        assert_eq!(gate.bytes, 0);
        gate.close();
        for _ in 0..2 * MAX_MESSAGES {
            gate.message(message(1, 0));
        }
        assert_eq!(gate.messages.len(), MAX_MESSAGES);
    }
}
