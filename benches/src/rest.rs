//! What a weaved costs while nothing happens: memory, and the time to start.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::scenario::Kernel;
use lab::topology::{ETHERNET, Host, Lab};
use lab::weave::{Launch, MEETING};
use model::PathKind;
use serde::Serialize;

use crate::machine::field;
use crate::series::Series;

/// What was measured
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rest {
    /// Resident memory with no, one and two peers, in MB
    pub resident_mb: [f64; 3],
    /// From `weavectl launch` to its return, in ms; the first start makes keys and state
    pub start_ms: Series,
}

/// Starts and stops a weaved several times, then gives it two peers
pub fn measure(lab: &mut Lab, starts: usize, settle: Duration) -> Result<Rest> {
    let [own, first, second] = lab.hosts(["r1", "r2", "r3"])?;
    lab.segment(&[&own, &first, &second], ETHERNET)?;
    let mut start_ms = Series::default();
    for start in 0..starts {
        if start > 0 {
            own.stop()?;
        }
        let begun = Instant::now();
        own.launch(&Launch::plain())?;
        start_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut resident_mb = [0.0; 3];
    let by = match Kernel::OpenVswitch.lacks() {
        None => PathKind::Fastdp,
        Some(_) => PathKind::Sleeve,
    };
    let peers = [None, Some(&first), Some(&second)];
    for (peer, resident) in peers.into_iter().zip(&mut resident_mb) {
        if let Some(peer) = peer {
            peer.launch(&Launch::plain().peer(own.address()?))?;
            own.wait_path(peer, by, MEETING)?;
        }
        std::thread::sleep(settle);
        *resident = resident_memory(&own)?;
    }
    Ok(Rest {
        resident_mb,
        start_ms,
    })
}

/// `VmRSS` of a host's weaved, in MB
fn resident_memory(host: &Host) -> Result<f64> {
    let path = format!("/proc/{}/status", host.weaved_pid()?);
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kilobytes: f64 = field(&status, "VmRSS")
        .and_then(|value| value.strip_suffix("kB"))
        .context("no VmRSS")?
        .trim()
        .parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
