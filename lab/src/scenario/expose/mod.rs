//! The host's own addresses on the network, and what goes through them to the world outside and back.

mod addresses;
mod masquerade;
mod rules;
mod to;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

pub(super) use self::addresses::act as addresses;
pub(super) use self::masquerade::act as masquerade;
pub(super) use self::to::act as to;
use crate::judge::ping::Ping;
use crate::namespace::Namespace;

/// How long to wait for an answer that must not come
const REFUSED: Duration = Duration::from_millis(500);

fn reaches(from: &Namespace, to: Ipv4Addr) -> Result<()> {
    let pings = Ping::to(to).run(from)?.all_answered();
    pings
        .with_context(|| format!("{} pings {to}", from.name()))
        .map(drop)
}

/// Whether a ping is answered; without a route it is not even sent
fn is_answered(from: &Namespace, to: Ipv4Addr) -> Result<bool> {
    let patience = format!("-W{:.1}", REFUSED.as_secs_f64());
    let line = ["ping", "-n", "-c1", &patience, &to.to_string()];
    Ok(from.run(&line)?.status.success())
}

fn reaches_not(from: &Namespace, to: Ipv4Addr) -> Result<()> {
    ensure!(!is_answered(from, to)?, "{} reaches {to}", from.name());
    Ok(())
}

/// The IPv4 addresses of a device, as in `10.2.1.101/24`
fn addresses_of(namespace: &Namespace, device: &str) -> Result<Vec<String>> {
    let links = namespace.ip_json(&["-4", "address", "show", "dev", device])?;
    let all = links[0]["addr_info"].as_array().into_iter().flatten();
    let text = |info: &serde_json::Value| {
        Some(format!(
            "{}/{}",
            info["local"].as_str()?,
            info["prefixlen"].as_u64()?
        ))
    };
    let mut texts: Vec<String> = all.filter_map(text).collect();
    texts.sort();
    Ok(texts)
}
