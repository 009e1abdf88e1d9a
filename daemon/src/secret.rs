//! The password that came by the environment: taken from there before anything else runs, so that neither
//! children nor `/proc/PID/environ` have it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

static TAKEN: Mutex<Option<Zeroizing<Vec<u8>>>> = Mutex::new(None);

/// Takes the password out of the environment; to be called while this process has one thread
pub(crate) fn take() {
    let taken = link::take_variable(c"WEAVE_PASSWORD").map(Zeroizing::new);
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = taken;
}

/// Returns the value of `WEAVE_PASSWORD`, once
pub(crate) fn variable() -> Option<OsString> {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.map(|mut bytes| OsString::from_vec(std::mem::take(&mut *bytes)))
}
