//! kube-apiserver 1.20, which no registry offers as a program: built from Debian's source package
//! with Debian's Go. kubectl comes ready from the packages of the same source.
//!
//! The build is upstream's without its shell scripts: one generated file, then one `go build` over
//! the vendored sources. Nothing is fetched but the packages, whose hashes apt checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{Apt, Wanted};
use super::place_file;
use crate::process;

const SUITE: &str = "bookworm";

/// Debian's way to go back to 1.20.2 after an upload of 1.20.5.
const SOURCE: (&str, &str) = ("kubernetes", "1.20.5+really1.20.2");

const PACKAGES: &[(&str, &str)] = &[
    ("kubernetes-client", "1.20.5+really1.20.2"),
    ("golang-1.19-go", "1.19.8"),
    ("golang-1.19-src", "1.19.8"),
    ("golang-github-modern-go-reflect2-dev", "1.0.2"),
];

/// What `kube-apiserver --version` says; the archive has no git history to tell it.
const VERSION: &str = "v1.20.2";

/// The vendored 1.0.1 reads maps in a way that Go 1.18 ended: the server would die with a
/// segmentation fault at the first custom resource.
const OUTDATED: &str = "github.com/modern-go/reflect2";

pub fn build(scratch: &Path, fresh: &Path) -> Result<()> {
    println!("building kube-apiserver {VERSION}; this takes three to six minutes once");
    let apt = Apt::new(scratch, SUITE, Wanted::PackagesAndSources)?;
    for (package, version) in PACKAGES {
        apt.download(package, version)?;
    }
    let packages = apt.unpack()?;
    let go = Go::new(scratch, &packages);
    extract(&apt.upstream_source(SOURCE.0, SOURCE.1)?, &go.source)?;
    let vendored = go.source.join("vendor").join(OUTDATED);
    fs::remove_dir_all(&vendored)?;
    fs::rename(packages.join("usr/share/gocode/src").join(OUTDATED), &vendored)?;
    generate(&go, scratch)?;
    go.build("cmd/kube-apiserver", &fresh.join("kube-apiserver"))?;
    place_file(&packages.join("usr/bin/kubectl"), &fresh.join("kubectl"))
}

fn extract(archive: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-xzf"]).arg(archive).arg("-C").arg(to);
    process::run(&mut tar)
}

/// Writes the OpenAPI definitions, the one generated file that upstream does not keep.
fn generate(go: &Go, scratch: &Path) -> Result<()> {
    let tool = scratch.join("openapi-gen");
    go.build("vendor/k8s.io/kube-openapi/cmd/openapi-gen", &tool)?;
    let mut generator = go.command(&tool);
    generator.arg("--input-dirs").arg(tagged(go)?.join(","));
    generator.args(["--output-package", "k8s.io/kubernetes/pkg/generated/openapi"]);
    generator.args(["--output-file-base", "zz_generated.openapi"]);
    generator.args(["--go-header-file", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"]);
    generator.arg("--report-filename").arg(scratch.join("report"));
    process::capture(&mut generator).map(drop)
}

/// The Go packages that ask for OpenAPI definitions. The left out ones are no part of the server.
fn tagged(go: &Go) -> Result<Vec<String>> {
    let mut grep = Command::new("grep");
    grep.args(["-RlE", "--include=*.go", r"^// *\+k8s:openapi-gen=true"]);
    for folder in ["code-generator", "sample-apiserver", "kube-openapi"] {
        grep.arg(format!("--exclude-dir={folder}"));
    }
    let files = process::capture(grep.args(["pkg/apis", "vendor/k8s.io"]).current_dir(&go.source))?;
    let folder = |file: &str| Some(format!("k8s.io/kubernetes/{}", file.rsplit_once('/')?.0));
    let mut folders: Vec<String> = files.lines().filter_map(folder).collect();
    folders.sort();
    folders.dedup();
    Ok(folders)
}

/// Go with all that it writes in the scratch folder.
struct Go {
    program: PathBuf,
    /// The sources' place in GOPATH: modules would ask a registry of their own.
    source: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Go {
    fn new(scratch: &Path, packages: &Path) -> Self {
        let root = packages.join("usr/lib/go-1.19");
        let program = root.join("bin/go");
        let path = scratch.join("gopath");
        let source = path.join("src/k8s.io/kubernetes");
        let cache = scratch.join("gocache");
        let environment = vec![("GOROOT", root), ("GOPATH", path), ("GOCACHE", cache)];
        Self { program, source, environment }
    }

    fn build(&self, package: &str, to: &Path) -> Result<()> {
        let variable = "k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion";
        let mut command = self.command(&self.program);
        command.arg("build").arg("-ldflags").arg(format!("-s -w -X {variable}={VERSION}"));
        command.arg("-o").arg(to).arg(format!("k8s.io/kubernetes/{package}"));
        process::run(&mut command).with_context(|| format!("cannot build {package}"))
    }

    /// Go's own settings of the machine must not change the build.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.source).envs(self.environment.iter().map(|(k, v)| (k, v)));
        let settings = [("GO111MODULE", "off"), ("CGO_ENABLED", "0"), ("GOENV", "off")];
        command.envs(settings).env_remove("GOFLAGS");
        // The generator asks `go` on the path where packages are.
        let own = self.program.parent().map(Path::to_path_buf);
        let others = std::env::var_os("PATH").unwrap_or_default();
        let paths = own.into_iter().chain(std::env::split_paths(&others));
        command.env("PATH", std::env::join_paths(paths).unwrap_or(others.clone()));
        command
    }
}
