//! Which frame may come when.
//!
//! ```text
//!           their prologue        Noise done            their Hello, their Welcome
//!  Prologue ──────────────► Noise ──────────► Greeting ────────────────────────────► Up
//!      │ reject               │ reject           │ reject (until sealed), goodbye    │ goodbye
//!      │ 5 s                  │ 5 s              │ 5 s                               │ silence
//!      └──────────────────────┴───────┬──────────┴───────────────────────────────────┘
//!                                     ▼
//!                                   Closed
//! ```
//! A side that accepts while many others are in their handshake is in the phase Puzzle between Prologue and Noise.
//!
//! The side that accepts learns only from the third Noise message whether the passwords agree, when
//! the side that dialled is already Greeting: hence a clear reject is heard there, until the first
//! sealed frame has proved that the other side has the keys. A Hello tells who is there; the Welcome
//! that answers it tells that this side is wanted, so that no refused connection ever counts as one.

use crate::frame::FrameKind;

/// Where a connection is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Prologue,
    /// The other side has to solve a puzzle
    Puzzle,
    Noise,
    Greeting {
        heard: bool,
    },
    Up,
    Closed,
}

/// What to do with a frame
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Give it to the Noise handshake
    Handshake,
    /// Check the solution
    Puzzle,
    /// The other side refuses us
    Reject,
    /// Open it
    Open,
    /// No peer sends this at this point
    Malformed,
}

impl Phase {
    pub(crate) const fn pass(self, frame: FrameKind) -> Pass {
        use FrameKind::{Handshake, Puzzle, Reject, Sealed};
        match (self, frame) {
            (Self::Puzzle, Puzzle) => Pass::Puzzle,
            (Self::Noise, Handshake) => Pass::Handshake,
            (Self::Noise | Self::Greeting { heard: false }, Reject) => Pass::Reject,
            (Self::Greeting { .. } | Self::Up, Sealed) => Pass::Open,
            // A prologue comes before any frame; a closed connection reads nothing.
            (Self::Prologue | Self::Closed, Handshake | Reject | Sealed | Puzzle)
            | (Self::Puzzle, Handshake | Reject | Sealed)
            | (Self::Noise, Sealed | Puzzle)
            | (Self::Greeting { .. } | Self::Up, Handshake | Puzzle)
            | (Self::Greeting { heard: true } | Self::Up, Reject) => Pass::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_in_every_phase() {
        use FrameKind::{Handshake, Puzzle, Reject, Sealed};
        use Pass::Malformed;
        #[rustfmt::skip]
        let table = [
            (Phase::Prologue,                  Handshake, Malformed),
            (Phase::Prologue,                  Reject,    Malformed),
            (Phase::Prologue,                  Sealed,    Malformed),
            (Phase::Prologue,                  Puzzle,    Malformed),
            (Phase::Puzzle,                    Handshake, Malformed),
            (Phase::Puzzle,                    Reject,    Malformed),
            (Phase::Puzzle,                    Sealed,    Malformed),
            (Phase::Puzzle,                    Puzzle,    Pass::Puzzle),
            (Phase::Noise,                     Handshake, Pass::Handshake),
            (Phase::Noise,                     Reject,    Pass::Reject),
            (Phase::Noise,                     Sealed,    Malformed),
            (Phase::Noise,                     Puzzle,    Malformed),
            (Phase::Greeting { heard: false }, Handshake, Malformed),
            (Phase::Greeting { heard: false }, Reject,    Pass::Reject),
            (Phase::Greeting { heard: false }, Sealed,    Pass::Open),
            (Phase::Greeting { heard: false }, Puzzle,    Malformed),
            (Phase::Greeting { heard: true },  Handshake, Malformed),
            (Phase::Greeting { heard: true },  Reject,    Malformed),
            (Phase::Greeting { heard: true },  Sealed,    Pass::Open),
            (Phase::Greeting { heard: true },  Puzzle,    Malformed),
            (Phase::Up,                        Handshake, Malformed),
            (Phase::Up,                        Reject,    Malformed),
            (Phase::Up,                        Sealed,    Pass::Open),
            (Phase::Up,                        Puzzle,    Malformed),
            (Phase::Closed,                    Handshake, Malformed),
            (Phase::Closed,                    Reject,    Malformed),
            (Phase::Closed,                    Sealed,    Malformed),
            (Phase::Closed,                    Puzzle,    Malformed),
        ];
        for (phase, frame, pass) in table {
            assert_eq!(phase.pass(frame), pass, "{phase:?} {frame:?}");
        }
    }
}
