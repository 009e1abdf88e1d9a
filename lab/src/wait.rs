//! Waiting for a state, with a deadline; nothing in the lab sleeps and hopes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(25);

/// What a look at the state said
#[derive(Debug)]
pub enum Look<T> {
    /// It is as wanted
    Done(T),
    /// Not as wanted, and how it is instead
    NotYet(String),
}

/// Looks until the state is as wanted, and tells how long that took; at the deadline, fails with
/// how it was at the last look
///
/// An error of the look itself counts as "not yet": a daemon that just starts answers nothing.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<(T, Duration)> {
    let begun = Instant::now();
    loop {
        // Taken before the look: a look that began in time counts.
        let late = begun.elapsed() >= deadline;
        let state = match look() {
            Ok(Look::Done(value)) => return Ok((value, begun.elapsed())),
            Ok(Look::NotYet(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if late {
            bail!("not within {deadline:?}: {what}; instead: {state}");
        }
        std::thread::sleep(POLL);
    }
}

/// [`wait_for`] where the look is a plain yes or no
pub fn wait_until(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let look = || {
        Ok(match look()? {
            true => Look::Done(()),
            false => Look::NotYet("no".to_owned()),
        })
    };
    wait_for(what, deadline, look).map(|((), took)| took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_comes_when_the_state_does() {
        let mut looks = 0;
        let (value, _took) = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok(if looks == 3 {
                Look::Done(looks)
            } else {
                Look::NotYet(looks.to_string())
            })
        })
        .unwrap();
        assert_eq!(value, 3);
    }

    #[test]
    fn the_last_look_is_in_the_error() {
        let error = wait_for::<()>("rain", Duration::ZERO, || Ok(Look::NotYet("sun".to_owned())));
        assert_eq!(
            error.unwrap_err().to_string(),
            "not within 0ns: rain; instead: sun"
        );
    }
}
