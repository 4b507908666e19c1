//! Disks that are full, read-only or elsewhere; links. What needs a mount asks for a namespace of
//! its own; where that is forbidden, ETCDPREFIX_NO_MOUNT=1 leaves it out, and says so.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use crate::support::{Folder, PROGRAM, Run};

const SNAPSHOT: &str = "s-3.5.1.db";
const CHANGE: &str = "etcdprefix change-prefix --db snap.db --dest-prefix /c123";

/// Runs a script in the folder with the program as its first argument.
fn scripted(folder: &Folder, interpreter: &[&str], script: &str) -> Run {
    let mut command = Command::new(interpreter[0]);
    command.args(&interpreter[1..]).args(["sh", "-c", script, "sh", PROGRAM]);
    let output = command.current_dir(folder.path(".")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// As [`scripted`], where the script may mount.
fn mounting(folder: &Folder, script: &str) -> Option<Run> {
    if std::env::var_os("ETCDPREFIX_NO_MOUNT").is_some() {
        eprintln!("left out: mounts are forbidden here");
        return None;
    }
    Some(scripted(folder, &["unshare", "--map-root-user", "--mount"], script))
}

#[track_caller]
fn untouched(folder: &Folder) {
    let original = Folder::with(SNAPSHOT);
    assert!(folder.read("snap.db") == original.read("snap.db"));
}

#[test]
fn a_limit_of_file_sizes_is_exit_4() {
    for blocks in [0, 1, 8, 40] {
        let folder = Folder::with(SNAPSHOT);
        let script =
            format!("ulimit -f {blocks} && exec \"$1\" {}", &CHANGE["etcdprefix ".len()..]);
        let run = scripted(&folder, &["env"], &script);
        let error = run.failed(4);
        assert!(error.contains("File too large") && error.contains("ulimit -f"), "{error}");
        assert_eq!(folder.names(), ["snap.db"]);
        untouched(&folder);
    }
}

#[test]
fn a_full_file_system_is_exit_4() {
    let folder = Folder::with(SNAPSHOT);
    fs::create_dir(folder.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=16k none small || exit 99
        \"$1\" change-prefix --db snap.db --dest-prefix /c123 --output small/new.db
        code=$?; ls -A small; exit $code";
    let Some(run) = mounting(&folder, script) else { return };
    let error = run.failed(4);
    assert!(error.contains("No space left on device"), "{error}");
    assert!(error.contains("with room for a second copy"), "{error}");
    untouched(&folder);
}

#[test]
fn a_read_only_file_system_is_exit_4() {
    let folder = Folder::with(SNAPSHOT);
    let script = "mount --bind . . && mount -o remount,bind,ro \"$PWD\" || exit 99
        cd \"$PWD\" && exec \"$1\" change-prefix --db snap.db --dest-prefix /c123";
    let Some(run) = mounting(&folder, script) else { return };
    let error = run.failed(4);
    assert!(error.contains("Read-only file system") && error.contains("--output"), "{error}");
    assert_eq!(folder.names(), ["snap.db"]);
    untouched(&folder);
}

/// Permissions bind even root once its capabilities are gone, which only root needs to drop.
#[test]
fn a_folder_without_write_permission_is_exit_4() {
    let folder = Folder::with(SNAPSHOT);
    let without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let can_drop = Command::new(without[0]).args(&without[1..]).arg("true").output();
    let root = can_drop.is_ok_and(|output| output.status.success());
    fs::set_permissions(folder.path("."), Permissions::from_mode(0o555)).unwrap();
    let script = "exec \"$1\" change-prefix --db snap.db --dest-prefix /c123";
    let run = scripted(&folder, if root { &without } else { &["env"] }, script);
    fs::set_permissions(folder.path("."), Permissions::from_mode(0o755)).unwrap();
    let error = run.failed(4);
    assert!(error.contains("Permission denied") && error.contains("--output"), "{error}");
    assert_eq!(folder.names(), ["snap.db"]);
    untouched(&folder);
}

/// The new file is made where the old one is, not where its link is.
#[test]
fn a_link_to_another_file_system_is_followed() {
    let expected = Folder::with(SNAPSHOT);
    expected.run(CHANGE).succeeded();

    let folder = Folder::with(SNAPSHOT);
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let devices = [folder.path("."), elsewhere.path().into()];
    let devices = devices.map(|path| path.metadata().unwrap().dev());
    assert_ne!(devices[0], devices[1], "/dev/shm is a file system of its own");
    let real = elsewhere.path().join("real.db");
    fs::rename(folder.path("snap.db"), &real)
        .or_else(|_| fs::copy(folder.path("snap.db"), &real).map(drop))
        .unwrap();
    fs::remove_file(folder.path("snap.db")).ok();
    symlink(&real, folder.path("snap.db")).unwrap();
    folder.run(CHANGE).succeeded();
    assert!(folder.path("snap.db").is_symlink());
    assert!(fs::read(&real).unwrap() == expected.read("snap.db"));
    assert_eq!(folder.names(), ["snap.db"]);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn an_output_on_another_file_system_is_written_there() {
    let expected = Folder::with(SNAPSHOT);
    expected.run(CHANGE).succeeded();
    let folder = Folder::with(SNAPSHOT);
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = elsewhere.path().join("new.db");
    folder.run(&format!("{CHANGE} --output {}", output.display())).succeeded();
    assert!(fs::read(&output).unwrap() == expected.read("snap.db"));
    assert_eq!(folder.names(), ["snap.db"]);
    untouched(&folder);
}

/// A link that leads nowhere is somebody's name all the same.
#[test]
fn an_output_that_is_a_dangling_link_is_exit_5() {
    let folder = Folder::with(SNAPSHOT);
    symlink("nowhere.db", folder.path("new.db")).unwrap();
    folder.run(&format!("{CHANGE} --output new.db")).failed(5);
    assert_eq!(folder.names(), ["new.db", "snap.db"]);
    untouched(&folder);
}
