//! In place of the commands that talk to live members, in a build without network code.

use crate::args::Global;
use crate::args::endpoint::EndpointCommand;
use crate::args::save::SaveArgs;
use crate::command::Answer;
use crate::command::store::Places;
use crate::exit::Exit;
use crate::failure::Failure;

/// `snapshot save`, which is not here.
pub fn save(_: &SaveArgs, _: Global, _: &Places) -> Result<String, Failure> {
    Err(absent())
}

/// `endpoint`, which is not here.
pub fn endpoint(_: &EndpointCommand, _: Global) -> Result<Answer, Failure> {
    Err(absent())
}

fn absent() -> Failure {
    let message = "this build works on files only and has no network code";
    let hint = "a full build: cargo install --path crates/etcdprefix --features full";
    Failure::new(Exit::Usage, message, Some(hint.into()))
}
