//! The flags of `migrate oos`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use crate::args::go::GoDuration;
use crate::exit;

const CREATE: &str = "\
Examples:
  etcdprefix migrate render oos | etcdprefix migrate oos create --region cn-hangzhou \\
      --template-name etcdprefix-migration --file -

If there is a template of this name with other content, it gets a new version.

";

const START: &str = "\
Examples:
  etcdprefix migrate oos start --region cn-hangzhou --template-name etcdprefix-migration \\
      --parameters @c123.json --parameter action=migrate --watch --bundle bundle.json
  What was put to sleep is woken by the same template:
    etcdprefix migrate oos start --region cn-hangzhou --template-name etcdprefix-migration \\
        --parameters @c123.json --parameter action=rollback --watch

The execution's id comes first of all: `migrate oos watch` goes on where this one ends.

";

const WATCH: &str = "\
Examples:
  etcdprefix migrate oos watch --region cn-hangzhou --execution-id exec-...
  The bundle of one that has ended, into a file of its own (0600):
    etcdprefix migrate oos watch --region cn-hangzhou --execution-id exec-... --bundle bundle.json

Ctrl-C ends the watching alone (exit 130): the execution goes on. `migrate oos cancel` ends it.

";

const CANCEL: &str = "\
Examples:
  etcdprefix migrate oos cancel --region cn-hangzhou --execution-id exec-...

A command that runs on an instance goes on to its end or limit. What is asleep stays so until
the template's rollback, or the hosts' own timers, wake it.

";

const API: &str = "\
Credentials are never flags. They come from --credentials DIR or, in this order, from the
environment (ALIBABA_CLOUD_ACCESS_KEY_ID, ...), OIDC (RRSA), profile files, a credentials URI, and
the metadata of the instance (ECS RAM role). `etcdprefix migrate policy` prints the rights.

";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum OosCommand {
    /// Make a template have this content, as a new version if there is another
    Create(Box<OosCreateArgs>),
    /// Start an execution of a template
    Start(Box<OosStartArgs>),
    /// Show how an execution is until it ends, and what it gave back
    Watch(Box<OosWatchArgs>),
    /// End an execution
    Cancel(Box<OosCancelArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = CREATE.to_owned() + API + &exit::help())]
pub struct OosCreateArgs {
    /// The template's name: letters, digits, - and _
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub template_name: String,

    /// The template, YAML or JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub api: OosApiArgs,
}

#[derive(Debug, Args)]
#[command(after_help = START.to_owned() + API + &exit::help())]
pub struct OosStartArgs {
    /// The template's name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub template_name: String,

    /// Its version, such as v2; by default the newest
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub template_version: Option<String>,

    /// The parameters as one JSON object, or @FILE with one
    #[arg(long, value_name = "JSON")]
    pub parameters: Option<String>,

    /// One parameter, after those of --parameters: JSON if it begins with { or [, else a
    /// string; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,

    /// By which the service knows this start again: repeated with the same one, it is one
    /// execution; by default a new one
    #[arg(long, value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub client_token: Option<String>,

    /// Show how it is until it ends
    #[arg(long)]
    pub watch: bool,

    /// With --watch: write the bundle that it gives back here (0600)
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub bundle: Option<PathBuf>,

    #[command(flatten)]
    pub pace: OosPaceArgs,

    #[command(flatten)]
    pub api: OosApiArgs,
}

#[derive(Debug, Args)]
#[command(after_help = WATCH.to_owned() + API + &exit::help())]
pub struct OosWatchArgs {
    /// Which execution
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub execution_id: String,

    /// Look once, and don't wait for its end
    #[arg(long)]
    pub once: bool,

    /// Write the one bundle that it gives back here (0600)
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    pub bundle: Option<PathBuf>,

    #[command(flatten)]
    pub pace: OosPaceArgs,

    #[command(flatten)]
    pub api: OosApiArgs,
}

#[derive(Debug, Args)]
#[command(after_help = CANCEL.to_owned() + API + &exit::help())]
pub struct OosCancelArgs {
    /// Which execution
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub execution_id: String,

    #[command(flatten)]
    pub api: OosApiArgs,
}

/// How often to look.
#[derive(Clone, Copy, Debug, Args)]
pub struct OosPaceArgs {
    /// How long to wait between two looks
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub interval: GoDuration,
}

/// Where the service is, and who asks.
#[derive(Clone, Debug, Args)]
pub struct OosApiArgs {
    /// The region, such as cn-hangzhou
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub region: String,

    /// Host or URL of the service; by default oos.REGION.aliyuncs.com
    #[arg(long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new())]
    pub oos_endpoint: Option<String>,

    /// PEM of authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// The profile to take credentials from
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,

    /// A folder with the credentials: access-key-id, access-key-secret, security-token
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub credentials: Option<PathBuf>,
}
