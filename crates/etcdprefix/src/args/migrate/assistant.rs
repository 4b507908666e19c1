//! The flags for hosts that Alibaba Cloud Assistant reaches.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// The cloud's API, and where the hosts get the binary. Files are those here.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Hosts by Alibaba Cloud Assistant (ecs:i-...)")]
pub struct AssistantArgs {
    /// The region of the instances
    #[arg(long, value_name = "NAME")]
    pub assistant_region: Option<String>,

    /// Host or URL of the ECS API; by default the region's own
    #[arg(long, value_name = "URL")]
    pub assistant_endpoint: Option<String>,

    /// Who the hosts are, in place of --host, as OOS has it:
    /// '{"Type":"Tags","Tags":[{"Key":"role","Value":"master"}]}', or ResourceIds, or
    /// ResourceGroup
    #[arg(long, value_name = "JSON", conflicts_with = "hosts")]
    pub assistant_targets: Option<String>,

    /// Where the hosts fetch the static binary: URL, or ARCH=URL; repeatable. Others can
    /// read it in the cloud's logs, so it must need no signature
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub binary_url: Vec<String>,

    /// The SHA-256 of that file: HEX, or ARCH=HEX; by default that of this program, for
    /// hosts of its kind
    #[arg(long, value_name = "HEX", value_parser = NonEmptyStringValueParser::new())]
    pub binary_sha256: Vec<String>,

    /// Profile of the vendor's credentials file, for the API
    #[arg(long, value_name = "NAME")]
    pub assistant_profile: Option<String>,

    /// A folder with access-key-id and access-key-secret (and security-token), for the API
    #[arg(long, value_name = "DIR")]
    pub assistant_credentials: Option<PathBuf>,

    /// Authorities to trust for the API besides the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub assistant_cacert: Option<PathBuf>,
}
