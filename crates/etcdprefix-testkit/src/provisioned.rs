//! The real programs that `cargo xtask provision` put into the cache folder.

use std::env;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

const OPENSSH: &str = "openssh-9.2p1";

/// A provisioned version of etcd. Everything tested against real servers runs on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Has no etcdutl: etcdctl restores and tells the status.
    V3_4_23,
    /// The oldest etcdutl. Its status check sees neither disordered keys nor lost pages.
    V3_5_1,
    /// Checks key order and lost pages, and can bump the revision at restore.
    V3_5_16,
}

impl Version {
    /// All provisioned versions, oldest first.
    pub const ALL: [Self; 3] = [Self::V3_4_23, Self::V3_5_1, Self::V3_5_16];

    /// The version whose `snapshot status` is trusted to find structural damage.
    pub const JUDGE: Self = Self::V3_5_16;

    /// As in `etcd --version`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V3_4_23 => "3.4.23",
            Self::V3_5_1 => "3.5.1",
            Self::V3_5_16 => "3.5.16",
        }
    }

    /// The version of that number.
    pub fn from_number(number: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|version| version.number() == number) {
            Some(version) => Ok(version),
            None => bail!("no provisioned etcd {number}; there are {:?}", Self::ALL),
        }
    }

    /// The server. The error tells how to provision it.
    pub fn etcd(self) -> Result<PathBuf> {
        self.program("etcd")
    }

    /// The program with `snapshot status` and `snapshot restore`: etcdutl where it exists.
    pub fn snapshot_tool(self) -> Result<PathBuf> {
        match self {
            Self::V3_4_23 => self.program("etcdctl"),
            Self::V3_5_1 | Self::V3_5_16 => self.program("etcdutl"),
        }
    }

    /// The client program.
    pub fn etcdctl(self) -> Result<PathBuf> {
        self.program("etcdctl")
    }

    fn program(self, name: &str) -> Result<PathBuf> {
        provisioned(&format!("etcd-{}", self.number()), name)
    }
}

/// A program of the provisioned Kubernetes. The error tells how to provision it.
pub fn kubernetes(program: &str) -> Result<PathBuf> {
    provisioned("kubernetes-1.20.2", program)
}

/// The S3 server. The error tells how to provision it.
pub fn seaweedfs() -> Result<PathBuf> {
    provisioned("seaweedfs-4.48", "weed")
}

/// A Python with the stores' official SDKs. The error tells how to provision it.
pub fn python() -> Result<PathBuf> {
    provisioned("store-sdks-1.4.1", "python")
}

/// A Python with ansible-core and PyYAML. The error tells how to provision it.
pub fn ansible_python() -> Result<PathBuf> {
    provisioned("ansible-core-2.19.14", "python")
}

/// A Python with the official SDKs of the cloud's API, and PyYAML. The error tells how to provision it.
pub fn cloud_python() -> Result<PathBuf> {
    provisioned("cloud-sdks-7.11.8", "python")
}

/// The folder that a host has below its own `/usr`. The error tells how to provision it.
pub fn host_usr() -> Result<PathBuf> {
    let sshd = provisioned(OPENSSH, "usr/sbin/sshd")?;
    sshd.ancestors().nth(2).map(PathBuf::from).context("it was found in a folder")
}

/// `ssh`, `ssh-keygen` or `ip`: the machine's own, or the provisioned one.
pub fn network_tool(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = env::split_paths(&path).map(|folder| folder.join(program));
    match own.chain([format!("/usr/sbin/{program}").into()]).find(|path| path.is_file()) {
        Some(own) => Ok(own),
        None => provisioned(OPENSSH, &format!("bin/{program}")),
    }
}

/// The folder with [`network_tool`]'s provisioned programs.
pub fn network_tools() -> Result<PathBuf> {
    let ssh = provisioned(OPENSSH, "bin/ssh")?;
    ssh.parent().map(PathBuf::from).context("it was found in a folder")
}

fn provisioned(component: &str, program: &str) -> Result<PathBuf> {
    let path = cache()?.join(component).join(program);
    if !path.is_file() {
        bail!("{program} of {component} is not provisioned: run `cargo xtask provision`");
    }
    Ok(path)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// The same rule as in xtask, which must not depend on this crate's heavy dependencies.
fn cache() -> Result<PathBuf> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    let base = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
    match path("ETCDPREFIX_CACHE").or_else(|| Some(base?.join("etcdprefix"))) {
        Some(cache) => Ok(cache),
        None => bail!("neither ETCDPREFIX_CACHE nor HOME is set"),
    }
}
