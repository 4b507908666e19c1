//! The flags of `snapshot save`.

use std::path::PathBuf;

use clap::Args;

use super::change_prefix::RuleArgs;
use super::client::ClientArgs;
use super::files::{Files, Made};
use super::go::GoDuration;
use super::transfer::{PLACES, SendArgs};
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  As with etcdctl, but from the leader of the three:
    etcdprefix snapshot save snap.db --cacert ca.pem --cert client.pem --key client-key.pem \\
        --endpoints https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379
  Proved to be what the cluster holds, by HashKV of all members and of the file:
    etcdprefix snapshot save snap.db --verify-members
  Saved and rewritten at once, the saved file kept too:
    etcdprefix snapshot save c123.db --change-prefix /c123 --keep-saved snap.db
  A member whose certificate has only a common name:
    etcdprefix snapshot save snap.db --endpoints https://10.0.0.1:2379 --cacert ca.pem \\
        --tls-server-name etcd
  Straight into a bucket, by way of TMPDIR:
    etcdprefix snapshot save s3://backups/snap.db

The member is the leader of the endpoints, or else the voter that has applied most; never
a learner, nor one that is cut off or has a CORRUPT alarm, unless --from names it. The
user needs the root role where authentication is on. Flags of the connection may stand in
front of `snapshot`, as etcdctl takes them.

";

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES.to_owned() + PLACES + &exit::help(),
    mut_group("RuleArgs", |rule| rule.requires("change_prefix")),
)]
pub struct SaveArgs {
    /// The file to make; what is there is replaced, once the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Take this member, whatever speaks against it
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,

    /// Start anew so many times if a stream breaks, on another member if there is one
    #[arg(long, value_name = "N", default_value = "2")]
    pub retries: u32,

    /// Give a stream up that brings nothing for so long
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub idle_timeout: GoDuration,

    /// Compare HashKV among all members before, and with the file after
    #[arg(long)]
    pub verify_members: bool,

    /// Don't check pages and records of the file
    #[arg(long)]
    pub no_check: bool,

    /// Threads that check; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Rewrite the keys to this prefix; FILE, which must not exist, gets the result
    #[arg(long, value_name = "PREFIX", help_heading = CHANGE)]
    pub change_prefix: Option<String>,

    /// Keep the saved file too, here
    #[arg(long, value_name = "FILE", requires = "change_prefix", help_heading = CHANGE)]
    pub keep_saved: Option<PathBuf>,

    #[command(flatten, next_help_heading = CHANGE)]
    pub rule: RuleArgs,

    #[command(flatten)]
    pub send: SendArgs,

    #[command(flatten)]
    pub client: ClientArgs,
}

impl SaveArgs {
    /// What is made. Only a file that is saved as it is replaces another.
    pub fn files(&mut self) -> Files<'_> {
        let must_be_new = self.change_prefix.is_some();
        let kept = self.keep_saved.as_mut().map(|file| Made { file, must_be_new: false });
        let made = [Made { file: &mut self.file, must_be_new }].into_iter().chain(kept).collect();
        Files { made, send: Some(self.send.clone()), ..Files::default() }
    }
}

const CHANGE: &str = "With --change-prefix, as for `change-prefix`";
