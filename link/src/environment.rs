//! A variable of the environment that nobody else is to see: `/proc/PID/environ` shows all, to the end.
#![allow(unsafe_code)]

use std::ffi::CStr;

/// Takes a variable from the environment of this process, and from what `/proc/PID/environ` shows of it
///
/// A process with several threads keeps it: others may read the environment at the same time.
pub fn take_variable(name: &CStr) -> Option<Vec<u8>> {
    let is_alone = has_one_thread();
    // SAFETY: The name is a C string. No other thread changes the environment: there is none, or it would have to
    // do what Rust's own rules forbid it.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: `getenv` returned a pointer to a string of the environment, which ends with a zero byte.
    let taken = unsafe { CStr::from_ptr(value) }.to_bytes().to_vec();
    if is_alone {
        // SAFETY: The string is this process's own, writable, and as long as its copy; no other thread exists
        // that could look at it, and no reference to it is left here.
        unsafe { value.cast::<u8>().write_bytes(0, taken.len()) };
        // SAFETY: The name is a C string, and no other thread exists.
        unsafe { libc::unsetenv(name.as_ptr()) };
    }
    Some(taken)
}

fn has_one_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_told_and_kept_while_other_threads_may_read_it() {
        // A test never runs on the only thread.
        for _ in 0..2 {
            assert!(take_variable(c"PATH").is_some_and(|path| !path.is_empty()));
        }
        assert_eq!(take_variable(c"WEAVE_NO_SUCH_VARIABLE"), None);
    }
}
