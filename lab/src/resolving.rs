//! Programs in a namespace that ask a given server for names, as those in a container do.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::Finished;
use crate::namespace::Namespace;

/// Runs a program for which `/etc/resolv.conf` names this server, and this domain to search; `files` is where
/// the file may be made
pub fn run(
    namespace: &Namespace,
    server: IpAddr,
    domain: &str,
    files: &Path,
    line: &[&str],
) -> Result<Finished> {
    let file = files.join(format!("resolv-{}.conf", namespace.name()));
    fs::write(
        &file,
        format!("nameserver {server}\nsearch {domain}\noptions timeout:2 attempts:2\n"),
    )
    .with_context(|| format!("cannot write {}", file.display()))?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    // Only for the program: in a mount namespace of its own.
    let script = "mount --bind \"$0\" \"$(readlink -f /etc/resolv.conf)\" && exec \"$@\"";
    let own = ["unshare", "--mount", "--", "sh", "-c", script, file];
    namespace.run(&[&own[..], line].concat())
}
