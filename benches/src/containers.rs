//! How long Docker takes to start a container, with the network and without any.

use std::time::Instant;

use anyhow::Result;
use lab::docker::{Client, Docker, IMAGE, Release};
use lab::topology::Lab;
use lab::weave::Launch;
use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::table::Table;

/// What each of the containers is called
const NAME: &str = "started";
/// A network of Docker's own driver
const OWN: &str = "own";

/// From `docker start` to its return, in ms
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Starts {
    /// Which of the machine's Dockers
    pub docker: Release,
    /// Its version
    pub version: String,
    /// With `--net=none`
    pub without: f64,
    /// With Docker's own bridge
    pub bridge: f64,
    /// With a network of Docker's own driver: `docker network create`
    pub own: f64,
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

    /// What a network of Docker's own driver adds, in ms
    pub fn added_by_own(&self) -> f64 {
        self.own - self.without
    }

    /// What it adds beside Docker's bridge, in ms
    pub fn added_beside(&self) -> f64 {
        self.beside - self.bridge
    }
}

/// Starts a container of each kind so often, one after the other; what it is doing goes to `tell`
pub fn measure(release: Release, rounds: u16, tell: &mut impl FnMut(&str)) -> Result<Vec<Starts>> {
    let mut lab = Lab::with_docker(release)?;
    let host = lab.host("k1")?;
    let [mut docker] = Docker::boot([&host])?;
    host.launch(&Launch::plain())?;
    docker.start_agent(&[])?;
    let (direct, proxied) = (docker.direct(), docker.proxied());
    let version = direct.run(&["version", "--format={{.Server.Version}}"])?.ok()?;
    let version = version.trim();
    tell(&format!("  Docker {version}"));
    direct.run(&["network", "create", OWN])?.ok()?;
    // The first of each kind finds nothing in any cache.
    for client in [&direct, &proxied] {
        start(client, &[])?;
    }
    (1..=rounds)
        .map(|round| {
            let sample = Starts {
                docker: release,
                version: version.to_owned(),
                without: start(&direct, &["--net=none"])?,
                beside: start(&proxied, &[])?,
                bridge: start(&direct, &[])?,
                own: start(&direct, &["--net", OWN])?,
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

/// For people: what was measured with this one
pub(crate) fn table(release: Release, samples: &[Starts]) -> Option<Table> {
    let samples: Vec<&Starts> = samples.iter().filter(|sample| sample.docker == release).collect();
    let title = format!("docker start, Docker {}", samples.first()?.version);
    let mut table = Table::new([title.as_str(), "median (lowest–highest)"]);
    let mut line = |label: &str, of: fn(&Starts) -> f64| {
        let series: Series = samples.iter().map(|sample| of(sample)).collect();
        table.row([label.to_owned(), series.to_string()]);
    };
    line("without a network, ms", |sample| sample.without);
    line("with this network, ms", |sample| sample.alone);
    line("with Docker's bridge, ms", |sample| sample.bridge);
    line("with both, ms", |sample| sample.beside);
    line("with a network of Docker's own, ms", |sample| sample.own);
    line("what this network adds, ms", Starts::added);
    line("what it adds beside Docker's bridge, ms", Starts::added_beside);
    line("what a network of Docker's own adds, ms", Starts::added_by_own);
    Some(table)
}
