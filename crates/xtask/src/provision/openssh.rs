//! What makes a namespace of this machine a host that is reached over SSH: OpenSSH's server and
//! client, `ip`, and sudo for users who are not root, with libraries that a small machine lacks.
//!
//! A host has the folder `usr` below its own `/usr`, so there every file is where Debian puts it.
//! The programs of this side are in `bin`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::debian::{Apt, Wanted};
use super::place_file;
use crate::process;

const SUITE: &str = "bookworm";

/// Version 9.2 has no penalties for failed logins, which would slow down tests of just these.
const PACKAGES: &[(&str, &str)] = &[
    ("openssh-server", "1:9.2p1"),
    ("openssh-sftp-server", "1:9.2p1"),
    ("openssh-client", "1:9.2p1"),
    ("iproute2", "6.1.0"),
    ("sudo", "1.9.13p3"),
    ("libwrap0", "7.6.q"),
    ("libgssapi-krb5-2", "1.20.1"),
    ("libkrb5-3", "1.20.1"),
    ("libk5crypto3", "1.20.1"),
    ("libkrb5support0", "1.20.1"),
    ("libkeyutils1", "1.6.3"),
    ("libcom-err2", "1.47.0"),
    ("libelf1", "0.188"),
    ("libmnl0", "1.0.4"),
    ("libbsd0", "0.11.7"),
    ("libmd0", "1.0.4"),
];

/// Programs of this side, with their places in the packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("ssh", "bin/ssh"),
    ("ssh-keygen", "bin/ssh-keygen"),
    ("sshd", "sbin/sshd"),
    ("ip", "bin/ip"),
];

/// The machine's own libraries come first: only what is missing is taken from the packages.
const LAUNCHER: &str = "#!/bin/sh\n\
    usr=\"$(dirname \"$(readlink -f \"$0\")\")/../usr\"\n\
    LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:$usr/lib/x86_64-linux-gnu exec \"$usr/PROGRAM\" \"$@\"\n";

/// `ssh -V` tells it on its standard error.
const VERSION: &str = "#!/bin/sh\nexec \"$(dirname \"$0\")/ssh\" -V 2>&1\n";

pub fn unpack(scratch: &Path, fresh: &Path) -> Result<()> {
    let apt = Apt::new(scratch, SUITE, Wanted::Packages)?;
    for (package, version) in PACKAGES {
        apt.download(package, version)?;
    }
    let root = apt.unpack()?;
    merge(&root)?;
    let usr = fresh.join("usr");
    place_file(&root.join("usr"), &usr)?;
    // Whoever needs it there as root's gives it the bit back; in this folder it would only be one more way to root.
    fs::set_permissions(usr.join("bin/sudo"), fs::Permissions::from_mode(0o755))?;
    fs::create_dir(fresh.join("bin"))?;
    for (name, place) in PROGRAMS {
        ensure!(usr.join(place).is_file(), "the packages hold no {place}");
        script(&fresh.join("bin").join(name), &LAUNCHER.replace("PROGRAM", place))?;
    }
    script(&fresh.join("bin/version"), VERSION)
}

/// Some packages still have files in `/bin` and `/lib`, which are links on a machine.
fn merge(root: &Path) -> Result<()> {
    for folder in ["bin", "sbin", "lib"] {
        if root.join(folder).is_dir() {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(root.join(folder)).arg(root.join("usr"));
            process::run(&mut copy)?;
        }
    }
    Ok(())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
