//! Pure crates are pure: their manifests name nothing that does I/O, and they share one set of
//! forbidden names.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, output};

/// The crates that decide and never act
const PURE: [&str; 8] = [
    "openvswitch-sys",
    "model",
    "gossip",
    "fallback-sleeve",
    "overlay",
    "dns",
    "ipam",
    "docker",
];

/// What they must not depend on, however indirectly
const FORBIDDEN: [&str; 7] = ["tokio", "mio", "socket2", "hyper", "nix", "rtnetlink", "neli"];

/// Fails with what is impure
pub(crate) fn check(root: &Path) -> Result<()> {
    for name in PURE {
        let tree = output(cargo().args(["tree", "--package", name, "--edges=normal", "--prefix=none"]))?;
        let found = forbidden_in(&tree);
        ensure!(
            found.is_empty(),
            "{name} is a pure crate and depends on {}",
            found.join(", ")
        );
    }
    let mut lists = PURE.iter().map(|name| {
        let path = root.join(name).join("clippy.toml");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    });
    let first = lists.next().context("no pure crates")??;
    for (list, name) in lists.zip(PURE.iter().skip(1)) {
        ensure!(
            list? == first,
            "{name}/clippy.toml differs from {}/clippy.toml",
            PURE[0]
        );
    }
    println!("{} are pure", PURE.join(", "));
    Ok(())
}

fn forbidden_in(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let mut found: Vec<&str> = names.filter(|name| FORBIDDEN.contains(name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_count() {
        assert_eq!(
            forbidden_in("gossip v0.1.0\ntokio v1.2.3\ntokio v1.2.3 (*)\n"),
            ["tokio"]
        );
        assert!(forbidden_in("unix-nix v1.0.0\nbytes v1.0.0").is_empty());
    }
}
