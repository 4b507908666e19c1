use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcdprefix_store::{Agreed, Error, StoreOptions, UploadOptions, Uploaded, download, head};
use etcdprefix_testkit::stores::{Act, Front, OssServer, Rule};

use crate::support::{
    Counted, PART_BYTES, Server, both, bytes, clean, file, in_parts, run, silent, upload,
};

const UNAVAILABLE: Act = Act::Refuse { status: 503, code: "SlowDown", message: "slow down" };

fn rule(method: &'static str, holds: &'static str, times: usize, act: Act) -> Rule {
    Rule { method, holds, skip: 0, times, act }
}

/// Uploads through a front with these rules and reads back what came.
async fn uploaded(server: &Server, key: &str, options: &UploadOptions, rules: &[Rule]) -> Uploaded {
    let front = Front::start(server.address()).unwrap();
    rules.iter().for_each(|rule| front.rule(rule.clone()));
    let content = bytes(2 * PART_BYTES + 7);
    let (_folder, path) = file(&content);
    let progress = Arc::new(Counted::default());
    let store = server.store_at(&front.address());
    let done = upload(&store, &path, key, options, progress.clone()).await.unwrap();
    assert_eq!(front.done(), rules.iter().map(|rule| rule.times).sum::<usize>());
    assert_eq!(progress.done.load(Ordering::SeqCst), content.len() as u64, "shown once");
    assert!(server.sdk().get(key).unwrap() == content);
    done
}

#[test]
fn an_upload_survives_refusals_and_broken_connections() {
    both(async |server| {
        let cut = |method, holds| rule(method, holds, 2, Act::CutRequest { after: 2_000_000 });
        let rules = [
            rule("POST", "uploads", 2, UNAVAILABLE),
            cut("PUT", "partNumber=2"),
            rule("PUT", "partNumber=1", 1, Act::LoseAnswer),
            rule("PUT", "partNumber=3", 1, Act::CutAnswer { after: 20 }),
            rule("HEAD", "", 2, UNAVAILABLE),
        ];
        let done = uploaded(&server, "broken/parts", &in_parts(), &rules).await;
        // A connection that the front closes after its one request may be reused once in vain.
        assert!(done.parts == 3 && done.repeated >= 4, "{done:?}");
        let rules = [cut("PUT", ""), rule("PUT", "", 1, UNAVAILABLE)];
        let usual = UploadOptions::default();
        assert!(uploaded(&server, "broken/whole", &usual, &rules).await.repeated >= 3);
    });
}

#[test]
fn an_answer_that_was_lost_does_not_make_ours_another_s() {
    both(async |server| {
        let lost = |method, holds| [rule(method, holds, 1, Act::LoseAnswer)];
        let once = UploadOptions { if_absent: true, ..UploadOptions::default() };
        uploaded(&server, "broken/lost-whole", &once, &lost("PUT", "")).await;
        let parts = UploadOptions { if_absent: true, ..in_parts() };
        uploaded(&server, "broken/lost-parts", &parts, &lost("POST", "uploadId")).await;
    });
}

/// What a store that keeps no checksum, and makes its ETags of something else, does not say.
const HIDDEN: Act = Act::HideHeaders(&["etag", "x-oss-hash-crc64ecma", "x-amz-checksum-crc32"]);

#[test]
fn an_object_of_the_same_size_is_not_taken_for_ours() {
    both(async |server| {
        let (key, theirs) = ("broken/theirs", vec![7; 50_000]);
        let (_folder, path) = file(&bytes(50_000));
        let front = Front::start(server.address()).unwrap();
        // The second try waits until the other's object is there.
        front.rule(rule("PUT", "", 1, Act::Refuse { status: 500, code: "", message: "" }));
        front.rule(rule("PUT", "", 1, Act::Hold));
        front.rule(rule("HEAD", "", 9, HIDDEN));
        let store = server.store_at(&front.address());
        let options = UploadOptions { if_absent: true, ..UploadOptions::default() };
        let upload = upload(&store, &path, key, &options, silent());
        let write = async {
            while front.done() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            server.sdk().put(key, &theirs).unwrap();
            front.release();
        };
        let (ended, ()) = tokio::join!(upload, write);
        assert!(matches!(ended, Err(Error::Exists(_))), "{ended:?}");
        assert!(server.sdk().get(key).unwrap() == theirs);
    });
}

fn maybe_written(ended: Result<Uploaded, Error>) -> Error {
    match ended {
        Err(Error::MaybeWritten { why, .. }) => *why,
        ended => panic!("{ended:?}"),
    }
}

#[test]
fn parts_that_were_put_together_unseen_are_an_upload_if_that_is_proved() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        // Some tries may go to connections that the front has closed.
        front.rule(rule("POST", "uploadId", 100, Act::LoseAnswer));
        let content = bytes(PART_BYTES + 1);
        let (_folder, path) = file(&content);
        let (store, key) = (server.store_at(&front.address()), "broken/unseen");
        let done = upload(&store, &path, key, &in_parts(), silent()).await.unwrap();
        assert!(done.repeated >= 6 && done.agreed == Agreed::Checksum, "{done:?}");
        assert!(server.sdk().get(key).unwrap() == content);

        front.rule(rule("HEAD", "", 100, UNAVAILABLE));
        let why = maybe_written(upload(&store, &path, key, &in_parts(), silent()).await);
        assert!(matches!(why, Error::Unreachable { .. }), "{why:?}");
    });
}

#[test]
fn an_object_whose_answer_never_came_may_be_there() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "", 100, Act::LoseAnswer));
        let content = bytes(300_000);
        let (_folder, path) = file(&content);
        let (store, key) = (server.store_at(&front.address()), "broken/never");
        let ended = upload(&store, &path, key, &UploadOptions::default(), silent()).await;
        let why = maybe_written(ended);
        assert!(matches!(why, Error::Unreachable { .. }), "{why:?}");
        assert!(server.sdk().get(key).unwrap() == content);
    });
}

/// Interrupts an upload while this request of it is held, which goes on a little later.
async fn interrupted(
    server: &Server,
    held: Rule,
    options: &UploadOptions,
) -> Result<Uploaded, Error> {
    let front = Front::start(server.address()).unwrap();
    front.rule(held);
    let (progress, (_folder, path)) = (Arc::new(Counted::default()), file(&bytes(PART_BYTES + 1)));
    let store = server.store_at(&front.address());
    let upload = upload(&store, &path, "broken/held", options, progress.clone());
    let interrupt = async {
        while front.done() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        progress.stopped.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
        front.release();
    };
    tokio::join!(upload, interrupt).0
}

#[test]
fn an_interruption_says_what_may_have_been_written() {
    both(async |server| {
        let held = rule("PUT", "", 1, Act::Hold);
        let ended = interrupted(&server, held, &UploadOptions::default()).await;
        assert!(matches!(maybe_written(ended), Error::Interrupted));
    });
}

#[test]
fn what_was_taken_is_proved_although_an_interruption_came() {
    both(async |server| {
        for options in [UploadOptions::default(), in_parts()] {
            interrupted(&server, rule("HEAD", "", 1, Act::Hold), &options).await.unwrap();
        }
    });
}

#[test]
fn parts_that_are_being_put_together_are_let_finish() {
    both(async |server| {
        let complete = rule("POST", "uploadId", 1, Act::Hold);
        interrupted(&server, complete, &in_parts()).await.unwrap();
        assert!(head(&server.store(), "broken/held").await.unwrap().bytes > PART_BYTES as u64);
    });
}

#[test]
fn what_arrives_damaged_is_refused_and_sent_again() {
    both(async |server| {
        let flipped = |holds| [rule("PUT", holds, 2, Act::FlipRequest { at: 1_000_000 })];
        let usual = UploadOptions::default();
        uploaded(&server, "broken/flipped-whole", &usual, &flipped("")).await;
        uploaded(&server, "broken/flipped-part", &in_parts(), &flipped("partNumber=2")).await;
    });
}

#[test]
fn an_object_that_is_not_what_was_sent_is_told() {
    both(async |server| {
        let key = "broken/other";
        let (sent, others) = (bytes(50_000), [bytes(49_999), vec![0; 50_000]]);
        let (_folder, path) = file(&sent);
        for other in others {
            let front = Front::start(server.address()).unwrap();
            front.rule(rule("HEAD", "", 1, Act::Hold));
            let (store, options) = (server.store_at(&front.address()), UploadOptions::default());
            let upload = upload(&store, &path, key, &options, silent());
            let replace = async {
                while front.done() == 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                server.sdk().put(key, &other).unwrap();
                front.release();
            };
            let (ended, ()) = tokio::join!(upload, replace);
            assert!(matches!(ended, Err(Error::Differs { .. })), "{ended:?}");
        }
    });
}

#[test]
fn a_stalled_connection_is_given_up() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "", 1, Act::Stall));
        let options = StoreOptions {
            idle_timeout: Duration::from_millis(700),
            ..server.options(&front.address())
        };
        let (_folder, path) = file(&bytes(6 << 20));
        let store = server.store_with(server.key(), &options);
        let done = upload(&store, &path, "broken/stall", &UploadOptions::default(), silent()).await;
        assert!(done.unwrap().repeated >= 1);
    });
}

#[test]
fn a_store_that_takes_its_time_for_an_answer_is_waited_for() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "", 1, Act::Hold));
        let options = StoreOptions {
            idle_timeout: Duration::from_secs(2),
            ..server.options(&front.address())
        };
        let (_folder, path) = file(&bytes(20_000));
        let (store, usual) = (server.store_with(server.key(), &options), UploadOptions::default());
        let upload = upload(&store, &path, "broken/slow", &usual, silent());
        let release = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            front.release();
        };
        let (done, ()) = tokio::join!(upload, release);
        assert_eq!(done.unwrap().repeated, 0);
    });
}

#[test]
fn a_failed_upload_leaves_no_parts() {
    both(async |server| {
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "partNumber=2", 100, UNAVAILABLE));
        let (_folder, path) = file(&bytes(2 * PART_BYTES));
        let store = server.store_at(&front.address());
        let error =
            upload(&store, &path, "broken/failed", &in_parts(), silent()).await.unwrap_err();
        // The last try's connection may be one that the front has closed after an earlier request.
        let refused = error.refusal().is_some_and(|refusal| refusal.code == "SlowDown");
        assert!(refused || matches!(error, Error::Unreachable { .. }), "{error:?}");
        clean(&error);
        assert!(head(&server.store(), "broken/failed").await.is_err());
        match &*server {
            Server::S3(s3) => assert!(s3.sdk().uploads("broken/failed").unwrap().is_empty()),
            Server::Oss(oss) => assert!(oss.log()[&("AbortMultipartUpload".into(), 204)] > 0),
        }
    });
}

#[test]
fn parts_that_may_not_be_removed_are_named() {
    let server = OssServer::start().unwrap();
    let key = server.key().clone();
    server.allow(&key, &["AbortMultipartUpload", "CompleteMultipartUpload"]).unwrap();
    let server = Server::Oss(server);
    run(async {
        let (_folder, path) = file(&bytes(PART_BYTES + 1));
        let error =
            upload(&server.store(), &path, "left", &in_parts(), silent()).await.unwrap_err();
        clean(&error);
        let Error::PartsLeft { upload_id, .. } = &error else { panic!("{error:?}") };
        let text = error.to_string();
        assert!(text.contains(upload_id.as_str()) && text.contains("lifecycle rule"), "{text}");
        let Server::Oss(server) = &server else { unreachable!() };
        assert_eq!(server.log()[&("AbortMultipartUpload".into(), 403)], 1);
    });
}

#[test]
fn an_interruption_ends_the_upload_and_removes_its_parts() {
    both(async |server| {
        let progress = Counted { stop_after: Some(2 * PART_BYTES as u64), ..Default::default() };
        let (_folder, path) = file(&bytes(6 * PART_BYTES));
        let options = UploadOptions { parallel: 1, ..in_parts() };
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "partNumber=4", 1, Act::Stall));
        let store = server.store_at(&front.address());
        let ended = upload(&store, &path, "broken/stopped", &options, Arc::new(progress)).await;
        assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
        assert!(head(&server.store(), "broken/stopped").await.is_err());
    });
}

#[test]
fn a_file_that_changes_under_way_is_not_uploaded() {
    both(async |server| {
        let (_folder, path) = file(&bytes(3 * PART_BYTES));
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("PUT", "partNumber=2", 1, Act::Hold));
        let store = server.store_at(&front.address());
        let options = UploadOptions { parallel: 1, ..in_parts() };
        let upload = upload(&store, &path, "broken/changed", &options, silent());
        let change = async {
            while front.done() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::fs::write(&path, bytes(3 * PART_BYTES + 1)).unwrap();
            front.release();
        };
        let (ended, ()) = tokio::join!(upload, change);
        assert!(matches!(ended, Err(Error::FileChanged { .. })), "{ended:?}");
        assert!(head(&server.store(), "broken/changed").await.is_err());
    });
}

#[test]
fn a_download_goes_on_where_it_broke() {
    both(async |server| {
        let content = bytes(3 * PART_BYTES);
        server.sdk().put("broken/fetched", &content).unwrap();
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("GET", "", 2, Act::CutAnswer { after: PART_BYTES }));
        front.rule(rule("GET", "", 1, UNAVAILABLE));
        let (mut came, progress) = (Vec::new(), Arc::new(Counted::default()));
        let store = server.store_at(&front.address());
        let done = download(&store, "broken/fetched", &mut came, progress.clone()).await.unwrap();
        assert!(came == content && done.resumed == 2, "{done:?}");
        assert_eq!(progress.done.load(Ordering::SeqCst), content.len() as u64);
    });
}

#[test]
fn a_download_without_an_etag_goes_on_nowhere() {
    both(async |server| {
        let content = bytes(2 * PART_BYTES);
        server.sdk().put("broken/nameless", &content).unwrap();
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("HEAD", "", 2, Act::HideHeaders(&["etag"])));
        front.rule(rule("GET", "", 1, Act::CutAnswer { after: PART_BYTES }));
        let store = server.store_at(&front.address());
        let (mut came, key) = (Vec::new(), "broken/nameless");
        let broken = download(&store, key, &mut came, silent()).await;
        assert!(matches!(broken, Err(Error::Unreachable { .. })), "{broken:?}");
        came.clear();
        download(&store, key, &mut came, silent()).await.unwrap();
        assert!(came == content);
    });
}

#[test]
fn an_object_that_is_replaced_under_way_is_not_mixed() {
    both(async |server| {
        let key = "broken/replaced";
        server.sdk().put(key, &bytes(2 * PART_BYTES)).unwrap();
        let front = Front::start(server.address()).unwrap();
        front.rule(rule("GET", "", 1, Act::CutAnswer { after: PART_BYTES }));
        front.rule(rule("GET", "", 1, Act::Hold));
        let store = server.store_at(&front.address());
        let mut came = Vec::new();
        let fetch = download(&store, key, &mut came, silent());
        let replace = async {
            while front.done() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            server.sdk().put(key, &bytes(2 * PART_BYTES - 1)).unwrap();
            front.release();
        };
        let (ended, ()) = tokio::join!(fetch, replace);
        assert!(matches!(ended, Err(Error::ObjectChanged { .. })), "{ended:?}");
    });
}
