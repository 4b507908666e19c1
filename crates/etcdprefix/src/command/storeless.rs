//! In place of what talks to object stores, in a build without it.

use std::path::{Path, PathBuf};

use super::facts::Facts;
use crate::args::files::Files;
use crate::args::store::StoreCommand;
use crate::args::transfer::SendArgs;
use crate::args::{Command, Global};
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::upload::Upload;

/// `store`, which is not here.
pub fn run(_: &StoreCommand, _: Global) -> Result<Answer, Failure> {
    Err(absent())
}

/// Files are what they are called.
#[derive(Default)]
pub struct Places {}

impl Places {
    /// Refuses what is in a store.
    pub fn prepare(command: &mut Command, _: Global) -> Result<Self, Failure> {
        let Files { read, made, .. } = command.files();
        let mut files = read.into_iter().chain(made.into_iter().map(|made| made.file));
        match files.any(|file| file.to_str().is_some_and(super::is_url)) {
            true => Err(absent()),
            false => Ok(Self {}),
        }
    }

    /// What the user calls the file.
    pub fn name(&self, file: &Path) -> PathBuf {
        file.to_owned()
    }

    /// The same text.
    pub fn reworded(&self, text: &str) -> String {
        text.to_owned()
    }

    /// The same failure.
    pub fn named(&self, failure: Failure) -> Failure {
        failure
    }

    /// Nothing is sent.
    pub fn send(
        &self,
        _: &Path,
        _: Facts,
        _: &SendArgs,
        _: Global,
    ) -> Result<Option<Upload>, Failure> {
        Ok(None)
    }
}

fn absent() -> Failure {
    let message = "this build works on files only and has no code for object stores";
    let hint = "a full build: cargo install --path crates/etcdprefix --features full";
    Failure::new(Exit::Usage, message, Some(hint.into()))
}
