//! weaved as a unit of systemd.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

use super::Log;
use super::lasting;
use super::settings::Settings;
use super::start::Started;

const UNIT: &str = "weaved.service";
const DOCKER_UNIT: &str = "weave-docker.service";
/// `EnvironmentFile=` of weave-docker's unit
const DOCKER_ENVIRONMENT: &str = "/etc/weave/weave-docker.env";
/// `EnvironmentFile=` of the unit
const ENVIRONMENT: &str = "/etc/weave/weaved.env";
const HEADER: &str = "# Written by weavectl launch; the next launch replaces it.\n";
/// Where packages and administrators put units (systemd.unit(5)), without the root
const UNIT_DIRS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// systemd runs and has a unit for weaved
pub(super) fn is_usable() -> bool {
    is_usable_below(Path::new("/"))
}

fn is_usable_below(root: &Path) -> bool {
    // sd_booted(3) asks for the same directory.
    root.join("run/systemd/system").is_dir() && has_unit(root, UNIT)
}

fn has_unit(root: &Path, unit: &str) -> bool {
    UNIT_DIRS.iter().any(|dir| root.join(dir).join(unit).exists())
}

/// There is a unit for weave-docker
pub(super) fn has_docker() -> bool {
    has_unit(Path::new("/"), DOCKER_UNIT)
}

/// Starts weave-docker's unit with these flags, and waits until it serves
pub(super) fn start_docker(flags: &[String], restart: bool) -> Result<()> {
    let path = Path::new(DOCKER_ENVIRONMENT);
    let text = format!("{HEADER}{}", flags_line("WEAVE_DOCKER_FLAGS", flags)?);
    write_secret(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    lasting::when_it_ends(DOCKER_UNIT, restart)?;
    systemctl(&["reset-failed", DOCKER_UNIT]);
    ensure!(
        systemctl(&["start", DOCKER_UNIT]),
        "weave-docker did not start; its log is in journalctl -u weave-docker"
    );
    lasting::when_the_host_boots(DOCKER_UNIT, restart);
    Ok(())
}

/// Ends weave-docker's unit for good, if systemd started it; whether it did
pub(super) fn stop_docker() -> Result<bool> {
    let stopped = systemctl(&["is-active", "--quiet", DOCKER_UNIT]) && systemctl(&["stop", DOCKER_UNIT]);
    if stopped {
        let _none = fs::remove_file(DOCKER_ENVIRONMENT);
        lasting::forget(DOCKER_UNIT)?;
    }
    Ok(stopped)
}

/// Writes the unit's environment and starts it
pub(super) fn start(settings: &Settings) -> Result<(Started, Log)> {
    ensure!(
        settings.log_file.is_none(),
        "--log-file has no effect under systemd: see journalctl -u weaved, or add --no-systemd"
    );
    let path = Path::new(ENVIRONMENT);
    write_secret(path, &environment(settings)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    lasting::when_it_ends(UNIT, settings.restart)?;
    let since = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| elapsed.as_secs());
    // Starts that failed a moment ago do not count against this one.
    systemctl(&["reset-failed", UNIT]);
    let child = Command::new("systemctl")
        .args(["start", UNIT])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run systemctl")?;
    Ok((Started::Unit(child), Log::Journal { unit: UNIT, since }))
}

/// Ends the unit, and systemd's attempts to start it again
pub(super) fn stop() {
    systemctl(&["stop", UNIT]);
}

/// Has systemd start the unit that runs when the host boots, or not
pub(super) fn keep(restart: bool) {
    lasting::when_the_host_boots(UNIT, restart);
}

/// Removes what a launch of the weaved behind this socket wrote, the network's password perhaps
pub(super) fn forget(socket: &Path) -> Result<()> {
    let path = Path::new(ENVIRONMENT);
    let is_theirs = forget_file(path, socket).with_context(|| format!("cannot remove {}", path.display()))?;
    if is_theirs {
        lasting::forget(UNIT)?;
    }
    Ok(())
}

/// Whether it was that weaved's
fn forget_file(path: &Path, socket: &Path) -> io::Result<bool> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let flags = text
        .lines()
        .find_map(|line| line.strip_prefix("WEAVED_FLAGS="))
        .unwrap_or_default();
    let mut words = flags.trim_matches('"').split(' ');
    let theirs = words.find_map(|flag| flag.strip_prefix("--socket="));
    if !text.starts_with(HEADER) || Path::new(theirs.unwrap_or(api::DEFAULT_SOCKET)) != socket {
        return Ok(false);
    }
    remove(path)?;
    Ok(true)
}

/// Removes a file, and its directory unless that holds something else
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    if let Some(directory) = path.parent() {
        let _not_empty = fs::remove_dir(directory);
    }
    Ok(())
}

/// Whether systemd did it
pub(super) fn systemctl(line: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    command.args(line).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The unit's environment, in the form of systemd.exec(5), `EnvironmentFile=`
fn environment(settings: &Settings) -> Result<String> {
    let mut text = HEADER.to_owned();
    text.push_str(&flags_line("WEAVED_FLAGS", &settings.flags)?);
    if let Some(password) = &settings.password {
        text.push_str("WEAVE_PASSWORD=\"");
        for c in password.chars() {
            if matches!(c, '"' | '\\' | '`' | '$') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push_str("\"\n");
    }
    Ok(text)
}

fn flags_line(variable: &str, flags: &[String]) -> Result<String> {
    for flag in flags {
        // systemd splits the flags at spaces and takes quotes and backslashes for its own.
        let good = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/[]@+~".contains(c) || !c.is_ascii();
        ensure!(
            flag.chars().all(|c| good(c) && !c.is_whitespace()),
            "{flag:?} cannot be handed to systemd; add --no-systemd"
        );
    }
    Ok(format!("{variable}=\"{}\"\n", flags.join(" ")))
}

/// Replaces a file by one that only its owner has ever been able to read
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weavectl-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _left_behind = fs::remove_dir_all(&self.0);
        }
    }

    fn settings(flags: &[&str], password: Option<&str>) -> Settings {
        Settings {
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            password: password.map(ToOwned::to_owned),
            log_file: None,
            restart: true,
            docker: None,
        }
    }

    #[test]
    fn systemd_is_used_where_it_runs_and_has_the_unit() {
        let root = Directory::new("usable");
        assert!(!is_usable_below(&root.0));
        fs::create_dir_all(root.0.join("usr/lib/systemd/system")).unwrap();
        fs::write(root.0.join("usr/lib/systemd/system/weaved.service"), "").unwrap();
        assert!(!is_usable_below(&root.0));
        fs::create_dir_all(root.0.join("run/systemd/system")).unwrap();
        assert!(is_usable_below(&root.0));
    }

    #[test]
    fn the_environment_has_the_flags_and_the_quoted_password() {
        let environment = environment(&settings(
            &["--port=7000", "host1", "[fd00::1]:6783"],
            Some("a\"b\\c$d e'#"),
        ))
        .unwrap();
        let lines: Vec<&str> = environment.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "WEAVED_FLAGS=\"--port=7000 host1 [fd00::1]:6783\"",
                "WEAVE_PASSWORD=\"a\\\"b\\\\c\\$d e'#\""
            ]
        );
    }

    #[test]
    fn a_flag_that_systemd_would_split_is_refused() {
        for flag in [
            "--state-dir=/a b",
            "--state-dir=/a\"b",
            "--state-dir=/a$b",
            "--state-dir=/a\\b",
            "--nickname=a\u{a0}b",
        ] {
            assert!(environment(&settings(&[flag], None)).is_err(), "{flag}");
        }
    }

    #[test]
    fn only_the_environment_of_the_weaved_that_was_reset_is_removed() {
        let dir = Directory::new("forget");
        let path = dir.0.join("weave/weaved.env");
        let default = Path::new(api::DEFAULT_SOCKET);
        forget_file(&path, default).unwrap();

        let elsewhere = environment(&settings(&["--port=7000", "--socket=/run/other"], None)).unwrap();
        for (text, socket) in [("WEAVED_FLAGS=\"by hand\"\n", default), (&elsewhere, default)] {
            write_secret(&path, text).unwrap();
            forget_file(&path, socket).unwrap();
            assert!(path.exists(), "{text}");
        }
        forget_file(&path, Path::new("/run/other")).unwrap();
        assert!(!path.exists());

        write_secret(&path, &environment(&settings(&[], Some("secret"))).unwrap()).unwrap();
        forget_file(&path, default).unwrap();
        assert!(!path.exists() && !dir.0.join("weave").exists());
    }

    #[test]
    fn a_secret_is_readable_by_its_owner_only_also_over_an_open_file() {
        let dir = Directory::new("secret");
        let path = dir.0.join("etc/weaved.env");
        fs::create_dir(dir.0.join("etc")).unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

        write_secret(&path, "new").unwrap();
        write_secret(&path, "newer").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
