//! `store policy`: the least that a purpose needs.

use etcdprefix_store::{Kind, Purpose, policy};

use super::failed;
use crate::args::Global;
use crate::args::store::{KindArg, PolicyArgs, PurposeArg};
use crate::command::Answer;
use crate::failure::Failure;
use crate::output;

/// The result is the policy, to be pasted where it belongs.
pub fn run(args: &PolicyArgs, global: Global) -> Result<Answer, Failure> {
    let made = policy(args.purpose.into(), args.store.into(), &args.bucket, &args.prefix);
    let made = made.map_err(failed)?;
    if !global.quiet {
        made.notes.iter().for_each(|note| output::diagnose(&format!("note: {note}")));
    }
    Ok(output::store::policy(&made, global.write_out).into())
}

impl From<PurposeArg> for Purpose {
    fn from(arg: PurposeArg) -> Self {
        match arg {
            PurposeArg::AckMaster => Self::AckMaster,
            PurposeArg::Upload => Self::Upload,
            PurposeArg::UploadPresign => Self::UploadPresign,
            PurposeArg::BackupCenter => Self::BackupCenter,
        }
    }
}

impl From<KindArg> for Kind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Oss => Self::Oss,
            KindArg::S3 => Self::S3,
        }
    }
}
