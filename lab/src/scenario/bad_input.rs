//! Bad input: one line that says what is wrong, an exit code that is not zero, nothing changed.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use anyhow::{Context as _, Result, ensure};

use crate::command::Finished;
use crate::site::Site;
use crate::topology::{ETHERNET, Host, Lab};
use crate::weave::{Launch, PORT};

/// The exit code for a command line that is not understood
const USAGE: i32 = 2;

/// Flags that weaved cannot be launched with, and a word that the complaint must have
const LAUNCHES: &[(&[&str], &str)] = &[
    (&["--port", "0"], "port"),
    (&["--port", "65535"], "port"),
    (&["--port", "weave"], "port"),
    (&["--host", "300.1.1.1"], "host"),
    (&["--name", "bob"], "name"),
    (&["--name", "ff:ff:ff:ff:ff:ff"], "name"),
    (&["--mtu", "100"], "mtu"),
    (&["--mtu", "70000"], "mtu"),
    (
        &["--datapath", "a-name-that-is-too-long-for-a-device"],
        "datapath",
    ),
    (&["--trusted-subnets", "10.0.0.0/33"], "subnets"),
    (&["--conn-limit=-1"], "conn-limit"),
    (&["--log-level", "loud"], "log-level"),
    (&["--heartbeat-interval", "soon"], "heartbeat-interval"),
    (&["--vxlan-csum", "maybe"], "vxlan-csum"),
    (&["--no-such-flag"], "--no-such-flag"),
    (&["host1:99999"], "99999"),
    (&["two words"], "two words"),
];

/// What a running weaved is asked in vain
const QUESTIONS: &[(&[&str], &str)] = &[
    (&["attach", "10.1.0.1/33", "CONTAINER"], "10.1.0.1/33"),
    (&["attach", "10.1.0/24", "CONTAINER"], "10.1.0/24"),
    (
        &["attach", "10.1.0.1/24", "no-such-container"],
        "no-such-container",
    ),
    (&["attach", "10.1.0.1/24", "/etc/passwd"], "/etc/passwd"),
    (&["attach", "10.1.0.1/24", "/no/such/path"], "/no/such/path"),
    (&["attach", "10.1.0.1/24", "999999999"], "999999999"),
    (&["attach", "10.1.0.1/24", "HOST"], "namespace"),
    (&["attach", "10.1.0.1/24"], ""),
    (&["detach", "no-such-container"], "no-such-container"),
    (&["detach", "10.1.0.9/24", "OTHER"], ""),
    (&["connect", "two words"], "two words"),
    (&["connect", "host:0"], ""),
    (&["connect"], ""),
    (&["forget", "two words"], "two words"),
    (&["status", "weather"], "weather"),
    (&["flows", "melt"], "melt"),
    (&["no-such-command"], "no-such-command"),
];

pub(super) fn act(lab: &mut Lab) -> Result<()> {
    let site = Site::create(lab, "host1")?;
    let other = lab.container("other")?;
    let peer = lab.host("host2")?;
    lab.link(&site.host, &peer, ETHERNET)?;
    let mut wrong = Vec::new();

    launches(&site.host, &mut wrong)?;
    ports_in_use(&site.host, &mut wrong)?;
    site.host.launch(&Launch::plain())?;
    site.attach()?;
    let words = [
        ("CONTAINER", site.container.namespace().name()),
        ("OTHER", other.namespace().name()),
        ("HOST", site.host.namespace().name()),
    ];
    questions(&site.host, &words, &mut wrong)?;
    second_daemon(&site.host, &mut wrong)?;
    site.host.stop()?;
    damaged_state(&site.host, &mut wrong)?;

    ensure!(
        wrong.is_empty(),
        "{} of the answers are not as they should be:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!(
        "{} mistakes, each told in one line",
        LAUNCHES.len() + QUESTIONS.len() + 5
    );
    Ok(())
}

fn launches(host: &Host, wrong: &mut Vec<String>) -> Result<()> {
    let before = state_of(host)?;
    for (flags, word) in LAUNCHES {
        let launch = flags
            .iter()
            .fold(Launch::plain(), |launch, flag| launch.flag(flag));
        judge(&host.try_launch(&launch)?, word, wrong);
    }
    unchanged("a launch that failed", &before, &state_of(host)?, wrong);
    Ok(())
}

fn ports_in_use(host: &Host, wrong: &mut Vec<String>) -> Result<()> {
    let port = PORT.to_string();
    let taken = host
        .namespace()
        .enter(|| Ok(TcpListener::bind(("0.0.0.0", PORT))?))?;
    judge(&host.try_launch(&Launch::plain())?, &port, wrong);
    drop(taken);
    let taken = host
        .namespace()
        .enter(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    judge(&host.try_launch(&Launch::plain())?, &port, wrong);
    drop(taken);
    let left: Vec<_> = host.namespace().processes()?;
    if !left.is_empty() {
        wrong.push(format!("a launch that failed left {left:?}"));
    }
    Ok(())
}

fn questions(host: &Host, words: &[(&str, &str)], wrong: &mut Vec<String>) -> Result<()> {
    let before = state_of(host)?;
    for (line, word) in QUESTIONS {
        let line: Vec<&str> = line
            .iter()
            .map(|argument| {
                words
                    .iter()
                    .find(|(name, _)| name == argument)
                    .map_or(*argument, |(_, real)| real)
            })
            .collect();
        judge(&host.weavectl(&line)?, word, wrong);
    }
    unchanged("questions in vain", &before, &state_of(host)?, wrong);
    Ok(())
}

fn second_daemon(host: &Host, wrong: &mut Vec<String>) -> Result<()> {
    let before = state_of(host)?;
    let pid = host.weaved_pid()?;
    judge(&host.try_launch(&Launch::plain())?, "already running", wrong);
    // Past weavectl, which would ask first: the same state, another socket and port.
    let socket = host.files().join("second.sock");
    let state = host.state_dir();
    let log = host.files().join("second.log");
    let words = [
        "launch",
        "--no-systemd",
        "--port",
        "7783",
        "--datapath",
        "weave2",
        "--state-dir",
        &state.to_string_lossy(),
        "--log-file",
        &log.to_string_lossy(),
        "--socket",
        &socket.to_string_lossy(),
    ]
    .map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    judge(&host.weavectl_elsewhere(&words)?, "", wrong);
    unchanged("a second weaved", &before, &state_of(host)?, wrong);
    ensure!(host.weaved_pid()? == pid, "another weaved answers now");
    Ok(())
}

fn damaged_state(host: &Host, wrong: &mut Vec<String>) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(host.state_dir())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.is_file());
    let database = files
        .iter()
        .max_by_key(|path| path.metadata().map_or(0, |file| file.len()))
        .context("weaved keeps no file")?;
    let whole = fs::read(database)?;
    let noise: &[u8] = b"this is no database";
    let mut flipped = whole.clone();
    flipped.iter_mut().take(512).for_each(|byte| *byte = !*byte);
    for (name, damage) in [
        ("noise", noise.to_vec()),
        ("flipped", flipped),
        ("cut", whole[..whole.len() / 3].to_vec()),
    ] {
        fs::write(database, &damage)?;
        let word = database
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        judge(&host.try_launch(&Launch::plain())?, &word, wrong);
        if fs::read(database)? != damage {
            wrong.push(format!("a damaged state file ({name}) was written to"));
        }
    }
    fs::write(database, &whole)?;
    host.launch(&Launch::plain())
        .context("with the whole state file again")?;
    host.stop()
}

/// Adds what is wrong with an answer: it must be refused in one line that has this word; of a
/// command line that is not understood, the usage may follow
fn judge(finished: &Finished, word: &str, wrong: &mut Vec<String>) {
    let text = finished.stderr.trim();
    let first = text.lines().next().unwrap_or_default();
    let is_right = match finished.status.code() {
        Some(USAGE) => first.contains(word),
        Some(code) => code != 0 && text == first && first.contains(word),
        None => false,
    };
    if !is_right {
        wrong.push(format!("should have {word:?} in one line: {finished}"));
    }
}

/// What a question may change: devices, processes, and what weaved tells
#[derive(Debug, PartialEq, Eq)]
struct State {
    devices: Vec<String>,
    processes: Vec<String>,
    containers: Option<String>,
    targets: Option<String>,
}

fn state_of(host: &Host) -> Result<State> {
    let told = |line: &[&str]| {
        host.weavectl(line)
            .ok()
            .filter(|answer| answer.status.success())
            .map(|answer| answer.stdout)
    };
    Ok(State {
        devices: host.namespace().devices()?.into_iter().collect(),
        processes: host
            .namespace()
            .processes()?
            .into_iter()
            .map(|process| process.name)
            .collect(),
        containers: told(&["ps"]),
        targets: told(&["status", "targets"]),
    })
}

fn unchanged(what: &str, before: &State, after: &State, wrong: &mut Vec<String>) {
    if before != after {
        wrong.push(format!("{what} changed {before:?} to {after:?}"));
    }
}
