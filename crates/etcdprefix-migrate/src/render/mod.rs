//! The migration, and its parts, for other engines.

pub mod ansible;
pub mod kubernetes;
pub mod oos;
pub mod policy;
pub mod yaml;
