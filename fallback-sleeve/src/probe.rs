//! Whether a path carries packets, both ways, and how large ones: one [`PathProbe`] per neighbour and
//! kind of path.
//!
//! ```text
//!                 first answer                     `missed` beats in a row
//!   ┌─────────┐   ┌────┐  ◄──────────────────────  without an answer
//!   │ Untried ├──►│ Up ├──────────────────────────────────►┌──────┐
//!   └─────────┘   └────┘◄──────────────────────────────────┤ Down │
//!                            `recovery` beats in a row     └──────┘
//!                            with one
//! ```
//! Each side pings each `interval` and answers pings at once, so an answer proves both directions. A ping
//! that is not answered soon is repeated within its interval: one lost packet is not a missed beat, and
//! beats are missed only by a path that is really gone.
//!
//! While a path is up its beats are padded to the path's MTU. A search in the manner of RFC 8899 finds
//! that: it tries the ceiling, then bisects; each size is given up after three tries. If full-size beats
//! stay unanswered and small ones do not (a black hole), it searches downward; from time to time, and when
//! the network changes, upward.
//!
//! A size here is that of the outer IP packet. A driver pads a [`Transmit`] to it, forbids fragmentation,
//! and tells [`PathProbe::refused`] when the kernel would not send it.

mod liveness;
mod roam;
mod search;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::heartbeat::{Beat, BeatError, BeatFields};
use liveness::{Liveness, Phase};
pub use roam::Roam;
use search::MtuSearch;

/// How a path is probed
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Time between beats
    pub interval: Duration,
    /// Beats are due a number of intervals after this, where several probes are to share a timer; none: after
    /// the probe's start
    pub grid: Option<Instant>,
    /// Beats in a row without an answer until the path is down
    pub missed: u32,
    /// Beats in a row with an answer until a path that was down is up
    pub recovery: u32,
    /// The smallest MTU worth using
    pub floor: u16,
    /// The largest MTU to try: that of the underlay's interface
    pub ceiling: u16,
    /// Time between searches for a larger MTU
    pub search_interval: Duration,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            grid: None,
            missed: 3,
            recovery: 3,
            // Every IPv4 host takes a packet of this size (RFC 791).
            floor: 576,
            ceiling: 1500,
            search_interval: Duration::from_secs(60),
        }
    }
}

/// The state of one path
pub struct PathProbe {
    config: ProbeConfig,
    /// Tells this probe's pings from those of another life of this process
    id: u64,
    sequence: u32,
    liveness: Liveness,
    search: MtuSearch,
    /// Pings that may still be answered, oldest first
    sent: VecDeque<Sent>,
    rtt: Option<Duration>,
    last_heard: Option<Instant>,
    hears_peer: bool,
    frozen: bool,
    transmits: VecDeque<Transmit>,
    reported: ProbeStatus,
}

/// What the driver is to do
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this on the path
    Transmit(Transmit),
    /// The status is another than last reported, in more than times
    Changed(ProbeStatus),
}

/// A heartbeat to send
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// What to seal and send
    pub beat: Beat,
    /// Outer IP packet size to pad to; zero: none
    pub pad_to: u16,
}

/// What is known of a path
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStatus {
    /// Packets pass in both directions
    pub up: bool,
    /// Smoothed round-trip time
    pub rtt: Option<Duration>,
    /// The largest outer IP packet that passes; unknown while the first search runs, kept while down
    pub mtu: Option<u16>,
    /// When the neighbour was last heard on this path
    pub last_heard: Option<Instant>,
    /// Why the path cannot be used; none if it can
    pub reason: Option<ProbeReason>,
}

/// Why a path cannot be used
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeReason {
    /// No heartbeat has been answered since the start
    Unanswered,
    /// Nothing comes from the neighbour
    Silent,
    /// The neighbour's heartbeats arrive, but it does not answer ours
    OneWay,
    /// Answers come again, not yet enough in a row
    Recovering,
    /// It is up; how large packets may be is being found out
    Searching,
    /// It is up, but not even packets of the smallest useful size pass
    TooSmall,
}

impl fmt::Display for ProbeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unanswered => "no heartbeat answered yet",
            Self::Silent => "heartbeats lost",
            Self::OneWay => "heartbeats arrive but are not answered",
            Self::Recovering => "recovering",
            Self::Searching => "measuring path MTU",
            Self::TooSmall => "path MTU too small",
        })
    }
}

/// A ping on its way
struct Sent {
    sequence: u32,
    at: Instant,
    size: u16,
    beat: u64,
}

impl PathProbe {
    /// A probe that starts at once; `id` is random
    pub fn new(config: ProbeConfig, id: u64, now: Instant) -> Self {
        let mut probe = Self {
            liveness: Liveness::new(
                config.interval,
                config.grid.unwrap_or(now),
                config.missed,
                config.recovery,
                now,
            ),
            search: MtuSearch::new(config.floor, config.ceiling, config.search_interval),
            config,
            id,
            sequence: 0,
            sent: VecDeque::new(),
            rtt: None,
            last_heard: None,
            hears_peer: false,
            frozen: false,
            transmits: VecDeque::new(),
            reported: ProbeStatus {
                up: false,
                rtt: None,
                mtu: None,
                last_heard: None,
                reason: Some(ProbeReason::Unanswered),
            },
        };
        probe.handle_timeout(now);
        probe
    }

    /// Takes a genuine heartbeat that arrived in an outer IP packet of `packet_size`, and returns the answer to
    /// send to where it came from, if there is one
    pub fn handle_beat(
        &mut self,
        beat: Beat,
        packet_size: u16,
        now: Instant,
    ) -> Result<Option<Beat>, BeatError> {
        match beat {
            Beat::Ping(ping) => {
                if ping.id == self.id {
                    return Err(BeatError::Reflected);
                }
                self.heard(now);
                let size = ping.size.min(packet_size);
                Ok(Some(Beat::Pong(BeatFields { size, ..ping })))
            }
            Beat::Pong(pong) => {
                let asked = self.sent.iter().position(|sent| sent.sequence == pong.sequence);
                let Some(sent) = asked
                    .filter(|_| pong.id == self.id)
                    .and_then(|at| self.sent.remove(at))
                else {
                    return Err(BeatError::Unasked(pong.sequence));
                };
                self.heard(now);
                if !self.frozen {
                    self.answered(&sent, pong.size, now);
                }
                Ok(None)
            }
        }
    }

    /// Does what is due; call it after [`poll_timeout`](Self::poll_timeout)'s time, received heartbeats
    /// handled first
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.frozen {
            return;
        }
        self.hears_peer = self.last_heard.is_some_and(|at| {
            now.saturating_duration_since(at) < self.config.interval.saturating_mul(self.config.missed)
        });
        let starved = self.poll_timeout().is_some_and(|(due, _)| {
            now.saturating_duration_since(due) > fraction(self.config.interval, STARVED)
        });
        if starved {
            self.liveness.starved(now);
            self.search.starved();
        }
        let was_up = self.liveness.is_up();
        let full = self.search.mtu();
        let tries = self
            .liveness
            .handle_timeout(now, self.retry_gap(), full.is_some());
        if let Some(tries) = tries {
            if tries.small {
                self.ping(0, tries.beat, now);
            }
            if let Some(size) = full.filter(|_| tries.full) {
                self.ping(size, tries.beat, now);
            }
        }
        if was_up && !self.liveness.is_up() {
            self.search.pause();
        }
        self.drive_search(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why; never while frozen
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.frozen {
            return None;
        }
        let times = [Some(self.liveness.poll_timeout()), self.search.poll_timeout()];
        times.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What tells this probe's pings from others
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What to do next; poll until `None` after each call that may change something
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(Output::Transmit(transmit));
        }
        let status = self.status();
        let same = status.up == self.reported.up
            && status.mtu == self.reported.mtu
            && status.reason == self.reported.reason;
        if same {
            return None;
        }
        self.reported = status.clone();
        Some(Output::Changed(status))
    }

    /// What is known of the path
    pub fn status(&self) -> ProbeStatus {
        let mtu = self.search.mtu();
        let reason = match self.liveness.phase() {
            Phase::Untried if self.hears_peer && self.liveness.has_judged() => Some(ProbeReason::OneWay),
            Phase::Untried => Some(ProbeReason::Unanswered),
            Phase::Up if mtu.is_some() => None,
            Phase::Up if self.search.is_running() => Some(ProbeReason::Searching),
            Phase::Up => Some(ProbeReason::TooSmall),
            Phase::Down { good: 0 } if self.hears_peer => Some(ProbeReason::OneWay),
            Phase::Down { good: 0 } => Some(ProbeReason::Silent),
            Phase::Down { good: _ } => Some(ProbeReason::Recovering),
        };
        ProbeStatus {
            up: self.liveness.is_up(),
            rtt: self.rtt,
            mtu,
            last_heard: self.last_heard,
            reason,
        }
    }

    /// The kernel would not send a packet of this size (`EMSGSIZE`): no need to wait for its answer
    pub fn refused(&mut self, size: u16, now: Instant) {
        self.search.refused(size);
        self.drive_search(now);
    }

    /// The network changed, and with it perhaps the underlay's MTU: look for the path's MTU again
    pub fn network_changed(&mut self, ceiling: u16, now: Instant) {
        self.config.ceiling = ceiling;
        self.search.set_ceiling(ceiling);
        if self.liveness.is_up() && !self.frozen {
            self.search.start();
            self.drive_search(now);
        }
    }

    /// The neighbour is held: the status stays as it is, and no beats are sent, until it is back
    pub fn freeze(&mut self) {
        self.frozen = true;
        self.sent.clear();
    }

    /// The neighbour is back: beats start at once, and none is counted missed for the time before
    pub fn thaw(&mut self, now: Instant) {
        if self.frozen {
            self.frozen = false;
            self.search.pause();
            self.liveness.restart(now);
            if self.liveness.is_up() {
                self.search.start();
            }
            self.handle_timeout(now);
        }
    }

    fn heard(&mut self, now: Instant) {
        self.last_heard = Some(now);
        self.hears_peer = true;
    }

    fn answered(&mut self, sent: &Sent, size: u16, now: Instant) {
        let sample = now.saturating_duration_since(sent.at);
        // RFC 6298's smoothing.
        self.rtt = Some(self.rtt.map_or(sample, |rtt| {
            rtt.saturating_sub(fraction(rtt, 8))
                .saturating_add(fraction(sample, 8))
        }));
        let was_up = self.liveness.is_up();
        let full = sent.size != 0 && size >= sent.size;
        self.liveness
            .answered(sent.beat, full && Some(sent.size) >= self.search.mtu(), now);
        if !was_up && self.liveness.is_up() {
            self.search.start();
        }
        if full {
            self.search.answered(sent.size, now);
        }
        self.drive_search(now);
    }

    /// Lets the search see how full-size beats fare, and sends its probes
    fn drive_search(&mut self, now: Instant) {
        if !self.liveness.is_up() {
            return;
        }
        self.search
            .full_size_missed(self.liveness.full_missed(), self.config.missed, now);
        if let Some(size) = self.search.handle_timeout(now, self.probe_timeout()) {
            let beat = self.liveness.beat();
            self.ping(size, beat, now);
        }
    }

    fn ping(&mut self, size: u16, beat: u64, now: Instant) {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let fields = BeatFields {
            id: self.id,
            sequence,
            size,
        };
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back(Transmit {
                beat: Beat::Ping(fields),
                pad_to: size,
            });
            if self.sent.len() == MAX_SENT {
                self.sent.pop_front();
            }
            self.sent.push_back(Sent {
                sequence,
                at: now,
                size,
                beat,
            });
        }
    }

    /// When a ping without an answer is repeated: not before a late answer can have come
    fn retry_gap(&self) -> Duration {
        let rtt = self.rtt.unwrap_or_default();
        rtt.saturating_mul(2).max(fraction(self.config.interval, 5))
    }

    /// When a search's probe is given up
    fn probe_timeout(&self) -> Duration {
        let rtt = self.rtt.unwrap_or(Duration::from_millis(100));
        rtt.saturating_mul(3)
            .clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// One of so many equal parts
fn fraction(whole: Duration, parts: u32) -> Duration {
    whole.checked_div(parts).unwrap_or(whole)
}

/// A timeout that comes later than this part of an interval was not waited for, but slept through
const STARVED: u32 = 2;
/// Pings that may be outstanding: more than are sent in ten seconds of retries
const MAX_SENT: usize = 128;
/// Heartbeats waiting to be sent
const MAX_TRANSMITS: usize = 32;
