//! `store put`: a snapshot becomes an object that is proved to be there.

use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, Builder};

use etcdprefix_core::options::default_threads;
use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::read::{ReadMode, Snapshot};
use etcdprefix_core::verify::{Status, status};
use etcdprefix_core::{Error, Result};
use etcdprefix_store::{Source, UploadOptions};

use super::send::{Sending, send};
use super::{failed, reach, shown};
use crate::args::Global;
use crate::args::store::PutArgs;
use crate::command::Answer;
use crate::command::facts::Facts;
use crate::command::trailer;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// Uploads; the result is what is there in the form asked for.
pub fn run(args: &PutArgs, global: Global) -> Result<Answer, Failure> {
    let to = reach::object(&args.url)?;
    let store = reach::open(&to, &args.reach)?;
    let recipients = reach::recipients(&args.send.recipient)?;
    let file = reach::local(&args.file)?;
    let sent = {
        let meter = shown(&file, &Asked::Put, global)?;
        // Opened before it is looked at, and watched to the end: what is sent is what was looked at.
        let source = Source::open(&file).map_err(failed)?;
        let found = if args.no_check { Facts::default() } else { look(&file, meter.as_ref())? };
        source.check().map_err(failed)?;
        let options = UploadOptions {
            if_absent: args.if_absent,
            parallel: args.parallel.into(),
            ..UploadOptions::default()
        };
        let sending = Sending { recipients, facts: told(found, args), options };
        send(&store, &to, &source, sending, &meter)?
    };
    Ok(output::store::put(&args.file, &sent, global.write_out).into())
}

/// What the flags say adds to what the file does.
fn told(found: Facts, args: &PutArgs) -> Facts {
    Facts {
        cluster_id: args.send.cluster_id.clone(),
        etcd_version: args.etcd_version.clone(),
        prefix: args.prefix.clone(),
        ..found
    }
}

/// Reads the whole snapshot: one that is damaged is found before it is all that is left.
fn look(file: &Path, meter: &dyn Progress) -> Result<Facts, Failure> {
    examine(file, meter).map_err(|error| Failure::core(&error, &Asked::Put))
}

fn examine(file: &Path, meter: &dyn Progress) -> Result<Facts> {
    let snapshot = Snapshot::open(file, ReadMode::Map)?;
    meter.begin(Phase::Read, snapshot.pages_bytes().saturating_mul(3));
    let (sha256, status) = both(&snapshot, meter)?;
    snapshot.unchanged()?;
    Ok(Facts {
        revision: Some(status.revision),
        status_hash: Some(format!("{:x}", status.hash)),
        sha256: Some(sha256),
        ..Facts::default()
    })
}

/// The digest takes longer than all the rest, so that goes on beside it.
fn both(snapshot: &Snapshot, meter: &dyn Progress) -> Result<(String, Status)> {
    thread::scope(|scope| {
        let hashing = Builder::new().spawn_scoped(scope, || trailer::verify(snapshot, meter));
        let hashing = hashing.map_err(Error::io("start a thread for", snapshot.path()))?;
        let status = status(snapshot, default_threads(), meter);
        let sha256 = hashing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((sha256, status?))
    })
}
