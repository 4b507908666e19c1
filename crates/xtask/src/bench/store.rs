//! `cargo xtask bench --store`: to object stores and back, beside their official SDKs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::contenders::{self, Contender, Step};
use super::output::{Object, Output};
use super::record::{self, Facts};
use super::sdk::{Sdk, python};
use super::servers::{self, BUCKET, KEY_ID, KEY_SECRET, SEAWEEDFS, Server};
use super::snapshot::{self, Source};
use super::{Args, measure, table};
use crate::{paths, process};

/// A kind of store, and how its SDK moves large files.
struct Kind {
    title: &'static str,
    name: &'static str,
    /// The variables that tell our program of the endpoint, the region, the key and its secret.
    variables: [&'static str; 4],
    upload: &'static str,
    download: &'static str,
}

const S3: Kind = Kind {
    title: "S3 (SeaweedFS)",
    name: "s3",
    variables: ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    upload: "boto3's `upload_file`",
    download: "boto3's `download_file`",
};

const OSS: Kind = Kind {
    title: "OSS (stand-in)",
    name: "oss",
    variables: ["OSS_ENDPOINT", "OSS_REGION", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"],
    upload: "alibabacloud-oss-v2's `Uploader`",
    download: "alibabacloud-oss-v2's `Downloader`",
};

/// The object that is downloaded; uploads have keys of their own.
const STORED: &str = "stored";

/// Measures both stores, one after the other, and prints the result.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let folder = paths::target(root).join("bench");
    fs::create_dir_all(&folder)?;
    let source = snapshot::prepare(root, &folder, args)?;
    let name = format!("store-{}", source.name);
    let place = args.record.then(|| record::free_place(root, &name)).transpose()?;
    let etcdprefix = contenders::build(root, &["--features", "store"])?;
    let load = record::load_average()?;
    let bench = Bench { root, source: &source, etcdprefix, folder, rounds: args.rounds };
    let s3 = bench.measure(&S3, &servers::seaweedfs(&bench.folder)?)?;
    let oss = bench.measure(&OSS, &servers::oss(root, &bench.folder)?)?;
    let programs = programs(root)?;
    let facts = Facts { root, source: &source, results: &[], rounds: args.rounds, load, programs };
    let text = format!("{s3}\n{oss}\n{}", facts.text()?);
    record::publish(root, &text, place.as_deref())
}

struct Bench<'a> {
    root: &'a Path,
    source: &'a Source,
    etcdprefix: PathBuf,
    folder: PathBuf,
    rounds: u64,
}

impl Bench<'_> {
    /// A table of uploads and one of downloads.
    fn measure(&self, kind: &Kind, server: &Server) -> Result<String> {
        let contest = Contest { bench: self, kind, sdk: Sdk::new(self.root, kind.name, server)? };
        if kind.name == S3.name {
            process::capture(&mut contest.sdk.step("make", "").command())?;
        }
        let mut text = contest.table("Uploads to", &contest.uploads())?;
        let put = contest.sdk.step("upload", STORED).file(&self.source.path);
        process::capture(&mut put.command())?;
        text += &contest.table("Downloads from", &contest.downloads())?;
        Ok(text)
    }
}

/// Who runs against one store.
struct Contest<'a> {
    bench: &'a Bench<'a>,
    kind: &'a Kind,
    sdk: Sdk<'a>,
}

impl Contest<'_> {
    fn table(&self, what: &str, contenders: &[Contender]) -> Result<String> {
        let results = measure::rounds(contenders, self.bench.rounds)?;
        let table = table::render(&table::rows(&results), "SDK");
        Ok(format!("{what} {}:\n\n{table}\n", self.kind.title))
    }

    /// The SDK first: it is what the others are held against.
    fn uploads(&self) -> Vec<Contender> {
        let file = &self.bench.source.path;
        let sdk = self.sdk.step("upload", "sdk").file(file);
        let put = |flags: &str, key: &str| {
            self.ours("put").file(file).words(&self.url(key)).words(flags).words("--quiet")
        };
        vec![
            self.upload(self.kind.upload, "sdk", sdk),
            contender("Python and the SDK, started for nothing", self.sdk.step("idle", "")),
            self.upload("`etcdprefix store put --no-check`", "plain", put("--no-check", "plain")),
            self.upload("`etcdprefix store put`", "checked", put("", "checked")),
        ]
    }

    fn upload(&self, name: &str, key: &str, step: Step) -> Contender {
        let object = Object {
            bytes: self.bench.source.bytes,
            size: self.sdk.step("size", key),
            remove: self.sdk.step("remove", key),
            vacuum: self.sdk.server.vacuum.clone(),
        };
        Contender { output: Output::Object(object), ..contender(name, step) }
    }

    fn downloads(&self) -> Vec<Contender> {
        let path = self.bench.folder.join("downloaded.db");
        let download = |name: &str, step: Step| {
            let output = Output::File(path.clone());
            Contender { output, ..contender(name, step) }
        };
        let get = |flags: &str| {
            let step = self.ours("get").words(&self.url(STORED)).file(&path);
            step.words(flags).words("--quiet")
        };
        vec![
            download(self.kind.download, self.sdk.step("download", STORED).file(&path)),
            download("`etcdprefix store get --no-check`", get("--no-check")),
            download("`etcdprefix store get`", get("")),
        ]
    }

    fn ours(&self, verb: &str) -> Step {
        let Server { endpoint, region, .. } = self.sdk.server;
        let step = Step::new(&self.bench.etcdprefix).words("store").words(verb);
        let values: [&str; 4] = [endpoint, region, KEY_ID, KEY_SECRET];
        let variables = self.kind.variables.iter().zip(values);
        variables.fold(step, |step, (name, value)| step.env(name, value))
    }

    fn url(&self, key: &str) -> String {
        format!("{}://{BUCKET}/{key}", self.kind.name)
    }
}

fn contender(name: &str, step: Step) -> Contender {
    Contender { name: name.into(), steps: vec![step], output: Output::Nothing }
}

fn programs(root: &Path) -> Result<Vec<String>> {
    const VERSIONS: &str = "import sys, boto3, s3transfer, alibabacloud_oss_v2 as oss; \
        print(f'Python {sys.version.split()[0]}; boto3 {boto3.__version__} with s3transfer \
        {s3transfer.__version__}; alibabacloud-oss-v2 {oss.__version__}')";
    let sdks = process::capture(Command::new(python()?).args(["-c", VERSIONS]))?;
    Ok(vec![record::ours(root)?, sdks.trim().to_owned(), SEAWEEDFS.to_owned()])
}
