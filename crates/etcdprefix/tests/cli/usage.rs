use std::os::unix::fs::symlink;

use crate::support::{Folder, PROGRAM};

#[test]
fn wrong_words_are_one_line_and_exit_2() {
    let folder = Folder::with("s-3.5.1.db");
    let before = folder.read("snap.db");
    for (line, says) in [
        ("change-prefix", "--db <FILE> --dest-prefix <PREFIX>; try: `etcdprefix change-prefix"),
        ("change-prefix --db snap.db", "not provided: --dest-prefix <PREFIX>"),
        ("change-prefix --db snap.db --dest-prefix /c --frob", "unexpected argument '--frob'"),
        ("change-prefix --db snap.db --dest-prefix /c --dry", "'--dry-run'"),
        ("change-prefix --db snap.db --dest-prefix /c extra", "unexpected argument 'extra'"),
        ("change-prefix --db snap.db --dest-prefix /c --unmatched lose", "keep, drop, fail"),
        ("change-prefix --db snap.db --dest-prefix /c --threads 0", "'--threads <N>'"),
        ("change-prefix --db snap.db --dest-prefix /c --target-quota 8G", "'--target-quota"),
        ("change-prefix --db snap.db --dest-prefix /c -w yaml", "simple, table, json, fields"),
        (
            "change-prefix --db snap.db --dest-prefix /c --output x --in-place",
            "cannot be used with",
        ),
        (
            "change-prefix --db snap.db --dest-prefix /c --accept-corrupt-trailer",
            "--skip-hash-check",
        ),
        (
            "change-prefix --db snap.db --db snap.db --dest-prefix /c",
            "cannot be used multiple times",
        ),
        ("change-prefix --db snap.db --dest-prefix /registry/", "prefix are the same: /registry"),
        ("change-prefix --db snap.db --dest-prefix / --src-prefix /", "prefix are the same: /"),
        ("change-prefx", "a similar subcommand exists: 'change-prefix'"),
        ("snapshot status", "not provided: <FILE>"),
        ("snapshot save", "not provided: <FILE>"),
        ("snapshot save new.db --unmatched drop", "not provided: --change-prefix <PREFIX>"),
        ("snapshot save new.db --src-prefix /a", "not provided: --change-prefix <PREFIX>"),
        ("snapshot save new.db --keep-saved a.db", "not provided: --change-prefix <PREFIX>"),
        ("check", "not provided: <FILE>"),
        ("check snap.db --depth deep", "structure, records, full"),
        ("verify snap.db", "not provided: --dest-prefix <PREFIX> <OUT>"),
        ("verify snap.db out.db", "not provided: --dest-prefix <PREFIX>"),
        ("verify snap.db out.db --dest-prefix /registry", "prefix are the same: /registry"),
        ("verify snap.db out.db --dest-prefix /c --unmatched fail", "keep, drop"),
        ("verify snap.db ./snap.db --dest-prefix /c", "snap.db and ./snap.db are the same file"),
        ("hashkv", "not provided: <FILE>"),
        ("hashkv snap.db --rev -1", "'-1'"),
        ("hashkv snap.db --rev 65", "snap.db: no revision 65: the store has 1 to 64; try: a --rev"),
        ("snapshot status snap.db --like 3.4", "3.5, 3.5.30, 3.6, 3.7"),
        ("snapshot status snap.db -w protobuf", "simple, table, json, fields"),
        ("modify-prefix --db=snap.db --dest-prefix=/c", "unrecognized subcommand"),
    ] {
        let run = folder.run(&format!("etcdprefix {line}"));
        let error = run.failed(2);
        assert!(error.contains(says), "{line}: {error}");
        assert!(error.contains("; try: "), "{line}: {error}");
    }
    assert_eq!(folder.read("snap.db"), before);
    assert_eq!(folder.names(), ["snap.db"]);
}

#[test]
fn no_command_at_all_is_answered_with_the_help() {
    let folder = Folder::of(b"");
    for line in ["etcdprefix", "etcdprefix snapshot"] {
        let run = folder.run(line);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains("Usage: etcdprefix"), "{}", run.stderr);
        assert!(run.stderr.ends_with("etcdprefix: no command given\n"), "{}", run.stderr);
    }
}

#[test]
fn the_names_of_other_tools_take_their_words_only() {
    let folder = Folder::with("s-3.5.1.db");
    for name in ["modify-prefix-v2", "modify-prefix"] {
        symlink(PROGRAM, folder.path(name)).unwrap();
    }
    for line in [
        "modify-prefix modify-prefix --db=snap.db --dest-prefix=/c --bucket=lease",
        "modify-prefix change-prefix --db=snap.db --dest-prefix=/c",
        "modify-prefix-v2 modify-prefix --db=snap.db --dest-prefix=/c --bucket=key",
        "modify-prefix-v2 change-prefix --db=snap.db --dest-prefix=/c --bucket=key",
        "modify-prefix-v2 snapshot status snap.db",
    ] {
        folder.run(line).failed(2);
    }
    let line = "modify-prefix modify-prefix --db=snap.db --dest-prefix=/c --bucket=key -w json";
    assert!(folder.run(line).succeeded().contains(r#""dest_prefix":"/c""#));
}
