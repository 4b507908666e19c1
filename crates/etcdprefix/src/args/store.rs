//! The flags of `store`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::go::GoDuration;
use super::reach::ReachArgs;
use super::transfer::{OpenArgs, SendArgs};
use crate::exit;

pub const REACH: &str = "\
Credentials are never flags. They come from --credentials DIR or, in this order, from the
environment (ALIBABA_CLOUD_ACCESS_KEY_ID, OSS_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID, ...), OIDC
(RRSA, web identity), profile files, a credentials URI or container role, and the
metadata of the instance (ECS RAM role, EC2).

";

/// For `store` itself, where other commands send their readers.
pub const ABOUT: &str = "\
Any command takes oss://bucket/key or s3://bucket/key where it takes a file. These variables say how
the store is reached; the flags of `store put` and the others go before them:
  OSS_ENDPOINT, OSS_REGION                    where OSS is
  AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
  AWS_REGION, AWS_DEFAULT_REGION              where S3 is
  ETCDPREFIX_STORE_ADDRESSING                 path or virtual-host: where in URLs the bucket stands
  ETCDPREFIX_STORE_CACERT                     authorities to trust besides the system's
  ETCDPREFIX_STORE_SIGNATURE                  v4 or v1
  ETCDPREFIX_STORE_CREDENTIALS                a folder with access-key-id and access-key-secret
  ETCDPREFIX_RECIPIENT, ETCDPREFIX_IDENTITY   to encrypt for, to decrypt with (age)

";

const PUT: &str = "\
Examples:
  etcdprefix store put snap.db oss://backups/c123/snap.db --region cn-hangzhou
  To another store that speaks S3, with an authority of its own, never replacing anything:
    etcdprefix store put snap.db s3://backups/snap.db --if-absent \\
        --endpoint https://minio.example:9000 --cacert ca.pem
  Encrypted for whoever holds the identity:
    etcdprefix store put snap.db s3://backups/snap.db.age --recipient age1...

";

const GET: &str = "\
Examples:
  etcdprefix store get oss://backups/c123/snap.db snap.db
  etcdprefix store get s3://backups/snap.db.age snap.db --identity key.txt

";

const LS: &str = "\
Examples:
  etcdprefix store ls oss://backups/c123/
  etcdprefix store ls s3://backups/ -w json | jq -r '.objects[] | select(.cluster_id == \"c123\").key'

";

const PRESIGN: &str = "\
Examples:
  URL=$(etcdprefix store presign oss://backups/c123/snap.db)
  For an hour, for readers inside Alibaba Cloud's network:
    etcdprefix store presign oss://backups/c123/snap.db --expires 1h \\
        --presign-endpoint oss-cn-hangzhou-internal.aliyuncs.com

The URL is a key to every secret of the cluster until it ends: hand it on by safe ways.

";

const VERIFY: &str = "\
Examples:
  etcdprefix store verify oss://backups/c123/snap.db
Pages and records are looked at by `etcdprefix check oss://backups/c123/snap.db`.

";

const CHECK: &str = "\
Examples:
  etcdprefix store check oss://backups/c123/
A small object, etcdprefix-probe, is written there, read, presigned, fetched and removed.
PutObject and GetObject are enough; what else is not allowed is told.

";

const POLICY: &str = "\
Examples:
  The statement for the masters' role of an ACK dedicated cluster that migrates:
    etcdprefix store policy --for ack-master --bucket backups
  What `store put` and `store presign` need on S3, under one prefix:
    etcdprefix store policy --for upload-presign --store s3 --bucket backups --prefix c123/

";

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Upload a snapshot, and prove that the store has it
    Put(Box<PutArgs>),
    /// Download a snapshot, proved before it has its name
    Get(Box<GetArgs>),
    /// List the snapshots under a prefix, with what their metadata says
    Ls(Box<LsArgs>),
    /// Print a URL by which anybody can fetch the snapshot for a while
    Presign(Box<PresignArgs>),
    /// Stream a snapshot back and compare it with its trailer, its metadata and the
    /// store's checksum
    Verify(Box<StoreVerifyArgs>),
    /// Try what the credentials may do, by a small object of its own
    Check(Box<StoreCheckArgs>),
    /// Print the least policy for a purpose; nothing is asked or sent
    Policy(PolicyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = PUT.to_owned() + REACH + &exit::help())]
pub struct PutArgs {
    /// The snapshot
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where to: oss://bucket/key or s3://bucket/key; what is there is replaced
    #[arg(value_name = "URL")]
    pub url: String,

    /// Fail if there is an object already
    #[arg(long)]
    pub if_absent: bool,

    /// Send FILE as it is, without looking whether it is a sound snapshot
    #[arg(long)]
    pub no_check: bool,

    /// Parts of a large file that are under way at once
    #[arg(long, value_name = "N", default_value = "4",
        value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,

    /// The etcd that the snapshot is of, to be said in the object's metadata
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub etcd_version: Option<String>,

    /// The prefix of the snapshot's keys, to be said in the object's metadata
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    pub prefix: Option<String>,

    #[command(flatten, next_help_heading = None)]
    pub send: SendArgs,

    #[command(flatten)]
    pub reach: ReachArgs,
}

#[derive(Debug, Args)]
#[command(after_help = GET.to_owned() + REACH + &exit::help())]
pub struct GetArgs {
    /// The object: oss://bucket/key or s3://bucket/key
    #[arg(value_name = "URL")]
    pub url: String,

    /// The file to make; what is there is replaced, once the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Take the object as it is, whether it is a sound snapshot or not
    #[arg(long)]
    pub no_check: bool,

    #[command(flatten)]
    pub open: OpenArgs,

    #[command(flatten)]
    pub reach: ReachArgs,
}

#[derive(Debug, Args)]
#[command(after_help = LS.to_owned() + REACH + &exit::help())]
pub struct LsArgs {
    /// The bucket, or a prefix of keys in it: oss://bucket/prefix or s3://bucket/prefix
    #[arg(value_name = "URL")]
    pub url: String,

    /// Stop after so many
    #[arg(long, value_name = "N", default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,

    #[command(flatten)]
    pub reach: ReachArgs,
}

/// What URLs are signed.
#[derive(Debug, Args)]
pub struct LifeArgs {
    /// How long the URL is to live, at most 168h; 40m by default on OSS, 1h on S3
    #[arg(long, value_name = "TIME")]
    pub expires: Option<GoDuration>,

    /// If temporary credentials end earlier, sign for what is left of them
    #[arg(long)]
    pub shorter_ok: bool,

    /// The store's host as the URL's reader reaches it; by default as here
    #[arg(long, value_name = "URL")]
    pub presign_endpoint: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = PRESIGN.to_owned() + REACH + &exit::help())]
pub struct PresignArgs {
    /// The object: oss://bucket/key or s3://bucket/key
    #[arg(value_name = "URL")]
    pub url: String,

    #[command(flatten)]
    pub life: LifeArgs,

    /// Don't fetch the first and last byte by the URL before it is printed
    #[arg(long)]
    pub no_probe: bool,

    #[command(flatten)]
    pub reach: ReachArgs,
}

#[derive(Debug, Args)]
#[command(after_help = VERIFY.to_owned() + REACH + &exit::help())]
pub struct StoreVerifyArgs {
    /// The object: oss://bucket/key or s3://bucket/key
    #[arg(value_name = "URL")]
    pub url: String,

    #[command(flatten)]
    pub open: OpenArgs,

    #[command(flatten)]
    pub reach: ReachArgs,
}

#[derive(Debug, Args)]
#[command(after_help = CHECK.to_owned() + REACH + &exit::help())]
pub struct StoreCheckArgs {
    /// The bucket, or a prefix of keys in it: oss://bucket/prefix/ or s3://bucket/prefix/
    #[arg(value_name = "URL")]
    pub url: String,

    #[command(flatten)]
    pub life: LifeArgs,

    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PurposeArg {
    /// The statement that a dedicated ACK cluster's masters need to migrate
    AckMaster,
    /// What `store put` needs
    Upload,
    /// What `store put` and `store presign` need
    UploadPresign,
    /// The OSS part of what ACK's backup center needs
    BackupCenter,
}

/// Which store; mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    Oss,
    S3,
}

#[derive(Debug, Args)]
#[command(after_help = POLICY.to_owned() + &exit::help())]
pub struct PolicyArgs {
    /// What for
    #[arg(long = "for", value_name = "PURPOSE")]
    pub purpose: PurposeArg,

    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub bucket: String,

    /// Only keys that begin so; for `upload` and `upload-presign`
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,

    /// Whose policy: oss (RAM) or s3 (IAM)
    #[arg(long, value_name = "STORE", default_value = "oss", hide_possible_values = true)]
    pub store: KindArg,
}
