//! The flags of `migrate policy`.

use clap::{Args, ValueEnum};

use crate::exit;

const POLICY: &str = "\
Examples:
  Whoever migrates through Cloud Assistant, on three masters alone:
    etcdprefix migrate policy --for assistant --region cn-hangzhou --account 1234567890123456 \\
        --instance i-bp1,i-bp2,i-bp3
  Whoever starts the template in OOS, and the role that it takes on:
    etcdprefix migrate policy --for oos --template etcdprefix-migration --role OOSMigration
    etcdprefix migrate policy --for oos-role --tag role=master
  Pods that rewrite snapshots:
    etcdprefix migrate policy --for kubernetes --from oss://backups/old/ --to oss://backups/new/

What is not limited by a flag is not limited at all. Nothing is asked or sent.

";

/// Who needs rights; mirrors the library's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecutorArg {
    /// Whoever migrates through Alibaba Cloud Assistant
    Assistant,
    /// Whoever starts and watches an execution of OOS
    Oos,
    /// The role that OOS takes on (OOSAssumeRole), with its trust policy
    OosRole,
    /// The masters' own role: the store
    Host,
    /// Pods that rewrite snapshots from one place of a store to another
    Kubernetes,
}

/// Whose rights.
#[derive(Debug, Args)]
#[command(after_help = POLICY.to_owned() + &exit::help())]
pub struct PolicyArgs {
    /// Who needs them
    #[arg(long = "for", value_name = "EXECUTOR")]
    pub executor: ExecutorArg,

    /// Only in this region
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,

    /// Only in this account, by its number
    #[arg(long, value_name = "NUMBER")]
    pub account: Option<String>,

    /// Commands only on this instance; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub instance: Vec<String>,

    /// Commands only on instances with this tag
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub tag: Option<(String, String)>,

    /// With oos: only this template
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,

    /// With oos: the role that the execution takes on
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,

    /// With kubernetes: where snapshots are read, oss://bucket/prefix/ or s3://bucket/prefix/
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,

    /// With kubernetes and host: where snapshots go
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("a tag is KEY=VALUE".into()),
    }
}
