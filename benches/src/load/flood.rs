//! A flood of frames between stations that nobody knows, beside a TCP stream on the same host.
//!
//! On a machine with one CPU the sender itself takes its share from the stream. What that is shows the
//! same number of frames that the kernel drops by a flow, without asking anybody.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::judge::iperf::{self, Rate};
use lab::topology::{Container, ETHERNET, Lab};
use lab::weave::{Launch, launch_mesh};
use model::PathKind;
use serde::{Deserialize, Serialize};

use super::batch::{BATCH, Batch};
use super::station::{Frame, Mac, PacketSocket, fresh};

/// Frames a second: ten times what weaved lets strangers of one container ask for
const RATE: u32 = 2000;
/// How long each kind of traffic lasts
const WINDOW: Duration = Duration::from_secs(2);
/// What is left out at the start of each
const EDGE: f64 = 0.4;

/// What the stream carried, in Gbit/s
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Flood {
    /// Alone
    pub alone: f64,
    /// Beside frames that the kernel drops by a flow
    pub dropped: f64,
    /// Beside as many frames between strangers
    pub strangers: f64,
}

impl Flood {
    /// What the stream keeps of its rate
    pub fn kept(&self) -> f64 {
        self.strangers / self.alone
    }

    /// The same, against frames that cost only their sending
    pub fn kept_of_sending(&self) -> f64 {
        self.strangers / self.dropped
    }
}

/// A stream between two hosts; beside it, on the sending host, each kind of traffic in turn, so often
pub fn measure(lab: &mut Lab, rounds: u16) -> Result<Vec<Flood>> {
    let [near, far] = lab.hosts(["x1", "x2"])?;
    lab.link(&near, &far, ETHERNET)?;
    launch_mesh(&[&near, &far], &Launch::plain(), PathKind::Fastdp)?;
    let [own, other, noisy] = ["xc1", "xc2", "xc3"].map(|name| lab.container(name));
    let (own, other, noisy) = (own?, other?, noisy?);
    near.attach(&own, &["10.32.0.1/24"])?;
    far.attach(&other, &["10.32.0.2/24"])?;
    near.attach(&noisy, &["10.32.0.3/24"])?;
    let socket = PacketSocket::open(noisy.namespace(), Container::INTERFACE)?;
    let hairpin = {
        // A station that sends to itself: its flow drops.
        let station = fresh();
        move || (station, station)
    };

    let turns = u32::from(rounds) * 3;
    let lasts = WINDOW * (turns + 2);
    let stream = iperf::start(own.namespace(), other.namespace(), [10, 32, 0, 2].into(), lasts)?;
    let begun = Instant::now();
    for turn in 1..=turns {
        let starts = begun + WINDOW * turn;
        std::thread::sleep(starts.saturating_duration_since(Instant::now()));
        let until = starts + WINDOW;
        match turn % 3 {
            2 => send(&socket, until, hairpin)?,
            0 => send(&socket, until, || (fresh(), fresh()))?,
            _ => {}
        }
    }
    let rate = stream.finish()?;
    (0..rounds)
        .map(|round| {
            let first = u32::from(round) * 3 + 1;
            Ok(Flood {
                alone: mean(&rate, first)?,
                dropped: mean(&rate, first + 1)?,
                strangers: mean(&rate, first + 2)?,
            })
        })
        .collect()
}

/// Sends frames at [`RATE`] until a moment
fn send(socket: &PacketSocket, until: Instant, next: impl Fn() -> (Mac, Mac)) -> Result<()> {
    let mut batch = Batch::new();
    let each = Duration::from_secs(1) * u32::try_from(BATCH)? / RATE;
    let mut due = Instant::now();
    while due < until {
        let frames: Vec<Vec<u8>> = (0..BATCH)
            .map(|_frame| {
                let (from, to) = next();
                Frame { to, from, number: 0 }.bytes()
            })
            .collect();
        batch.send(socket, frames.iter().map(Vec::as_slice))?;
        due += each;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn mean(rate: &Rate, turn: u32) -> Result<f64> {
    let start = (WINDOW * turn).as_secs_f64();
    let within = rate.mean_between(start + EDGE, start + WINDOW.as_secs_f64());
    Ok(within.context("iperf3 told no rate")? / 1e9)
}
