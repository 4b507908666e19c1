//! A host's folders: who may log in, by which keys, and who may become root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{SshFiles, address, name};

/// The server, logging to its standard error.
pub const SSHD: [&str; 3] = ["/usr/sbin/sshd", "-D", "-e"];

/// Folders that a host has for itself alone, and that are seen from outside.
pub const FOLDERS: [&str; 7] = ["etc/kubernetes", "home", "opt", "root", "run", "tmp", "var"];

/// Folders in these.
const INNER: [&str; 9] = [
    "etc/kubernetes/manifests",
    "etc/kubernetes/pki",
    "run/lock",
    "run/sshd",
    "var/cache",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
];

const HOMES: &str = "/home";

/// Users beside root with their ids; all have the same key.
const USERS: [(&str, u32); 2] = [("op", 1500), ("guest", 1501)];

/// The key exchange is the cheapest: a test makes many connections.
const SSHD_CONFIG: &str = "Port 22\n\
    HostKey /etc/ssh/ssh_host_ed25519_key\n\
    AuthorizedKeysFile .ssh/authorized_keys\n\
    PasswordAuthentication no\n\
    KbdInteractiveAuthentication no\n\
    PermitRootLogin prohibit-password\n\
    KexAlgorithms curve25519-sha256\n\
    MaxStartups 100\n\
    MaxSessions 100\n\
    Subsystem sftp internal-sftp\n\
    PidFile /run/sshd.pid\n\
    PrintMotd no\n\
    PrintLastLog no\n\
    UseDNS no\n\
    UsePAM no\n";

/// A real sudo: `op` may everything, and each use is a line of the log. `guest` may nothing.
const SUDOERS: &str = "Defaults logfile=/var/log/sudo.log\nop ALL=(ALL) NOPASSWD: ALL\n";

const SUDO_PAM: &str =
    "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

/// Makes all that the first process of a host needs, in a new folder.
pub fn furnish(place: &Path, number: usize, hosts: usize, ssh: &SshFiles) -> Result<()> {
    for folder in FOLDERS.iter().chain(&INNER) {
        fs::create_dir_all(place.join("folders").join(folder))?;
    }
    for folder in ["room", "etc/ssh", "etc/pam.d", "usr"] {
        fs::create_dir_all(place.join(folder))?;
    }
    for (folder, mode) in [("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)] {
        fs::set_permissions(place.join("folders").join(folder), Permissions::from_mode(mode))?;
    }
    symlink("/run", place.join("folders/var/run"))?;
    names(place, number, hosts)?;
    users(place, ssh)?;
    server(place, number, ssh)
}

/// What the machine is called, and where the others are.
fn names(place: &Path, number: usize, hosts: usize) -> Result<()> {
    let lines = (1..=hosts).map(|other| format!("{} {}\n", address(other), name(other)));
    let text: String = ["127.0.0.1 localhost\n".to_owned()].into_iter().chain(lines).collect();
    fs::write(place.join("etc/hosts"), text)?;
    fs::write(place.join("etc/hostname"), name(number) + "\n")?;
    Ok(fs::write(place.join("etc/machine-id"), format!("{number:032x}\n"))?)
}

/// The machine's users and ours.
fn users(place: &Path, ssh: &SshFiles) -> Result<()> {
    let (mut passwd, mut shadow, mut group) =
        (entries("passwd")?, entries("shadow")?, entries("group")?);
    // It gives up its rights to this user; nobody logs in as it.
    if !passwd.lines().any(|line| line.starts_with("sshd:")) {
        passwd += "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n";
    }
    home(&place.join("folders/root"), 0, ssh)?;
    for (user, id) in USERS {
        passwd += &format!("{user}:x:{id}:{id}::{HOMES}/{user}:/bin/sh\n");
        group += &format!("{user}:x:{id}:\n");
        shadow += &format!("{user}:*:19000:0:99999:7:::\n");
        home(&place.join("folders/home").join(user), id, ssh)?;
    }
    fs::write(place.join("etc/passwd"), passwd)?;
    fs::write(place.join("etc/group"), group)?;
    write(&place.join("etc/shadow"), &unlocked(&shadow), 0o640)?;
    write(&place.join("etc/sudoers"), SUDOERS, 0o440)?;
    Ok(fs::write(place.join("etc/pam.d/sudo"), SUDO_PAM)?)
}

fn entries(file: &str) -> Result<String> {
    let path = PathBuf::from("/etc").join(file);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// sshd refuses whoever is locked, even with a key.
fn unlocked(shadow: &str) -> String {
    let others = shadow.lines().filter(|line| !line.starts_with("root:"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    format!("root:*:19000:0:99999:7:::\n{others}")
}

fn home(home: &Path, owner: u32, ssh: &SshFiles) -> Result<()> {
    let keys = home.join(".ssh");
    fs::create_dir_all(&keys)?;
    write(&keys.join("authorized_keys"), &ssh.authorized()?, 0o600)?;
    fs::set_permissions(&keys, Permissions::from_mode(0o700))?;
    for path in [home, &keys, &keys.join("authorized_keys")] {
        chown(path, Some(owner), Some(owner))?;
    }
    Ok(())
}

fn server(place: &Path, number: usize, ssh: &SshFiles) -> Result<()> {
    let key = fs::read_to_string(ssh.host_key(number))?;
    write(&place.join("etc/ssh/ssh_host_ed25519_key"), &key, 0o600)?;
    Ok(fs::write(place.join("etc/ssh/sshd_config"), SSHD_CONFIG)?)
}

/// Writes a file with its mode.
pub fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}
