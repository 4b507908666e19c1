//! From records to a file: sizes, layout, pages, temporary file, publication.
//!
//! bbolt's keys do not change, so the order of the records does not either: instead of inserting
//! into a B+tree, sorted streams are laid out as full pages, bottom up. [`plan`] sizes everything
//! and decides every page's place, [`emit`] renders pages and hashes them in order, [`publish`]
//! puts the file in its place. [`receive`] makes a file of a snapshot that comes from elsewhere.

pub mod branch_pages;
pub mod buffer;
pub mod chunk;
pub mod direct;
pub mod disk;
pub mod emit;
pub mod leaf_pages;
pub mod pack;
pub mod place;
pub mod plan;
pub mod publish;
pub mod receive;
pub mod render;
pub mod sink;
pub mod size;
pub mod space;
pub mod store;
