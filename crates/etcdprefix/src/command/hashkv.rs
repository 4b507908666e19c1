//! `hashkv`: what a server that starts on the snapshot answers to HashKV.

use etcdprefix_core::Result;
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::verify::{HashKv, hash_kv};

use crate::args::Global;
use crate::args::change_prefix::{read_mode, threads};
use crate::args::hashkv::HashKvArgs;
use crate::command::store::Places;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;
use crate::output::progress::Meter;

/// Hashes the snapshot; the result is its HashKV in the form asked for.
pub fn run(args: &HashKvArgs, global: Global, places: &Places) -> Result<String, Failure> {
    let kv = hash(args, global, places)?;
    Ok(output::hashkv::render(&places.name(&args.file), &kv, global.write_out))
}

/// Ends the progress display before anything else is printed.
fn hash(args: &HashKvArgs, global: Global, places: &Places) -> Result<HashKv, Failure> {
    let meter = super::meter(global, &args.file, &Asked::Look, places)?;
    read(args, &meter).map_err(|error| Failure::core(&error, &Asked::Look))
}

fn read(args: &HashKvArgs, meter: &Meter) -> Result<HashKv> {
    let snapshot = Snapshot::open(&args.file, read_mode(args.no_mmap))?;
    hash_kv(&snapshot, args.rev, threads(args.threads), meter)
}
