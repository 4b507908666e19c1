use std::fs::{self, File};

use crate::support::Folder;

const CHANGE: &str = "etcdprefix change-prefix --db snap.db --dest-prefix /c123";

/// Runs `line`, which must fail with `code` and the words `says`, and leave everything as it was.
#[track_caller]
fn refused(folder: &Folder, line: &str, code: i32, says: &[&str]) {
    let (names, before) = (folder.names(), folder.read("snap.db"));
    let run = folder.run(line);
    let error = run.failed(code);
    for words in says {
        assert!(error.contains(words), "{words} is not in: {error}");
    }
    assert_eq!(folder.names(), names);
    assert_eq!(folder.read("snap.db"), before);
}

#[test]
fn damage_is_exit_3() {
    let good = Folder::with("s-3.5.1.db").read("snap.db");
    let end = good.len();
    let mut flipped = good.clone();
    flipped[18_888] ^= 1;
    let flipped = Folder::of(&flipped);
    refused(&flipped, CHANGE, 3, &["SHA-256", "--skip-hash-check --accept-corrupt-trailer"]);
    refused(&flipped, &format!("{CHANGE} --skip-hash-check"), 3, &["--accept-corrupt-trailer"]);
    for (bytes, code) in [(&good[..20_001], 9), (&good[..0], 3), (b"not a database\n", 3)] {
        let folder = Folder::of(bytes);
        refused(&folder, CHANGE, code, &["snap.db: ", "; try: ", "etcdctl snapshot save"]);
        refused(&folder, "etcdprefix snapshot status snap.db", code, &["snap.db: ", "; try: "]);
        refused(&folder, "etcdprefix check snap.db", code, &["snap.db: ", "; try: "]);
        refused(&folder, "etcdprefix hashkv snap.db", code, &["snap.db: ", "; try: "]);
    }
    let mut zeroed = good.clone();
    zeroed[end - 32..].fill(0);
    let zeroed = Folder::of(&zeroed);
    let line = "etcdprefix snapshot status snap.db --check-trailer";
    refused(&zeroed, line, 3, &["000000", "another copy"]);
}

#[test]
fn a_file_that_cannot_be_read_or_written_is_exit_4() {
    let folder = Folder::with("s-3.5.1.db");
    let missing = "etcdprefix change-prefix --db missing.db --dest-prefix /c123";
    refused(&folder, missing, 4, &["missing.db", "No such file", "existing snapshot"]);
    refused(&folder, "etcdprefix snapshot status missing.db", 4, &["missing.db", "No such file"]);
    refused(&folder, "etcdprefix snapshot status .", 4, &["not a regular file"]);
    refused(&folder, "etcdprefix check missing.db", 4, &["missing.db", "No such file"]);
    refused(&folder, "etcdprefix hashkv missing.db", 4, &["missing.db", "No such file"]);
    refused(&folder, "etcdprefix check .", 4, &["not a regular file"]);
    let nowhere = format!("{CHANGE} --output nowhere/new.db");
    refused(&folder, &nowhere, 4, &["No such file", "--output in an existing folder"]);
}

#[test]
fn an_output_that_exists_is_exit_5() {
    let folder = Folder::with("s-3.5.1.db");
    fs::write(folder.path("new.db"), "precious").unwrap();
    refused(&folder, &format!("{CHANGE} --output new.db"), 5, &["new.db exists already"]);
    refused(&folder, &format!("{CHANGE} --output snap.db"), 5, &["without --output"]);
    assert_eq!(folder.read("new.db"), b"precious");
}

#[test]
fn a_locked_file_is_exit_6() {
    let folder = Folder::with("s-3.5.1.db");
    let file = File::open(folder.path("snap.db")).unwrap();
    file.lock().unwrap();
    refused(&folder, CHANGE, 6, &["running etcd", "snapshot save"]);
    refused(&folder, "etcdprefix snapshot status snap.db", 6, &["running etcd"]);
    refused(&folder, "etcdprefix check snap.db", 6, &["running etcd"]);
    refused(&folder, "etcdprefix hashkv snap.db", 6, &["running etcd"]);
}

#[test]
fn a_missing_trailer_is_exit_7() {
    let good = Folder::with("s-3.5.1.db").read("snap.db");
    let folder = Folder::of(&good[..good.len() - 32]);
    refused(&folder, CHANGE, 7, &["--skip-hash-check if it is a copied member/snap/db"]);
    let status = "etcdprefix snapshot status snap.db --check-trailer";
    refused(&folder, status, 7, &["without --check-trailer"]);
    let run = folder.run(&format!("{CHANGE} --skip-hash-check -w json"));
    assert!(run.succeeded().contains(r#""input_trailer":"missing""#));
}

#[test]
fn keys_that_do_not_fit_the_request_have_codes_of_their_own() {
    let folder = Folder::with("s-3.5.1.db");
    let change = "etcdprefix change-prefix --db snap.db --dest-prefix";
    let nothing = format!("{change} /c123 --src-prefix /nope");
    refused(&folder, &nothing, 10, &["/registry", "--allow-empty"]);
    refused(&folder, &format!("{change} /registry --src-prefix /nope"), 11, &["already rewritten"]);
    refused(&folder, &format!("{CHANGE} --unmatched fail"), 13, &["/other", "--unmatched drop"]);
    refused(&folder, &format!("{CHANGE} --unmatched drop"), 16, &["--output FILE", "--in-place"]);
    refused(&folder, &format!("{CHANGE} --target-quota 1000"), 18, &["--quota-backend-bytes"]);
    let strip = "etcdprefix change-prefix --db snap.db --src-prefix /other/key --dest-prefix /";
    refused(&folder, strip, 17, &["/other/key would become empty"]);
}

#[test]
fn undecryptable_values_are_exit_14() {
    let folder = Folder::with("k8s-3.5.1.db");
    let foretold = "cipher: message authentication failed";
    refused(&folder, CHANGE, 14, &["aesgcm secrets (1)", foretold, "--allow-undecryptable"]);
}

/// A refusal must not depend on whether anything would be written.
#[test]
fn a_dry_run_refuses_alike() {
    let folder = Folder::with("s-3.5.1.db");
    for (flags, code, says) in [
        ("--unmatched drop", 16, "--output"),
        ("--unmatched fail", 13, "/other"),
        ("--unmatched fail --target-quota 1000", 13, "--quota-backend-bytes"),
        ("--src-prefix /nope", 10, "--allow-empty"),
    ] {
        let run = folder.run(&format!("{CHANGE} --dry-run {flags} -w json"));
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{}", run.stderr);
        let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let errors = run.stderr.lines().filter(|line| !line.contains(": warning: "));
        assert_eq!(plan["refusals"].as_array().unwrap().len(), errors.count(), "{}", run.stderr);
        assert_eq!(plan["output"], serde_json::Value::Null);
    }
    assert_eq!(folder.names(), ["snap.db"]);
    fs::write(folder.path("new.db"), "precious").unwrap();
    refused(&folder, &format!("{CHANGE} --dry-run --output new.db"), 5, &["exists already"]);
}
