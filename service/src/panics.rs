//! The end of a process in which a thread panicked.
//!
//! Half a daemon is worse than none: a packet thread or a task that is gone goes unnoticed, and whatever it did is
//! not done any more. systemd starts the whole one again.

use std::any::Any;
use std::panic::PanicHookInfo;

/// Exit status of a process in which a thread or a task panicked
pub const PANICKED: u8 = 101;

/// Has a panic in any thread or task end the process, with its reason as the last line of the log
///
/// A program that handles a panic of its own installs a hook before this one for that time.
pub(crate) fn end_the_process() {
    std::panic::set_hook(Box::new(|panic| {
        log::error!("{}", line(std::thread::current().name(), panic));
        std::process::exit(i32::from(PANICKED));
    }));
}

fn line(thread: Option<&str>, panic: &PanicHookInfo<'_>) -> String {
    let thread = thread.unwrap_or("without a name");
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let why = message(panic.payload()).replace('\n', " ");
    format!("thread {thread} panicked at {place}: {why}; the process ends with status {PANICKED}")
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
