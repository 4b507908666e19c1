//! What is migrated: a file, and a flag for everything in it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::super::go::{GoDuration, boolean};
use super::assistant::AssistantArgs;

/// Everything that a configuration says. A flag that is not given leaves what the file has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What is migrated")]
pub struct ConfigArgs {
    #[command(flatten)]
    pub which: WhichArgs,

    /// The prefix of the keys; by default the API servers' --etcd-prefix
    #[arg(long, value_name = "PREFIX")]
    pub src_prefix: Option<String>,

    /// Put this component to sleep too; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub also: Vec<String>,

    /// Put every static pod to sleep but etcd, as the cloud's template does
    #[arg(long, value_name = "BOOL", value_parser = boolean, default_missing_value = "true",
        num_args = 0..=1, require_equals = true)]
    pub all: Option<bool>,

    /// Accept encrypted values that can't be decrypted after the move
    #[arg(long, value_name = "BOOL", value_parser = boolean, default_missing_value = "true",
        num_args = 0..=1, require_equals = true)]
    pub allow_undecryptable: Option<bool>,

    /// Refuse a snapshot of more than this many bytes, which the managed side's etcd could
    /// not hold
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub target_quota: Option<u64>,

    /// How long the URL is to live, at most 168h [default: 40m]
    #[arg(long, value_name = "TIME")]
    pub presign_lifetime: Option<GoDuration>,

    /// Until a sleeping host wakes by itself if nobody is heard of, at least 5m
    /// [default: 20m]
    #[arg(long, value_name = "TIME")]
    pub wake_after: Option<GoDuration>,

    /// The longest time for saving, rewriting and uploading [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub snapshot_limit: Option<GoDuration>,

    #[command(flatten)]
    pub hosts: HostArgs,

    #[command(flatten)]
    pub assistant: AssistantArgs,

    #[command(flatten)]
    pub etcd: EtcdArgs,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Let the hosts use credentials of their own for the store (RAM role, --store-credentials,
    /// --store-profile) even if there are some in the environment here
    #[arg(long, help_heading = STORE)]
    pub host_credentials: bool,
}

/// Which migration it is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What is migrated")]
pub struct WhichArgs {
    /// A YAML file with all that follows; flags go before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The folder of this migration here: journal, rehearsal, bundle (0700); by default the
    /// cluster's id in ETCDPREFIX_HOME or ~/.etcdprefix
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,

    /// The cluster's id on the managed side: c and letters, digits, dashes. Keys move to
    /// /ID
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
}

/// The masters, and the way to them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The hosts, and the way to them")]
pub struct HostArgs {
    /// A master: user@host, ssh://user@host:port, an alias of ssh's configuration, `local`,
    /// or ecs:INSTANCE-ID; repeatable, and all of them
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,

    /// In place of ssh's own configuration
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,

    /// A private key; by default the agent's and those of ssh's configuration
    #[arg(long, value_name = "FILE")]
    pub identity_file: Option<PathBuf>,

    /// A host to jump over, user@host:port; repeatable, in their order
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub jump: Vec<String>,

    /// Become root on the hosts, by sudo -n
    #[arg(long = "become", value_name = "BOOL", value_parser = boolean,
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    pub becomes_root: Option<bool>,

    /// The static binary for hosts of another architecture: FILE, or ARCH=FILE;
    /// repeatable
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub binary: Vec<String>,

    /// How many hosts at once, and how many may fail:
    /// '{"Mode":"Concurrency","MaxErrors":0,"Concurrency":5}'
    #[arg(long, value_name = "JSON")]
    pub rate_control: Option<String>,

    /// How many hosts at once, a number or a share such as 50% [default: 5]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<String>,

    /// How many hosts may fail to sleep before no more are begun, a number or a share
    /// [default: 0]
    #[arg(long, value_name = "N")]
    pub max_errors: Option<String>,

    /// Where snapshots are put on the hosts meanwhile [default: /var/lib/etcdprefix/work]
    #[arg(long, value_name = "DIR")]
    pub working_dir: Option<PathBuf>,

    /// Where our binary and state lie on the hosts [default: /var/lib/etcdprefix]
    #[arg(long, value_name = "DIR")]
    pub node_state: Option<PathBuf>,

    /// The kubeconfig on the hosts [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// How etcd is asked from a host. Files are the host's.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "etcd, as it is asked on a host")]
pub struct EtcdArgs {
    /// Client URLs of members, separated by commas
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd_endpoints: Vec<String>,

    /// Authorities that sign members' certificates (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<PathBuf>,

    /// The client's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cert: Option<PathBuf>,

    /// The client's key (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_key: Option<PathBuf>,
}

const STORE: &str = "The store, as the hosts reach it";

/// Where the snapshot goes. Files are the host's.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = STORE)]
pub struct StoreArgs {
    /// Where the snapshot goes: oss://bucket/prefix or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,

    /// Host or URL of the store; by default the region's own
    #[arg(long, value_name = "URL")]
    pub store_endpoint: Option<String>,

    /// The store's host as the managed side reaches it; by default as the hosts do
    #[arg(long, value_name = "URL")]
    pub presign_endpoint: Option<String>,

    /// Region of the bucket
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,

    /// OSS: take the region's endpoint inside Alibaba Cloud's network
    #[arg(long, value_name = "BOOL", value_parser = boolean, default_missing_value = "true",
        num_args = 0..=1, require_equals = true)]
    pub internal: Option<bool>,

    /// Authorities to trust besides the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub store_cacert: Option<PathBuf>,

    /// A folder with access-key-id and access-key-secret (and security-token)
    #[arg(long, value_name = "DIR")]
    pub store_credentials: Option<PathBuf>,

    /// Profile of the vendor's credentials files
    #[arg(long, value_name = "NAME")]
    pub store_profile: Option<String>,

    /// The bucket stands in the path of URLs
    #[arg(long, value_name = "BOOL", value_parser = boolean, default_missing_value = "true",
        num_args = 0..=1, require_equals = true)]
    pub store_path_style: Option<bool>,
}
