//! `store` and places in object stores as files of other commands, against both stores. Every run
//! is also searched for secrets, and must leave nothing in TMPDIR.

// There and back: bytes, metadata, forms of the result.
mod moved;
// What is no sound snapshot is neither sent nor taken.
mod unsound;
// URLs, as curl fetches them, and what speaks against them.
mod presigned;
// Keys that are wrong, missing or elsewhere; wrong regions and clocks.
mod keys;
// Flags and variables that say where a store is.
mod reached;
// Errors of the store, connections that break or stall.
mod broken;
// Large files: parts, interruptions.
mod parts;
// Encrypted before they leave.
mod encrypted;
// `check`: what credentials may do. `policy`: what they should.
mod rights;
// URLs as files of other commands.
mod places;
// Disks that are full, and TMPDIR.
mod disks;
// `snapshot save` to a store.
#[cfg(feature = "live")]
mod saves;
// Jobs of Kubernetes for all that is in a bucket.
#[cfg(feature = "migrate")]
mod jobs;
// Every command that sees credentials, in every form.
mod secrets;
// A user of a store, and what a run says.
mod client;
// Servers that tests share.
mod servers;

use client::{Client, Run};
use servers::{Server, both};
