//! The thread that writes the state: it alone waits for the disk.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::file::StateFile;
use super::image::Key;
use super::journal::{Journal, Progress};
use super::{FORMAT, Slot};

/// Until a disk that refused is tried again, at first and at most
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A new change is tried at once, but no more often than this
const PAUSE: Duration = Duration::from_millis(100);

/// What the thread shares with those who hand over changes
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Changes came, or the end is asked for; or the thread has ended
    changed: Condvar,
    progress: watch::Sender<Progress>,
}

#[derive(Debug)]
struct State {
    journal: Journal,
    stopping: bool,
    ended: bool,
}

impl Shared {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            state: Mutex::new(State {
                journal,
                stopping: false,
                ended: false,
            }),
            changed: Condvar::new(),
            progress: watch::Sender::default(),
        }
    }

    /// Looks at the state, or changes it; nobody holds it while waiting for a disk
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Journal) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state.journal);
        let (has_work, progress) = (state.journal.has_work(), state.journal.progress());
        drop(state);
        self.tell(progress);
        if has_work {
            self.changed.notify_all();
        }
        result
    }

    /// How far the disk is, at each time
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Ends the thread, and waits for so long until it has written what it can and given up the file
    pub(super) fn stop(&self, limit: Duration) {
        let mut state = self.lock();
        state.stopping = true;
        self.changed.notify_all();
        let (_state, _elapsed) = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
    }

    fn tell(&self, progress: Progress) {
        self.progress
            .send_if_modified(|told| std::mem::replace(told, progress) != progress);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until something is to be written; false once the end is asked for and nothing more can be done
    fn wait(&self, last_failure: Option<&Failure>) -> bool {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = match last_failure {
                _ if !state.journal.has_work() => None,
                None => return true,
                Some(_) if state.stopping => None,
                Some(failure) if state.journal.latest() > failure.latest => {
                    Some(failure.retry_at.min(failure.at + PAUSE))
                }
                Some(failure) => Some(failure.retry_at),
            };
            if due.is_some_and(|due| due <= now) {
                return true;
            }
            if due.is_none() && state.stopping {
                return false;
            }
            let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(state, wait.min(RETRY.1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The last attempt, which failed
#[derive(Debug)]
struct Failure {
    at: Instant,
    retry_at: Instant,
    back_off: Duration,
    latest: u64,
}

/// Writes what is handed over until the end
pub(super) fn run(mut file: StateFile, shared: &Arc<Shared>) {
    let mut failure: Option<Failure> = None;
    while shared.wait(failure.as_ref()) {
        failure = match attempt(&mut file, shared) {
            Ok(()) => None,
            Err(latest) => {
                let last = failure.map_or(RETRY.0 / 2, |failure| failure.back_off);
                let back_off = (last * 2).min(RETRY.1);
                let at = Instant::now();
                Some(Failure {
                    at,
                    retry_at: at + back_off,
                    back_off,
                    latest,
                })
            }
        };
    }
    file.close();
    shared.end();
}

/// Writes all that waits in one transaction; the latest change at that time, if it fails
fn attempt(file: &mut StateFile, shared: &Shared) -> Result<(), u64> {
    if !file.is_open()
        && let Err(error) = reopen(file, shared)
    {
        return Err(shared.with(|journal| {
            if journal.failed(None, error.clone(), Instant::now()) {
                say(&error);
            }
            journal.latest()
        }));
    }
    let batch = shared.with(|journal| journal.take(Instant::now()));
    let written = file.write(&batch.changes);
    shared.with(|journal| match written {
        Ok(()) => {
            if let Some(since) = journal.written(&batch) {
                let after = since.elapsed();
                log::info!("the state is written again, after {:.1} s", after.as_secs_f32());
            }
            Ok(())
        }
        Err(error) => {
            if journal.failed(Some(batch), error.clone(), Instant::now()) {
                say(&error);
            }
            Err(journal.latest())
        }
    })
}

/// Opens the file again, and has written whatever differs in it
fn reopen(file: &mut StateFile, shared: &Shared) -> Result<(), StoreError> {
    let found = file.open()?;
    if let Some(error) = found.unwritable {
        return Err(error);
    }
    let identity = Key::Value(Slot::IDENTITY.0.to_owned());
    let is_ours = shared.with(|journal| {
        let theirs = found.image.get(&identity);
        let is_ours = theirs.is_none() || theirs == journal.image().get(&identity);
        if is_ours {
            journal.reconcile(&found.image, Instant::now());
        }
        is_ours
    });
    if !is_ours {
        let path = file.path().to_owned();
        file.close();
        return Err(StoreError::Replaced { path });
    }
    Ok(())
}

fn say(error: &StoreError) {
    let text = anyhow::Error::from(error.clone());
    log::error!("{text:#}; what changes is kept in memory, and no new address is handed out");
}

/// The change with which every file begins
pub(super) fn format() -> (Key, Option<super::image::Bytes>) {
    let key = Key::Value(Slot::FORMAT.0.to_owned());
    (key, Some(super::image::bytes(FORMAT.to_string().into_bytes())))
}
