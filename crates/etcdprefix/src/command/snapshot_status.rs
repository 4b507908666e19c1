//! `snapshot status`: what etcdutl says of a file.

use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::verify::{Status, status};
use etcdprefix_core::{Corruption, Error, Location, Result};

use crate::args::Global;
use crate::args::change_prefix::{read_mode, threads};
use crate::args::snapshot::{Like, StatusArgs};
use crate::command::store::Places;
use crate::command::trailer;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;
use crate::output::progress::Meter;
use crate::output::status::Printed;

/// Reads the snapshot; the result is its status in the form asked for.
pub fn run(args: &StatusArgs, global: Global, places: &Places) -> Result<String, Failure> {
    let printed = read(args, global, places)?;
    Ok(output::status::render(&printed, args.like, global.write_out))
}

/// Ends the progress display before anything else is printed.
fn read(args: &StatusArgs, global: Global, places: &Places) -> Result<Printed, Failure> {
    let meter = super::meter(global, &args.file, &Asked::Status, places)?;
    examine(args, &meter).map_err(|error| Failure::core(&error, &Asked::Status))
}

fn examine(args: &StatusArgs, meter: &Meter) -> Result<Printed> {
    let snapshot = Snapshot::open(&args.file, read_mode(args.no_mmap))?;
    if args.check_trailer {
        meter.begin(Phase::Read, snapshot.pages_bytes());
        trailer::verify(&snapshot, meter)?;
    }
    // Once for the structure, once for the content.
    meter.begin(Phase::Read, snapshot.pages_bytes().saturating_mul(2));
    let status = status(&snapshot, threads(args.threads), meter)?;
    like(status, args.like).map_err(|damage| Error::Damaged {
        path: snapshot.path().into(),
        at: Location::default(),
        damage,
    })
}

/// What the etcdutl of that version counts and prints. From 3.6 on it fails where a record does
/// not decode.
fn like(status: Status, like: Like) -> Result<Printed, Corruption> {
    let (keys, version) = match like {
        Like::V3_5 | Like::V3_5_30 => (status.total_pairs, None),
        Like::V3_6 | Like::V3_7 => {
            let newer = status.newer?;
            (newer.live_keys, Some(newer.version))
        }
    };
    Ok(Printed {
        hash: status.hash,
        revision: status.revision,
        keys,
        size: status.total_size,
        version,
    })
}
