//! The judge is judged: what it accepts, what it must refuse.

mod comparison;
mod oracle;
