//! What tests of several modules need.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use link::Links;
use log::{LevelFilter, Log, Metadata, Record};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

thread_local! {
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// What this thread logs meanwhile, as `LEVEL text`
pub(crate) fn logged(act: impl FnOnce()) -> Vec<String> {
    struct ToThread;

    impl Log for ToThread {
        fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            LINES.with_borrow_mut(|lines| {
                if let Some(lines) = lines {
                    lines.push(format!("{} {}", record.level(), record.args()));
                }
            });
        }

        fn flush(&self) {}
    }

    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&ToThread).unwrap();
        log::set_max_level(LevelFilter::Info);
    });
    LINES.set(Some(Vec::new()));
    act();
    LINES.take().unwrap_or_default()
}

/// A directory that is gone afterwards
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weaved-test-{}-{name}", std::process::id()));
        let _absent = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` as a host of its own, with network and mount namespaces that vanish with its thread; as
/// anybody but root, says that it does not
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
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(
            Some("tmpfs"),
            "/run",
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=2m"),
        )
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let test = test(Links::open().unwrap());
            let ended = tokio::time::timeout(Duration::from_secs(60), test).await;
            ended.expect("ends in time");
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What a command prints
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
