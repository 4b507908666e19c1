//! How etcd and the store are reached from here.

use std::path::PathBuf;

use clap::Args;

use crate::args::go::boolean;

/// How its etcd is asked.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Its etcd, as it is reached from here")]
pub struct EtcdArgs {
    /// Client URLs of members, separated by commas
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        help = "Client URLs of members, separated by commas [default: \
                https://etcd-client.CONTROL-PLANE-NAMESPACE.svc:2379]"
    )]
    pub etcd_endpoints: Vec<String>,

    /// Authorities that sign members' certificates (PEM). Without this and the next two,
    /// what the control plane's own clients have is read from its namespace
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<PathBuf>,

    /// The client's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cert: Option<PathBuf>,

    /// The client's key (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_key: Option<PathBuf>,
}

/// Where the snapshot goes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The store")]
pub struct StoreArgs {
    /// Where the snapshot goes: s3://bucket/prefix or oss://bucket/prefix
    #[arg(long, value_name = "URL")]
    pub store: String,

    #[command(flatten)]
    pub reach: StoreReachArgs,
}

/// How it is reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The store")]
pub struct StoreReachArgs {
    /// Host or URL of the store; by default the region's own
    #[arg(long, value_name = "URL")]
    pub store_endpoint: Option<String>,

    /// The store's host as the new cluster reaches it; by default as here
    #[arg(long, value_name = "URL")]
    pub presign_endpoint: Option<String>,

    /// Region of the bucket
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,

    /// OSS: take the region's endpoint inside Alibaba Cloud's network
    #[arg(long)]
    pub internal: bool,

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
        default_value = "false", hide_default_value = true, num_args = 0..=1, require_equals = true)]
    pub store_path_style: bool,
}
