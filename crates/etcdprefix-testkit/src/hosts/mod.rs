//! Master nodes for tests of what works over SSH: namespaces of this machine with a real sshd each.
//!
//! ```text
//! the test's thread, 10.77.0.254 ── bridge ─┬─ m1, 10.77.0.11: sshd
//!                                           ├─ m2, 10.77.0.12: sshd
//!                                           └─ m3, 10.77.0.13: sshd
//! ```
//!
//! The network is a namespace of its own, the *control* namespace, which the thread that starts the
//! hosts enters: threads and processes that it makes from then on are there too and reach the hosts,
//! and nothing else. So two tests at once have the same addresses and never meet. A host has its own
//! processes, name, `/etc`, `/home`, `/opt`, `/root`, `/run`, `/tmp`, `/usr` and `/var`.
//!
//! No namespace has a name and each host ends with the pipe to its first process, so nothing is
//! left when a test ends, however it does. Needs root.

mod accounts;
mod api;
mod control;
mod etcd;
mod host;
mod init;
mod order;
mod pki;
mod ssh;
mod stand_ins;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

pub use api::{Api, ApiServer};
use control::Control;
pub use etcd::HostsEtcd;
pub use host::TestHost;
use init::Init;
use pki::{Pki, ServiceAccount};
pub use ssh::SshFiles;
pub use stand_ins::{Knob, Runtime};

use crate::Version;
use crate::certs::{Authority, Identity, Subject};

/// Where the test's own thread is reached from the hosts.
pub const CONTROL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// Nothing here takes so long on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What hosts are started as: by default three, with all that there is.
#[derive(Clone, Copy, Debug)]
pub struct HostsOptions {
    /// How many, up to 5.
    pub hosts: usize,
    /// Which etcd, or none.
    pub etcd: Option<Version>,
    /// How many of the first hosts have a member of etcd from the start; `None` is all.
    pub voters: Option<usize>,
    /// Whether the stand-in of kubelet runs the static pods.
    pub kubelet: bool,
    /// What it runs them with: either `crictl` or `docker` shows them.
    pub runtime: Runtime,
}

impl Default for HostsOptions {
    fn default() -> Self {
        Self {
            hosts: 3,
            etcd: Some(Version::V3_5_16),
            voters: None,
            kubelet: true,
            runtime: Runtime::Containerd,
        }
    }
}

impl HostsOptions {
    /// So many hosts with sshd, and with nothing that runs beside it.
    pub fn bare(hosts: usize) -> Self {
        Self { hosts, etcd: None, kubelet: false, ..Self::default() }
    }
}

/// Running hosts. Dropped, they end, and the thread that started them is back where it was before.
pub struct Hosts {
    // Ended in this order.
    hosts: Vec<TestHost>,
    etcd: Option<HostsEtcd>,
    ssh: SshFiles,
    pki: Pki,
    api: Api,
    control: Control,
    _folder: TempDir,
}

impl Hosts {
    /// Starts them, and moves the calling thread to where they are reached.
    pub fn start(options: HostsOptions) -> Result<Self> {
        ensure!((1..=5).contains(&options.hosts), "1 to 5 hosts, not {}", options.hosts);
        let folder = TempDir::new()?;
        let account = ServiceAccount::generate(folder.path().join("sa.key"))?;
        let ssh = SshFiles::new(&folder.path().join("ssh"), options.hosts)?;
        let api = Api::new(folder.path().join("api"))?;
        let control = Control::enter()?;
        let pki = Pki::new(account)?;
        let inits = (1..=options.hosts)
            .map(|number| {
                let place = folder.path().join(name(number));
                accounts::furnish(&place, number, options.hosts, &ssh)?;
                pki.install(&place.join("folders"), number)?;
                stand_ins::install(&place, number, options.runtime)?;
                order::write(&place, number, options, api.folder())?;
                Ok((number, Init::spawn(&place)?, place))
            })
            .collect::<Result<Vec<_>>>()?;
        // All are on their way before the first is waited for.
        let hosts = inits
            .into_iter()
            .map(|(number, init, place)| TestHost::join(number, init, place, &control))
            .collect::<Result<_>>()?;
        let mut this = Self { hosts, etcd: None, ssh, pki, api, control, _folder: folder };
        this.populate(options)?;
        Ok(this)
    }

    /// Starts what runs on the hosts, all of it before any of it is waited for.
    fn populate(&mut self, options: HostsOptions) -> Result<()> {
        if let Some(version) = options.etcd {
            let voters = options.voters.unwrap_or(options.hosts);
            self.etcd = Some(HostsEtcd::launch(version, &self.hosts, voters)?);
        }
        if options.kubelet {
            self.hosts.iter().try_for_each(|host| host.start_kubelet(options.runtime))?;
        }
        self.hosts.iter().try_for_each(TestHost::settle)?;
        if let Some(etcd) = &self.etcd {
            etcd.settle()?;
            let writing = self.hosts.iter().take(options.voters.unwrap_or(options.hosts));
            writing.filter(|_| options.kubelet).try_for_each(TestHost::wait_for_writes)?;
        }
        Ok(())
    }

    /// A host, the first is 1.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn host(&self, number: usize) -> &TestHost {
        &self.hosts[number - 1]
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[TestHost] {
        &self.hosts
    }

    /// Where the hosts of a cloud have the metadata of their instance; the first call puts the address there.
    pub fn metadata_address(&self) -> Result<SocketAddr> {
        self.control.ip(&["addr replace 100.100.100.200/32 dev br0"])?;
        Ok((Ipv4Addr::new(100, 100, 100, 200), 80).into())
    }

    /// The cluster of etcd across the hosts.
    ///
    /// # Panics
    /// If they were started without one.
    pub fn etcd(&self) -> &HostsEtcd {
        self.etcd.as_ref().expect("started without etcd")
    }

    /// The authority of etcd's members and clients.
    pub fn etcd_authority(&self) -> &Authority {
        &self.pki.etcd
    }

    /// A client's certificate that etcd accepts.
    pub fn etcd_client(&self) -> Result<Identity> {
        self.pki.etcd.issue(Subject::client("client"))
    }

    /// The authority of the API servers and their clients.
    pub fn kubernetes_authority(&self) -> &Authority {
        &self.pki.kubernetes
    }

    /// What the API servers of all hosts serve.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// What SSH's client needs to reach them.
    pub fn ssh(&self) -> &SshFiles {
        &self.ssh
    }
}

/// Waits for something that has to happen.
fn until(what: &str, mut happened: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !happened()? {
        ensure!(start.elapsed() < LIMIT, "{what} after {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Hosts' names are `m1` and so on.
fn name(number: usize) -> String {
    format!("m{number}")
}

fn address(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number).map_or(u8::MAX, |number| number + 10);
    Ipv4Addr::new(10, 77, 0, last)
}
