//! The flags of `migrate render ansible`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::config::StoreArgs;
use crate::args::go::GoDuration;
use crate::exit;

const RENDER: &str = "\
Examples:
  etcdprefix migrate render ansible --cluster-id c123 --store oss://backups/c123/ \\
      --region cn-hangzhou --internal --binary /root/etcdprefix --bundle /root/c123.json > c123.yml
  ansible-playbook -i inventory c123.yml --check
  ansible-playbook -i inventory c123.yml
  ansible-playbook -i inventory c123.yml -e action=rollback

It needs ansible-core 2.15 or later and nothing but ansible.builtin; the masters need Python, as
Ansible does. Credentials of the store are the hosts' own (role, folder, profile): what Ansible
is given it also shows. docs/ansible.md has the rest.

";

#[derive(Debug, Args)]
#[command(
    after_help = RENDER.to_owned() + &exit::help(),
    mut_arg("store", |store| store.required(true)),
    group(ArgGroup::new("program").required(true).args(["binary", "binary_url"])),
)]
pub struct AnsibleArgs {
    /// The cluster's id on the managed side: c and letters, digits, dashes
    #[arg(long, value_name = "ID")]
    pub cluster_id: String,

    /// The inventory's group of the masters: all of them, and nothing else
    #[arg(long, value_name = "NAME", default_value = "masters")]
    pub group: String,

    /// The static binary on the machine with Ansible
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,

    /// The static binary, where the hosts can fetch it
    #[arg(long, value_name = "URL", requires = "binary_sha256")]
    pub binary_url: Option<String>,

    /// Its SHA-256
    #[arg(long, value_name = "HEX")]
    pub binary_sha256: Option<String>,

    /// The bundle's file on the machine with Ansible (0600)
    #[arg(long, value_name = "FILE")]
    pub bundle: PathBuf,

    /// Encrypt the bundle for this age recipient (age1...); repeatable
    #[arg(long, value_name = "AGE", value_parser = NonEmptyStringValueParser::new())]
    pub recipient: Vec<String>,

    /// How many hosts are put to sleep at once: a number or a share
    #[arg(long, value_name = "N", default_value = "100%")]
    pub serial: String,

    /// What share of the hosts may fail before no more are begun; in the end any failure
    /// puts everything back
    #[arg(long, value_name = "PERCENT", default_value = "0",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_fail_percentage: u8,

    /// Until a host wakes by itself, at least 20m: nobody renews it here
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub wake_after: GoDuration,

    /// How long the URL is to live
    #[arg(long, value_name = "TIME", default_value = "40m")]
    pub presign_lifetime: GoDuration,

    /// Become root on the hosts, by sudo
    #[arg(long = "become")]
    pub becomes_root: bool,

    #[command(flatten)]
    pub store: StoreArgs,
}
