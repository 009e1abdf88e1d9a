//! fastdp or sleeve, for one neighbour.
//!
//! ```text
//!                  fastdp down, ruled out                     sleeve down too
//!     ┌────────┐ ───────────────────────► ┌────────┐ ───────────────────────► ┌──────┐
//!     │ fastdp │                          │ sleeve │                          │ none │
//!     └────────┘ ◄─────────────────────── └────────┘ ◄─────────────────────── └──────┘
//!                  fastdp up for the hold-off           sleeve up
//! ```
//! Away from fastdp at once: the probe has already waited for three beats. Back only after fastdp was
//! up without a break for a hold-off, which is zero the first time, then starts at
//! [`ChooserConfig::hold_off`] and doubles with each further fall, up to [`ChooserConfig::max_hold_off`];
//! fastdp that stayed up for [`ChooserConfig::forget`] has a clean slate. A path that flaps so costs a
//! few switches, not one per flap. While the sleeve is down fastdp is taken without a hold-off: a doubtful
//! path beats none.
//!
//! While a neighbour is **held** (its connection ended without a goodbye and may come back) nothing
//! changes; what the inputs became meanwhile counts on [`PathChooser::release`].

use std::fmt;
use std::time::{Duration, Instant};

use model::{PathKind, later};

/// The times of the hysteresis
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChooserConfig {
    /// How long fastdp must be up again after its first fall
    pub hold_off: Duration,
    /// The longest that it must be up again
    pub max_hold_off: Duration,
    /// After how long without a fall the falls are forgotten
    pub forget: Duration,
    /// fastdp with a smaller path MTU than this is not used
    pub min_mtu: u16,
}

impl Default for ChooserConfig {
    fn default() -> Self {
        Self {
            hold_off: Duration::from_secs(2),
            max_hold_off: Duration::from_secs(60),
            forget: Duration::from_secs(300),
            min_mtu: 1280,
        }
    }
}

/// What the probe of a path says
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// No heartbeat came yet
    #[default]
    Unproven,
    /// Heartbeats come
    Up {
        /// The longest IP packet that fits, once it is known
        mtu: Option<u16>,
        /// How long one takes there and back
        rtt: Option<Duration>,
    },
    /// They ceased
    Down {
        /// How long ago the last one came
        silent: Duration,
    },
}

/// Whether this host could do fastdp
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FastdpHere {
    /// Yes
    #[default]
    Capable,
    /// The kernel has no Open vSwitch
    NoOpenVSwitch,
    /// The operator does not want it
    Disabled,
}

/// All that the choice depends on
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inputs {
    /// The fastdp probe
    pub fastdp: Health,
    /// The sleeve probe
    pub sleeve: Health,
    /// Whether the data plane to this neighbour has to be encrypted
    pub encrypted: bool,
    /// Whether this host could do fastdp
    pub here: FastdpHere,
    /// Whether the neighbour offers fastdp
    pub there: bool,
    /// Whether the addresses of the connection are IPv4, as the tunnel's must be
    pub ipv4: bool,
    /// The neighbour's VXLAN port, for the reason's text
    pub vxlan_port: u16,
    /// The UDP port for which this host could not make a VXLAN port
    pub failing_port: Option<u16>,
}

/// The way that frames to the neighbour take
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which path, if any works
    pub path: Option<PathKind>,
    /// Why not fastdp; `None` when it is fastdp
    pub reason: Option<Reason>,
    /// The longest IP packet that fits the path, once it is known
    pub mtu: Option<u16>,
}

/// Why frames to a neighbour do not go by fastdp
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The operator switched it off on this host
    Disabled,
    /// This kernel has no Open vSwitch
    NoOpenVSwitchHere,
    /// The peer offers no fastdp
    NoOpenVSwitchThere,
    /// VXLAN does not encrypt
    Encrypted,
    /// The connection's addresses are IPv6
    NotIpv4,
    /// This host could not make a VXLAN port
    NoPort {
        /// Its UDP port
        port: u16,
    },
    /// No heartbeat ever came through the tunnel
    NeverHeard {
        /// The VXLAN port
        port: u16,
    },
    /// Heartbeats ceased
    Silent {
        /// How long ago the last one came when the choice was made
        silent: Duration,
        /// The VXLAN port
        port: u16,
    },
    /// So little fits that the sleeve serves better
    SmallMtu {
        /// What fits
        mtu: u16,
        /// What must
        min: u16,
    },
    /// It fell recently, and is on probation
    HoldOff {
        /// How long it must stay up
        hold_off: Duration,
        /// How often it fell lately
        falls: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("fastdp disabled (--no-fastdp)"),
            Self::NoOpenVSwitchHere => f.write_str("no openvswitch in this kernel"),
            Self::NoOpenVSwitchThere => f.write_str("peer has no openvswitch"),
            Self::Encrypted => f.write_str("encrypted"),
            Self::NotIpv4 => f.write_str("fastdp needs IPv4 addresses"),
            Self::NoPort { port } => {
                write!(
                    f,
                    "fastdp: cannot make the VXLAN port (UDP {port} in use by another device?)"
                )
            }
            Self::NeverHeard { port } => write!(f, "fastdp: no heartbeat yet (UDP {port} blocked?)"),
            Self::Silent { silent, port } => {
                let silent = silent.as_secs_f64();
                write!(f, "fastdp: no heartbeat for {silent:.1}s (UDP {port} blocked?)")
            }
            Self::SmallMtu { mtu, min } => write!(f, "fastdp: path MTU {mtu} < {min}"),
            Self::HoldOff { hold_off, falls } => {
                let hold_off = hold_off.as_secs_f64();
                write!(f, "fastdp: fell {falls}x, must stay up for {hold_off:.0}s")
            }
        }
    }
}

/// Chooses the path to one neighbour
#[derive(Debug, Clone)]
pub struct PathChooser {
    config: ChooserConfig,
    inputs: Inputs,
    choice: Choice,
    /// Since when fastdp could be used
    up_since: Option<Instant>,
    falls: u32,
    held: bool,
}

impl PathChooser {
    /// A neighbour of which nothing is known
    pub fn new(config: ChooserConfig) -> Self {
        let inputs = Inputs::default();
        Self {
            config,
            inputs,
            choice: Choice {
                path: None,
                reason: fastdp_excluded(&config, &inputs),
                mtu: None,
            },
            up_since: None,
            falls: 0,
            held: false,
        }
    }

    /// Takes in the inputs of this moment; the choice, if it changed
    pub fn update(&mut self, inputs: Inputs, now: Instant) -> Option<Choice> {
        self.inputs = inputs;
        self.decide(now)
    }

    /// Looks again when [`PathChooser::poll_timeout`] says so; the choice, if it changed
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Choice> {
        self.decide(now)
    }

    /// When to call [`PathChooser::handle_timeout`], and why
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let waiting = matches!(self.choice.reason, Some(Reason::HoldOff { .. })) && !self.held;
        let since = self.up_since.filter(|_| waiting)?;
        Some((later(since, self.hold_off()), "fastdp's hold-off ends"))
    }

    /// Freezes the choice
    pub const fn hold(&mut self) {
        self.held = true;
    }

    /// Ends the freeze; the choice, if it changed
    pub fn release(&mut self, now: Instant) -> Option<Choice> {
        self.held = false;
        self.decide(now)
    }

    /// The choice in force
    pub const fn choice(&self) -> Choice {
        self.choice
    }

    fn decide(&mut self, now: Instant) -> Option<Choice> {
        if self.held {
            return None;
        }
        let choice = match fastdp_excluded(&self.config, &self.inputs) {
            None => self.with_fastdp(now),
            Some(reason) => self.without_fastdp(reason, now),
        };
        let changed = self.choice.path != choice.path
            || self.choice.mtu != choice.mtu
            || !same_kind(self.choice.reason, choice.reason);
        // A longer silence is the same choice, but the text of the status follows it.
        self.choice = choice;
        changed.then_some(choice)
    }

    fn with_fastdp(&mut self, now: Instant) -> Choice {
        let since = *self.up_since.get_or_insert(now);
        let up_for = now.saturating_duration_since(since);
        if up_for >= self.config.forget {
            self.falls = 0;
        }
        let hold_off = self.hold_off();
        let sleeve = sleeve(&self.inputs);
        match sleeve {
            Some(mtu) if up_for < hold_off && self.choice.path != Some(PathKind::Fastdp) => Choice {
                path: Some(PathKind::Sleeve),
                reason: Some(Reason::HoldOff {
                    hold_off,
                    falls: self.falls,
                }),
                mtu,
            },
            Some(_) | None => Choice {
                path: Some(PathKind::Fastdp),
                reason: None,
                mtu: match self.inputs.fastdp {
                    Health::Up { mtu, .. } => mtu,
                    Health::Unproven | Health::Down { .. } => None,
                },
            },
        }
    }

    fn without_fastdp(&mut self, reason: Reason, now: Instant) -> Choice {
        if let Some(since) = self.up_since.take() {
            let lasted = now.saturating_duration_since(since) >= self.config.forget;
            self.falls = if lasted { 1 } else { self.falls.saturating_add(1) };
        }
        let sleeve = sleeve(&self.inputs);
        Choice {
            path: sleeve.map(|_| PathKind::Sleeve),
            reason: Some(reason),
            mtu: sleeve.flatten(),
        }
    }

    fn hold_off(&self) -> Duration {
        match self.falls {
            0 => Duration::ZERO,
            falls => {
                let doubled = self
                    .config
                    .hold_off
                    .saturating_mul(2_u32.saturating_pow(falls.saturating_sub(1).min(16)));
                doubled.min(self.config.max_hold_off)
            }
        }
    }
}

/// Why fastdp cannot be used at this moment; the lasting reasons first
fn fastdp_excluded(config: &ChooserConfig, inputs: &Inputs) -> Option<Reason> {
    let port = inputs.vxlan_port;
    match inputs.here {
        FastdpHere::Disabled => return Some(Reason::Disabled),
        FastdpHere::NoOpenVSwitch => return Some(Reason::NoOpenVSwitchHere),
        FastdpHere::Capable => {}
    }
    if !inputs.there {
        return Some(Reason::NoOpenVSwitchThere);
    }
    if inputs.encrypted {
        return Some(Reason::Encrypted);
    }
    if !inputs.ipv4 {
        return Some(Reason::NotIpv4);
    }
    if let Some(port) = inputs.failing_port {
        return Some(Reason::NoPort { port });
    }
    match inputs.fastdp {
        Health::Unproven => Some(Reason::NeverHeard { port }),
        Health::Down { silent } => Some(Reason::Silent { silent, port }),
        Health::Up { mtu: Some(mtu), .. } if mtu < config.min_mtu => Some(Reason::SmallMtu {
            mtu,
            min: config.min_mtu,
        }),
        Health::Up { .. } => None,
    }
}

/// The sleeve's MTU, if it works
const fn sleeve(inputs: &Inputs) -> Option<Option<u16>> {
    match inputs.sleeve {
        Health::Up { mtu, .. } => Some(mtu),
        Health::Unproven | Health::Down { .. } => None,
    }
}

fn same_kind(a: Option<Reason>, b: Option<Reason>) -> bool {
    a.map(|a| std::mem::discriminant(&a)) == b.map(|b| std::mem::discriminant(&b))
}

#[cfg(test)]
mod tests;
