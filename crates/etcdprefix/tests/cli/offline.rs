use crate::support::Folder;

#[cfg(not(feature = "live"))]
#[test]
fn commands_for_live_members_tell_where_the_full_build_is() {
    let folder = Folder::with("s-3.5.1.db");
    for line in ["snapshot save new.db", "endpoint status", "endpoint hashkv", "endpoint quiet"] {
        let run = folder.run(&format!("etcdprefix {line} --endpoints 127.0.0.1:1"));
        assert_eq!(
            run.failed(2),
            "this build works on files only and has no network code; \
             try: a full build: cargo install --path crates/etcdprefix --features full"
        );
    }
    assert_eq!(folder.names(), ["snap.db"]);
}

#[cfg(not(feature = "store"))]
#[test]
fn commands_for_object_stores_tell_where_the_full_build_is() {
    let folder = Folder::with("s-3.5.1.db");
    for line in [
        "store put snap.db oss://bucket/key",
        "store get oss://bucket/key new.db",
        "store ls oss://bucket/",
        "store presign s3://bucket/key",
        "store verify s3://bucket/key",
        "store check oss://bucket/",
        "store policy --for upload --bucket bucket",
        "check oss://bucket/key",
        "hashkv s3://bucket/key",
        "snapshot status oss://bucket/key",
        "verify snap.db oss://bucket/key --dest-prefix /c1",
        "change-prefix --db oss://bucket/key --dest-prefix /c1 --output new.db",
        "change-prefix --db snap.db --dest-prefix /c1 --output s3://bucket/key",
        "snapshot save oss://bucket/key --endpoints 127.0.0.1:1",
    ] {
        assert_eq!(
            folder.run(&format!("etcdprefix {line}")).failed(2),
            "this build works on files only and has no code for object stores; \
             try: a full build: cargo install --path crates/etcdprefix --features full",
            "{line}"
        );
    }
    assert_eq!(folder.names(), ["snap.db"]);
}

#[test]
fn commands_of_the_migration_tell_where_the_full_build_is() {
    let folder = Folder::with("s-3.5.1.db");
    for line in [
        "migrate rehearse --config c1.yaml",
        "migrate run --cluster-id c1 --host m1 --store oss://b/",
        "migrate resume",
        "migrate rollback",
        "migrate status",
        "migrate finish",
        "migrate presign",
        "migrate aftercare",
        "node status",
        "node preflight",
        "node sleep --cluster-id c1",
        "node wake --cluster-id c1",
        "node step",
    ] {
        assert_eq!(
            folder.run(&format!("etcdprefix {line}")).failed(2),
            "this build has no code for migrations; \
             try: a full build: cargo install --path crates/etcdprefix --features full",
            "{line}"
        );
    }
    assert_eq!(folder.names(), ["snap.db"]);
}

/// A line is read alike by both builds.
#[test]
fn wrong_words_are_told_before_that() {
    let folder = Folder::with("s-3.5.1.db");
    let error = folder.run("etcdprefix snapshot save new.db --idle-timeout 5");
    assert!(error.failed(2).contains("no duration such as 5s"));
    let error = folder.run("etcdprefix store presign oss://bucket/key --expires 1d");
    assert!(error.failed(2).contains("no duration such as 5s"));
    let error = folder.run("etcdprefix store put snap.db");
    assert!(error.failed(2).contains("<URL>"));
    let error = folder.run("etcdprefix migrate run --bundle-extra");
    assert!(error.failed(2).contains("--recipient <AGE>"));
}
