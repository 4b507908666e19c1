//! `store get`: an object becomes a file, proved before it has its name.

use std::io::{self, Write};
use std::sync::Arc;

use etcdprefix_core::Error;
use etcdprefix_core::format::trailer::hex;
use etcdprefix_core::progress::Phase;
use etcdprefix_core::save::disk::RealDisk;
use etcdprefix_core::save::receive::{Received, Receiver};
use etcdprefix_store::{
    Description, Downloaded, ObjectLocation, Plaintext, SharedProgress, download,
};

use super::{meter, reach, unread};
use crate::args::Global;
use crate::args::store::GetArgs;
use crate::command::{Answer, wait};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// What was fetched.
pub struct Fetched {
    pub downloaded: Downloaded,
    pub bytes: u64,
    pub sha256: String,
    pub encrypted: bool,
    pub proved: bool,
}

/// Downloads; the result is what was fetched in the form asked for.
pub fn run(args: &GetArgs, global: Global) -> Result<Answer, Failure> {
    let from = reach::object(&args.url)?;
    let store = reach::open(&from, &args.reach)?;
    let identities = reach::identities(&args.open)?;
    let target = reach::local(&args.file)?;
    let asked = Asked::Fetch(target.clone());
    let meter = meter(&from, global)?;
    let receiver = Receiver::create(Arc::new(RealDisk), &target, None)
        .map_err(|error| Failure::core(&error, &asked))?;
    let mut sink = Plaintext::new(Sink(receiver), identities);
    let downloaded = wait(async {
        download(&store, &from.key, &mut sink, meter.clone()).await.map_err(unread(&from, &asked))
    })?;
    let (sink, encrypted) = sink.finish().map_err(unread(&from, &asked))?;
    let received = ended(sink.0, args.no_check);
    let received = received.map_err(|error| Failure::core(&of_object(error, &from), &asked))?;
    let (bytes, sha256) = (received.bytes, hex(&received.sha256));
    if !args.no_check {
        compare(&args.url, &downloaded, &sha256)?;
    }
    let warnings = publish(received, &meter).map_err(|error| Failure::core(&error, &asked))?;
    drop(meter);
    output::warn_anyway(&warnings, global);
    let fetched = Fetched { downloaded, bytes, sha256, encrypted, proved: !args.no_check };
    Ok(output::store::get(&from, &target, &fetched, global.write_out).into())
}

fn ended(receiver: Receiver, as_it_is: bool) -> etcdprefix_core::Result<Received> {
    if as_it_is { receiver.finish_unproved() } else { receiver.finish() }
}

/// What is not sound is the object; the file is as it was.
fn of_object(error: Error, object: &ObjectLocation) -> Error {
    let path = object.to_string().into();
    match error {
        Error::TrailerMissing { .. } => Error::TrailerMissing { path },
        Error::TrailerMismatch { found, computed, .. } => {
            Error::TrailerMismatch { path, found, computed }
        }
        error => error,
    }
}

/// The metadata may be of another snapshot than the bytes.
fn compare(url: &str, downloaded: &Downloaded, sha256: &str) -> Result<(), Failure> {
    let told = Description::of(&downloaded.head.metadata).sha256;
    match told.filter(|told| told != sha256) {
        None => Ok(()),
        Some(told) => {
            let message = format!(
                "{url}: its metadata is of another snapshot: SHA-256 {told}, and that of what \
                 came is {sha256}"
            );
            let hint = "--no-check to take it all the same";
            Err(Failure::new(Exit::Damaged, message, Some(hint.into())))
        }
    }
}

fn publish(received: Received, meter: &SharedProgress) -> etcdprefix_core::Result<Vec<String>> {
    meter.begin(Phase::Sync, 0);
    received.sync()?;
    if meter.interrupted() {
        return Err(Error::Interrupted);
    }
    meter.begin(Phase::Publish, 0);
    received.publish(true)
}

/// Bytes for a receiver, whose errors come out as they went in.
struct Sink(Receiver);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
