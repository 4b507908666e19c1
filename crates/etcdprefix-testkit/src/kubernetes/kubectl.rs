//! kubectl as the client: it brings TLS, and errors as people see them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Credentials, Watch};
use crate::provisioned;

/// Every object by its path, as the JSON that the server gave.
pub type Objects = BTreeMap<String, String>;

/// Lists are asked for side by side: most of the time is kubectl's start.
const LISTERS: usize = 3;

/// A client of one server.
pub struct Kubectl {
    program: PathBuf,
    /// Empty if only the kubeconfig knows it.
    server: String,
    flags: Vec<String>,
}

impl Kubectl {
    pub(super) fn new(port: u16, credentials: &Credentials) -> Result<Self> {
        let server = format!("https://127.0.0.1:{port}");
        let flags = vec![
            format!("--server={server}"),
            format!("--kubeconfig={}", credentials.kubeconfig().display()),
            format!("--certificate-authority={}", credentials.certificate().display()),
            // By server: a cache of another port's would be of another cluster.
            format!("--cache-dir={}", credentials.path("cache").display()),
        ];
        Ok(Self { program: provisioned::kubernetes("kubectl")?, server, flags })
    }

    /// The server's URL, unless only a kubeconfig knows it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Of the server and the user that a file names; its cache is beside the file.
    pub fn with(kubeconfig: &Path) -> Result<Self> {
        let flags = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--cache-dir={}.cache", kubeconfig.display()),
        ];
        Ok(Self { program: provisioned::kubernetes("kubectl")?, server: String::new(), flags })
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).args(arguments);
        command
    }

    /// Runs kubectl to its end, whatever that is.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(&["--request-timeout=60s"]);
        command.args(arguments).stdin(Stdio::null()).output().context("cannot start kubectl")
    }

    /// Runs kubectl, which must succeed, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        said(arguments, self.output(arguments)?)
    }

    /// Runs kubectl with a manifest on its standard input (`-f -`).
    pub fn feed(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let mut command = self.command(arguments);
        command.args(["-f", "-"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        stdin.write_all(manifest.as_bytes())?;
        drop(stdin);
        said(arguments, child.wait_with_output()?)
    }

    /// The server's answer to a GET, untouched.
    pub fn raw(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["get", "--raw", path])?)?)
    }

    /// Whether a GET succeeds.
    pub fn answers(&self, path: &str) -> Result<bool> {
        Ok(self.output(&["get", "--raw", path])?.status.success())
    }

    /// A watch of the collection at `path` from a resourceVersion on.
    pub fn watch(&self, path: &str, resource_version: u64) -> Result<Watch> {
        let query = format!("{path}?watch=1&resourceVersion={resource_version}");
        Watch::start(self.command(&["get", "--raw", &query]))
    }

    /// All objects of all resources of all groups, each in the version that is preferred for it.
    pub fn objects(&self) -> Result<Objects> {
        let lists = self.lists()?;
        std::thread::scope(|scope| {
            let share = |first| lists.iter().skip(first).step_by(LISTERS);
            let listers = (0..LISTERS).map(|first| scope.spawn(move || self.listed(share(first))));
            let running: Vec<_> = listers.collect();
            let mut objects = Objects::new();
            for lister in running {
                objects.append(&mut lister.join().expect("a lister does not panic")?);
            }
            Ok(objects)
        })
    }

    fn listed<'a>(&self, paths: impl Iterator<Item = &'a String>) -> Result<Objects> {
        let mut objects = Objects::new();
        for path in paths {
            let list = self.raw(path)?;
            let items = list["items"].as_array().with_context(|| format!("{path}: {list}"))?;
            for item in items {
                let metadata = &item["metadata"];
                let name = |field: &str| metadata[field].as_str().unwrap_or_default();
                let key = format!("{path}/{}/{}", name("namespace"), name("name"));
                objects.insert(key, item.to_string());
            }
        }
        Ok(objects)
    }

    /// The paths of all collections. componentstatuses is none: it can't be watched, since it is
    /// asked for and not stored.
    fn lists(&self) -> Result<Vec<String>> {
        let table = self.run(&["api-resources", "--verbs=list,watch", "--no-headers"])?;
        let path = |line: &str| {
            // Name, perhaps short names, version, whether namespaced, kind.
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, .., version, _, _] = words[..] else {
                bail!("api-resources printed \"{line}\"");
            };
            let root = if version == "v1" { "/api" } else { "/apis" };
            Ok(format!("{root}/{version}/{name}"))
        };
        table.lines().map(path).collect()
    }
}

fn said(arguments: &[&str], output: Output) -> Result<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {arguments:?}: {} {error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
