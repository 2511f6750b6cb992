//! Pauses between attempts: doubling, jittered, bounded, and never the last one.

use std::time::Duration;

use rand::Rng as _;

/// The pauses of one row of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// After a success the next row starts again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause: between half of the step and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.longest);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let first = Duration::from_millis(200);
        let longest = Duration::from_secs(7);
        let mut backoff = Backoff::new(first, longest);
        let mut step = first;
        for _ in 0..100 {
            let pause = backoff.pause();
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
            step = (step * 2).min(longest);
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
    }
}
