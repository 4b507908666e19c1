//! What SSH's client needs: a key, the hosts' keys, and a configuration that names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{address, name};
use crate::provisioned::{network_tool, network_tools};

/// Files of SSH's client, made for this test alone.
#[derive(Clone, Debug)]
pub struct SshFiles {
    folder: PathBuf,
}

impl SshFiles {
    /// Keys of the client and of so many hosts.
    pub(super) fn new(folder: &Path, hosts: usize) -> Result<Self> {
        fs::create_dir(folder)?;
        let this = Self { folder: folder.to_owned() };
        let hosts: Vec<usize> = (1..=hosts).collect();
        let keys = hosts.iter().map(|&host| this.host_key(host)).chain([this.key()]);
        let children = keys.map(|key| generate(&key)).collect::<Result<Vec<_>>>()?;
        for child in children {
            let output = child.wait_with_output()?;
            ensure!(
                output.status.success(),
                "ssh-keygen: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        fs::write(this.known_hosts(), this.known(&hosts)?)?;
        fs::write(this.config(), this.configuration(&hosts))?;
        Ok(this)
    }

    /// For `ssh -F`: knows the hosts by their names and addresses, and no other host by its key.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// The private key that root, `op` and `guest` are logged in with.
    pub fn key(&self) -> PathBuf {
        self.folder.join("id")
    }

    /// The keys of the hosts.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// For the variable PATH of a tool that runs `ssh`: as it is, and then where the provisioned one is.
    pub fn path(&self) -> Result<std::ffi::OsString> {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&own).chain([network_tools()?]);
        Ok(std::env::join_paths(folders)?)
    }

    /// `ssh` to a host, by its name or as `user@name`; it asks nothing. A command is to be added.
    pub fn command(&self, to: &str) -> Result<Command> {
        let mut command = Command::new(network_tool("ssh")?);
        command.arg("-F").arg(self.config()).args(["-o", "BatchMode=yes", to]);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// What the hosts take as a client's key.
    pub(super) fn authorized(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("id.pub"))?)
    }

    pub(super) fn host_key(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}.hostkey", name(number)))
    }

    fn known(&self, hosts: &[usize]) -> Result<String> {
        let mut known = String::new();
        for &number in hosts {
            let public = fs::read_to_string(self.host_key(number).with_extension("hostkey.pub"))?;
            let key = public.rsplit_once(' ').context("a public key without a comment")?.0;
            known += &format!("{},{} {key}\n", name(number), address(number));
        }
        Ok(known)
    }

    fn configuration(&self, hosts: &[usize]) -> String {
        let mut text = String::new();
        for &number in hosts {
            text += &format!("Host {}\n  HostName {}\n", name(number), address(number));
        }
        let (key, known) = (self.key(), self.known_hosts());
        let common = format!(
            "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ConnectTimeout 10\n",
            key.display(),
            known.display()
        );
        text + &common
    }
}

fn generate(key: &Path) -> Result<Child> {
    let mut command = Command::new(network_tool("ssh-keygen")?);
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(key);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command.spawn().context("cannot start ssh-keygen")
}
