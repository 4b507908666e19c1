use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use etcdprefix_store::{
    Agreed, CheckOptions, Checksum, Error, Kind, Metadata, UploadOptions, check, download, head,
    list, list_described,
};
use etcdprefix_testkit::stores::{Act, Front, Key, OssServer, Rule};

use crate::support::{
    Counted, PART_BYTES, Server, both, bytes, file, in_parts, run, silent, upload,
};

/// What no URL has as it is.
const AWKWARD: &str = "objects/a b+c%d/\u{952e}&=?#.db";

fn described() -> Metadata {
    let mut metadata = Metadata::default();
    metadata.set("cluster-id", "c0123456789abcdef").unwrap();
    metadata.set("revision", "42").unwrap();
    metadata
}

async fn fetched(server: &Server, key: &str) -> Vec<u8> {
    let mut came = Vec::new();
    download(&server.store(), key, &mut came, silent()).await.unwrap();
    came
}

#[test]
fn a_small_file_is_one_object_that_the_official_sdk_reads() {
    both(async |server| {
        let (content, store) = (bytes(300_000), server.store());
        let (_folder, path) = file(&content);
        let progress = Arc::new(Counted::default());
        let options = UploadOptions { metadata: described(), ..Default::default() };
        let done = upload(&store, &path, AWKWARD, &options, progress.clone()).await.unwrap();
        assert_eq!((done.bytes, done.parts, done.repeated), (300_000, 0, 0));
        assert_eq!(progress.done.load(Ordering::SeqCst), 300_000);
        assert_eq!(progress.total.load(Ordering::SeqCst), 300_000);
        assert_eq!(done.agreed, Agreed::Checksum);
        let found = head(&store, AWKWARD).await.unwrap();
        assert_eq!((found.bytes, &found.etag), (300_000, &done.etag));
        assert_eq!(found.metadata, described());
        assert_eq!(server.sdk().get(AWKWARD).unwrap(), content);
        assert_eq!(fetched(&server, AWKWARD).await, content);
    });
}

#[test]
fn a_large_file_goes_in_parts_whose_checksums_join() {
    both(async |server| {
        let content = bytes(3 * PART_BYTES + 12_345);
        let (_folder, path) = file(&content);
        let options = UploadOptions { metadata: described(), ..in_parts() };
        let key = "objects/parts.db";
        let done = upload(&server.store(), &path, key, &options, silent()).await.unwrap();
        assert_eq!((done.bytes, done.parts), (content.len() as u64, 4));
        assert_eq!(done.agreed, Agreed::Checksum);
        let whole = match done.checksum {
            Checksum::Crc32(crc) => u64::from(crc) == u64::from(crc32fast::hash(&content)),
            Checksum::Crc64(crc) => {
                crc == crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &content)
            }
        };
        assert!(whole, "{done:?}");
        assert!(server.sdk().get(key).unwrap() == content);
        assert!(fetched(&server, key).await == content);
        assert_eq!(head(&server.store(), key).await.unwrap().metadata, described());
    });
}

#[test]
fn what_the_official_sdk_writes_is_read() {
    both(async |server| {
        let content = bytes(700_001);
        server.sdk().put("objects/theirs.db", &content).unwrap();
        assert_eq!(fetched(&server, "objects/theirs.db").await, content);
    });
}

#[test]
fn an_empty_file_is_an_object_too() {
    both(async |server| {
        let (_folder, path) = file(b"");
        for options in [UploadOptions::default(), in_parts()] {
            let done = upload(&server.store(), &path, "objects/empty", &options, silent()).await;
            assert_eq!(done.unwrap().bytes, 0);
            assert!(fetched(&server, "objects/empty").await.is_empty());
        }
    });
}

#[test]
fn an_object_is_replaced_only_if_it_may() {
    both(async |server| {
        let store = server.store();
        let (_folder, path) = file(&bytes(PART_BYTES + 10));
        for (key, usual) in
            [("objects/once", UploadOptions::default()), ("objects/twice", in_parts())]
        {
            let careful = UploadOptions { if_absent: true, ..usual.clone() };
            upload(&store, &path, key, &careful, silent()).await.unwrap();
            let again = upload(&store, &path, key, &careful, silent()).await.unwrap_err();
            assert!(matches!(again, Error::Exists(_)), "{key}: {again:?}");
            upload(&store, &path, key, &usual, silent()).await.unwrap();
        }
    });
}

#[test]
fn an_object_is_kept_where_the_condition_of_a_write_is_ignored() {
    let oss = OssServer::start().unwrap();
    let blind = Key::new("writer", "writer-s3cr3t");
    oss.allow(&blind, &["HeadObject", "GetObject"]).unwrap();
    oss.keep_versions().unwrap();
    oss.sdk().put("k", b"theirs").unwrap();
    let server = Server::Oss(oss);
    run(async {
        let (_folder, path) = file(&bytes(PART_BYTES + 10));
        for usual in [UploadOptions::default(), in_parts()] {
            let careful = UploadOptions { if_absent: true, ..usual };
            let again = upload(&server.store(), &path, "k", &careful, silent()).await;
            assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
            assert_eq!(server.sdk().get("k").unwrap(), b"theirs");
            // Who may not ask may still write.
            let store = server.store_with(&blind, &server.options(server.address()));
            let blindly = upload(&store, &path, "new", &careful, silent()).await;
            assert!(matches!(blindly, Err(Error::Unproved { .. })), "{blindly:?}");
        }
        let checked = check(&server.store(), "", &CheckOptions::default(), silent()).await;
        assert!(checked.unwrap().failure.is_none());
        server.sdk().put("etcdprefix-probe", b"theirs").unwrap();
        let checked = check(&server.store(), "", &CheckOptions::default(), silent()).await;
        assert!(matches!(checked.unwrap().failure, Some(Error::Exists(_))));
    });
}

#[test]
fn a_prefix_is_listed_with_what_is_said_of_its_objects() {
    both(async |server| {
        let (store, (_folder, path)) = (server.store(), file(b"snapshot"));
        let keys: Vec<String> = (0..12).map(|n| format!("listed/{n:02} +.db")).collect();
        let options = UploadOptions { metadata: described(), ..Default::default() };
        for key in keys.iter().chain([&"unlisted".to_owned()]) {
            upload(&store, &path, key, &options, silent()).await.unwrap();
        }
        let (found, more) = list_described(&store, "listed/", 100).await.unwrap();
        let names: Vec<_> = found.iter().map(|(listed, _)| listed.key.clone()).collect();
        assert_eq!((names, more), (keys, false));
        for (listed, head) in &found {
            let head = head.as_ref().unwrap();
            assert_eq!((listed.bytes, &listed.etag, &head.metadata), (8, &head.etag, &described()));
        }
        let (found, more) = list(&store, "listed/", 5).await.unwrap();
        assert_eq!((found.len(), more), (5, true));
        let (none, more) = list(&store, "nothing/", 5).await.unwrap();
        assert!(none.is_empty() && !more);
    });
}

#[test]
fn a_prefix_is_listed_even_if_its_objects_may_not_be_asked_about() {
    let server = OssServer::start().unwrap();
    let key = Key::new("lister", "lister-s3cr3t");
    server.allow(&key, &["HeadObject", "GetObject"]).unwrap();
    server.sdk().put("listed", b"snapshot").unwrap();
    let server = Server::Oss(server);
    let store = server.store_with(&key, &server.options(server.address()));
    let (found, _) = run(list_described(&store, "", 10)).unwrap();
    assert!(matches!(found[..], [(_, None)]), "{found:?}");
}

#[test]
fn one_object_that_can_not_be_asked_about_does_not_hide_the_others() {
    let server = OssServer::start().unwrap();
    for key in ["a", "b//c", "d"] {
        server.sdk().put(key, b"snapshot").unwrap();
    }
    let front = Front::start(server.address()).unwrap();
    let act = Act::Refuse { status: 400, code: "Odd", message: "" };
    // Asked again once a GET of one byte is not refused.
    front.rule(Rule { method: "HEAD", holds: "/d", skip: 0, times: 2, act });
    let server = Server::Oss(server);
    let store = server.store_at(&front.address());
    let (found, _) = run(list_described(&store, "", 10)).unwrap();
    let known: Vec<_> = found.iter().map(|(it, head)| (&*it.key, head.is_some())).collect();
    assert_eq!(known, [("a", true), ("b//c", false), ("d", false)]);
}

/// A store that always says that there is more, and never what.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process: it owns nothing but its socket.
    std::thread::spawn(move || {
        for (page, client) in listener.incoming().flatten().enumerate() {
            let lines = BufReader::new(&client).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let body = format!(
                "<ListBucketResult><NextContinuationToken>{page}</NextContinuationToken>\
                 </ListBucketResult>"
            );
            let length = body.len();
            let head = format!("HTTP/1.1 200 -\r\nContent-Length: {length}\r\nConnection: close");
            // A client that goes away is the client's affair.
            let _ = write!(&client, "{head}\r\n\r\n{body}");
        }
    });
    address
}

#[test]
fn a_listing_that_does_not_end_is_given_up() {
    let address = endless();
    both(async |server| {
        let error = list(&server.store_at(&address), "", 10).await.unwrap_err();
        assert!(error.to_string().contains("does not end"), "{error}");
    });
}

#[test]
fn listings_of_many_pages_are_whole() {
    let server = etcdprefix_testkit::stores::OssServer::start().unwrap();
    server.page(3).unwrap();
    let server = Server::Oss(server);
    crate::support::run(async {
        let (store, (_folder, path)) = (server.store(), file(b"x"));
        for n in 0..10 {
            let options = UploadOptions::default();
            upload(&store, &path, &format!("{n}"), &options, silent()).await.unwrap();
        }
        assert_eq!(list(&store, "", 100).await.unwrap().0.len(), 10);
        assert!(!list(&store, "", 10).await.unwrap().1);
        assert!(list(&store, "", 9).await.unwrap().1);
    });
}

#[test]
fn old_signatures_of_oss_work_if_asked_for() {
    let server = Server::shared(Kind::Oss);
    crate::support::run(async {
        let options = etcdprefix_store::StoreOptions {
            signature: etcdprefix_store::Signature::V1,
            region: None,
            ..server.options(server.address())
        };
        let store = server.store_with(server.key(), &options);
        let content = bytes(PART_BYTES + 3);
        let (_folder, path) = file(&content);
        for options in [UploadOptions::default(), in_parts()] {
            upload(&store, &path, "objects/v1", &options, silent()).await.unwrap();
            let mut came = Vec::new();
            download(&store, "objects/v1", &mut came, silent()).await.unwrap();
            assert!(came == content);
        }
        list(&store, "objects/v1", 5).await.unwrap();
    });
}
