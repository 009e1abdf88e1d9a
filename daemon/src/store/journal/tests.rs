use api::StoreReason;

use super::super::error::Cause;
use super::super::image::bytes;
use super::*;

fn key(name: &str) -> Key {
    Key::Value(name.to_owned())
}

fn set(name: &str, value: u8) -> (Key, Option<Bytes>) {
    (key(name), Some(bytes(vec![value])))
}

fn full() -> StoreError {
    StoreError::Disk {
        path: "/state".into(),
        reason: StoreReason::Full,
        source: Cause::of(&"no space"),
    }
}

#[test]
fn all_that_waits_is_written_at_once_and_the_newest_of_a_key_wins() {
    let now = Instant::now();
    let mut journal = Journal::new(Image::new());
    let one = journal.put([set("a", 1)], now);
    journal.put([set("a", 2), set("b", 3)], now);
    let last = journal.put([(key("b"), None)], now);
    assert!(one < last);
    let batch = journal.take(now);
    assert_eq!(batch.changes, [set("a", 2), (key("b"), None)]);
    assert!(!journal.has_work());
    let next = journal.put([set("c", 4)], now);
    assert_eq!(journal.progress().durable, 0);
    journal.written(&batch);
    assert_eq!(journal.progress().durable, last);
    let batch = journal.take(now);
    assert_eq!(batch.changes, [set("c", 4)]);
    journal.written(&batch);
    assert_eq!(journal.progress().durable, next);
    let same = journal.put([set("c", 4)], now);
    assert!(!journal.has_work(), "it is there already");
    assert_eq!(journal.progress().durable, same);
}

#[test]
fn what_is_there_already_is_durable_no_sooner_than_what_is_being_written() {
    let now = Instant::now();
    let mut journal = Journal::new(Image::new());
    journal.put([set("a", 1)], now);
    let batch = journal.take(now);
    let same = journal.put([set("a", 1)], now);
    assert!(journal.progress().durable < same);
    journal.written(&batch);
    assert_eq!(journal.progress().durable, same);
}

#[test]
fn what_the_disk_refused_is_written_later_as_it_is_then() {
    let now = Instant::now();
    let mut journal = Journal::new(Image::new());
    let one = journal.put([set("a", 1), set("b", 1)], now);
    let batch = journal.take(now);
    let two = journal.put([set("b", 2)], now);
    assert!(journal.failed(Some(batch), full(), now), "news");
    assert_eq!(
        journal.progress(),
        Progress {
            durable: 0,
            refused: one
        }
    );
    let batch = journal.take(now);
    assert_eq!(batch.changes, [set("a", 1), set("b", 2)]);
    assert!(!journal.failed(Some(batch), full(), now), "no news");
    assert_eq!(journal.progress().refused, two);
    assert!(journal.failure().is_some());
    let batch = journal.take(now);
    assert_eq!(journal.written(&batch), Some(now));
    assert_eq!(journal.progress().durable, two);
    assert!(journal.failure().is_none());
}

#[test]
fn a_file_that_was_opened_anew_gets_whatever_it_lacks() {
    let now = Instant::now();
    let old: Image = [("a", 1), ("b", 1), ("gone", 1)]
        .map(|(name, value)| (key(name), bytes(vec![value])))
        .into();
    let mut journal = Journal::new(old.clone());
    let number = journal.put([set("b", 2), (key("gone"), None)], now);
    let batch = journal.take(now);
    journal.written(&batch);
    assert_eq!(journal.progress().durable, number);
    // Somebody put back an old copy.
    journal.reconcile(&old, now);
    assert_eq!(journal.take(now).changes, [set("b", 2), (key("gone"), None)]);
    // Somebody deleted it.
    journal.reconcile(&Image::new(), now);
    assert_eq!(journal.take(now).changes, [set("a", 1), set("b", 2)]);
}

#[test]
fn a_disk_that_takes_its_time_is_slow_by_the_oldest_change() {
    let start = Instant::now();
    let mut journal = Journal::new(Image::new());
    journal.put([set("a", 1)], start);
    let batch = journal.take(start + SLOW / 2);
    journal.put([set("b", 1)], start + SLOW / 2);
    assert!(matches!(journal.health(start + SLOW / 2), Health::Ok));
    assert!(matches!(journal.health(start + SLOW * 3), Health::Slow(waits) if waits == SLOW * 3));
    journal.written(&batch);
    assert_eq!(journal.waits(start + SLOW), SLOW / 2, "the other one");
    let batch = journal.take(start + SLOW);
    journal.failed(Some(batch), full(), start + SLOW);
    let health = journal.health(start + SLOW * 4);
    assert!(
        matches!(health, Health::Failed(since, _) if since == SLOW * 3),
        "{health:?}"
    );
}
