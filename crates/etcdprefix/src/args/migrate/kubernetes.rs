//! The flags of `migrate render kubernetes` and `migrate rewrite`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use crate::args::go::GoDuration;
use crate::args::verify::LeftArg;
use crate::exit;

const RENDER: &str = "\
Examples:
  Every snapshot under a prefix, each for the cluster that its metadata names:
    etcdprefix migrate render kubernetes --from oss://backups/old/ --to oss://backups/new/ \\
        --image registry.example/etcdprefix:1 --service-account rewriter | kubectl create -f -
  A list of one's own, a line each: source, destination, prefix or cluster id:
    etcdprefix migrate render kubernetes --list snapshots.txt --parallelism 50 \\
        --image registry.example/etcdprefix:1 --credentials-secret alibaba-addon-secret

`kubectl apply` keeps a copy of what it applies in an annotation, which has no place for long
lists: `kubectl create`, or `apply --server-side`. docs/kubernetes-jobs.md has the image and the
rights. Nothing is asked but the store, for --from.

Jobs with indices need Kubernetes 1.24; those whose indices fail one by one 1.29, where that is
on by default. --kubernetes says which one is to run it.

";

const REWRITE: &str = "\
Examples:
  etcdprefix migrate rewrite --list snapshots.txt --index 0

What `migrate render kubernetes` lets each index of a Job do: the snapshot of that line is
rewritten as by change-prefix. If its destination is there already, it is done if it proves
equal (as by verify), and refused otherwise (exit 5).

";

#[derive(Debug, Args)]
#[command(
    after_help = RENDER.to_owned() + &exit::help(),
    group(ArgGroup::new("which").required(true).args(["list", "from"])),
)]
pub struct KubernetesArgs {
    /// The snapshots, a line each: SOURCE-URL DESTINATION-URL PREFIX-OR-ID; - for stdin
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,

    /// All objects under this place, oss://bucket/prefix/ or s3://bucket/prefix/
    #[arg(long, value_name = "URL", requires = "to")]
    pub from: Option<String>,

    /// With --from: what takes the place of that part of their names
    #[arg(long, value_name = "URL", requires = "from")]
    pub to: Option<String>,

    /// With --from: the new prefix, or the cluster's id, of all of them; by default each
    /// object's metadata has to say whose it is
    #[arg(long, value_name = "PREFIX", requires = "from")]
    pub dest_prefix: Option<String>,

    /// The prefix of the keys before; empty or / puts the destination before every key that
    /// begins with a slash
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub src_prefix: String,

    /// What to do with keys outside the source prefix: keep or drop
    #[arg(long, value_name = "MODE", default_value = "keep", hide_possible_values = true)]
    pub unmatched: LeftArg,

    #[command(flatten)]
    pub job: JobArgs,

    #[command(flatten)]
    pub pod: PodArgs,

    #[command(flatten)]
    pub store: JobStoreArgs,
}

/// How many, how long, how often.
#[derive(Debug, Args)]
#[command(next_help_heading = "The Job")]
pub struct JobArgs {
    /// What it and its ConfigMap are called; -1, -2, ... is put behind if there are several
    #[arg(long, value_name = "NAME", default_value = "etcdprefix-rewrite")]
    pub name: String,

    /// The namespace; by default kubectl's
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// How many snapshots at once, in each Job
    #[arg(long, value_name = "N", default_value = "10",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub parallelism: u32,

    /// How often a snapshot is tried again if disk, network or node failed
    #[arg(long, value_name = "N", default_value = "3",
        value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,

    /// Give the Job up once so many snapshots have failed; by default the others go on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_failed: Option<u32>,

    /// For one try of one snapshot
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub try_limit: GoDuration,

    /// For each whole Job: what is not done by then is given up
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub deadline: GoDuration,

    /// How long a Job that is done can be looked at; its ConfigMap stays
    #[arg(long, value_name = "TIME", default_value = "168h")]
    pub ttl: GoDuration,

    /// The version of the Kubernetes that runs it
    #[arg(long, value_name = "VERSION", default_value = "1.29")]
    pub kubernetes: String,
}

/// What runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Its pods")]
pub struct PodArgs {
    /// An image with the static binary etcdprefix in its PATH
    #[arg(long, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub image: String,

    /// Room for source and result meanwhile: twice the largest snapshot, and a little
    #[arg(long, value_name = "QUANTITY", default_value = "20Gi")]
    pub scratch: String,

    /// Cores
    #[arg(long, value_name = "QUANTITY", default_value = "1")]
    pub cpu: String,

    /// Memory
    #[arg(long, value_name = "QUANTITY", default_value = "512Mi")]
    pub memory: String,

    /// A service account that has the rights, by RRSA or IRSA
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,

    /// A Secret with access-key-id and access-key-secret (and security-token)
    #[arg(long, value_name = "NAME", conflicts_with = "service_account")]
    pub credentials_secret: Option<String>,

    /// A Secret whose members become variables: AWS_ACCESS_KEY_ID, OSS_ENDPOINT, ...
    #[arg(long, value_name = "NAME")]
    pub env_secret: Option<String>,
}

/// How the pods reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The store, as the pods reach it")]
pub struct JobStoreArgs {
    /// Host or URL of the store; by default the region's own
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub store_endpoint: Option<String>,

    /// Region of the buckets
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,

    /// The bucket stands in the path of URLs
    #[arg(long)]
    pub store_path_style: bool,
}

#[derive(Debug, Args)]
#[command(after_help = REWRITE.to_owned() + &exit::help())]
pub struct RewriteArgs {
    /// The snapshots, a line each: SOURCE-URL DESTINATION-URL PREFIX-OR-ID
    #[arg(long, value_name = "FILE")]
    pub list: PathBuf,

    /// Which one, from 0; blank lines and those that begin with # are not counted
    #[arg(long, value_name = "N")]
    pub index: usize,

    /// The prefix of the keys before
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub src_prefix: String,

    /// What to do with keys outside the source prefix: keep or drop
    #[arg(long, value_name = "MODE", default_value = "keep", hide_possible_values = true)]
    pub unmatched: LeftArg,
}
