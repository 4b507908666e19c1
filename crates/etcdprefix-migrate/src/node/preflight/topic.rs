//! What is looked at, and why.

use super::{Check, Standing};

/// A check before it was done.
pub(super) struct Topic {
    name: &'static str,
    why: &'static str,
}

impl Topic {
    pub(super) const fn new(name: &'static str, why: &'static str) -> Self {
        Self { name, why }
    }

    pub(super) fn ok(&self, found: impl Into<String>) -> Check {
        self.check(Standing::Ok, found, "")
    }

    pub(super) fn warn(&self, found: impl Into<String>, advice: impl Into<String>) -> Check {
        self.check(Standing::Warn, found, advice)
    }

    pub(super) fn ask(&self, found: impl Into<String>, advice: impl Into<String>) -> Check {
        self.check(Standing::Ask, found, advice)
    }

    pub(super) fn fail(&self, found: impl Into<String>, advice: impl Into<String>) -> Check {
        self.check(Standing::Fail, found, advice)
    }

    pub(super) fn check(
        &self,
        standing: Standing,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            name: self.name.into(),
            standing,
            found: found.into(),
            why: self.why.into(),
            advice: advice.into(),
        }
    }
}

/// What is wrong, one after the other; or what is found if nothing is.
pub(super) fn listed(faults: &[String], else_found: impl Into<String>) -> String {
    if faults.is_empty() { else_found.into() } else { faults.join("; ") }
}
