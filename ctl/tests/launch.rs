//! Starting and ending a weaved that is a shell script, beside a copy of weavectl.
#![allow(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{Directory, Fake, program, weavectl};

mod support;

/// weavectl and a script in weaved's place, in a directory of their own
struct Installed {
    dir: Directory,
}

impl Installed {
    fn new(name: &str, script: &str) -> Self {
        let dir = Directory::new(name);
        // Written by other processes: a file that this one had open for writing while another test
        // forks could not be run ("text file busy").
        let copy = |from: &Path, to: &str| Command::new("cp").arg(from).arg(dir.0.join(to)).status();
        let text = format!("#!/bin/sh\ncd '{}' || exit\n{script}\n", dir.0.display());
        fs::write(dir.0.join("script"), text).unwrap();
        fs::set_permissions(dir.0.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(copy(&dir.0.join("script"), "weaved").unwrap().success());
        assert!(
            copy(Path::new(env!("CARGO_BIN_EXE_weavectl")), "weavectl")
                .unwrap()
                .success()
        );
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    fn run(&self, socket: PathBuf, args: &[&str]) -> Output {
        let mut command = program(&self.path("weavectl"), &socket);
        command.args(args);
        if args.first() == Some(&"launch") {
            command
                .arg("--no-systemd")
                .arg("--log-file")
                .arg(self.path("log"));
        }
        command.env("WEAVE_PASSWORD", "secret").output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: only root may start weaved");
    }
    is_root
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn weaved_gets_its_flags_a_session_of_its_own_and_the_password_by_environment() {
    if !is_root() {
        return;
    }
    // It says what it was started with, then takes the place where the answering socket is.
    let installed = Installed::new(
        "launch",
        "echo \"$@\" > flags; echo \"$WEAVE_PASSWORD\" > password; readlink /proc/$$/fd/0 > stdin\n\
         cut -d' ' -f1,6 /proc/$$/stat > session; echo output; echo errors >&2\n\
         echo $$ > pid; mv real.sock weaved.sock; exec sleep 60",
    );
    let fake = Fake::answering("launch-api", &[("GET /v1/health", 200, HEALTH)]);
    fs::rename(fake.socket(), installed.path("real.sock")).unwrap();

    let output = installed.run(
        installed.path("weaved.sock"),
        &["launch", "--port", "7000", "host1"],
    );
    fs::rename(installed.path("weaved.sock"), fake.socket()).unwrap();
    let pid = installed.read("pid");
    let killed = Command::new("kill").arg(pid.trim()).status().unwrap();

    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"weaved is running (pid 4711)\n");
    assert!(killed.success());
    let socket = installed.path("weaved.sock");
    assert_eq!(
        installed.read("flags"),
        format!("--port=7000 --socket={} host1\n", socket.display())
    );
    assert_eq!(installed.read("password"), "secret\n");
    assert_eq!(installed.read("stdin"), "/dev/null\n");
    assert_eq!(installed.read("session"), format!("{0} {0}\n", pid.trim()));
    assert_eq!(installed.read("log"), "output\nerrors\n");
}

#[test]
fn a_weaved_that_ends_is_told_with_its_last_error() {
    if !is_root() {
        return;
    }
    let installed = Installed::new(
        "ends",
        "echo starting; echo '[x ERROR weaved] port 6783 is taken'; exit 3",
    );
    fs::write(installed.path("log"), "[x ERROR weaved] an older error\n").unwrap();

    let output = installed.run(installed.path("weaved.sock"), &["launch"]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        format!(
            "weavectl: weaved did not start: port 6783 is taken (its log is {})\n",
            installed.path("log").display()
        )
    );
}

#[test]
fn only_root_launches() {
    let installed = Installed::new("user", "touch started");
    fs::set_permissions(&installed.dir.0, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args(["--reuid=65534", "--clear-groups", "--"])
            .arg(installed.path("weavectl"));
        setpriv
    } else {
        Command::new(installed.path("weavectl"))
    };
    let output = command.args(["launch", "--no-systemd"]).output().unwrap();
    assert_eq!(
        stderr(&output),
        "weavectl: weaved changes the network of this host; run weavectl launch as root\n"
    );
    assert!(!installed.path("started").exists());
}

#[test]
fn a_second_launch_is_refused() {
    if !is_root() {
        return;
    }
    let fake = Fake::answering("second", &[("GET /v1/health", 200, HEALTH)]);
    let output = fake.run(&["launch", "--no-systemd"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "weavectl: weaved is already running (pid 4711)\n"
    );
}

#[test]
fn stop_waits_for_the_end_of_the_process() {
    let mut sleep = Command::new("sleep").arg("60").spawn().unwrap();
    let stopping = format!(r#"{{"pid":{}}}"#, sleep.id());
    let fake = Fake::answering("stop", &[("POST /v1/stop", 200, &stopping)]);

    let weavectl = fake.command(&["stop"]).spawn().unwrap();
    assert!(wait_until(|| !fake.questions().is_empty()));
    let asked_for = fake.questions();
    sleep.kill().unwrap();
    let output = weavectl.wait_with_output().unwrap();
    let ended = sleep.try_wait().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert!(ended.is_some());
    assert_eq!(asked_for, ["POST /v1/stop"]);
}

#[test]
fn a_forced_reset_without_a_daemon_is_done_by_weaved() {
    if !is_root() {
        return;
    }
    let installed = Installed::new("reset", "echo \"$@\" > flags; test ! -e fail");
    let run = |args: &[&str]| installed.run(installed.path("weaved.sock"), args);

    let done = run(&["reset", "--force", "--state-dir", "/x", "--datapath", "weave2"]);
    fs::write(installed.path("fail"), "").unwrap();
    let failed = run(&["reset", "--force"]);

    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        stderr(&failed),
        "weavectl: weaved --reset failed (exit status: 1)\n"
    );
    let socket = installed.path("weaved.sock");
    assert_eq!(
        installed.read("flags"),
        format!("--reset --socket {}\n", socket.display())
    );
}

#[test]
fn a_reset_of_a_running_daemon_is_done_by_it() {
    let fake = Fake::answering("reset-api", &[("POST /v1/reset", 200, r#"{"pid":4294967294}"#)]);
    let output = weavectl(&fake.socket())
        .args(["reset", "--force"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        fake.questions().first().map(String::as_str),
        Some("POST /v1/reset")
    );
}

const HEALTH: &str = r#"{"ready":true,"pid":4711,"version":"0.1.0"}"#;
