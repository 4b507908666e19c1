//! How long a control plane is away: migrations of three test hosts, each undone before the next.
//! `measure-outage --program target/release/etcdprefix --records 1000000`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, Hosts, HostsOptions};
use etcdprefix_testkit::load::{Load, Mix, fill};
use etcdprefix_testkit::stores::{BUCKET, OssServer};
use etcdprefix_testkit::{Version, block_on};
use serde_json::Value;
use tempfile::TempDir;

#[derive(Parser)]
#[command(about = "Measures the outage of migrations of three test hosts")]
struct Args {
    /// The command to measure; it is copied to the hosts.
    #[arg(long)]
    program: PathBuf,
    /// Writes that fill etcd before.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// Mean size of a value.
    #[arg(long, default_value_t = 1_000)]
    value_bytes: usize,
    /// Migrations.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct Bench {
    hosts: Hosts,
    store: OssServer,
    folder: TempDir,
    program: PathBuf,
}

impl Bench {
    fn start(args: &Args) -> Result<Self> {
        let hosts = Hosts::start(HostsOptions::default())?;
        let store = OssServer::start_at(CONTROL_ADDRESS.into())?;
        let leader = hosts.etcd().leader()?;
        let url = hosts.etcd().plain_url(leader);
        let load = Load {
            records: args.records,
            value_bytes: args.value_bytes,
            mix: Mix::Kubernetes,
            seed: 1,
        };
        block_on(async {
            let mut client = etcd_client::Client::connect([url], None).await?;
            fill(&mut client, &load).await
        })?;
        let folder = TempDir::new()?;
        let config = format!(
            "cluster_id: c123\nhosts: [m1, m2, m3]\nssh: {{config: {}}}\nstore: {{url: 'oss://{BUCKET}/', \
             endpoint: 'http://{}', region: {}, path_style: true}}\n",
            hosts.ssh().config().display(),
            store.address(),
            OssServer::REGION,
        );
        fs::write(folder.path().join("config.yaml"), config)?;
        let program = args.program.canonicalize().context("no program there")?;
        Ok(Self { hosts, store, folder, program })
    }

    fn migrate(&self, words: &[&str]) -> Result<Value> {
        let file = |name: &str| self.folder.path().join(name);
        let output = Command::new(&self.program)
            .args(["migrate", "-w", "json", "--quiet"])
            .args(words)
            .arg("--config")
            .arg(file("config.yaml"))
            .arg("--folder")
            .arg(file("folder"))
            .env("PATH", self.hosts.ssh().path()?)
            .env("OSS_ACCESS_KEY_ID", &self.store.key().id)
            .env("OSS_ACCESS_KEY_SECRET", &self.store.key().secret)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "migrate {words:?}: {} {said}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What the leader's host does least: read its etcd once, by etcd's own program, and bring it to the disk.
    fn floor(&self) -> Result<f64> {
        let leader = self.hosts.etcd().plain_url(self.hosts.etcd().leader()?);
        let to = self.folder.path().join("floor.db");
        let start = Instant::now();
        let status = Command::new(Version::V3_5_16.etcdctl()?)
            .args(["--endpoints", &leader, "snapshot", "save"])
            .arg(&to)
            .env("ETCDCTL_API", "3")
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()?;
        ensure!(status.success(), "etcdctl: {status}");
        let seconds = start.elapsed().as_secs_f64();
        fs::remove_file(to)?;
        Ok(seconds)
    }
}

/// One migration.
struct Round {
    phases: Vec<(String, f64)>,
    outage: f64,
    floor: f64,
}

fn round(bench: &Bench) -> Result<(Round, u64)> {
    let floor = bench.floor()?;
    let made = bench.migrate(&["run", "--skip-rehearsal"])?;
    bench.migrate(&["rollback", "--managed-side-never-started"])?;
    let phases = made["phases"].as_array().context("no phases")?.iter().map(|phase| {
        let name = phase["name"].as_str().unwrap_or_default().to_owned();
        (name, phase["seconds"].as_f64().unwrap_or_default())
    });
    let outage = made["outage_seconds"].as_f64().context("no outage")?;
    let bytes = made["snapshot"]["bytes"].as_u64().context("no size")?;
    Ok((Round { phases: phases.collect(), outage, floor }, bytes))
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(Path::new("/proc/self/ns/net").exists(), "needs network namespaces");
    let bench = Bench::start(&args)?;
    let rehearsal = bench.migrate(&["rehearse"])?;
    let mut rounds = Vec::new();
    let mut bytes = 0;
    for _ in 0..args.rounds {
        let (round, size) = round(&bench)?;
        rounds.push(round);
        bytes = size;
    }
    print(&rounds, bytes, rehearsal["expected_outage_seconds"].as_f64().unwrap_or_default());
    Ok(())
}

fn print(rounds: &[Round], bytes: u64, expected: f64) {
    println!("| part | median s | min to max |\n| --- | ---: | ---: |");
    let row = |name: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        let (least, most) = (values.first(), values.last());
        let (least, most) = (least.copied().unwrap_or_default(), most.copied().unwrap_or_default());
        println!("| {name} | {median:.1} | {least:.1} to {most:.1} |");
    };
    let names = rounds.first().map(|round| round.phases.clone()).unwrap_or_default();
    for (index, (name, _)) in names.iter().enumerate() {
        let values = rounds.iter().filter_map(|round| round.phases.get(index));
        row(name, values.map(|(_, seconds)| *seconds).collect());
    }
    row("first sleep to URL", rounds.iter().map(|round| round.outage).collect());
    row("etcdctl snapshot save alone", rounds.iter().map(|round| round.floor).collect());
    println!(
        "\nuploaded: {bytes} bytes; rounds: {}; predicted by the rehearsal: {expected:.1} s",
        rounds.len()
    );
}
