//! The files of a command, any of which may be named by its place in an object store.

use std::path::PathBuf;

use super::transfer::SendArgs;
use super::{Command, SnapshotCommand};

/// What a command reads and makes.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nothing is fetched by this build"))]
pub struct Files<'a> {
    /// What is only read.
    pub read: Vec<&'a mut PathBuf>,
    /// What is made.
    pub made: Vec<Made<'a>>,
    /// Whether what is read is replaced by what is made of it.
    pub in_place: bool,
    /// How what is made is sent, if it is.
    pub send: Option<SendArgs>,
    /// The flag `--identity`; a command without it takes the variable.
    pub identity: Option<PathBuf>,
}

/// A file that is made.
#[derive(Debug)]
#[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nothing is fetched by this build"))]
pub struct Made<'a> {
    pub file: &'a mut PathBuf,
    /// Whether it is an error if there is one.
    pub must_be_new: bool,
}

impl Command {
    /// The files that this command reads and makes. Those of `store` are no such files: it knows
    /// itself what is here and what is there.
    pub fn files(&mut self) -> Files<'_> {
        match self {
            Self::ChangePrefix(args) => args.files(),
            Self::Check(args) => Files::reading([&mut args.file]),
            Self::HashKv(args) => Files::reading([&mut args.file]),
            Self::Verify(args) => Files::reading([&mut args.source, &mut args.output]),
            Self::Snapshot(SnapshotCommand::Status(args)) => Files::reading([&mut args.file]),
            Self::Snapshot(SnapshotCommand::Save(args)) => args.files(),
            Self::Endpoint(_) | Self::Store(_) => Files::default(),
            Self::Migrate(_) | Self::Node(_) | Self::Completion { .. } => Files::default(),
        }
    }
}

impl<'a> Files<'a> {
    fn reading<const N: usize>(files: [&'a mut PathBuf; N]) -> Self {
        Self { read: files.into(), ..Self::default() }
    }
}
