//! One host.

use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};

use super::control::{self, Control};
use super::init::Init;
use super::{CONTROL_ADDRESS, accounts, address, name, until};
use crate::process::last_lines;

/// As on any Debian.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A master node.
pub struct TestHost {
    number: usize,
    pub(super) init: Arc<Init>,
    /// Its folders, as this machine sees them.
    place: PathBuf,
    /// The control namespace.
    network: PathBuf,
    sshd: u32,
    pub(super) kubelet: OnceLock<u32>,
}

impl TestHost {
    /// Waits for its first process, plugs it in, and starts sshd.
    pub(super) fn join(
        number: usize,
        init: Init,
        place: PathBuf,
        control: &Control,
    ) -> Result<Self> {
        init.settle(&place)?;
        control.plug(number, init.outer())?;
        let network = format!("/proc/{}/ns/net", init.outer());
        let [own, up, quick] = control::address_lines(address(number), "eth0");
        let route = format!("route add default via {CONTROL_ADDRESS}");
        let lines = ["link set lo up", &own, &up, &quick, &route];
        control::ip(Path::new(&network), &lines)?;
        let sshd = init.start("/var/log/sshd.log", &accounts::SSHD)?;
        let (init, network) = (Arc::new(init), control.path());
        Ok(Self { number, init, place, network, sshd, kubelet: OnceLock::new() })
    }

    /// Waits until sshd takes connections.
    pub(super) fn settle(&self) -> Result<()> {
        let what = format!("no sshd on {}", self.name());
        until(&what, || Ok(TcpStream::connect((self.address(), 22)).is_ok()))
            .with_context(|| last_lines(&self.path("/var/log/sshd.log")))
    }

    /// The first is 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Its host name, which `/etc/hosts` of all hosts and our `ssh_config` know.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Its address in the network of the hosts.
    pub fn address(&self) -> IpAddr {
        address(self.number).into()
    }

    /// Where this machine sees what the host has at an absolute path below `/etc/kubernetes`, `/home`,
    /// `/opt`, `/root`, `/run`, `/tmp` or `/var`, unless something is mounted upon it there.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.place.join("folders").join(inside.trim_start_matches('/'))
    }

    /// A command that runs in the host as root, without this process's environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let [nsenter, arguments @ ..] = self.entry()?;
        let mut command = Command::new(nsenter);
        command.args(arguments).arg(program);
        command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
        Ok(command)
    }

    /// A program with arguments that runs what follows it in the host.
    pub(crate) fn entry(&self) -> Result<[String; 8]> {
        let process = self.init.process()?.to_string();
        let entry = ["nsenter", "--target", &process, "--mount", "--pid", "--net", "--uts", "--"];
        Ok(entry.map(str::to_owned))
    }

    /// What a command that must succeed says on its standard output, run by the host's shell.
    pub fn shell(&self, script: &str) -> Result<String> {
        let output = self.command("sh")?.args(["-c", script]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script} on {}: {} {said}", self.name(), output.status);
        String::from_utf8(output.stdout).context("no UTF-8")
    }

    /// Takes it off the network: nothing comes or goes, and no connection ends.
    pub fn cut(&self) -> Result<()> {
        self.connect(false)
    }

    /// Ends what [`Self::cut`] began.
    pub fn heal(&self) -> Result<()> {
        self.connect(true)
    }

    /// Ends sshd: from now on connections are refused. Those that there are go on.
    pub fn kill_sshd(&self) -> Result<()> {
        self.init.kill(self.sshd)
    }

    /// Ends all connections of SSH that there are, without a farewell; new ones are taken.
    pub fn drop_connections(&self) -> Result<()> {
        // The one that listens shows its path, the others show whom they serve.
        let script = "for it in /proc/[0-9]*; do case $(tr '\\0' ' ' < $it/cmdline) in \
                      'sshd: /'*) ;; 'sshd: '*) kill -KILL ${it#/proc/};; \
                      esac; done 2>/dev/null || true";
        self.shell(script).map(drop)
    }

    /// Starts a process of the host that goes on without anybody; its output goes to `/var/log/started.log`. Returns
    /// its id in the host.
    pub fn start(&self, arguments: &[&str]) -> Result<u32> {
        self.init.start("/var/log/started.log", arguments)
    }

    /// Ends a process that [`Self::start`] or [`Self::start_api_server`] started.
    pub fn kill(&self, process: u32) -> Result<()> {
        self.init.kill(process)
    }

    fn connect(&self, connected: bool) -> Result<()> {
        Control::connect(&self.network, self.number, connected)
    }

    /// Puts an empty file system of so many bytes at an absolute path. What is in it, [`Self::path`]
    /// doesn't see.
    pub fn mount_small(&self, inside: &str, bytes: u64) -> Result<()> {
        let mount = format!("mkdir -p {inside} && mount -t tmpfs -o size={bytes} small {inside}");
        self.shell(&mount).map(drop)
    }

    /// Takes away what [`Self::mount_small`] put there, with all that is in it.
    pub fn unmount(&self, inside: &str) -> Result<()> {
        self.shell(&format!("umount {inside}")).map(drop)
    }
}
