//! Which keys protect the datagrams between two neighbours, and for how long.
//!
//! The receiver of datagrams draws session id and key and offers them over the control channel, which
//! must be encrypted where keys are. The sender uses them from then on and says so:
//!
//! ```text
//! receiver                                   sender
//! Open(session 2)
//! ── Send(offer: session 2, key) ──────────►  Seal(session 2)
//!                                             (session 1 is dropped with its key)
//! ◄─────────────────── Send(accept: 2) ──
//! … overlap: datagrams of session 1 may still arrive …
//! Close(session 1)
//! ```
//! One [`Keys`] per neighbour does both parts. A key is drawn anew by time, by use, and whenever the
//! control channel is a new one: a sender that lost its state would start to count at zero, so **no key
//! is ever offered twice**.

mod offer;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::later;
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::datagram::SessionId;
use crate::open::OpenCounters;
use crate::{Opener, Sealer, Suite};
pub use offer::{KeyMessage, KeyMessageError, SessionKey};

/// How one neighbour's keys are handled
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysConfig {
    /// How the neighbour shall protect what it sends here
    pub suite: Suite,
    /// Whether an offer to send in the clear is refused
    pub require_sealed: bool,
    /// This host's index of the neighbour, unique among its neighbours
    pub slot: u16,
    /// The age at which a key is replaced
    pub max_age: Duration,
    /// The number of datagrams after which a key is replaced
    pub max_datagrams: u64,
    /// How long a replaced session is still received
    pub overlap: Duration,
}

impl KeysConfig {
    /// The usual limits: 2 minutes, 2^28 datagrams, an overlap of 10 seconds
    ///
    /// 2^28 is where RFC 9001 (appendix B.1.1) ends AES-GCM's life with packets of 2 KiB.
    pub fn new(suite: Suite, slot: u16) -> Self {
        Self {
            suite,
            require_sealed: suite.is_sealed(),
            slot,
            max_age: Duration::from_secs(120),
            max_datagrams: 1 << 28,
            overlap: Duration::from_secs(10),
        }
    }
}

/// The sessions with one neighbour, both ways
pub struct Keys {
    config: KeysConfig,
    /// What the neighbour said it uses
    current: Option<Session>,
    /// What was offered since
    offered: Option<Session>,
    /// What is received for some time yet
    retiring: VecDeque<(SessionId, Instant)>,
    /// What this host seals with
    sealing: Option<SessionId>,
    /// When to look at how much the key was used
    next_look: Instant,
    outputs: VecDeque<Output>,
}

/// What the driver is to do, in this order
#[derive(Debug)]
pub enum Output {
    /// Receive this session from now on
    Open(Opener),
    /// Receive this session no longer
    Close(SessionId),
    /// Send with this from now on
    Seal(Sealer),
    /// Send this over the control channel
    Send(Zeroizing<Vec<u8>>),
}

/// A session that this host receives
struct Session {
    id: SessionId,
    drawn: Instant,
    used: Arc<OpenCounters>,
}

impl Keys {
    /// Keys for a neighbour whose control channel has just come up
    ///
    /// `rng` draws keys here and in every other call: it reads the kernel's generator each time, since a generator
    /// of this process would repeat its keys in a virtual machine that is restored or cloned.
    pub fn new(config: KeysConfig, rng: &mut dyn CryptoRng, now: Instant) -> Self {
        let mut keys = Self {
            config,
            current: None,
            offered: None,
            retiring: VecDeque::new(),
            sealing: None,
            next_look: later(now, LOOK),
            outputs: VecDeque::new(),
        };
        keys.offer(rng, now);
        keys
    }

    /// The control channel is a new one, and what was sent on the old one may be lost: offers a new key;
    /// what the neighbour used so far is received until it takes that
    pub fn reconnected(&mut self, rng: &mut dyn CryptoRng, now: Instant) {
        self.offer(rng, now);
    }

    /// Takes a message from the control channel
    pub fn handle_message(&mut self, message: &[u8], now: Instant) -> Result<(), KeysError> {
        match KeyMessage::parse(message)? {
            KeyMessage::Offer(offer) => self.accept(offer),
            KeyMessage::Accept(session) => self.accepted(session, now),
        }
    }

    /// Does what is due
    pub fn handle_timeout(&mut self, rng: &mut dyn CryptoRng, now: Instant) {
        while let Some((session, _)) = self.retiring.front().filter(|(_, at)| *at <= now) {
            self.outputs.push_back(Output::Close(*session));
            self.retiring.pop_front();
        }
        if self.offered.is_none()
            && self
                .current
                .as_ref()
                .is_some_and(|session| self.is_worn(session, now))
        {
            self.offer(rng, now);
        }
        if self.next_look <= now {
            self.next_look = later(now, LOOK);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let close = self.retiring.front().map(|(_, at)| (*at, "old session ends"));
        let rekey = match (&self.offered, &self.current) {
            (None, Some(session)) if self.config.suite.is_sealed() => {
                // Nobody tells when a number is reached: look from time to time.
                let at = later(session.drawn, self.config.max_age).min(self.next_look);
                Some((at, "key due to be replaced"))
            }
            (None | Some(_), None | Some(_)) => None,
        };
        [close, rekey].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What to do next; poll until `None` after each call
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends all sessions: the neighbour is gone
    pub fn shut_down(&mut self) {
        let sessions = [self.current.take(), self.offered.take()];
        let retiring = self.retiring.drain(..).map(|(session, _)| session);
        let all = sessions
            .into_iter()
            .flatten()
            .map(|session| session.id)
            .chain(retiring);
        self.outputs.extend(all.map(Output::Close));
        self.sealing = None;
    }

    fn offer(&mut self, rng: &mut dyn CryptoRng, now: Instant) {
        if let Some(unanswered) = self.offered.take() {
            // The neighbour may use it already, its word for that having been lost.
            self.retire(unanswered.id, now);
        }
        let mut key = Zeroizing::new([0; 32]);
        if self.config.suite.is_sealed() {
            rng.fill_bytes(&mut *key);
        }
        let session = self.draw_session(rng);
        let opener = Opener::new(session, self.config.suite, &key);
        self.offered = Some(Session {
            id: session,
            drawn: now,
            used: opener.counters().clone(),
        });
        let offer = KeyMessage::Offer(SessionKey {
            session,
            suite: self.config.suite,
            key,
        });
        self.outputs.push_back(Output::Open(opener));
        self.outputs.push_back(Output::Send(offer.emit()));
    }

    /// The neighbour offered what it wants to receive
    fn accept(&mut self, offer: SessionKey) -> Result<(), KeysError> {
        if self.config.require_sealed && !offer.suite.is_sealed() {
            return Err(KeysError::ClearRefused);
        }
        if self.sealing == Some(offer.session) {
            return Err(KeysError::Repeated(offer.session));
        }
        self.sealing = Some(offer.session);
        let sealer = Sealer::new(offer.session, offer.suite, &offer.key);
        self.outputs.push_back(Output::Seal(sealer));
        self.outputs
            .push_back(Output::Send(KeyMessage::Accept(offer.session).emit()));
        Ok(())
    }

    /// The neighbour uses what was offered
    fn accepted(&mut self, id: SessionId, now: Instant) -> Result<(), KeysError> {
        let Some(session) = self.offered.take_if(|session| session.id == id) else {
            return Err(KeysError::NotOffered(id));
        };
        if let Some(old) = self.current.replace(session) {
            self.retire(old.id, now);
        }
        Ok(())
    }

    fn retire(&mut self, session: SessionId, now: Instant) {
        if self.retiring.len() == MAX_RETIRING
            && let Some((oldest, _)) = self.retiring.pop_front()
        {
            self.outputs.push_back(Output::Close(oldest));
        }
        self.retiring
            .push_back((session, later(now, self.config.overlap)));
    }

    /// An id that none of this neighbour's sessions has
    fn draw_session(&self, rng: &mut dyn CryptoRng) -> SessionId {
        loop {
            let id = SessionId::new(self.config.slot, rng.next_u64());
            let mut live = self.current.iter().chain(&self.offered).map(|session| session.id);
            let retiring = self.retiring.iter().any(|(retiring, _)| *retiring == id);
            if !retiring && live.all(|other| other != id) {
                return id;
            }
        }
    }

    fn is_worn(&self, session: &Session, now: Instant) -> bool {
        let used = session.used.highest.load(Ordering::Relaxed);
        let aged = now.saturating_duration_since(session.drawn) >= self.config.max_age;
        self.config.suite.is_sealed() && (aged || used >= self.config.max_datagrams)
    }
}

/// The message changed nothing
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// No message of ours: the neighbour is broken
    #[error("bad key message")]
    Message(#[from] KeyMessageError),
    /// The neighbour wants clear datagrams, this host does not: one of them is configured wrongly
    #[error("the neighbour asked for clear datagrams; only sealed ones are sent to it")]
    ClearRefused,
    /// The offer is in use already; taking it again would repeat nonces
    #[error("{0:?} was offered before")]
    Repeated(SessionId),
    /// Accepts what is not on offer: an answer that a newer offer has overtaken
    #[error("{0:?} is not on offer")]
    NotOffered(SessionId),
}

/// Sessions still received after they were replaced; more come only of control channels that flap
const MAX_RETIRING: usize = 4;
/// Time between looks at how much a key was used
const LOOK: Duration = Duration::from_secs(5);
