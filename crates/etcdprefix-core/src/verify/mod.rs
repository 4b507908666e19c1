//! Proof of a result, and what a snapshot is. It never imports `save`, so that a fault of the
//! writer can't hide itself, and decodes records by itself.

mod compare;
mod pairs;
mod record;
mod roles;
mod status;
pub mod structure;

pub use compare::{Proof, prove};
pub use status::{Newer, Status, check_sound, status, status_hash};
pub use structure::{Expect, StructureReport, check_structure};
