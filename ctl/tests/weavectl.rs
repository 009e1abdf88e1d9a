//! The program itself against a weaved of a few lines.
#![allow(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Fake, weavectl};

mod support;

#[test]
fn an_answer_is_text_or_json() {
    let fake = Fake::answering(
        "form",
        &[("GET /v1/targets", 200, r#"["host1","10.0.0.2:7000"]"#)],
    );

    let text = fake.run(&["status", "targets"]);
    let json = fake.run(&["status", "targets", "--format", "json"]);

    assert_eq!(told(&text), (Some(0), "host1\n10.0.0.2:7000\n", ""));
    assert_eq!(
        told(&json),
        (Some(0), "[\n  \"host1\",\n  \"10.0.0.2:7000\"\n]\n", "")
    );
}

#[test]
fn connections_come_in_the_order_of_their_states() {
    let fake = Fake::answering(
        "order",
        &[(
            "GET /v1/connections",
            200,
            r#"[{"outbound":true,"address":"10.0.0.9:6783","state":"failed","error":"no route to host"},
                {"outbound":true,"address":"10.0.0.3:6783","state":"established","path":"sleeve",
                 "peer":{"name":"7a:00:00:00:00:03","nickname":"host3"},"mtu":1438,"rtt_us":210},
                {"outbound":false,"address":"10.0.0.2:40000","state":"established","path":"fastdp",
                 "peer":{"name":"7a:00:00:00:00:02","nickname":"host2"},"mtu":1450}]"#,
        )],
    );

    let output = fake.run(&["status", "connections"]);

    assert_eq!(
        told(&output),
        (
            Some(0),
            "\
<- 10.0.0.2:40000        established fastdp 7a:00:00:00:00:02(host2) mtu=1450
-> 10.0.0.3:6783         established sleeve 7a:00:00:00:00:03(host3) mtu=1438 rtt=0.21ms
-> 10.0.0.9:6783         failed      no route to host, retry: never
",
            ""
        )
    );
}

#[test]
fn targets_are_sent_as_they_were_given() {
    let fake = Fake::answering(
        "connect",
        &[("POST /v1/connect", 200, "[]"), ("POST /v1/forget", 200, "[]")],
    );

    let connect = fake.run(&["connect", "--replace", "host1", "10.0.0.2:7000"]);
    let forget = fake.run(&["forget", "host1"]);

    assert_eq!(told(&connect), (Some(0), "", ""));
    assert_eq!(told(&forget), (Some(0), "", ""));
    assert_eq!(
        fake.questions(),
        [
            r#"POST /v1/connect {"peers":["host1","10.0.0.2:7000"],"replace":true}"#,
            r#"POST /v1/forget {"peers":["host1"]}"#
        ]
    );
}

#[test]
fn containers_are_attached_and_detached_with_their_addresses_printed() {
    let fake = Fake::answering(
        "attach",
        &[
            (
                "POST /v1/containers/attach",
                200,
                r#"{"container":"c1","interface":"ethwe","mac":"02:00:00:00:00:01",
                    "addresses":["10.32.3.1/24","10.32.1.1/24","10.32.2.1/24"],
                    "granted":["10.32.1.1/24","10.32.2.1/24"]}"#,
            ),
            (
                "POST /v1/containers/detach",
                200,
                r#"{"container":"c1","addresses":["10.32.1.1/24"],"interface_removed":true}"#,
            ),
        ],
    );

    let attach = fake.run(&["attach", "ip:10.32.1.1/24", "net:10.32.2.0/24", "c1"]);
    let default = fake.run(&["attach", "--without-dns", "c1"]);
    let detach = fake.run(&["detach", "c1"]);

    assert_eq!(told(&attach), (Some(0), "10.32.1.1 10.32.2.1\n", ""));
    assert_eq!(default.status.code(), Some(0));
    assert_eq!(told(&detach), (Some(0), "10.32.1.1\n", ""));
    assert_eq!(
        fake.questions(),
        [
            r#"POST /v1/containers/attach {"container":"c1","addresses":["10.32.1.1/24","net:10.32.2.0/24"],"multicast_route":true,"dns":true}"#,
            r#"POST /v1/containers/attach {"container":"c1","addresses":["net:default"],"multicast_route":true,"dns":false}"#,
            r#"POST /v1/containers/detach {"container":"c1","addresses":[]}"#
        ]
    );
}

#[test]
fn the_host_is_exposed_with_warnings_told_and_hidden() {
    let exposed = r#"{"addresses":["10.32.0.1/12"],"warnings":["this host does not\u001b forward"]}"#;
    let fake = Fake::answering(
        "expose",
        &[
            ("POST /v1/expose", 200, exposed),
            ("POST /v1/hide", 200, r#"{"addresses":["10.32.0.1/12"]}"#),
        ],
    );

    let expose = fake.run(&["expose", "-h", "gateway", "--without-masquerade"]);
    let hide = fake.run(&["hide", "net:default"]);

    let warning = "weavectl: warning: this host does not  forward\n";
    assert_eq!(told(&expose), (Some(0), "10.32.0.1\n", warning));
    assert_eq!(told(&hide), (Some(0), "10.32.0.1\n", ""));
    assert_eq!(
        fake.questions(),
        [
            r#"POST /v1/expose {"addresses":["net:default"],"name":"gateway","masquerade":false}"#,
            r#"POST /v1/hide {"addresses":["net:default"]}"#
        ]
    );
}

#[test]
fn names_are_added_removed_and_looked_up() {
    let fake = Fake::answering(
        "names",
        &[
            ("POST /v1/names/add", 200, "[]"),
            ("POST /v1/names/remove", 200, "1"),
            ("POST /v1/names/lookup", 200, r#"["10.32.0.1","10.32.0.2"]"#),
        ],
    );

    assert_eq!(
        told(&fake.run(&["dns-add", "c1", "-h", "www"])),
        (Some(0), "", "")
    );
    assert_eq!(
        told(&fake.run(&["dns-remove", "10.32.0.1", "c1"])),
        (Some(0), "", "")
    );
    let found = fake.run(&["dns-lookup", "www"]);
    assert_eq!(told(&found), (Some(0), "10.32.0.1\n10.32.0.2\n", ""));
    assert_eq!(
        fake.questions(),
        [
            r#"POST /v1/names/add {"container":"c1","addresses":[],"name":"www"}"#,
            r#"POST /v1/names/remove {"container":"c1","addresses":["10.32.0.1"]}"#,
            r#"POST /v1/names/lookup {"name":"www"}"#
        ]
    );
    let nobody = Fake::answering("nobody", &[("POST /v1/names/lookup", 200, "[]")]);
    let nothing = "weavectl: nothing is called \"www\"\n";
    assert_eq!(told(&nobody.run(&["dns-lookup", "www"])), (Some(4), "", nothing));
}

#[test]
fn peers_are_removed_one_after_the_other() {
    let fake = Fake::answering(
        "rmpeer",
        &[(
            "POST /v1/peers/remove",
            200,
            r#"[{"peer":"host3","addresses":4096}]"#,
        )],
    );

    let removed = "4096 IPs taken over from host3\n";
    assert_eq!(told(&fake.run(&["rmpeer", "host3"])), (Some(0), removed, ""));
}

#[test]
fn a_container_that_is_not_attached_has_exit_status_4() {
    let fake = Fake::answering(
        "ps",
        &[(
            "GET /v1/containers",
            200,
            r#"[{"container":"c1","mac":"02:00:00:00:00:01","addresses":["10.32.1.1/24"]}]"#,
        )],
    );

    let c1 = "c1           02:00:00:00:00:01 10.32.1.1/24\n";
    assert_eq!(told(&fake.run(&["ps"])), (Some(0), c1, ""));
    assert_eq!(
        told(&fake.run(&["ps", "c2"])),
        (Some(4), "", "weavectl: container c2 is not attached\n")
    );
}

#[test]
fn refusals_are_one_line_with_their_exit_status() {
    for (status, kind, code) in [
        (400, "bad_input", 1),
        (404, "not_found", 4),
        (409, "conflict", 1),
        (503, "not_ready", 1),
        (500, "internal", 1),
    ] {
        let body = format!(r#"{{"message":"no \u001b[31mway\n","kind":"{kind}"}}"#);
        let fake = Fake::answering(kind, &[("POST /v1/containers/detach", status, &body)]);
        let output = fake.run(&["detach", "c1"]);
        assert_eq!(
            told(&output),
            (Some(code), "", "weavectl: no  [31mway\n"),
            "{kind}"
        );
    }
}

#[test]
fn mistakes_are_told_without_a_daemon() {
    for (args, line) in [
        (
            &["connect", ":99"][..],
            "weavectl: invalid peer name \":99\", should be host[:port]\n",
        ),
        (
            &["attach", "net:10.2.1.1/24", "c1"],
            "weavectl: invalid subnet - bits after network prefix are not all zero: 10.2.1.1/24\n",
        ),
        (
            &["launch", "--mtu", "1"],
            "weavectl: bad --mtu \"1\": an MTU is a number from 576 to 65535\n",
        ),
    ] {
        let output = weavectl(Path::new("/nonexistent.sock"))
            .args(args)
            .output()
            .unwrap();
        assert_eq!(told(&output), (Some(1), "", line), "{args:?}");
    }
}

#[test]
fn a_daemon_that_is_not_running_is_told_with_the_way_to_start_it() {
    let run = |args: &[&str]| {
        weavectl(Path::new("/nonexistent.sock"))
            .args(args)
            .output()
            .unwrap()
    };
    let hint =
        "weavectl: weaved is not running (no socket at /nonexistent.sock); start it with: weavectl launch\n";

    assert_eq!(told(&run(&["status"])), (Some(1), "", hint));
    assert_eq!(
        told(&run(&["stop"])),
        (Some(1), "", "weavectl: weaved is not running\n")
    );
    let reset = run(&["reset"]);
    assert_eq!(reset.status.code(), Some(1));
    assert!(
        told(&reset).2.starts_with("weavectl: weaved is not running; "),
        "{reset:?}"
    );
    let version = run(&["version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(
        told(&version).1.ends_with("\nweaved is not running\n"),
        "{version:?}"
    );
}

#[test]
fn wrong_usage_has_exit_status_2_and_help_has_0() {
    let run = |args: &[&str]| {
        weavectl(Path::new("/nonexistent.sock"))
            .args(args)
            .output()
            .unwrap()
    };
    assert_eq!(run(&["status", "nothing"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let help = run(&["help", "attach"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(told(&help).1.contains("EXAMPLES:"), "{help:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let targets = format!("[{}\"last\"]", "\"host\",".repeat(100_000));
    let fake = Fake::answering("pipe", &[("GET /v1/targets", 200, &targets)]);

    let mut child = fake
        .command(&["status", "targets"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();

    assert_eq!(told(&output), (Some(0), "", ""));
}

#[test]
fn completion_scripts_are_what_the_shell_takes() {
    let output = weavectl(Path::new("/nonexistent.sock"))
        .args(["completion", "bash"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let mut bash = Command::new("bash")
        .args(["-n"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    assert!(bash.wait().unwrap().success());
}

/// Exit status, standard output, standard error
fn told(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
