//! Namespaces for tests against the kernel, and `ip -j` to judge what became of them.
//!
//! A test has a thread with network and mount namespaces of its own: nothing that it does is seen
//! by the machine, and all of it vanishes with the thread.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use model::IfName;

use crate::{Attach, Detach, Links, NetnsRef};

/// Runs `test` as a host of its own; as anybody but root, says that it does not
pub(crate) fn on_a_host<F, Fut>(test: F)
where
    F: FnOnce(Links) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    if !nix::unistd::geteuid().is_root() {
        println!("not run: needs root");
        return;
    }
    let thread = std::thread::spawn(move || {
        leave_the_machine();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let links = Links::open().unwrap();
            tokio::time::timeout(std::time::Duration::from_secs(60), test(links))
                .await
                .expect("ends in time");
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn leave_the_machine() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
}

/// A network namespace with a name
pub(crate) fn named_container(name: &str) -> NetnsRef {
    run("ip", &["netns", "add", name]);
    NetnsRef::Name(name.to_owned())
}

/// A process in a network namespace of its own; killed when dropped
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start() -> Self {
        let script = "echo ready; exec sleep 600";
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self(child)
    }

    pub(crate) fn netns(&self) -> NetnsRef {
        NetnsRef::Pid(self.0.id())
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `tcpdump` on a device, listening already
pub(crate) struct Capture {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Capture {
    pub(crate) fn start(device: &str, filter: &str, count: u32) -> Self {
        let mut child = Command::new("tcpdump")
            .args([
                "-l",
                "-n",
                "-e",
                "-t",
                "-v",
                "--immediate-mode",
                "-c",
                &count.to_string(),
                "-i",
                device,
                filter,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "tcpdump does not listen");
        }
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// All that was captured, once it is all there
    pub(crate) fn text(mut self) -> String {
        let mut text = String::new();
        for line in self.lines.by_ref() {
            text += &line.unwrap();
            text.push('\n');
        }
        self.child.wait().unwrap();
        text
    }
}

/// Runs a program that must succeed, in the calling thread's namespaces
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `ip -j` prints; `null` where it prints nothing
pub(crate) fn ip(args: &[&str]) -> Value {
    let text = run("ip", &[&["-j"], args].concat());
    if text.trim().is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap()
}

/// Everything about devices, addresses and routes of this namespace and of the named ones, less
/// what changes by itself
pub(crate) fn snapshot(named: &[&str]) -> Value {
    let mut whole = serde_json::Map::new();
    let here: &[&str] = &[];
    let places = std::iter::once(("", here.to_vec())).chain(named.iter().map(|n| (*n, vec!["-n", *n])));
    for (place, prefix) in places {
        for (what, args) in [
            ("links", vec!["-d", "addr", "show"]),
            ("routes", vec!["route", "show", "table", "all"]),
            ("routes6", vec!["-6", "route", "show", "table", "all"]),
        ] {
            let mut value = ip(&[prefix.clone(), args].concat());
            settle(&mut value);
            whole.insert(format!("{place} {what}"), value);
        }
    }
    Value::Object(whole)
}

/// What the kernel changes on its own time, or for good when a device is first used
const BY_ITSELF: [&str; 5] = ["operstate", "tentative", "qdisc", "tso_max_size", "tso_max_segs"];

fn settle(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.contains("timer") && !BY_ITSELF.contains(&key.as_str()));
            map.values_mut().for_each(settle);
        }
        Value::Array(list) => {
            list.retain(|item| {
                let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
                let link_local = text("family") == "inet6" && text("scope") == "link";
                // A bridge that had a port once has lost its carrier for good.
                *item != "LOWER_UP"
                    && *item != "NO-CARRIER"
                    && !link_local
                    && !text("dst").starts_with("fe80:")
                    && !text("dst").starts_with("ff00:")
            });
            list.iter_mut().for_each(settle);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A device to be used as if it were a card: one end of a veth pair whose other end is up
pub(crate) fn card(name: &str, settings: &[&str]) {
    let other = format!("{name}-far");
    let add = [
        &["link", "add", name],
        settings,
        &["type", "veth", "peer", "name", &other],
    ]
    .concat();
    run("ip", &add);
    run("ip", &["link", "set", &other, "up"]);
}

/// Fails with what is in only one of two snapshots
pub(crate) fn assert_same(found: &Value, expected: &Value, when: impl std::fmt::Display) {
    let lines = |value: &Value| -> Vec<String> {
        let text = serde_json::to_string_pretty(value).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let (found_lines, expected_lines) = (lines(found), lines(expected));
    let added: Vec<_> = found_lines
        .iter()
        .filter(|line| !expected_lines.contains(line))
        .collect();
    let gone: Vec<_> = expected_lines
        .iter()
        .filter(|line| !found_lines.contains(line))
        .collect();
    assert!(found == expected, "{when}: added {added:#?}, gone {gone:#?}");
}

/// Reads a file under `/proc/sys/net` inside a named namespace
pub(crate) fn sysctl_in(name: &str, path: &str) -> String {
    let path = format!("/proc/sys/net/{path}");
    run("ip", &["netns", "exec", name, "cat", &path])
        .trim()
        .to_owned()
}

/// Attaches by this crate's usual names: `ethwe` inside, `vethwepltest` outside
pub(crate) fn attach(netns: NetnsRef, addresses: &[&str]) -> Attach {
    Attach {
        netns,
        container_if: name("ethwe"),
        host_if: name("vethwepltest"),
        mac: None,
        mtu: 1400,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        multicast_route: true,
        master: None,
        hairpin: false,
        moved_in: false,
    }
}

pub(crate) fn detach(netns: NetnsRef, addresses: &[&str]) -> Detach {
    Detach {
        netns,
        container_if: name("ethwe"),
        host_if: name("vethwepltest"),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    }
}

/// The addresses of a device as `ip` prints them, link-local ones left out
pub(crate) fn addresses_of(links: &Value, device: &str) -> Vec<String> {
    let all = links.as_array().cloned().unwrap_or_default();
    let link = all.iter().find(|link| link["ifname"] == device);
    let infos = link
        .and_then(|link| link["addr_info"].as_array().cloned())
        .unwrap_or_default();
    let own = infos.iter().filter(|a| a["scope"] != "link");
    own.map(|a| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"]))
        .collect()
}

/// Whether the file exists on this kernel: IPv6 may be left out of it
pub(crate) fn has_ipv6() -> bool {
    fs::metadata("/proc/sys/net/ipv6").is_ok()
}

/// Addresses for many events
pub(crate) fn many_addresses(count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(|i| format!("{}/32", Ipv4Addr::from(0x0a63_0000 + i)))
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}
