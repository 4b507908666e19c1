//! How members are reached: etcdctl's flags and environment variables, and some more.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::go::{GoDuration, boolean};

/// The heading of these flags in help.
const HEADING: &str = "Connection, as for etcdctl";

#[derive(Clone, Args)]
#[command(next_help_heading = HEADING)]
pub struct ClientArgs {
    /// Client URLs of members, separated by commas
    #[arg(
        long,
        env = "ETCDCTL_ENDPOINTS",
        value_name = "URL",
        default_value = DEFAULT_ENDPOINT,
        hide_env_values = true
    )]
    pub endpoints: Vec<String>,

    /// Authorities that sign members' certificates (PEM); the system's by default
    #[arg(long, env = "ETCDCTL_CACERT", value_name = "FILE", hide_env_values = true,
        value_parser = any_path())]
    pub cacert: Option<PathBuf>,

    /// The client's certificate (PEM)
    #[arg(long, env = "ETCDCTL_CERT", value_name = "FILE", hide_env_values = true,
        value_parser = any_path())]
    pub cert: Option<PathBuf>,

    /// The client's key (PEM)
    #[arg(long, env = "ETCDCTL_KEY", value_name = "FILE", hide_env_values = true,
        value_parser = any_path())]
    pub key: Option<PathBuf>,

    /// Believe any certificate: who is in between can read and change everything
    #[arg(
        long,
        env = "ETCDCTL_INSECURE_SKIP_TLS_VERIFY",
        value_name = "BOOL",
        value_parser = boolean,
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        hide_default_value = true,
        hide_env_values = true
    )]
    pub insecure_skip_tls_verify: bool,

    /// Look for this name in certificates instead of the endpoint's host; where a
    /// certificate has nothing but a common name, for that
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Believe only a certificate of this SHA-256, whoever signed it, whatever its
    /// names (openssl x509 -noout -fingerprint -sha256); repeatable
    #[arg(long, value_name = "SHA256", value_delimiter = ',')]
    pub tls_pin: Vec<String>,

    /// User, where authentication is on: name, or name:password
    #[arg(long, env = "ETCDCTL_USER", value_name = "NAME", hide_env_values = true)]
    pub user: Option<String>,

    /// The user's password; better in the variable, which other users can't see
    #[arg(long, env = "ETCDCTL_PASSWORD", value_name = "WORD", hide_env_values = true)]
    pub password: Option<String>,

    /// Longest wait for a connection
    #[arg(
        long,
        env = "ETCDCTL_DIAL_TIMEOUT",
        value_name = "TIME",
        default_value = "2s",
        hide_env_values = true
    )]
    pub dial_timeout: GoDuration,

    /// Longest wait for one answer, 5s by default; given for `snapshot save` also the
    /// longest time for asking and receiving as a whole
    #[arg(long, env = "ETCDCTL_COMMAND_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub command_timeout: Option<GoDuration>,

    /// Time between pings of a quiet connection, at least 10s
    #[arg(
        long,
        env = "ETCDCTL_KEEPALIVE_TIME",
        value_name = "TIME",
        default_value = "10s",
        hide_env_values = true
    )]
    pub keepalive_time: GoDuration,

    /// Longest wait for the answer to a ping
    #[arg(
        long,
        env = "ETCDCTL_KEEPALIVE_TIMEOUT",
        value_name = "TIME",
        default_value = "6s",
        hide_env_values = true
    )]
    pub keepalive_timeout: GoDuration,

    // Etcdctl's, without effect here: what they could change is told by the endpoints' schemes, belongs to
    // discovery, or to the output of other commands.
    #[arg(long, hide = true, value_parser = boolean, default_value = "true",
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    insecure_transport: bool,
    #[arg(long, hide = true, value_parser = boolean, default_value = "true",
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    insecure_discovery: bool,
    #[arg(long, hide = true, value_parser = boolean, default_value = "false",
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    debug: bool,
    #[arg(long, hide = true, value_parser = boolean, default_value = "false",
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    hex: bool,
}

impl ClientArgs {
    /// What `--command-timeout` says, if it is given.
    #[cfg(feature = "live")]
    pub fn command_timeout(&self) -> Option<std::time::Duration> {
        self.command_timeout.map(|time| time.0)
    }
}

/// An empty one too, which `--cacert=$CA` is where the variable is unset; etcdctl takes it for none.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Where etcdctl looks, too.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";

/// Without the password.
impl std::fmt::Debug for ClientArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientArgs").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
