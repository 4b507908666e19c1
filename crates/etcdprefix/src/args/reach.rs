//! How an object store is reached, and who asks.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use super::go::GoDuration;

/// The heading of these flags in help.
const HEADING: &str = "The store";

/// Where in URLs the bucket stands; mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AddressingArg {
    Path,
    VirtualHost,
}

/// How requests are signed; mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignatureArg {
    V4,
    V1,
}

/// Secrets have no flag: they come from files, variables and metadata services.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct ReachArgs {
    /// Host or URL of the store; by default OSS_ENDPOINT, AWS_ENDPOINT_URL_S3,
    /// AWS_ENDPOINT_URL, or the region's own
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,

    /// Region of the bucket; by default what the endpoint's name tells, OSS_REGION,
    /// AWS_REGION, AWS_DEFAULT_REGION or the profile's
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,

    /// OSS: take the region's endpoint inside Alibaba Cloud's network
    #[arg(long, conflicts_with = "endpoint")]
    pub internal: bool,

    /// Where in URLs the bucket stands: path or virtual-host; by default what is usual
    /// at the endpoint
    #[arg(
        long,
        env = "ETCDPREFIX_STORE_ADDRESSING",
        value_name = "STYLE",
        hide_possible_values = true,
        hide_env_values = true
    )]
    pub addressing: Option<AddressingArg>,

    /// Authorities to trust besides the system's (PEM)
    #[arg(long, env = "ETCDPREFIX_STORE_CACERT", value_name = "FILE", hide_env_values = true)]
    pub cacert: Option<PathBuf>,

    /// How requests are signed: v4, or v1, which OSS refuses for new accounts
    #[arg(
        long,
        env = "ETCDPREFIX_STORE_SIGNATURE",
        value_name = "VERSION",
        default_value = "v4",
        hide_possible_values = true,
        hide_env_values = true
    )]
    pub signature: SignatureArg,

    /// Take credentials from the files access-key-id and access-key-secret (and
    /// security-token) of this folder, as a mounted secret has them, and nowhere else
    #[arg(long, env = "ETCDPREFIX_STORE_CREDENTIALS", value_name = "DIR", hide_env_values = true)]
    pub credentials: Option<PathBuf>,

    /// Profile of the vendor's credentials and configuration files, where alone
    /// credentials are then looked for
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Send a request again so many times if the store or the connection fails
    #[arg(long, value_name = "N", default_value = "6",
        value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,

    /// Give a connection up on which nothing moves for so long; ten times as long while
    /// the store takes in what was sent
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub idle_timeout: GoDuration,
}

/// Nothing but these flags.
#[derive(Parser)]
struct Bare {
    #[command(flatten)]
    reach: ReachArgs,
}

impl ReachArgs {
    /// What the environment says, for commands that have none of these flags.
    ///
    /// # Errors
    /// clap's, if a variable holds what its flag would not take.
    #[cfg(feature = "store")]
    pub fn of_environment() -> Result<Self, clap::Error> {
        use clap::{CommandFactory, FromArgMatches};
        let command = super::without_empty(Bare::command());
        let matches = command.try_get_matches_from(["etcdprefix"])?;
        Bare::from_arg_matches(&matches).map(|bare| bare.reach)
    }
}
