//! Object stores on loopback: SeaweedFS for S3, and the test kit's stand-in for OSS.
//!
//! Started here and not by the test kit, whose dependencies are too heavy for chores.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::{paths, process};

pub const SEAWEEDFS: &str = "SeaweedFS 4.48";
pub const BUCKET: &str = "bucket";
pub const KEY_ID: &str = "bench";
pub const KEY_SECRET: &str = "bench-s3cr3t";

const START_LIMIT: Duration = Duration::from_secs(120);

/// A running server with an empty bucket; ended when dropped.
pub struct Server {
    process: Child,
    folder: PathBuf,
    /// Outside the folder.
    sockets: Vec<String>,
    /// URL without path.
    pub endpoint: String,
    pub region: &'static str,
    /// Whom to ask for the disk that removed objects take.
    pub vacuum: Option<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
        self.sockets.iter().for_each(|socket| drop(fs::remove_file(socket)));
    }
}

/// SeaweedFS, which spreads an object over volumes of 1 GiB.
pub fn seaweedfs(folder: &Path) -> Result<Server> {
    let folder = fresh(folder.join("seaweedfs"))?;
    let ports: [u16; 8] = process::free_ports()?;
    let mut process = weed(&folder, &ports)?;
    let address = format!("127.0.0.1:{}", ports[6]);
    settle(&mut process, &folder, || refuses(&address).then_some(()))?;
    let named = ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2));
    Ok(Server {
        process,
        folder,
        // It puts them there whatever it is told.
        sockets: named
            .map(|(name, pair)| format!("/tmp/seaweedfs-{name}-grpc-{}.sock", pair[1]))
            .collect(),
        endpoint: format!("http://{address}"),
        region: "us-east-1",
        vacuum: Some(format!("127.0.0.1:{}", ports[0])),
    })
}

/// The flags are the test kit's, which says why each is there.
fn weed(folder: &Path, ports: &[u16]) -> Result<Child> {
    let (data, config) = (folder.join("data"), folder.join("s3.json"));
    fs::create_dir(&data)?;
    let key = json!([{"accessKey": KEY_ID, "secretKey": KEY_SECRET}]);
    let actions = ["Admin", "Read", "Write", "List"];
    let user = json!({"name": KEY_ID, "credentials": key, "actions": actions});
    fs::write(&config, json!({"identities": [user]}).to_string())?;
    let mut weed = Command::new(paths::cache()?.join("seaweedfs-4.48/weed"));
    weed.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
    weed.args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    weed.args(["-master.volumeSizeLimitMB=1024", "-s3.autoCreateBucket=false"]);
    let names = ["master.port", "volume.port", "filer.port", "s3.port"];
    for (name, pair) in names.iter().zip(ports.chunks(2)) {
        weed.arg(format!("-{name}={}", pair[0])).arg(format!("-{name}.grpc={}", pair[1]));
    }
    for name in ["filer.localSocket", "s3.localSocket"] {
        weed.arg(format!("-{name}={}", folder.join(name).display()));
    }
    weed.arg(format!("-dir={}", data.display()));
    weed.arg(format!("-s3.config={}", config.display()));
    spawn(weed.env("TMPDIR", folder).current_dir(folder), folder)
}

/// The stand-in, which keeps objects in memory.
pub fn oss(root: &Path, folder: &Path) -> Result<Server> {
    let (folder, region) = (fresh(folder.join("oss"))?, "cn-hangzhou");
    let (config, log) = (folder.join("config.json"), folder.join("log"));
    let user = json!({"secret": KEY_SECRET, "token": null, "deny": []});
    let config_text = json!({"region": region, "bucket": BUCKET, "keys": {KEY_ID: user}});
    fs::write(&config, config_text.to_string())?;
    let mut python = Command::new(super::sdk::python()?);
    python.arg(root.join("crates/etcdprefix-testkit/tools/oss_server.py")).arg(&config);
    let mut process = spawn(&mut python, &folder)?;
    let port: u16 = settle(&mut process, &folder, || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
    })?;
    let endpoint = format!("http://127.0.0.1:{port}");
    Ok(Server { process, folder, sockets: Vec::new(), endpoint, region, vacuum: None })
}

fn fresh(folder: PathBuf) -> Result<PathBuf> {
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn spawn(command: &mut Command, folder: &Path) -> Result<Child> {
    let log = File::create(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {command:?}"))
}

/// Waits for `ready`. A server that does not get there is ended.
fn settle<T>(
    process: &mut Child,
    folder: &Path,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT && process.try_wait()?.is_none() {
        if let Some(ready) = ready() {
            return Ok(ready);
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = process.kill();
    let _ = process.wait();
    bail!("a store does not serve: {}", fs::read_to_string(folder.join("log"))?.trim())
}

/// Whether it serves: to a request without signature it says no.
fn refuses(address: &str) -> bool {
    ask(address, "/").is_ok_and(|answer| answer.starts_with("HTTP/1") && answer.contains(" 403 "))
}

/// Has a master of SeaweedFS give back the disk that removed objects take, and waits for it. By
/// default that is done when a third of a volume is garbage, and its eight volumes would be full.
pub fn vacuum(master: &str) -> Result<()> {
    let answer = ask(master, "/vol/vacuum?garbageThreshold=0.001")?;
    ensure!(answer.contains(" 200 OK"), "SeaweedFS can't vacuum: {answer}");
    Ok(())
}

fn ask(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
