//! Waiting for something to become true, with the last state seen when it does not.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long tests wait for what should take well under a second: the machine may be shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it answers `Ok`, at most [`PATIENCE`]; the value of that `Ok`.
///
/// # Panics
/// After that time, with `what` and the last `Err` seen.
pub fn wait_for<T, E: Debug>(what: &str, look: impl FnMut() -> Result<T, E>) -> T {
    wait_up_to(PATIENCE, what, look)
}

/// As [`wait_for`], with a time of its own.
///
/// # Panics
/// After `limit`, with `what` and the last `Err` seen.
pub fn wait_up_to<T, E: Debug>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(last) if began.elapsed() >= limit => {
                panic!("waited {limit:?} for: {what}; the last state seen: {last:?}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Waits until `holds` answers true, for conditions without a state worth showing.
///
/// # Panics
/// After [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || if holds() { Ok(()) } else { Err("not yet") });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_the_first_ok_comes_back() {
        let mut calls = 0;
        let got = wait_for("three calls", || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err(calls) }
        });
        assert_eq!(got, 3);
    }

    #[test]
    #[should_panic(expected = "for: a miracle; the last state seen: \"none yet\"")]
    fn a_wait_in_vain_shows_the_last_state() {
        wait_up_to(Duration::from_millis(50), "a miracle", || {
            Err::<(), _>("none yet")
        });
    }
}
