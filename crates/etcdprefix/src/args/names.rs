//! The names of the tools that this one replaces: called by one of them, it takes their words.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Parser, Subcommand};

use super::change_prefix::{ChangePrefixArgs, EXAMPLES_V1, EXAMPLES_V2};
use super::{Command, Global, Invocation};
use crate::exit;

/// The name that the program was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Its own, or any name not known here.
    Own,
    /// The second of the tools replaced.
    ModifyPrefixV2,
    /// The first one.
    ModifyPrefix,
}

impl Name {
    /// What `word`, the first of the command line, calls for: its file name counts, and what
    /// follows a dot, a dash or an underscore (`modify-prefix-v2.old`) does not.
    pub fn of(word: &OsStr) -> Self {
        let name = Path::new(word).file_name().and_then(OsStr::to_str);
        let name = name.unwrap_or_default();
        let is = |tool: &str| {
            let rest = name.strip_prefix(tool);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
        };
        if is("modify-prefix-v2") {
            Self::ModifyPrefixV2
        } else if is("modify-prefix") {
            Self::ModifyPrefix
        } else {
            Self::Own
        }
    }
}

/// Changes the key prefix inside etcd snapshot files (etcdprefix under its drop-in name).
#[derive(Debug, Parser)]
#[command(
    name = "modify-prefix-v2",
    version,
    arg_required_else_help = true,
    after_help = exit::help(),
)]
struct V2 {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: V2Command,
}

#[derive(Debug, Subcommand)]
enum V2Command {
    /// Rewrite the prefix of every key of a snapshot, history included
    #[command(after_help = EXAMPLES_V2.to_owned() + &exit::help())]
    ChangePrefix(ChangePrefixArgs),
}

/// Changes the key prefix inside etcd snapshot files (etcdprefix under its older drop-in name).
#[derive(Debug, Parser)]
#[command(
    name = "modify-prefix",
    version,
    arg_required_else_help = true,
    after_help = exit::help(),
)]
struct V1 {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: V1Command,
}

#[derive(Debug, Subcommand)]
enum V1Command {
    /// Rewrite the prefix of every key of a snapshot, history included
    #[command(after_help = EXAMPLES_V1.to_owned() + &exit::help())]
    ModifyPrefix {
        #[command(flatten)]
        change: ChangePrefixArgs,
        /// The bucket whose keys change; only `key` holds any
        #[arg(long, default_value = "key", value_parser = ["key"], hide_possible_values = true)]
        bucket: String,
    },
}

/// Parses what follows the name `modify-prefix-v2`.
pub fn parse_v2(words: Vec<OsString>) -> Result<Invocation, clap::Error> {
    let V2 { global, command } = V2::try_parse_from(words)?;
    let V2Command::ChangePrefix(change) = command;
    let command = Command::ChangePrefix(Box::new(change));
    Ok(Invocation { global, command })
}

/// Parses what follows the name `modify-prefix`.
pub fn parse_v1(words: Vec<OsString>) -> Result<Invocation, clap::Error> {
    let V1 { global, command } = V1::try_parse_from(words)?;
    let V1Command::ModifyPrefix { change, .. } = command;
    let command = Command::ChangePrefix(Box::new(change));
    Ok(Invocation { global, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        for (word, name) in [
            ("etcdprefix", Name::Own),
            ("/usr/bin/etcdprefix", Name::Own),
            ("modify-prefix-v2", Name::ModifyPrefixV2),
            ("./tools/modify-prefix-v2", Name::ModifyPrefixV2),
            ("modify-prefix-v2.bin", Name::ModifyPrefixV2),
            ("modify-prefix-v2-linux-amd64", Name::ModifyPrefixV2),
            ("/opt/modify-prefix", Name::ModifyPrefix),
            ("modify-prefix-linux", Name::ModifyPrefix),
            ("modify-prefixes", Name::Own),
            ("modify-prefix/etcdprefix", Name::Own),
            ("", Name::Own),
        ] {
            assert_eq!(Name::of(OsStr::new(word)), name, "{word}");
        }
    }

    fn change(words: &str) -> ChangePrefixArgs {
        let words = words.split_whitespace().map(OsString::from).collect();
        match crate::args::parse(words).unwrap().command {
            Command::ChangePrefix(change) => *change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_names_lead_to_the_same_change() {
        let v2 = change("/x/modify-prefix-v2 change-prefix --db=d/s  --dest-prefix=/c1");
        let v1 = change(
            "modify-prefix modify-prefix --db=d/s --src-prefix=/registry --dest-prefix=/c1 \
             --bucket=key",
        );
        let own = change("etcdprefix change-prefix --db d/s --dest-prefix /c1");
        let own = format!("{:?}", own.resolve());
        assert_eq!(format!("{:?}", v2.resolve()), own);
        assert_eq!(format!("{:?}", v1.resolve()), own);
    }
}
