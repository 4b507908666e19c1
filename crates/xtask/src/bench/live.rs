//! `cargo xtask bench --live`: saving from a running member, beside etcdctl.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::contenders::{Contender, Step, build};
use super::output::Output;
use super::snapshot::Source;
use crate::{paths, process};

/// The newest one that is provisioned.
const ETCD: &str = "etcd-3.5.16";
const START_LIMIT: Duration = Duration::from_secs(120);
/// etcd's own limit of 2 GB would refuse larger files.
const QUOTA_BYTES: &str = "34359738368";

/// A member that serves the snapshot; ended when dropped.
pub struct Member {
    process: Child,
    folder: PathBuf,
    endpoint: String,
}

impl Member {
    /// Restores the snapshot beside itself and serves it.
    pub fn start(source: &Source, folder: &Path) -> Result<Self> {
        let programs = paths::cache()?.join(ETCD);
        let data = folder.join("live");
        fs::remove_dir_all(&data).ok();
        let [client, peer] = process::free_ports()?;
        let peer = format!("http://127.0.0.1:{peer}");
        let cluster = ["--name", "bench", "--initial-cluster", &format!("bench={peer}")];
        let advertise = ["--initial-advertise-peer-urls", &peer];
        let mut restore = Command::new(programs.join("etcdutl"));
        restore.args(["snapshot", "restore"]).arg(&source.path).arg("--data-dir").arg(&data);
        process::capture(restore.args(cluster).args(advertise))?;
        let endpoint = format!("http://127.0.0.1:{client}");
        let mut etcd = Command::new(programs.join("etcd"));
        etcd.args(cluster).args(advertise).arg("--data-dir").arg(&data);
        etcd.args(["--quota-backend-bytes", QUOTA_BYTES, "--listen-peer-urls", &peer]);
        etcd.args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint]);
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = etcd.spawn().context("cannot start etcd")?;
        let mut member = Self { process, folder: data, endpoint };
        member.wait()?;
        Ok(member)
    }

    /// Until it serves; from then on nobody reads its log, which must not stop it.
    fn wait(&mut self) -> Result<()> {
        let log = self.process.stderr.take().context("etcd has no log")?;
        let mut lines = BufReader::new(log).lines();
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            let Some(line) = lines.next().transpose()? else {
                bail!("etcd ended before it served")
            };
            if line.contains("ready to serve client requests") {
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(());
            }
        }
        bail!("etcd does not serve after {START_LIMIT:?}")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// etcdctl first: it is what the others are held against.
pub fn line_up(root: &Path, member: &Member, output: &Path) -> Result<Vec<Contender>> {
    let etcdprefix = build(root, &["--features", "live"])?;
    let etcdctl = paths::cache()?.join(ETCD).join("etcdctl");
    let save = |name: &str, program: &Path, flags: &str| {
        let step = Step::new(program).words("snapshot save").file(output).words(flags);
        let steps = vec![step.words("--endpoints").words(&member.endpoint)];
        Contender { name: name.into(), steps, output: Output::File(output.to_path_buf()) }
    };
    Ok(vec![
        save("`etcdctl snapshot save` 3.5.16", &etcdctl, ""),
        save("`etcdprefix snapshot save --no-check`", &etcdprefix, "--no-check --quiet"),
        save("`etcdprefix snapshot save`", &etcdprefix, "--quiet"),
        save(
            "`etcdprefix snapshot save --verify-members`",
            &etcdprefix,
            "--verify-members --quiet",
        ),
    ])
}
