//! Against real stores: SeaweedFS for S3, our stand-in for OSS with Alibaba's own signers.

/// What breaks on the way: 500s, connections that end, answers that are lost.
mod broken;
/// What the credentials may do.
mod check;
/// Keys from every source.
mod credentials;
/// Encrypted before they leave, decrypted while they come.
mod crypt;
/// What both stores do alike: written, read back by the official SDKs, listed.
mod objects;
/// URLs: how long they live, what speaks against them.
mod presigned;
/// How a store is reached: TLS, the bucket in the host's name.
mod reached;
/// Wrong keys, regions, clocks; rights that are missing.
mod refused;
mod support;
/// Whole snapshots, and what is none.
mod verify;
