//! The commands, one a file: flags to options, a call into the library, its outcome to text.

mod change_prefix;
mod check;
mod completion;
mod facts;
mod hashkv;
#[cfg(feature = "live")]
mod live;
#[cfg(not(feature = "live"))]
#[path = "offline.rs"]
mod live;
#[cfg(feature = "migrate")]
mod migrate;
#[cfg(not(feature = "migrate"))]
#[path = "stationary.rs"]
mod migrate;
mod snapshot_status;
#[cfg(feature = "store")]
pub mod store;
#[cfg(not(feature = "store"))]
#[path = "storeless.rs"]
mod store;
mod trailer;
mod verify;
#[cfg(any(feature = "live", feature = "store"))]
mod wait;

use std::path::Path;

use crate::args::{Command, Global, Invocation, SnapshotCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::interrupt;
use crate::output::progress::Meter;
use store::Places;
#[cfg(any(feature = "live", feature = "store"))]
use wait::wait;

/// What a command ends with.
pub struct Answer {
    /// The text for stdout.
    pub text: String,
    /// What it says against the request, for those who read only the exit code and stderr; the first
    /// one gives the code.
    pub failures: Vec<Failure>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, failures: Vec::new() }
    }
}

/// Does what was asked for.
pub fn run(invocation: Invocation) -> Result<Answer, Failure> {
    let Invocation { global, mut command } = invocation;
    let places = Places::prepare(&mut command, global)?;
    dispatch(command, global, &places).map_err(|failure| places.named(failure))
}

fn dispatch(command: Command, global: Global, places: &Places) -> Result<Answer, Failure> {
    match command {
        Command::ChangePrefix(args) => change_prefix::run(*args, global, places),
        Command::Check(args) => check::run(&args, global, places),
        Command::Verify(args) => verify::run(&args, global, places).map(Answer::from),
        Command::HashKv(args) => hashkv::run(&args, global, places).map(Answer::from),
        Command::Snapshot(SnapshotCommand::Status(args)) => {
            snapshot_status::run(&args, global, places).map(Answer::from)
        }
        Command::Snapshot(SnapshotCommand::Save(args)) => {
            live::save(&args, global, places).map(Answer::from)
        }
        Command::Endpoint(command) => live::endpoint(&command, global),
        Command::Store(command) => store::run(&command, global),
        Command::Migrate(command) => migrate::run(&command, global),
        Command::Node(command) => migrate::node(&command, global),
        Command::Completion { shell } => Ok(completion::run(shell).into()),
    }
}

/// Whether a file's name is the place of an object, or a file's URL. `http` is told that it is none.
fn is_url(name: &str) -> bool {
    let schemes = ["oss", "s3", "file", "http", "https"];
    name.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme))
}

/// Shows progress as `global` wants it, and turns signals into interruptions and errors; `db` is
/// the file that is read, which `places` may have another name for.
fn meter(global: Global, db: &Path, asked: &Asked, places: &Places) -> Result<Meter, Failure> {
    let handled = interrupt::on_signals().and_then(|flag| {
        interrupt::on_bus_error(&places.named(Failure::unmapped(db, asked)))?;
        Ok(flag)
    });
    let flag = handled.map_err(|source| {
        let message = format!("cannot handle signals: {source}");
        Failure::new(Exit::Failed, message, None)
    })?;
    Ok(Meter::start(flag, global.quiet))
}
