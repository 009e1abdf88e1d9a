//! Docker's networks of our driver.

use std::process::{Command, Stdio};

use super::CLIENT;
use crate::exit::clean;

/// Removes them; those that containers are on stay, and are told
pub(crate) fn remove() {
    let listed = docker(&["network", "ls", "--quiet", "--filter=driver=weave"]);
    for id in listed.unwrap_or_default().split_whitespace() {
        if let Err(why) = docker(&["network", "rm", id]) {
            eprintln!("weavectl: Docker's network {} stays: {}", clean(id), clean(&why));
        }
    }
}

/// What Docker's client printed, or how it failed
fn docker(line: &[&str]) -> Result<String, String> {
    let output = Command::new(CLIENT).args(line).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
