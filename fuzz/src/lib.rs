//! What the fuzz targets try, as plain functions of the input's bytes: the tests of the core
//! replay `crashes/` through them, without libFuzzer.

pub mod gogo;
pub mod keys;
pub mod page;
pub mod patch;
pub mod rewrite;
pub mod roles;
pub mod seeds;
pub mod snapshot;
pub mod splice;
