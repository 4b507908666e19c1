//! The flags of `endpoint status`, `endpoint hashkv` and `endpoint quiet`.

use clap::{Args, Subcommand};

use super::client::ClientArgs;
use super::go::GoDuration;
use crate::exit;

const STATUS_EXAMPLES: &str = "\
Examples:
  etcdprefix endpoint status --endpoints https://10.0.0.1:2379 --cacert ca.pem --cluster
  etcdprefix endpoint status -w json | jq '.members[] | select(.member_id == .leader_id).endpoint'

";

const HASHKV_EXAMPLES: &str = "\
Examples:
  etcdprefix endpoint hashkv --cluster
  etcdprefix endpoint hashkv --endpoints 10.0.0.1:2379,10.0.0.2:2379 --rev 1234567

Members that hold the same have the same HashKV at the same revision. The exit code is 24
if they differ. The user needs the root role where authentication is on.

";

const QUIET_EXAMPLES: &str = "\
Examples:
  Whether anybody still writes, before a snapshot that must be the last word:
    etcdprefix endpoint quiet --for 1m
  For a script, with the keys:
    etcdprefix endpoint quiet --for 20s -w json | jq '.keys'

A key that goes with its lease is an expiry and no writer. The exit code is 25 if somebody
writes. The user needs to read all keys where authentication is on.

";

/// What to ask members.
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// Show what each member says of itself: leader, learner, revision, size, alarms
    Status(StatusArgs),
    /// Compare HashKV of all members at one revision
    #[command(name = "hashkv")]
    HashKv(HashKvArgs),
    /// Watch whether anybody writes; keys that expire don't count
    Quiet(QuietArgs),
}

#[derive(Debug, Args)]
#[command(after_help = STATUS_EXAMPLES.to_owned() + &exit::help())]
pub struct StatusArgs {
    /// Ask all members of the member list, at the URLs that it tells
    #[arg(long)]
    pub cluster: bool,

    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = HASHKV_EXAMPLES.to_owned() + &exit::help())]
pub struct HashKvArgs {
    /// Ask all members of the member list, at the URLs that it tells
    #[arg(long)]
    pub cluster: bool,

    /// The revision; by default the latest that all members have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), default_value = "0", hide_default_value = true)]
    pub rev: i64,

    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = QUIET_EXAMPLES.to_owned() + &exit::help())]
pub struct QuietArgs {
    /// How long to watch
    #[arg(long = "for", value_name = "TIME", default_value = "30s")]
    pub time: GoDuration,

    #[command(flatten)]
    pub client: ClientArgs,
}
