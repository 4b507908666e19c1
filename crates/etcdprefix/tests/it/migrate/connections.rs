//! Connections of whoever was killed: ssh's own processes go on for a minute.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Breaks those of this test, which are known by its network.
pub fn cut() {
    each(|_, id| {
        // One that has just ended by itself can't be.
        let _ = kill_process(id, Signal::KILL);
    });
}

/// Ends those of whoever was killed, and removes their sockets.
pub fn end() {
    each(|path, id| {
        remove_sockets(path);
        let _ = kill_process(id, Signal::KILL);
    });
}

fn each(act: impl Fn(&Path, Pid)) {
    let Ok(network) = fs::read_link("/proc/thread-self/ns/net") else { return };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let is_ours = fs::read_link(path.join("ns/net")).is_ok_and(|its| its == network);
        let is_ssh = fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "ssh\n");
        let id = process.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        if let (true, true, Some(id)) = (is_ours, is_ssh, id) {
            act(&path, id);
        }
    }
}

/// Whoever was killed could not remove them.
fn remove_sockets(process: &Path) {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).into_owned();
    let folder = text.split(['\0', ' ', '=']).find(|word| word.starts_with("/tmp/etcdprefix-"));
    if let Some(name) = folder.and_then(|path| path.split('/').nth(2)) {
        let _ = fs::remove_dir_all(Path::new("/tmp").join(name));
    }
}
