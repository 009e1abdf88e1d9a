//! The first ping between two containers that were just attached, as people see it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::judge::ping::Ping;
use lab::topology::{ETHERNET, Lab};
use lab::weave::{Launch, launch_mesh, usual_path};

use crate::series::Series;

/// From the second container's attachment on: its announcement has been everywhere by then
const ANNOUNCED: Duration = Duration::from_millis(300);

/// The round trip of the first ping of so many new pairs, ARP included, in ms
pub fn measure(lab: &mut Lab, pairs: u8) -> Result<Series> {
    let [near, far] = lab.hosts(["n1", "n2"])?;
    lab.link(&near, &far, ETHERNET)?;
    let by = usual_path();
    launch_mesh(&[&near, &far], &Launch::plain(), by)?;
    (1..=pairs)
        .map(|pair| {
            let own = lab.container(&format!("nc{pair}"))?;
            let other = lab.container(&format!("nd{pair}"))?;
            near.attach(&own, &[&format!("10.32.1.{pair}/16")])?;
            far.attach(&other, &[&format!("10.32.2.{pair}/16")])?;
            std::thread::sleep(ANNOUNCED);
            let pings = Ping::to([10, 32, 2, pair]).count(1).run(own.namespace())?;
            let first = pings.all_answered()?.round_trip.context("ping told no time")?;
            Ok(first.as_secs_f64() * 1e3)
        })
        .collect()
}
