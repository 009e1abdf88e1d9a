//! Starts as old clients ask for them, each with what is made of it.
//!
//! `tests/start` has a file for each kind of container, as Docker's inspection shows it, and `cases`: lines of
//! the container's kind, the body that a client sent, and after `=>` what is made of it; without that it goes on
//! as it came. After `leaving` are the networks that the container is to leave before.

#![allow(clippy::unwrap_used)]

use std::fs;

use docker::start::{mend, says};

#[test]
fn starts_become_what_is_written_beside_them() {
    let mut cases = 0;
    for line in read("cases").lines() {
        let (case, leaves) = line.split_once(" leaving ").unwrap_or((line, ""));
        let (case, after) = match case.split_once(" => ") {
            Some((case, after)) => (case, Some(after)),
            None => (case, None),
        };
        let (kind, before) = case.split_once(' ').unwrap();
        let inspection = read(&format!("{kind}.json"));

        let mended = mend(before.as_bytes(), inspection.as_bytes(), "weave");

        assert!(mended.is_none() || says(before.as_bytes()), "{line}");
        let left = mended.as_ref().map(|mended| mended.leaves.join(" "));
        assert_eq!(left.unwrap_or_default(), leaves, "{line}");
        let body = mended.map(|mended| String::from_utf8(mended.body).unwrap());
        assert_eq!(body.as_deref(), after, "{line}");
        if let Some(body) = body
            && leaves.is_empty()
        {
            assert_eq!(
                mend(body.as_bytes(), inspection.as_bytes(), "weave"),
                None,
                "{line}"
            );
        }
        cases += 1;
    }
    assert!(cases >= 30, "{cases}");
}

fn read(file: &str) -> String {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/start");
    fs::read_to_string(format!("{directory}/{file}")).unwrap()
}
