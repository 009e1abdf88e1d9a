//! Creations as Docker's own clients ask for them, each with what is made of it.
//!
//! A directory has `before.json`, the bytes that a client sent (its version is in the directory's name);
//! `policy`, and the container's name; `after.json`, without which the creation is left alone; and
//! `connect.json`, what is asked once the container is there.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use docker::create::{Dns, HostnamePolicy, Policy, Rewrite, rewrite};

#[test]
fn creations_become_what_is_written_beside_them() {
    let mut cases = 0;
    for case in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap() {
        let case = case.unwrap().path();
        let name = case.display();
        let before = fs::read(case.join("before.json")).unwrap();
        let (policy, container) = policy(&fs::read_to_string(case.join("policy")).unwrap());

        let became = rewrite(&before, container.as_deref(), &policy).unwrap();

        let (after, connect) = match became {
            Rewrite::Unchanged => (None, None),
            Rewrite::Joined { body, connect } => (Some(text(body)), Some(text(connect.body("c0ffee")))),
        };
        assert_eq!(after, read(&case, "after.json"), "{name}");
        assert_eq!(connect, read(&case, "connect.json"), "{name}");
        cases += 1;
    }
    assert!(cases >= 30, "{cases}");
}

#[test]
fn what_was_rewritten_is_not_changed_by_another_rewriting() {
    for case in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap() {
        let case = case.unwrap().path();
        let Some(after) = read(&case, "after.json") else {
            continue;
        };
        let (policy, container) = policy(&fs::read_to_string(case.join("policy")).unwrap());
        match rewrite(after.as_bytes(), container.as_deref(), &policy).unwrap() {
            // It is on a network of its own by then.
            Rewrite::Unchanged => {
                let before = read(&case, "before.json").unwrap();
                assert!(before.contains(r#""NetworkMode":"none""#), "{}", case.display());
            }
            Rewrite::Joined { body, .. } => assert_eq!(text(body), after, "{}", case.display()),
        }
    }
}

fn read(case: &Path, file: &str) -> Option<String> {
    fs::read_to_string(case.join(file)).ok()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A policy, and the name that the container is to have
fn policy(text: &str) -> (Policy, Option<String>) {
    let said = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(name, value)| (name == key).then(|| value.to_owned()))
    };
    let dns = said("dns").map(|dns| {
        let (server, domain) = dns.split_once(' ').unwrap();
        Dns {
            server: server.parse().unwrap(),
            domain: domain.to_owned(),
        }
    });
    let matching = said("match");
    let replacement = said("replacement");
    let policy = Policy {
        dns,
        default_addresses: said("default-addresses").is_none_or(|said| said != "no"),
        hostname: HostnamePolicy::new(
            said("label"),
            matching.as_deref().unwrap_or("(.*)"),
            replacement.as_deref().unwrap_or("$1"),
        )
        .unwrap(),
        network: said("network").as_deref().unwrap_or("weave").to_owned(),
    };
    (policy, said("name"))
}
