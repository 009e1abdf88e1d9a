//! Disks that are full, read-only, or gone: a tmpfs in a mount namespace of the test's own.

use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// Runs a test on a file system of 1 MiB, in a mount namespace that ends with its thread
fn on_a_disk(name: &str, test: impl FnOnce(&Path) + Send + 'static) {
    let dir = TempDir::new(name);
    let path = dir.path().to_owned();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).expect("root");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=24m"),
        )
        .unwrap();
        test(&path);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn fill(dir: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(dir.join("filler")).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

fn remount(dir: &Path, flags: MsFlags) {
    let none: Option<&str> = None;
    mount(none, dir, none, MsFlags::MS_REMOUNT | flags, none).unwrap();
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn state(store: &Store) -> (StoreState, Option<StoreReason>) {
    let status = store.status();
    (status.state, status.reason)
}

#[test]
fn a_full_disk_is_told_and_what_changed_meanwhile_is_on_it_once_there_is_room() {
    on_a_disk("full", |dir| {
        let store = Store::open(dir).unwrap();
        durable(store.put(Slot::EPOCH, &7u64));
        fill(dir);
        let big = "x".repeat(2 << 20);
        let error = refusal(store.put(Slot::EXPOSED_NAME, &big)).unwrap();
        assert_eq!(error.reason(), StoreReason::Full);
        let told = line(error);
        assert!(told.contains("free space on its file system"), "{told}");
        assert!(told.contains("No space left on device"), "{told}");
        assert_eq!(state(&store), (StoreState::Failed, Some(StoreReason::Full)));
        assert_eq!(
            store.value::<String>(Slot::EXPOSED_NAME).unwrap(),
            Some(big.clone())
        );
        assert!(
            matches!(Store::open(dir), Err(StoreError::InUse { .. })),
            "locked all the while"
        );
        fs::remove_file(dir.join("filler")).unwrap();
        eventually("the disk is written again by itself", || {
            state(&store) == (StoreState::Ok, None)
        });
        durable(store.put(Slot::EPOCH, &8u64));
        drop(store);
        let store = Store::open(dir).unwrap();
        assert_eq!(store.value::<String>(Slot::EXPOSED_NAME).unwrap(), Some(big));
        assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), Some(8));
    });
}

#[test]
fn a_state_is_used_that_cannot_be_written() {
    for (name, spoil, heal, expected) in [
        (
            "start-full",
            fill as fn(&Path),
            (|dir| fs::remove_file(dir.join("filler")).unwrap()) as fn(&Path),
            StoreReason::Full,
        ),
        (
            "start-read-only",
            |dir| remount(dir, MsFlags::MS_RDONLY),
            |dir| remount(dir, MsFlags::empty()),
            StoreReason::ReadOnly,
        ),
    ] {
        on_a_disk(name, move |dir| {
            let store = Store::open(dir).unwrap();
            durable(store.put(Slot::EPOCH, &7u64));
            // As a kill leaves it: to be repaired before it is written.
            let killed = fs::read(dir.join("weaved.redb")).unwrap();
            drop(store);
            fs::write(dir.join("weaved.redb"), killed).unwrap();
            spoil(dir);
            let store = Store::open(dir).unwrap();
            assert_eq!(store.value::<u64>(Slot::EPOCH).unwrap(), Some(7));
            let attachment = "y".repeat(2 << 20);
            let error = refusal(store.put_attachment("c1", &attachment)).unwrap();
            assert_eq!(error.reason(), expected);
            assert_eq!(state(&store), (StoreState::Failed, Some(expected)));
            heal(dir);
            let begun = Instant::now();
            eventually("it is written again", || state(&store) == (StoreState::Ok, None));
            assert!(begun.elapsed() < Duration::from_secs(6));
            drop(store);
            let store = Store::open(dir).unwrap();
            assert_eq!(store.attachments::<String>().unwrap(), [attachment]);
        });
    }
}

#[test]
fn there_is_no_state_and_none_can_be_made() {
    on_a_disk("none", |dir| {
        remount(dir, MsFlags::MS_RDONLY);
        let state_dir = dir.join("state");
        let store = Store::open(&state_dir).unwrap();
        assert!(refusal(store.put_secret(Slot::IDENTITY, &[7; 32])).is_some());
        assert_eq!(store.secret(Slot::IDENTITY).unwrap().as_slice(), [7; 32]);
        remount(dir, MsFlags::empty());
        durable_soon(&store);
        drop(store);
        let store = Store::open(&state_dir).unwrap();
        assert_eq!(store.secret(Slot::IDENTITY).unwrap().as_slice(), [7; 32]);
    });
}

#[test]
fn the_state_of_another_peer_that_appears_meanwhile_is_not_overwritten() {
    on_a_disk("appears", |dir| {
        let elsewhere = dir.join("elsewhere");
        let other = Store::open(&elsewhere).unwrap();
        durable(other.put_secret(Slot::IDENTITY, &[1; 32]));
        drop(other);
        let content = fs::read(elsewhere.join("weaved.redb")).unwrap();
        let state_dir = dir.join("state");
        fs::create_dir(&state_dir).unwrap();
        remount(dir, MsFlags::MS_RDONLY);
        let store = Store::open(&state_dir).unwrap();
        assert!(refusal(store.put_secret(Slot::IDENTITY, &[2; 32])).is_some());
        remount(dir, MsFlags::empty());
        // Before the store tries again: as a file system that is mounted late.
        fs::write(state_dir.join("new"), &content).unwrap();
        fs::rename(state_dir.join("new"), state_dir.join("weaved.redb")).unwrap();
        let is_seen = || state(&store) == (StoreState::Failed, Some(StoreReason::Unusable));
        eventually("it is another peer's", is_seen);
        assert_eq!(fs::read(state_dir.join("weaved.redb")).unwrap(), content);
    });
}

#[test]
fn the_private_key_is_no_text_in_the_file() {
    let dir = TempDir::new("key");
    let store = Store::open(dir.path()).unwrap();
    let key: Vec<u8> = (100..132).collect();
    durable(store.put_secret(Slot::IDENTITY, &key));
    drop(store);
    let content = fs::read(dir.path().join("weaved.redb")).unwrap();
    assert!(content.windows(32).any(|window| window == key), "as it is");
    let text = b"100,101,102";
    assert!(!content.windows(text.len()).any(|window| window == text));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.secret(Slot::IDENTITY).unwrap().as_slice(), key);
    assert!(
        !format!("{store:?}").contains("100, 101"),
        "nor in what is printed"
    );
}

/// Waits until all is on disk, however often it is refused before
#[track_caller]
fn durable_soon(store: &Store) {
    eventually("everything is on disk", || store.unwritten().is_none());
}
