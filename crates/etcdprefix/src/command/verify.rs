//! `verify`: whether one file is another with its prefix changed.

use std::os::unix::fs::MetadataExt;

use etcdprefix_core::Result;
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::verify::{Accepted, prove_files};

use crate::args::Global;
use crate::args::change_prefix::{read_mode, threads};
use crate::args::verify::VerifyArgs;
use crate::command::store::Places;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output::progress::Meter;
use crate::output::text::path;
use crate::output::verify::Verified;

/// Proves the output; the result is what was proved in the form asked for.
pub fn run(args: &VerifyArgs, global: Global, places: &Places) -> Result<String, Failure> {
    refuse_one_file(args)?;
    let mut verified = prove(args, global, places)?;
    verified.files = verified.files.map(|file| places.name(&file));
    Ok(verified.render(global.write_out))
}

/// A file is no output of itself; to say how it differs would mislead.
fn refuse_one_file(args: &VerifyArgs) -> Result<(), Failure> {
    let inode = |file: &std::path::Path| file.metadata().ok().map(|data| (data.dev(), data.ino()));
    match (inode(&args.source), inode(&args.output)) {
        (Some(source), Some(output)) if source == output => {
            let (source, output) = (path(&args.source), path(&args.output));
            let message = format!("{source} and {output} are the same file");
            let hint = "the snapshot before the change, then the one after it";
            Err(Failure::new(Exit::Usage, message, Some(hint.into())))
        }
        _ => Ok(()),
    }
}

/// Ends the progress display before anything else is printed.
fn prove(args: &VerifyArgs, global: Global, places: &Places) -> Result<Verified, Failure> {
    let meter = super::meter(global, &args.source, &Asked::Verify, places)?;
    read(args, &meter).map_err(|error| Failure::core(&error, &Asked::Verify))
}

fn read(args: &VerifyArgs, meter: &Meter) -> Result<Verified> {
    let rule = PrefixRule::new(&args.src_prefix, &args.dest_prefix, args.unmatched.into())?;
    let open = |file| Snapshot::open(file, read_mode(args.no_mmap));
    let (source, output) = (open(&args.source)?, open(&args.output)?);
    let threads = threads(args.threads);
    let accepted = Accepted {
        skip_hash_check: args.skip_hash_check,
        unmapped_roles: args.allow_unmapped_roles,
    };
    let proof = prove_files(&source, &output, &rule, accepted, threads, meter)?;
    let files = [args.source.clone(), args.output.clone()];
    Ok(Verified { files, rule, proof })
}
