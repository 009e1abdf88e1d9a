//! What happened, in numbers.

use model::bump;

use crate::connection::Ended;

/// How often each odd thing happened since the start
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections whose handshake came to its end
    pub handshakes: u64,
    /// Connections that were not completed in time
    pub handshake_timeouts: u64,
    /// Connections of programs that speak something else
    pub foreign: u64,
    /// Connections that we refused, for version, password, limit, name
    pub refused: u64,
    /// Of these: the other side has another password
    pub wrong_passwords: u64,
    /// Of these: the name belongs to another peer
    pub name_collisions: u64,
    /// Connections that the other side refused
    pub refused_by_peer: u64,
    /// Connections that were accepted by the kernel while too many were in their handshake
    pub not_accepted: u64,
    /// Connections closed for a frame that was not sealed by the other side
    pub forged: u64,
    /// Connections closed for bytes that are no message
    pub malformed: u64,
    /// Connections closed for a value that no peer would send
    pub out_of_bounds: u64,
    /// Connections closed for a record that its peer did not sign
    pub unsigned: u64,
    /// Connections closed because the key of the other side was banned
    pub banned: u64,
    /// Connections from addresses that sent too many wrong passwords
    pub guesses_refused: u64,
    /// Records whose name belongs to another key, or whose key is banned; dropped
    pub records_refused: u64,
    /// Requests of neighbors for more records than they may have; dropped
    pub requests_dropped: u64,
    /// Connections closed for a frame or a message over its limit
    pub oversized: u64,
    /// Connections closed because nothing came
    pub silent: u64,
    /// Connections closed because there was another to the same peer
    pub duplicates: u64,
    /// Messages of a kind or version that we do not know; skipped
    pub unknown_messages: u64,
    /// Records that were newer than ours
    pub records_merged: u64,
    /// Records that we had already
    pub records_known: u64,
    /// Records of peers beyond the most that a network may have; dropped
    pub records_dropped: u64,
    /// Claims on our own name that we had to answer with a newer record
    pub refutations: u64,
    /// Records sent, to neighbours
    pub records_sent: u64,
    /// Messages to peers that were not connected; dropped
    pub messages_dropped: u64,
    /// Times that this process did not run for long, so that silence proved nothing
    pub starved: u64,
}

impl Counters {
    pub(crate) const fn count_end(&mut self, ended: Ended) {
        use crate::reject::Reject;
        match ended {
            Ended::HandshakeTimeout => bump(&mut self.handshake_timeouts),
            Ended::Foreign => bump(&mut self.foreign),
            Ended::Rejected(reject) => {
                bump(&mut self.refused);
                match reject {
                    Reject::PasswordWrong => bump(&mut self.wrong_passwords),
                    Reject::NameCollision(_) => bump(&mut self.name_collisions),
                    Reject::Versions { .. }
                    | Reject::PasswordMissing
                    | Reject::PasswordUnexpected
                    | Reject::ConnectionLimit(_)
                    | Reject::OtherNetwork { .. }
                    | Reject::Banned
                    | Reject::Ourselves => {}
                }
            }
            Ended::Refused(_) | Ended::RefusedInClear(_) => bump(&mut self.refused_by_peer),
            Ended::OutOfBounds => bump(&mut self.out_of_bounds),
            Ended::Unsigned => bump(&mut self.unsigned),
            Ended::Banned => bump(&mut self.banned),
            Ended::Crowded => bump(&mut self.not_accepted),
            Ended::Forged => bump(&mut self.forged),
            Ended::Malformed => bump(&mut self.malformed),
            Ended::Oversized => bump(&mut self.oversized),
            Ended::Silence => bump(&mut self.silent),
            Ended::Duplicate => bump(&mut self.duplicates),
            Ended::Disconnected(_)
            | Ended::DuringHandshake(_)
            | Ended::Left
            | Ended::Restarting
            | Ended::Ourselves
            | Ended::Removed => {}
        }
    }
}
