//! Room for two copies of etcd's file, where only root may look.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statvfs;

use super::Check;
use super::topic::Topic;

const TOPIC: Topic = Topic::new(
    "working_folder",
    "the snapshot and what it is rewritten to lie there for a while: all secrets of the cluster",
);

/// Beside the two copies, for what else is written meanwhile.
const MARGIN_BYTES: u64 = 64 << 20;

pub(super) fn check(folder: &Path, db_size_bytes: Option<u64>) -> Check {
    let shown = folder.display();
    if !folder.is_absolute() {
        return TOPIC.fail(format!("{shown:?} is no absolute path"), "such as /root/etcdprefix");
    }
    let Some(base) = folder.ancestors().find(|ancestor| ancestor.exists()) else {
        return TOPIC.fail(format!("{shown}: nothing of it exists"), "an existing folder");
    };
    if let Err(why) = usable(folder, base) {
        return TOPIC.fail(format!("{shown}: {why}"), "another working folder (working_dir)");
    }
    let free = match statvfs(base) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return TOPIC.fail(format!("{}: {error}", base.display()), "another folder"),
    };
    judge(&shown.to_string(), free, db_size_bytes)
}

/// Tried out: a folder is made and removed again.
fn usable(folder: &Path, base: &Path) -> Result<(), String> {
    if !base.is_dir() {
        return Err(format!("{} is no folder", base.display()));
    }
    if base == folder {
        let mode = fs::metadata(folder).map_err(|error| error.to_string())?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(format!(
                "others than its owner may write there (mode {:o})",
                mode & 0o7777
            ));
        }
    }
    let tried = tempfile::Builder::new().prefix(".etcdprefix-").tempdir_in(base);
    tried.map(drop).map_err(|error| error.to_string())
}

fn judge(folder: &str, free: u64, db_size_bytes: Option<u64>) -> Check {
    let Some(db_size) = db_size_bytes else {
        return TOPIC.warn(
            format!("{folder}: {} free; how large etcd's file is is not known", mib(free)),
            "room for two copies of etcd's file",
        );
    };
    let needed = db_size.saturating_mul(2).saturating_add(MARGIN_BYTES);
    let found = format!("{folder}: {} free, {} needed", mib(free), mib(needed));
    match free >= needed {
        true => TOPIC.ok(found),
        false => TOPIC.fail(
            found,
            "a working folder (working_dir) on a larger file system, or to compact and defragment \
             etcd first",
        ),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn two_copies_must_fit() {
        let gib = 1 << 30;
        for (free, size, standing) in [
            (3 * gib, Some(gib), Standing::Ok),
            (2 * gib, Some(gib), Standing::Fail),
            (2 * gib, None, Standing::Warn),
            (0, Some(u64::MAX), Standing::Fail),
        ] {
            let check = judge("/w", free, size);
            assert_eq!(check.standing, standing, "{check:?}");
        }
    }

    #[test]
    fn the_folder_is_tried_and_left_as_it_was() {
        let base = tempfile::TempDir::new().unwrap();
        let below = base.path().join("a/b");
        assert_eq!(check(&below, Some(1)).standing, Standing::Ok);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
        for (folder, words) in [
            (Path::new("relative"), "no absolute path"),
            (Path::new("/proc/nowhere"), "/proc/nowhere: "),
        ] {
            let check = check(folder, Some(1));
            assert_eq!(check.standing, Standing::Fail);
            assert!(check.found.contains(words), "{check:?}");
        }
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check(&file, Some(1)).found.contains("is no folder"));
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check(base.path(), Some(1)).found.contains("may write there (mode 777)"));
    }
}
