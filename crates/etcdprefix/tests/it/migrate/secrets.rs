//! What nobody may find in anything that a migration says or leaves, but in the bundle.

use std::fs;
use std::path::Path;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_testkit::hosts::{Hosts, TestHost};

/// Of the store's keys, tokens and presigned URLs, of age's identities, and of any private key in PEM.
const MARKS: [&str; 5] = ["s3cr3t", "t0ken", "ignature=", "AGE-SECRET-KEY-1", "PRIVATE KEY"];

/// Where a host could keep what it was told.
const FOLDERS: [&str; 7] = [
    "/var/lib/etcdprefix",
    "/var/lib/aliyun-assist",
    "/tmp",
    "/var/tmp",
    "/home",
    "/root",
    "/var/log/sudo.log",
];

/// Texts to search for.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Of these hosts and their store.
    pub fn of(hosts: &Hosts) -> Result<Self> {
        let mut needles: Vec<String> = MARKS.map(str::to_owned).into();
        for before in ["", "x", "xx"] {
            // As it stands in base64 wherever it begins.
            let encoded = STANDARD.encode(format!("{before}PRIVATE KEY"));
            needles.push(encoded[4..12].to_owned());
        }
        let pki = hosts.host(1).path("/etc/kubernetes/pki");
        for key in ["sa.key", "front-proxy-ca.key", "ca.key", "etcd/etcd-client-key.pem"] {
            let text = fs::read_to_string(pki.join(key))?;
            let lines = text.lines().filter(|line| line.len() > 30 && !line.contains("KEY-"));
            needles.extend(lines.take(4).map(str::to_owned));
            let encoded = STANDARD.encode(&text);
            needles.extend((0..4).map(|part| encoded[part * 60 + 60..][..60].to_owned()));
        }
        Ok(Self(needles))
    }

    /// None of them is in this.
    #[track_caller]
    pub fn are_not_in(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for needle in &self.0 {
            assert!(!text.contains(needle.as_str()), "{needle} is in {place}:\n{text}");
        }
    }

    /// Nor below a folder, but in bundles.
    #[track_caller]
    pub fn are_not_below(&self, path: &Path) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.are_not_below(&entry.unwrap().path());
            }
        } else if path.is_file() && !is_excepted(path) {
            // It may have gone meanwhile.
            let bytes = fs::read(path).unwrap_or_default();
            self.are_not_in(&path.display().to_string(), &bytes);
        }
    }

    /// Nor on a host: in files, and in the words and variables of processes.
    #[track_caller]
    pub fn are_not_on(&self, host: &TestHost) {
        for folder in FOLDERS {
            self.are_not_below(&host.path(folder));
        }
        let processes = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null || true";
        let seen = host.shell(&format!("{{ {processes}; }} | tr '\\0' '\\n'")).unwrap();
        self.are_not_in(&format!("processes of {}", host.name()), seen.as_bytes());
    }
}

/// The program has names of secrets in it, and the bundle is where they belong.
fn is_excepted(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The second is what is left of one that was killed while it wrote the first.
    ["bundle.json", ".bundle.json.new"].contains(&&*name)
        || path.parent().is_some_and(|folder| folder.ends_with("bin"))
}
