//! `nft`: which packet filters there are.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;

/// The tables of a namespace, as in `ip weave`
pub fn tables(namespace: &Namespace) -> Result<BTreeSet<String>> {
    let text = namespace.run(&["nft", "list", "tables"])?.ok()?;
    let name = |line: &str| line.trim().strip_prefix("table ").map(str::to_owned);
    text.lines()
        .map(|line| name(line).with_context(|| format!("nft says {line:?}")))
        .collect()
}

/// One table, as in `ip weave`, without counters; none if it is not there
pub fn table(namespace: &Namespace, name: &str) -> Result<Option<String>> {
    if !tables(namespace)?.contains(name) {
        return Ok(None);
    }
    let (family, name) = name.split_once(' ').context("a table without its family")?;
    let line = ["nft", "-s", "list", "table", family, name];
    namespace.run(&line)?.ok().map(Some)
}

/// Carries out a script as one transaction
pub fn apply(namespace: &Namespace, script: &str) -> Result<()> {
    namespace.run(&["nft", script])?.ok().map(drop)
}

/// Why this kernel cannot masquerade by nftables, if it cannot
pub fn lacks_masquerading(namespace: &Namespace) -> Result<Option<String>> {
    let script = "add table ip trial; \
                  add chain ip trial out { type nat hook postrouting priority 100; }; \
                  add rule ip trial out masquerade; \
                  delete table ip trial";
    let finished = namespace.run(&["nft", script])?;
    if finished.status.success() {
        return Ok(None);
    }
    let said = finished.stderr.lines().next().unwrap_or("no reason given");
    Ok(Some(format!(
        "this kernel's nftables cannot masquerade: {}",
        said.trim()
    )))
}
