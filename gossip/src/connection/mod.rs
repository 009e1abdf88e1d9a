//! One TCP connection: prologue, handshake, greeting, messages, and how long it may be silent.
//!
//! It reads bytes and tells what they mean; whether its peer is wanted is decided elsewhere.

mod ended;
mod gate;
mod stream;

use std::net::SocketAddr;
use std::time::Instant;

use model::{PeerName, later};

use crate::config::Timers;
use crate::frame::{self, FrameError, FrameKind, FrameReader};
use crate::identity::{BeatKey, IdentityKey, PublicKey, Purpose, StaticKeypair};
use crate::message::{Goodbye, Hello, Message};
use crate::network::NetworkName;
use crate::noise::{self, Handshake, NoiseError};
use crate::output::Disconnect;
use crate::passwords::Passwords;
use crate::prologue::{Prologue, PrologueError, VERSIONS};
use crate::puzzle::Puzzle;
use crate::reject::Reject;
use crate::wire::{self, WireError};

pub use ended::Ended;
use gate::{Pass, Phase};
use stream::Stream;

/// What every handshake needs
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) keys: StaticKeypair,
    pub(crate) passwords: Passwords,
    pub(crate) network: NetworkName,
}

/// A connection at its start
pub(crate) struct Start {
    /// We dialled
    pub(crate) outbound: bool,
    /// Our end
    pub(crate) local: SocketAddr,
    /// The other end
    pub(crate) remote: SocketAddr,
    /// Random: says which of two connections to one peer stays
    pub(crate) id: u64,
    /// The key of the heartbeats that the other side will send here
    pub(crate) beat_key: BeatKey,
    /// Of the handshake's ephemeral key
    pub(crate) seed: noise::Seed,
    /// What the other side has to solve first
    pub(crate) puzzle: Option<Puzzle>,
    /// Which of the passwords to dial with
    pub(crate) password: usize,
}

/// What a connection has to tell
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// The handshake is complete: introduce yourself
    Secured,
    /// The other side introduced itself, and proved its key: welcome it, or say goodbye
    Hello(Box<Hello>),
    /// The other side welcomes us
    Welcome,
    /// The other side sent a message
    Message(Message),
    /// A message that this program does not know
    Unknown,
    /// The connection is over; nothing follows
    Ended(Ended),
}

/// One TCP connection
pub(crate) struct Connection {
    /// We dialled
    pub(crate) outbound: bool,
    /// Our end
    pub(crate) local: SocketAddr,
    /// The other end
    pub(crate) remote: SocketAddr,
    /// Random: says which of two connections to one peer stays
    pub(crate) id: u64,
    /// The key of the heartbeats that the other side sends here
    pub(crate) beat_key: BeatKey,
    /// Whom it leads to, once that is a neighbour
    pub(crate) peer: Option<PeerName>,
    /// What the other side said of itself, until it is a neighbour
    pub(crate) guest: Option<Box<Hello>>,
    /// The key that the other side proved in its Hello
    pub(crate) claimant: Option<IdentityKey>,
    /// Something was sent since the last look
    pub(crate) spoke: bool,
    stage: Stage,
    frames: FrameReader,
    /// Bytes taken before the other side's Welcome
    early: usize,
    deadline: Instant,
    /// Bytes to be written
    out: Vec<u8>,
}

enum Stage {
    Prologue(Opening),
    Puzzle(Puzzle, Handshake),
    Noise(Handshake),
    Greeting {
        stream: Stream,
        key: PublicKey,
        /// A sealed frame came
        heard: bool,
        /// The Hello came
        introduced: bool,
    },
    Up(Stream),
    Closed,
}

/// What the handshake will be made of
struct Opening {
    ours: Prologue,
    seed: noise::Seed,
    password: usize,
}

impl Connection {
    /// A connection that was just made; its prologue waits in [`Connection::take_output`]
    pub(crate) fn new(start: Start, secrets: &Secrets, timers: &Timers, now: Instant) -> Self {
        let ours = secrets.prologue(start.puzzle);
        Self {
            outbound: start.outbound,
            local: start.local,
            remote: start.remote,
            id: start.id,
            beat_key: start.beat_key,
            peer: None,
            guest: None,
            claimant: None,
            spoke: true,
            out: ours.emit(),
            stage: Stage::Prologue(Opening {
                ours,
                seed: start.seed,
                password: start.password,
            }),
            frames: FrameReader::default(),
            early: 0,
            deadline: later(now, timers.handshake),
        }
    }

    /// Bytes came; ask [`Connection::poll`] until it has nothing to tell
    pub(crate) fn feed(&mut self, bytes: &[u8], timers: &Timers, now: Instant) {
        match self.stage {
            Stage::Closed => return,
            Stage::Up(_) => self.deadline = later(now, timers.silence),
            Stage::Prologue(_) | Stage::Puzzle(..) | Stage::Noise(_) | Stage::Greeting { .. } => {}
        }
        self.frames.push(bytes);
    }

    pub(crate) fn poll(&mut self, secrets: &Secrets, timers: &Timers, now: Instant) -> Option<Received> {
        let received = self
            .advance(secrets)
            .unwrap_or_else(|ended| Some(Received::Ended(ended)));
        match received {
            Some(Received::Ended(_)) => self.stage = Stage::Closed,
            Some(Received::Welcome) => self.deadline = later(now, timers.silence),
            Some(Received::Secured | Received::Hello(_) | Received::Message(_) | Received::Unknown)
            | None => {}
        }
        received
    }

    /// Queues an encoded message; nothing happens before the handshake is complete or after the end
    pub(crate) fn send(&mut self, message: &[u8]) {
        match &mut self.stage {
            Stage::Greeting { stream, .. } | Stage::Up(stream) => {
                self.spoke = true;
                // The only failure of sealing is a key used 2^64 times.
                if stream.write(message, &mut self.out).is_err() {
                    self.stage = Stage::Closed;
                }
            }
            Stage::Prologue(_) | Stage::Puzzle(..) | Stage::Noise(_) | Stage::Closed => {}
        }
    }

    /// Ends the connection with a word of farewell
    pub(crate) fn close(&mut self, goodbye: Goodbye) {
        self.send(&wire::encode(&Message::Goodbye(goodbye)));
        self.stage = Stage::Closed;
    }

    /// The TCP connection is gone
    pub(crate) fn disconnected(&mut self, how: Disconnect) -> Ended {
        let ended = match self.phase() {
            Phase::Up | Phase::Closed => Ended::Disconnected(how),
            Phase::Prologue | Phase::Puzzle | Phase::Noise | Phase::Greeting { .. } => {
                Ended::DuringHandshake(how)
            }
        };
        self.stage = Stage::Closed;
        ended
    }

    /// What is to be written
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The other side has introduced itself and welcomed us
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
    }

    /// When the connection is over if nothing comes
    pub(crate) const fn deadline(&self) -> (Instant, &'static str) {
        let reason = if self.is_up() { "silence" } else { "handshake" };
        (self.deadline, reason)
    }

    /// This process did not run: whatever came meanwhile has not been read yet
    pub(crate) fn excuse(&mut self, timers: &Timers, now: Instant) {
        let patience = if self.is_up() {
            timers.silence
        } else {
            timers.handshake
        };
        self.deadline = later(now, patience);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Ended> {
        if now < self.deadline {
            return None;
        }
        let ended = if self.is_up() {
            Ended::Silence
        } else {
            Ended::HandshakeTimeout
        };
        self.stage = Stage::Closed;
        Some(ended)
    }

    const fn phase(&self) -> Phase {
        match self.stage {
            Stage::Prologue(_) => Phase::Prologue,
            Stage::Puzzle(..) => Phase::Puzzle,
            Stage::Noise(_) => Phase::Noise,
            Stage::Greeting { heard, .. } => Phase::Greeting { heard },
            Stage::Up(_) => Phase::Up,
            Stage::Closed => Phase::Closed,
        }
    }

    /// Does what can be done with the bytes that are there; stops at the first thing to tell
    fn advance(&mut self, secrets: &Secrets) -> Result<Option<Received>, Ended> {
        loop {
            let next = match self.phase() {
                Phase::Closed => return Ok(None),
                Phase::Prologue => self.read_prologue(secrets)?,
                Phase::Puzzle | Phase::Noise => self.read_frame(secrets)?,
                Phase::Greeting { .. } | Phase::Up => match self.read_message()? {
                    Step::Wait => self.read_frame(secrets)?,
                    step @ (Step::Again | Step::Tell(_)) => step,
                },
            };
            match next {
                Step::Wait => return Ok(None),
                Step::Again => {}
                Step::Tell(received) => return Ok(Some(received)),
            }
        }
    }

    fn read_prologue(&mut self, secrets: &Secrets) -> Result<Step, Ended> {
        let (theirs, len) = match Prologue::parse(self.frames.pending()) {
            Ok(Some(prologue)) => prologue,
            Ok(None) => return Ok(Step::Wait),
            Err(PrologueError::Magic) => return Err(Ended::Foreign),
            Err(PrologueError::Malformed) => return Err(Ended::Malformed),
        };
        let Stage::Prologue(opening) = std::mem::replace(&mut self.stage, Stage::Closed) else {
            return Ok(Step::Again);
        };
        let ours = opening.ours;
        ours.check(&theirs).map_err(|reject| self.reject(reject))?;
        self.frames.take(len);
        self.early = self.early.saturating_add(len);
        let (first, second) = if self.outbound {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        let bound = [first.emit(), second.emit()].concat();
        let psks = if self.outbound {
            secrets.passwords.to_dial_with(opening.password)
        } else {
            secrets.passwords.accepted()
        };
        let handshake = Handshake::new(self.outbound, &secrets.keys, &psks, &bound, &opening.seed);
        let handshake = handshake.map_err(|_noise| Ended::Malformed)?;
        match (self.outbound, ours.puzzle, theirs.puzzle) {
            // Only the side that accepts has something to ask for.
            (false, _, Some(_)) => return Err(Ended::Malformed),
            (false, Some(puzzle), None) => {
                self.stage = Stage::Puzzle(puzzle, handshake);
                return Ok(Step::Again);
            }
            (true, _, Some(puzzle)) => {
                let solution = puzzle.solve().ok_or(Ended::Malformed)?;
                self.emit_clear(FrameKind::Puzzle, &solution);
            }
            (_, _, None) => {}
        }
        self.stage = Stage::Noise(handshake);
        self.answer_handshake(secrets)
    }

    fn read_solution(&mut self, body: &[u8], secrets: &Secrets) -> Result<Step, Ended> {
        let Stage::Puzzle(puzzle, handshake) = std::mem::replace(&mut self.stage, Stage::Closed) else {
            return Err(Ended::Malformed);
        };
        match body.try_into() {
            Ok(nonce) if puzzle.accepts(nonce) => {
                self.stage = Stage::Noise(handshake);
                self.answer_handshake(secrets)
            }
            Ok(_) | Err(_) => Err(Ended::Malformed),
        }
    }
    fn read_frame(&mut self, secrets: &Secrets) -> Result<Step, Ended> {
        let limit = if self.is_up() {
            noise::FRAME
        } else {
            EARLY.saturating_sub(self.early)
        };
        let (kind, body) = match self.frames.next(limit) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(Step::Wait),
            Err(FrameError::TooLong(_)) => return Err(Ended::Oversized),
            Err(FrameError::Kind(_)) => return Err(Ended::Malformed),
        };
        if !self.is_up() {
            self.early = self
                .early
                .saturating_add(frame::HEADER)
                .saturating_add(body.len());
        }
        match self.phase().pass(kind) {
            Pass::Handshake => self.read_handshake(&body, secrets),
            Pass::Puzzle => self.read_solution(&body, secrets),
            Pass::Reject => match wire::parse_reject(&body) {
                Ok(reject) => Err(Ended::RefusedInClear(reject)),
                Err(_malformed) => Err(Ended::Malformed),
            },
            Pass::Open => match &mut self.stage {
                Stage::Greeting { stream, heard, .. } => {
                    stream.push(&body).map_err(|_noise| Ended::Forged)?;
                    *heard = true;
                    Ok(Step::Again)
                }
                Stage::Up(stream) => {
                    stream.push(&body).map_err(|_noise| Ended::Forged)?;
                    Ok(Step::Again)
                }
                Stage::Prologue(_) | Stage::Puzzle(..) | Stage::Noise(_) | Stage::Closed => {
                    Err(Ended::Malformed)
                }
            },
            Pass::Malformed => Err(Ended::Malformed),
        }
    }

    fn read_handshake(&mut self, message: &[u8], secrets: &Secrets) -> Result<Step, Ended> {
        let Stage::Noise(handshake) = &mut self.stage else {
            return Err(Ended::Malformed);
        };
        if let Err(error) = handshake.read(message) {
            // With a password the third message is the first that it seals.
            let third = !self.outbound && secrets.passwords.is_some();
            return Err(match error {
                NoiseError::Decrypt if third => self.reject(Reject::PasswordWrong),
                NoiseError::Decrypt => Ended::Forged,
                NoiseError::Other(_) => Ended::Malformed,
            });
        }
        self.answer_handshake(secrets)
    }

    /// Sends our next message of the pattern, if it is our turn, and ends the handshake after the last
    fn answer_handshake(&mut self, secrets: &Secrets) -> Result<Step, Ended> {
        let Stage::Noise(handshake) = &mut self.stage else {
            return Err(Ended::Malformed);
        };
        if handshake.is_my_turn() {
            let message = handshake.write().map_err(|_noise| Ended::Malformed)?;
            self.emit_clear(FrameKind::Handshake, &message);
        }
        let Stage::Noise(handshake) = std::mem::replace(&mut self.stage, Stage::Closed) else {
            return Err(Ended::Malformed);
        };
        if !handshake.is_finished() {
            self.stage = Stage::Noise(handshake);
            return Ok(Step::Again);
        }
        let (session, key) = handshake.finish().map_err(|_noise| Ended::Malformed)?;
        if key == secrets.keys.public() {
            return Err(Ended::Ourselves);
        }
        self.stage = Stage::Greeting {
            stream: Stream::new(session),
            key,
            heard: false,
            introduced: false,
        };
        Ok(Step::Tell(Received::Secured))
    }

    fn read_message(&mut self) -> Result<Step, Ended> {
        let (stream, greeting) = match &mut self.stage {
            Stage::Greeting {
                stream,
                key,
                introduced,
                ..
            } => (stream, Some((*key, introduced))),
            Stage::Up(stream) => (stream, None),
            Stage::Prologue(_) | Stage::Puzzle(..) | Stage::Noise(_) | Stage::Closed => {
                return Ok(Step::Wait);
            }
        };
        let limit = if greeting.is_some() { EARLY } else { wire::LIMIT };
        let bytes = match stream.next(limit) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Step::Wait),
            Err(stream::TooLong) => return Err(Ended::Oversized),
        };
        let message = wire::parse(bytes).map_err(|error| match error {
            WireError::Short | WireError::Malformed => Ended::Malformed,
            WireError::OutOfBounds => Ended::OutOfBounds,
        })?;
        let received = match (message, greeting) {
            (None, _) => Received::Unknown,
            (Some(Message::Goodbye(goodbye)), _) => Received::Ended(goodbye.into()),
            (Some(Message::Hello(hello)), Some((key, introduced @ false))) => {
                // Without it anybody who knows a peer's name and key could introduce himself as that peer.
                if !hello.identity.verify(Purpose::Handshake, &key, &hello.proof) {
                    return Err(Ended::Forged);
                }
                *introduced = true;
                Received::Hello(hello)
            }
            (Some(Message::Welcome), Some((_, true))) => {
                if let Stage::Greeting { stream, .. } = std::mem::replace(&mut self.stage, Stage::Closed) {
                    self.stage = Stage::Up(stream);
                }
                Received::Welcome
            }
            (Some(_), Some(_)) | (Some(Message::Hello(_) | Message::Welcome), None) => {
                return Err(Ended::Malformed);
            }
            (Some(message), None) => Received::Message(message),
        };
        Ok(Step::Tell(received))
    }

    /// Tells the other side why, in the clear
    fn reject(&mut self, reject: Reject) -> Ended {
        self.emit_clear(FrameKind::Reject, &wire::emit_reject(reject));
        Ended::Rejected(reject)
    }

    fn emit_clear(&mut self, kind: FrameKind, body: &[u8]) {
        let start = frame::begin(kind, &mut self.out);
        self.out.extend_from_slice(body);
        frame::end(start, &mut self.out);
    }
}

/// What a step of reading came to
enum Step {
    /// More bytes are needed
    Wait,
    /// There may be more to do with those that are there
    Again,
    Tell(Received),
}

impl Secrets {
    const fn prologue(&self, puzzle: Option<Puzzle>) -> Prologue {
        Prologue {
            versions: VERSIONS,
            password: self.passwords.is_some(),
            network: self.network,
            puzzle,
        }
    }
}

impl From<Goodbye> for Ended {
    fn from(goodbye: Goodbye) -> Self {
        match goodbye {
            Goodbye::Leave => Self::Left,
            Goodbye::Restart => Self::Restarting,
            Goodbye::Duplicate => Self::Duplicate,
            Goodbye::Refused(reject) => Self::Refused(reject),
        }
    }
}

/// As many bytes are read from somebody who has not introduced himself; a handshake and the longest
/// Hello take a quarter
const EARLY: usize = 4096;

#[cfg(test)]
mod tests;
