//! How long Docker takes to start a container, with the network and without any.

use std::time::Instant;

use anyhow::Result;
use lab::docker::{Client, Docker, IMAGE};
use lab::topology::Lab;
use lab::weave::Launch;
use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::table::Table;

/// What each of the containers is called
const NAME: &str = "started";

/// From `docker start` to its return, in ms
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Starts {
    /// With `--net=none`
    pub without: f64,
    /// With Docker's own bridge
    pub bridge: f64,
    /// With this network alone: `--net=none` by the proxy
    pub alone: f64,
    /// With this network beside Docker's bridge: by the proxy
    pub beside: f64,
}

impl Starts {
    /// What the network adds, in ms
    pub fn added(&self) -> f64 {
        self.alone - self.without
    }

    /// What it adds beside Docker's bridge, in ms
    pub fn added_beside(&self) -> f64 {
        self.beside - self.bridge
    }
}

/// Starts a container of each kind so often, one after the other; what it is doing goes to `tell`
pub fn measure(lab: &mut Lab, rounds: u16, tell: &mut impl FnMut(&str)) -> Result<Vec<Starts>> {
    let host = lab.host("k1")?;
    let [mut docker] = Docker::boot([&host])?;
    host.launch(&Launch::plain())?;
    docker.start_agent(&[])?;
    let (direct, proxied) = (docker.direct(), docker.proxied());
    // The first of each kind finds nothing in any cache.
    for client in [&direct, &proxied] {
        start(client, &[])?;
    }
    (1..=rounds)
        .map(|round| {
            let sample = Starts {
                without: start(&direct, &["--net=none"])?,
                beside: start(&proxied, &[])?,
                bridge: start(&direct, &[])?,
                alone: start(&proxied, &["--net=none"])?,
            };
            tell(&format!(
                "  round {round} of {rounds}: {:.0} ms, with the network {:.0} ms",
                sample.without, sample.alone
            ));
            Ok(sample)
        })
        .collect()
}

fn start(client: &Client, options: &[&str]) -> Result<f64> {
    let line = [&["create", "--name", NAME], options, &[IMAGE, "sleep", "1000000"]];
    client.run(&line.concat())?.ok()?;
    let begun = Instant::now();
    client.run(&["start", NAME])?.ok()?;
    let took = begun.elapsed();
    client.remove(&[NAME])?;
    Ok(took.as_secs_f64() * 1e3)
}

/// For people
pub(crate) fn table(samples: &[Starts]) -> Table {
    let mut table = Table::new(["docker start", "median (lowest–highest)"]);
    let mut line = |label: &str, of: fn(&Starts) -> f64| {
        let series: Series = samples.iter().map(of).collect();
        table.row([label.to_owned(), series.to_string()]);
    };
    line("without a network, ms", |sample| sample.without);
    line("with this network, ms", |sample| sample.alone);
    line("with Docker's bridge, ms", |sample| sample.bridge);
    line("with both, ms", |sample| sample.beside);
    line("what this network adds, ms", Starts::added);
    line("what it adds beside Docker's bridge, ms", Starts::added_beside);
    table
}
