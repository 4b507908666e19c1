//! The flags of `migrate render`.

use clap::{Args, Subcommand};

use super::ansible::AnsibleArgs;
use super::kubernetes::KubernetesArgs;
use crate::exit;

const OOS: &str = "\
Examples:
  etcdprefix migrate render oos --binary-url https://b.example/etcdprefix \\
      --binary-sha256 \"$(sha256sum < etcdprefix | cut -c-64)\" > move.yaml
  etcdprefix migrate oos create --template-name move --file move.yaml

It is the cloud's ACS-CS-DedicatedMigration with our program in place of its scripts: the same
parameters and outputs, and the checks, fences and ways back that it has not. The program has to
be the static one, at a URL that the masters reach. docs/oos.md is about all of it.

";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum RenderCommand {
    /// A playbook that puts the masters to sleep, makes snapshot and bundle, or puts all back
    Ansible(Box<AnsibleArgs>),
    /// Jobs that rewrite snapshots already in a bucket, one an index
    Kubernetes(Box<KubernetesArgs>),
    /// A template for Alibaba Cloud's orchestration service (OOS)
    Oos(OosArgs),
}

#[derive(Debug, Args)]
#[command(after_help = OOS.to_owned() + &exit::help())]
pub struct OosArgs {
    /// Where the hosts fetch the static program; the default of the parameter binaryURL
    #[arg(long, value_name = "URL")]
    pub binary_url: Option<String>,

    /// Its SHA-256, in hexadecimal; the default of binarySHA256
    #[arg(long, value_name = "HEX")]
    pub binary_sha256: Option<String>,
}
