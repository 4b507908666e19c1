use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Result;

use super::{Folder, Run, one};
use crate::support::PROGRAM;

/// Runs a script in the folder with the program as its first argument and an endpoint as its second.
fn scripted(folder: &Folder, endpoint: &str, interpreter: &[&str], script: &str) -> Run {
    let mut command = Command::new(interpreter[0]);
    command.args(&interpreter[1..]).args(["sh", "-c", script, "sh", PROGRAM, endpoint]);
    Run(command.current_dir(folder.path(".")).output().unwrap())
}

#[test]
fn what_cannot_be_written_is_exit_4() -> Result<()> {
    let (cluster, folder) = (one()?, Folder::new()?);
    let endpoint = cluster.endpoint(0);
    a_full_disk(&folder, endpoint);
    a_limit(&folder, endpoint);
    a_folder_without_permission(&folder, endpoint)?;
    assert_eq!(folder.names(), ["small"]);
    wrong_targets(&folder, endpoint)?;
    assert_eq!(folder.names(), ["link.db", "small"]);
    Ok(())
}

/// Not tried again: another member would send no less.
fn a_full_disk(folder: &Folder, endpoint: &str) {
    fs::create_dir(folder.path("small")).unwrap();
    if std::env::var_os("ETCDPREFIX_NO_MOUNT").is_some() {
        eprintln!("left out: mounts are forbidden here");
        return;
    }
    let script = "mount -t tmpfs -o size=1m none small || exit 99
        echo old > small/snap.db
        \"$1\" snapshot save small/snap.db --quiet --endpoints \"$2\"
        code=$?
        [ \"$(ls -A small) $(cat small/snap.db)\" = 'snap.db old' ] || exit 98
        exit $code";
    let run = scripted(folder, endpoint, &["unshare", "--map-root-user", "--mount"], script);
    run.refused(4, &["small/snap.db: No space left on device", "FILE on a file system with"]);
}

fn a_limit(folder: &Folder, endpoint: &str) {
    for blocks in [0, 100, 4_000] {
        let script = format!(
            "ulimit -f {blocks} && exec \"$1\" snapshot save snap.db --quiet --endpoints \"$2\""
        );
        let run = scripted(folder, endpoint, &["env"], &script);
        run.refused(4, &["File too large", "ulimit -f"]);
    }
}

/// Permissions bind even root once its capabilities are gone, which only root needs to drop.
fn a_folder_without_permission(folder: &Folder, endpoint: &str) -> Result<()> {
    let without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let can_drop = Command::new(without[0]).args(&without[1..]).arg("true").output();
    let root = can_drop.is_ok_and(|output| output.status.success());
    fs::set_permissions(folder.path("."), Permissions::from_mode(0o555))?;
    let script = "exec \"$1\" snapshot save snap.db --quiet --endpoints \"$2\"";
    let run = scripted(folder, endpoint, if root { &without } else { &["env"] }, script);
    fs::set_permissions(folder.path("."), Permissions::from_mode(0o755))?;
    run.refused(4, &["snap.db", "Permission denied", "folder you may write to"]);
    Ok(())
}

/// Known before anybody is asked.
fn wrong_targets(folder: &Folder, endpoint: &str) -> Result<()> {
    std::os::unix::fs::symlink("small", folder.path("link.db"))?;
    for endpoint in [endpoint, "127.0.0.1:1"] {
        for (target, words) in [
            ("nowhere/snap.db", ["No such file or directory", "existing folder"]),
            ("small", ["not a regular file", "FILE"]),
            ("link.db", ["not a regular file", "FILE"]),
            ("/dev/null", ["not a regular file", "FILE"]),
        ] {
            let line = format!("snapshot save {target} --quiet --endpoints {endpoint}");
            folder.run(&line).refused(4, &words);
        }
    }
    let line = "--change-prefix /c1 --keep-saved nowhere/kept.db";
    folder.save(endpoint, line).refused(4, &["nowhere/kept.db", "existing folder"]);
    let line = "snapshot save nowhere/snap.db --quiet --change-prefix /c1 --endpoints";
    folder.run(&format!("{line} {endpoint}")).refused(4, &["nowhere/snap.db", "existing folder"]);
    Ok(())
}
