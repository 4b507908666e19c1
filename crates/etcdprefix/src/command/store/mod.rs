//! `store`: snapshots to and from object stores; and the files of other commands that are there.

mod check;
mod get;
mod ls;
mod places;
mod policy;
mod presign;
mod put;
mod reach;
mod send;
mod verify;

pub use get::Fetched;
pub use places::Places;
#[cfg(feature = "migrate")]
pub use reach::{open_unflagged, place, recipients};
pub use send::Sent;

use std::path::Path;
use std::sync::Arc;

use etcdprefix_store::{ObjectLocation, SharedProgress};

use crate::args::Global;
use crate::args::store::StoreCommand;
use crate::command::Answer;
use crate::failure::Failure;
use crate::hint::Asked;

/// Does what was asked for.
pub fn run(command: &StoreCommand, global: Global) -> Result<Answer, Failure> {
    match command {
        StoreCommand::Put(args) => put::run(args, global),
        StoreCommand::Get(args) => get::run(args, global),
        StoreCommand::Ls(args) => ls::run(args, global),
        StoreCommand::Presign(args) => presign::run(args, global),
        StoreCommand::Verify(args) => verify::run(args, global),
        StoreCommand::Check(args) => check::run(args, global),
        StoreCommand::Policy(args) => policy::run(args, global),
    }
}

/// Shows progress of what is done with an object.
fn meter(location: &ObjectLocation, global: Global) -> Result<SharedProgress, Failure> {
    shown(location.to_string().as_ref(), &Asked::Look, global)
}

/// The same for a file of this machine, or what else is named.
fn shown(file: &Path, asked: &Asked, global: Global) -> Result<SharedProgress, Failure> {
    Ok(Arc::new(super::meter(global, file, asked, &Places::default())?))
}

/// An error of the store's.
fn failed(error: etcdprefix_store::Error) -> Failure {
    Failure::store(&error, &Asked::Look)
}

/// The same, met when doing what was `asked`.
fn failed_when(asked: &Asked) -> impl Fn(etcdprefix_store::Error) -> Failure {
    |error| Failure::store(&error, asked)
}

/// The same about an object whose bytes may be encrypted, which the error alone does not name.
fn unread(location: &ObjectLocation, asked: &Asked) -> impl Fn(etcdprefix_store::Error) -> Failure {
    use etcdprefix_store::Error;
    move |error| match error {
        Error::Encrypted | Error::NoIdentity | Error::Undecryptable => {
            Failure::store(&error, asked).after(&location.to_string())
        }
        error => Failure::store(&error, asked),
    }
}
