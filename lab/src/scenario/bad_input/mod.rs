//! Bad input: one line that says what is wrong, an exit code that is not zero, nothing changed.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::answers::{Answers, state_of};
use crate::command::{DEADLINE, Finished, run};
use crate::site::Site;
use crate::topology::{ETHERNET, Host, Lab};
use crate::weave::{Launch, PORT, program};

mod addresses;
mod answers;
mod by_socket;
mod by_tcp;

pub(super) use self::addresses::{act as of_addresses, turned_off};
pub(super) use self::by_socket::act as by_socket;
pub(super) use self::by_tcp::act as by_tcp;

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
    (&["--ipalloc-range", "10.32.0.0"], "ipalloc-range"),
    (&["--ipalloc-range", "10.32.0.1/12"], "not all zero"),
    (&["--ipalloc-range", "10.32.0.0/31"], "minimum"),
    (&["--ipalloc-range", "fd00::/64"], "ipalloc-range"),
    (
        &["--ipalloc-default-subnet", "10.99.0.0/16"],
        "ipalloc-default-subnet",
    ),
    (&["--ipalloc-init", "consensus=0"], "ipalloc-init"),
    (&["--ipalloc-init", "seed=host1"], "ipalloc-init"),
    (&["--ipalloc-init", "vote"], "ipalloc-init"),
    (&["--ipalloc-lease", "5s"], "ipalloc-lease"),
    (&["--dns-domain", "a..b"], "dns-domain"),
    (&["--dns-ttl=-1"], "dns-ttl"),
    (&["--dns-listen-address", "localhost"], "dns-listen-address"),
    (&["--dns-upstream", "nowhere"], "dns-upstream"),
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
    (&["attach", "10.1.0.1/24", "10.1.0.2/16", "CONTAINER"], "overlap"),
    (&["attach", "10.1.0.1/24", "10.1.0.1/24", "CONTAINER"], "twice"),
    (&["attach", "10.32.0.9/16", "CONTAINER"], "overlap"),
    (&["attach", "10.32.0.1/24", "OTHER"], "already owned by"),
    (&["attach", "10.32.0.1/16", "OTHER"], "already owned by"),
    (
        &["attach", "10.1.0.1/24", "10.32.0.1/24", "OTHER"],
        "already owned by",
    ),
    (&["attach", "10.1.0.1/24", "PROCESS"], "ethwe"),
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
    let mut answers = Answers::default();

    launches(&site.host, &mut answers)?;
    without_privileges(&site.host, &mut answers)?;
    ports_in_use(&site.host, &mut answers)?;
    site.host.launch(&Launch::plain())?;
    site.attach()?;
    let process = site.container.pid().to_string();
    let words = [
        ("PROCESS", process.as_str()),
        ("CONTAINER", site.container.namespace().name()),
        ("OTHER", other.namespace().name()),
        ("HOST", site.host.namespace().name()),
    ];
    questions(&site.host, &words, &mut answers)?;
    the_same_again(&site, &mut answers)?;
    second_daemon(&site.host, &mut answers)?;
    site.host.stop()?;
    damaged_state(&site.host, &mut answers)?;

    answers.finish()
}

fn launches(host: &Host, answers: &mut Answers) -> Result<()> {
    let before = state_of(host)?;
    for (flags, word) in LAUNCHES {
        let launch = flags
            .iter()
            .fold(Launch::plain(), |launch, flag| launch.flag(flag));
        answers.judge(&host.try_launch(&launch)?, word);
    }
    answers.unchanged("a launch that failed", &before, &state_of(host)?);
    Ok(())
}

fn ports_in_use(host: &Host, answers: &mut Answers) -> Result<()> {
    let port = PORT.to_string();
    let taken = host
        .namespace()
        .enter(|| Ok(TcpListener::bind(("0.0.0.0", PORT))?))?;
    answers.judge(&host.try_launch(&Launch::plain())?, &port);
    drop(taken);
    let taken = host
        .namespace()
        .enter(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    answers.judge(&host.try_launch(&Launch::plain())?, &port);
    drop(taken);
    let left: Vec<_> = host.namespace().processes()?;
    if !left.is_empty() {
        answers.fault(format!("a launch that failed left {left:?}"));
    }
    Ok(())
}

fn questions(host: &Host, words: &[(&str, &str)], answers: &mut Answers) -> Result<()> {
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
        answers.judge(&host.weavectl(&line)?, word);
    }
    answers.unchanged("questions in vain", &before, &state_of(host)?);
    Ok(())
}

/// No mistake: a container that has all that is asked for stays as it is
fn the_same_again(site: &Site, answers: &mut Answers) -> Result<()> {
    let before = state_of(&site.host)?;
    let inside = || site.container.namespace().ip(&["address", "show"]);
    let addresses = inside()?;
    site.attach()?;
    answers.unchanged("attaching again", &before, &state_of(&site.host)?);
    ensure!(
        inside()? == addresses,
        "attaching again changed {addresses} to {}",
        inside()?
    );
    Ok(())
}

fn second_daemon(host: &Host, answers: &mut Answers) -> Result<()> {
    let before = state_of(host)?;
    let pid = host.weaved_pid()?;
    answers.judge(&host.try_launch(&Launch::plain())?, "already running");
    // Past weavectl, which would ask first: the same state, another socket and port.
    let elsewhere = ["--port", "7783", "--datapath", "weave2"];
    answers.judge(&second(host, &host.state_dir(), &elsewhere)?, "");
    // The same port, another state.
    let other = host.files().join("second-state");
    answers.judge(
        &second(host, &other, &["--datapath", "weave2"])?,
        &PORT.to_string(),
    );
    let socket = host.files().join("second.sock");
    if socket.exists() {
        answers.fault("a launch that failed left its socket".to_owned());
    }
    answers.unchanged("a second weaved", &before, &state_of(host)?);
    ensure!(host.weaved_pid()? == pid, "another weaved answers now");
    Ok(())
}

fn second(host: &Host, state: &Path, flags: &[&str]) -> Result<Finished> {
    let [socket, log] = ["second.sock", "second.log"].map(|name| host.files().join(name));
    let paths = [
        ("--socket", &*socket),
        ("--log-file", &*log),
        ("--state-dir", state),
    ];
    let mut words = vec!["launch".to_owned(), "--no-systemd".to_owned()];
    for (flag, path) in paths {
        words.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
    }
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.weavectl_elsewhere(&words)
}

/// Programs that others may run stand in memory of their own: those that were built may lie where only
/// root looks
fn without_privileges(host: &Host, answers: &mut Answers) -> Result<()> {
    const SCRIPT: &str = "mount -t tmpfs memory /mnt && cp \"$1\" \"$2\" /mnt && shift 2 && exec \"$@\"";
    const NOBODY: &[&str] = &[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ];
    // Root, as in a container that was given nothing.
    const NO_POWERS: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
    const LAUNCH: &[&str] = &["/mnt/weavectl", "launch", "--no-systemd"];
    let before = state_of(host)?;
    for (who, line, word) in [
        (NOBODY, LAUNCH, "root"),
        (NOBODY, &["/mnt/weaved"][..], "root"),
        (NO_POWERS, &["/mnt/weaved"][..], "CAP_NET_ADMIN"),
    ] {
        let mut command = host.namespace().command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
            .args([program("weaved")?, program("weavectl")?])
            .args(who)
            .args(line);
        command.arg("--socket").arg(host.socket());
        command.arg("--state-dir").arg(host.state_dir());
        answers.judge(&run(command, DEADLINE)?, word);
    }
    answers.unchanged("a launch without privileges", &before, &state_of(host)?);
    Ok(())
}

fn damaged_state(host: &Host, answers: &mut Answers) -> Result<()> {
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
        answers.judge(&host.try_launch(&Launch::plain())?, &word);
        if fs::read(database)? != damage {
            answers.fault(format!("a damaged state file ({name}) was written to"));
        }
    }
    fs::write(database, &whole)?;
    host.launch(&Launch::plain())
        .context("with the whole state file again")?;
    host.stop()
}
