//! Whether systemd starts a unit again: when it has ended by itself, and when the host has booted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::systemd::{remove, systemctl};
use crate::print;

/// Drop-ins that are gone after a reboot (systemd.unit(5))
const DROP_INS: &str = "/run/systemd/system";
const NO_RESTART: &str = "no-restart.conf";
const TEXT: &str =
    "# Written by weavectl launch --no-restart; a launch without it removes it.\n[Service]\nRestart=no\n";

/// From its next start on, the unit is started again when it ends by itself, or it is not
pub(super) fn when_it_ends(unit: &str, again: bool) -> Result<()> {
    let path = drop_in(unit);
    let has_changed = match again {
        true => removed(&path),
        false => written(&path),
    };
    let has_changed = has_changed.with_context(|| format!("cannot change {}", path.display()))?;
    if has_changed {
        systemctl(&["daemon-reload"]);
    }
    Ok(())
}

/// The unit is started when the host boots, or it is not
pub(super) fn when_the_host_boots(unit: &str, again: bool) {
    if systemctl(&["is-enabled", "--quiet", unit]) == again {
        return;
    }
    let verb = if again { "enable" } else { "disable" };
    if !systemctl(&[verb, unit]) {
        print::warning(&format!("systemctl {verb} {unit} failed: see to that yourself"));
    }
}

/// Leaves the unit as it was before any launch
pub(super) fn forget(unit: &str) -> Result<()> {
    when_it_ends(unit, true)?;
    when_the_host_boots(unit, false);
    Ok(())
}

fn drop_in(unit: &str) -> PathBuf {
    Path::new(DROP_INS).join(format!("{unit}.d")).join(NO_RESTART)
}

fn removed(path: &Path) -> io::Result<bool> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

fn written(path: &Path) -> io::Result<bool> {
    if fs::read_to_string(path).is_ok_and(|text| text == TEXT) {
        return Ok(false);
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, TEXT)?;
    Ok(true)
}
