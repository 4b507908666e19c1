use std::fs::OpenOptions;
use std::io;
use std::process::Stdio;

use crate::support::Folder;

/// A pipe that nobody reads any more.
fn broken() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = Folder::with("s-3.5.1.db");
    for line in [
        "etcdprefix --help",
        "etcdprefix completion bash",
        "etcdprefix snapshot status snap.db",
        "etcdprefix change-prefix --db snap.db --dest-prefix /c123",
    ] {
        let output = folder.command(line).stdout(broken()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(output.stderr.is_empty(), "{line}");
    }
}

#[test]
fn an_error_nobody_reads_keeps_its_code() {
    let folder = Folder::of(b"");
    let mut command = folder.command("etcdprefix snapshot status missing.db");
    let status = command.stderr(broken()).status().unwrap();
    assert_eq!(status.code(), Some(4));
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_exit_4() {
    let folder = Folder::with("s-3.5.1.db");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = folder.command("etcdprefix snapshot status snap.db");
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("standard output: No space left"), "{error}");
}

#[test]
fn a_file_name_cannot_break_the_line() {
    let folder = Folder::of(b"");
    let mut command = folder.command("etcdprefix snapshot status");
    let output = command.arg("a\nb\u{1b}[2J.db").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(r"a\nb\u{1b}[2J.db"), "{error}");
}
