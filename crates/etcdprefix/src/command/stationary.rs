//! In place of the migration, in a build without it.

use crate::args::Global;
use crate::args::migrate::MigrateCommand;
use crate::args::node::NodeCommand;
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;

/// `migrate`, which is not here.
pub fn run(_: &MigrateCommand, _: Global) -> Result<Answer, Failure> {
    Err(absent())
}

/// `node`, which is not here.
pub fn node(_: &NodeCommand, _: Global) -> Result<Answer, Failure> {
    Err(absent())
}

fn absent() -> Failure {
    let message = "this build has no code for migrations";
    let hint = "a full build: cargo install --path crates/etcdprefix --features full";
    Failure::new(Exit::Usage, message, Some(hint.into()))
}
