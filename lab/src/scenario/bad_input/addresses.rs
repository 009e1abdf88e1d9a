//! Addresses, subnets, peers and names in wrong forms, and a host on which there are none.

use anyhow::{Result, ensure};

use super::answers::{Answers, state_of};
use crate::command::Finished;
use crate::scenario::addresses::ping;
use crate::site::Site;
use crate::topology::{Host, Lab};
use crate::weave::Launch;

/// A label that is too long by one character
const LONG: &str = "a2345678901234567890123456789012345678901234567890123456789012345";

/// What a running weaved is asked in vain, the exit code, and a word that the complaint must have
const QUESTIONS: &[(&[&str], i32, &str)] = &[
    (&["attach", "net:", "OTHER"], 1, "is not a CIDR"),
    (&["attach", "net:somewhere", "OTHER"], 1, "somewhere"),
    (&["attach", "net:10.40.7.0/33", "OTHER"], 1, "10.40.7.0/33"),
    (&["attach", "net:fd00::/64", "OTHER"], 1, "fd00::/64"),
    (
        &["attach", "net:10.40.7.1/24", "OTHER"],
        1,
        "bits after network prefix are not all zero: 10.40.7.1/24",
    ),
    (
        &["attach", "net:10.40.7.0/31", "OTHER"],
        1,
        "smaller than minimum size 4: 10.40.7.0/31",
    ),
    (
        &["attach", "net:10.99.5.0/24", "OTHER"],
        1,
        "range 10.99.5.0/24 out of bounds: 10.32.0.0/12",
    ),
    (&["attach", "ip:", "OTHER"], 1, "is not a CIDR"),
    (&["attach", "ip:10.40.7.1", "OTHER"], 1, "10.40.7.1"),
    (&["attach", "ip:10.40.7.1/33", "OTHER"], 1, "10.40.7.1/33"),
    (&["attach", "10.40.7.0/24", "OTHER"], 1, "10.40.7.0/24"),
    (&["attach", "10.40.7.255/24", "OTHER"], 1, "10.40.7.255/24"),
    (&["attach", "ADDRESS/12", "OTHER"], 1, "ADDRESS"),
    (
        &["attach", "net:default", "10.40.7.1/33", "OTHER"],
        1,
        "10.40.7.1/33",
    ),
    (
        &["attach", "net:default", "no-such-container"],
        4,
        "no-such-container",
    ),
    (
        &["attach", "net:default", "net:10.40.7.1/24", "OTHER"],
        1,
        "10.40.7.1/24",
    ),
    (&["detach", "net:10.40.7.1/24", "CONTAINER"], 1, "10.40.7.1/24"),
    (&["detach", "net:10.40.7.0/24", "CONTAINER"], 4, "10.40.7.0/24"),
    (&["detach", "10.40.7.1/24", "CONTAINER"], 4, "10.40.7.1/24"),
    (&["detach", "OTHER"], 4, "OTHER"),
    (&["expose", "10.40.7.1/33"], 1, "10.40.7.1/33"),
    (&["expose", "net:10.40.7.1/24"], 1, "10.40.7.1/24"),
    (&["expose", "net:10.99.5.0/24"], 1, "out of bounds"),
    (&["expose", "ADDRESS/12"], 1, "ADDRESS"),
    (&["expose", "10.40.7.1/24", "-h", "two words"], 1, "two words"),
    (&["expose", "10.40.7.1/24", "-h", "a..b"], 1, "a..b"),
    (&["hide", "10.40.7.1"], 1, "10.40.7.1"),
    (&["hide", "net:10.40.7.1/24"], 1, "10.40.7.1/24"),
    (&["rmpeer"], 2, "PEER"),
    (&["rmpeer", "nobody"], 4, "nobody"),
    (&["rmpeer", "two words"], 4, "two words"),
    (&["rmpeer", "7a:00:00:00:00:99"], 4, "7a:00:00:00:00:99"),
    (&["rmpeer", "host1"], 1, "is this peer"),
    (&["ipam", "grow"], 2, "grow"),
    (&["ipam", "prime", "all"], 2, "all"),
    (&["dns-add"], 1, "no container"),
    (&["dns-add", "10.40.7.1"], 1, "no container"),
    (&["dns-add", "-h", "www"], 1, ""),
    (&["dns-add", "nonsense", "CONTAINER"], 1, "nonsense"),
    (&["dns-add", "OTHER"], 4, "OTHER"),
    (&["dns-add", "CONTAINER", "-h", "two words"], 1, "two words"),
    (&["dns-add", "CONTAINER", "-h", "a..b"], 1, "a..b"),
    (&["dns-add", "CONTAINER", "-h", ""], 1, ""),
    (&["dns-add", "CONTAINER", "-h", LONG], 1, LONG),
    (&["dns-add", "10.40.7.1", "-h", "two words"], 1, "two words"),
    (&["dns-remove"], 1, ""),
    (&["dns-remove", "nonsense", "CONTAINER"], 1, "nonsense"),
    (&["dns-lookup"], 2, "NAME"),
    (&["dns-lookup", "nobody"], 4, "nobody"),
    (&["dns-lookup", "two words"], 1, "two words"),
    (&["dns-lookup", "a..b"], 1, "a..b"),
];

/// What a host without addresses and names is asked in vain, and which of them it lacks
const LACKING: &[(&[&str], &str)] = &[
    (&["attach", "CONTAINER"], "no addresses are handed out"),
    (
        &["attach", "net:default", "CONTAINER"],
        "no addresses are handed out",
    ),
    (
        &["attach", "net:10.40.7.0/24", "CONTAINER"],
        "no addresses are handed out",
    ),
    (
        &["detach", "net:default", "CONTAINER"],
        "no addresses are handed out",
    ),
    (&["expose"], "no addresses are handed out"),
    (&["expose", "net:10.40.7.0/24"], "no addresses are handed out"),
    (&["ipam", "prime"], "no addresses are handed out"),
    (&["rmpeer", "nobody"], "no addresses are handed out"),
    (&["status", "ipam"], "no addresses are handed out"),
    (
        &["status", "ipam", "--format", "json"],
        "no addresses are handed out",
    ),
    (&["dns-add", "CONTAINER", "-h", "www"], "--no-dns"),
    (&["dns-add", "10.40.7.1", "-h", "www"], "--no-dns"),
    (&["dns-remove", "CONTAINER"], "--no-dns"),
    (&["dns-remove", "-h", "www"], "--no-dns"),
    (&["dns-lookup", "www"], "--no-dns"),
    (&["status", "dns"], "--no-dns"),
    (&["status", "dns", "--format", "json"], "--no-dns"),
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let Site { host, container, .. } = Site::create(lab, "host1")?;
    let other = lab.container("other")?;
    host.launch(&Launch::plain())?;
    let address = host.attach_any(&container, &[])?;
    let [address] = address.as_slice() else {
        anyhow::bail!("one address was asked for, attach printed {address:?}");
    };
    let address = address.to_string();
    let words = [
        ("ADDRESS", address.as_str()),
        ("CONTAINER", container.namespace().name()),
        ("OTHER", other.namespace().name()),
    ];
    let mut answers = Answers::default();
    let before = state_of(&host)?;
    for (line, code, word) in QUESTIONS {
        let asked = ask(&host, line, &words)?;
        answers.judge_code(&asked, *code, &fill(word, &words));
    }
    answers.unchanged("questions in vain", &before, &state_of(&host)?);
    ensure!(
        !other.namespace().devices()?.contains("ethwe"),
        "a refused attach left an interface"
    );
    answers.finish()
}

/// Without addresses and names to hand out, weaved says so, and does all else
pub(in crate::scenario) fn turned_off(lab: &mut Lab) -> Result<()> {
    let Site { host, container, .. } = Site::create(lab, "host1")?;
    host.launch(&Launch::plain().flag("--ipalloc-range=").flag("--no-dns"))?;
    host.attach(&container, &["10.40.7.1/24"])?;
    host.weavectl(&["expose", "--without-masquerade", "10.40.7.2/24"])?
        .ok()?;
    let words = [("CONTAINER", container.namespace().name())];
    let mut answers = Answers::default();
    let before = state_of(&host)?;
    for (line, word) in LACKING {
        let asked = ask(&host, line, &words)?;
        answers.judge_code(&asked, 1, word);
    }
    answers.unchanged("what is not there", &before, &state_of(&host)?);

    let text = host.weavectl(&["status"])?.ok()?;
    for wrong in ["Service: ipam", "Service: dns"] {
        ensure!(!text.contains(wrong), "{text}");
    }
    for line in [&["status", "--format", "json"][..], &["report"], &["ps"]] {
        host.weavectl(line)?.ok()?;
    }
    ping(&container, [10, 40, 7, 2].into())?;
    host.weavectl(&["hide"])?.ok()?;
    host.weavectl(&["detach", container.namespace().name()])?.ok()?;
    answers.finish()
}

fn ask(host: &Host, line: &[&str], words: &[(&str, &str)]) -> Result<Finished> {
    let line: Vec<String> = line.iter().map(|argument| fill(argument, words)).collect();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    host.weavectl(&line)
}

/// The text with the real names in the place of the words
fn fill(text: &str, words: &[(&str, &str)]) -> String {
    words
        .iter()
        .fold(text.to_owned(), |text, (word, real)| text.replace(word, real))
}
