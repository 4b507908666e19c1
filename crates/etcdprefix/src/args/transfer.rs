//! What goes to and comes from object stores, beside how they are reached.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// Where files are given that may be in a store.
pub const PLACES: &str = "\
A file may be named by its place in an object store, oss://bucket/key or s3://bucket/key: it is
fetched to or sent from TMPDIR. `etcdprefix store --help` has the variables that say how.

";

/// The heading of these flags where there are others.
const HEADING: &str = "With files in an object store";

/// How an object is written.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct SendArgs {
    /// Encrypt what is sent for this age recipient (age1...); repeatable, or several with
    /// commas between. Who gets a presigned URL has to decrypt it then
    // An empty one, as `--recipient "$UNSET"` leaves it, must not mean to send it in clear; clap would
    // split it into none.
    #[arg(
        long,
        env = "ETCDPREFIX_RECIPIENT",
        value_name = "AGE",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub recipient: Vec<String>,

    /// The cluster's id, to be said in the object's metadata
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub cluster_id: Option<String>,
}

/// How an encrypted object is read.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct OpenArgs {
    /// Decrypt with the identities in this file (AGE-SECRET-KEY-1...), if it is encrypted
    #[arg(long, env = "ETCDPREFIX_IDENTITY", value_name = "FILE", hide_env_values = true)]
    pub identity: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    /// A script's variable that is unset must not send every secret in clear.
    #[test]
    fn an_empty_recipient_is_refused() {
        let words = ["etcdprefix", "store", "put", "f", "s3://b/k", "--recipient", ""];
        assert!(crate::args::parse(words.map(Into::into).into()).is_err());
    }
}
