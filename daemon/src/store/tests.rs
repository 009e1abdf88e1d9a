use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use redb::Database;

use super::*;
use crate::testing::TempDir;

#[test]
fn values_outlive_the_store() {
    let dir = TempDir::new("values");
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), None);
    store.put(Slot::EPOCH, &7u64).later();
    store.put_attachment("a", &"one").later();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), Some(7));
    assert_eq!(store.attachments::<String>().unwrap(), ["one"]);
    store.remove_attachment("a").later();
    store.remove_attachment("a").later();
    assert!(store.attachments::<String>().unwrap().is_empty());
    let mode = fs::metadata(dir.path().join("weaved.redb"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_told_in_one_line_and_kept_whatever_is_damaged() {
    let dir = TempDir::new("damaged");
    let path = dir.path().join("weaved.redb");
    let whole = filled(dir.path());
    // The first four bytes say that it is redb's at all.
    let used: Vec<usize> = (4..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut damaged: Vec<(String, Vec<u8>)> = Vec::new();
    for at in used.iter().step_by(97).copied().chain(4..64) {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        damaged.push((format!("byte {at}"), bytes));
    }
    for len in [5, 64, 4096, whole.len() / 3, whole.len() - 1] {
        damaged.push((format!("cut to {len}"), whole[..len].to_vec()));
    }
    let noise = |at: usize| (at as u8).wrapping_mul(167) ^ (at >> 8) as u8;
    let magic = &whole[..9];
    let rest = (0..100_000).map(noise);
    damaged.push(("noise".to_owned(), magic.iter().copied().chain(rest).collect()));

    let mut refused = 0;
    for (what, bytes) in damaged {
        fs::write(&path, &bytes).unwrap();
        match Store::open(dir.path()) {
            Err(error) => {
                let line = format!("{:#}", anyhow::Error::from(error));
                assert!(line.contains("weaved.redb cannot be used"), "{what}: {line}");
                assert!(!line.contains('\n'), "{what}: {line}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
                refused += 1;
            }
            // What was hit belongs to no page in use.
            Ok(store) => check_filled(&store, &what),
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn a_foreign_file_is_named_and_kept() {
    let dir = TempDir::new("foreign");
    let path = dir.path().join("weaved.redb");
    let others = {
        const TABLE: TableDefinition<'_, &str, u64> = TableDefinition::new("shopping");
        let database = Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(TABLE).unwrap().insert("eggs", 12).unwrap();
        write.commit().unwrap();
        drop(database);
        fs::read(&path).unwrap()
    };
    for content in [&b"my thesis"[..], b"red", &others] {
        fs::write(&path, content).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        let expected = "is not a weaved state file; move it away to start afresh";
        assert_eq!(error.to_string(), format!("{} {expected}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn the_file_of_a_newer_version_is_told_and_kept() {
    let dir = TempDir::new("newer");
    let path = dir.path().join("weaved.redb");
    filled(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.put(Slot::FORMAT, &(FORMAT + 1)).later();
    drop(store);
    let content = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    let expected = format!(
        "{} has format {}, this weaved knows format {FORMAT}; move it away to start afresh",
        path.display(),
        FORMAT + 1
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn a_file_that_a_kill_left_empty_is_begun_anew() {
    let dir = TempDir::new("empty");
    let path = dir.path().join("weaved.redb");
    let redb_alone = {
        drop(Database::create(&path).unwrap());
        fs::read(&path).unwrap()
    };
    for content in [&[][..], &redb_alone] {
        fs::write(&path, content).unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put(Slot::EPOCH, &7u64).later();
        drop(store);
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.value::<u64>(Slot::EPOCH).unwrap(), Some(7));
    }
}

#[test]
fn what_was_put_before_a_kill_is_there_after_it() {
    let dir = TempDir::new("kill");
    let path = dir.path().join("weaved.redb");
    let store = Store::open(dir.path()).unwrap();
    durable(store.put(Slot::EPOCH, &7u64));
    // What a kill leaves: a file that was not closed.
    let content = fs::read(&path).unwrap();
    drop(store);
    fs::write(&path, content).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), Some(7));
}

#[test]
fn another_process_that_has_it_open_is_told_until_it_ends() {
    let dir = TempDir::new("second");
    let path = dir.path().join("weaved.redb");
    let content = filled(dir.path());
    let mut other = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(&path)
        .args(["sh", "-c", "echo ready; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    other.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    let expected = "another weaved uses the state in";
    let advice = "give this one its own --state-dir";
    assert_eq!(
        error.to_string(),
        format!("{expected} {}; {advice}", path.display())
    );
    assert_eq!(fs::read(&path).unwrap(), content);

    other.kill().unwrap();
    other.wait().unwrap();
    check_filled(&Store::open(dir.path()).unwrap(), "the other is gone");
}

#[test]
fn the_same_process_cannot_open_it_twice_either() {
    let dir = TempDir::new("twice");
    let _first = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new("nowhere");
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file.join("state")).unwrap_err();
    let line = format!("{:#}", anyhow::Error::from(error));
    let expected = format!("cannot open the state in {}: ", file.join("state").display());
    assert!(line.starts_with(&expected), "{line}");
}

/// A state file with something in it; its bytes
fn filled(dir: &Path) -> Vec<u8> {
    let store = Store::open(dir).unwrap();
    store.put(Slot::EPOCH, &7u64).later();
    for n in 0..20 {
        store.put_attachment(&format!("{n:02}"), &"x".repeat(n)).later();
    }
    drop(store);
    fs::read(dir.join("weaved.redb")).unwrap()
}

#[track_caller]
fn check_filled(store: &Store, what: &str) {
    assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), Some(7), "{what}");
    let attachments = store.attachments::<String>().unwrap();
    let expected: Vec<String> = (0..20).map(|n| "x".repeat(n)).collect();
    assert_eq!(attachments, expected, "{what}");
}

/// Waits until a change is on disk
#[track_caller]
fn durable(written: Written) {
    assert!(refusal(written).is_none());
}

/// Waits until a change is on disk; why it is not, if it is not
fn refusal(written: Written) -> Option<StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(written.wait()).err()
}

mod disks;
