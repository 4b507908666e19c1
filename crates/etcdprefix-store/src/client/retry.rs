//! When to try again, and after how long.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::error::Error;

/// How often and how patiently a request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many times after the first.
    pub times: u32,
    /// Up to how long the first pause is; each further one is up to twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// Six times within about 25 s.
    fn default() -> Self {
        Self {
            times: 6,
            first_pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl Retry {
    /// Before try `number` (1 is the first repetition): anything up to the bound, so that many
    /// clients that failed together do not come back together, and at least a tenth of it.
    pub fn pause(&self, number: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << number.saturating_sub(1).min(20));
        let bound = doubled.min(self.longest_pause);
        bound.mul_f64(0.1 + 0.9 * random())
    }
}

/// From 0 to 1. The standard library's hash keys are the only random numbers that are needed here.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / f64::from(u32::MAX)
}

/// What one try ended with.
pub(crate) enum Trouble {
    /// Worth another try.
    Passing(Error),
    /// Nobody there.
    Unreached(Error),
    Final(Error),
}

impl Trouble {
    /// Whether the store may have done what it was asked for all the same: it did not answer, or
    /// broke down over it.
    pub fn is_unseen(&self) -> bool {
        let Self::Passing(error) = self else { return false };
        let broken = error.refusal().is_some_and(|it| it.status >= 500 && it.status != 503);
        broken || matches!(error, Error::Unreachable { .. })
    }

    pub fn error(self) -> Error {
        match self {
            Self::Passing(error) | Self::Unreached(error) | Self::Final(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let retry = Retry::default();
        for number in 1..40 {
            let bound = retry.first_pause.saturating_mul(1 << (number - 1).min(20));
            let bound = bound.min(retry.longest_pause);
            let pauses: Vec<_> = (0..20).map(|_| retry.pause(number)).collect();
            assert!(pauses.iter().all(|pause| *pause <= bound && *pause >= bound / 11));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
