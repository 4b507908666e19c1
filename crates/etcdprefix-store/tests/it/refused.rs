use etcdprefix_store::{
    Cause, Error, Kind, Presence, StoreOptions, UploadOptions, delete, find, head, list,
};
use etcdprefix_testkit::stores::{Key, OssServer};

use crate::support::{Server, both, clean, file, in_parts, run, silent, upload, write_only};

fn cause(error: &Error) -> Cause {
    clean(error);
    let refusal = match error {
        Error::Unproved { why, .. } => why.refusal(),
        error => error.refusal(),
    };
    refusal.unwrap_or_else(|| panic!("{error:?}")).cause.clone()
}

#[test]
fn wrong_keys_are_told_apart_and_never_shown() {
    both(async |server| {
        let (_folder, path) = file(b"snapshot");
        let good = server.key();
        for (key, expected) in [
            (Key::new(&good.id, "wrong-s3cr3t"), Cause::WrongSecret),
            (Key::new("nobody", "wrong-s3cr3t"), Cause::UnknownKey),
        ] {
            let store = server.store_with(&key, &server.options(server.address()));
            for options in [UploadOptions::default(), in_parts()] {
                let error = upload(&store, &path, "refused/k", &options, silent()).await;
                assert_eq!(cause(&error.unwrap_err()), expected);
            }
            assert_eq!(cause(&list(&store, "", 1).await.unwrap_err()), expected);
        }
    });
}

#[test]
fn a_wrong_token_is_told_and_never_shown() {
    let server = OssServer::start().unwrap();
    let key = Key::new("STS.id", "sts-s3cr3t").with_token("right-s3cr3t");
    server.allow(&key, &[]).unwrap();
    let server = Server::Oss(server);
    run(async {
        let wrong = key.clone().with_token("wrong-s3cr3t");
        let options = server.options(server.address());
        let error = list(&server.store_with(&wrong, &options), "", 1).await.unwrap_err();
        assert_eq!(cause(&error), Cause::BadToken);
        list(&server.store_with(&key, &options), "", 1).await.unwrap();
    });
}

#[test]
fn a_wrong_region_is_told() {
    let server = Server::shared(Kind::Oss);
    run(async {
        let region = Some("cn-beijing".into());
        let options = StoreOptions { region, ..server.options(server.address()) };
        let store = server.store_with(server.key(), &options);
        let error = list(&store, "", 1).await.unwrap_err();
        assert_eq!(cause(&error), Cause::WrongRegion(None), "{error}");
    });
}

#[test]
fn a_clock_that_is_off_is_told() {
    let server = OssServer::start().unwrap();
    server.skew(3600).unwrap();
    let server = Server::Oss(server);
    run(async {
        let error = list(&server.store(), "", 1).await.unwrap_err();
        let Cause::ClockSkew(Some(theirs)) = cause(&error) else { panic!("{error:?}") };
        let ahead = theirs.duration_since(std::time::SystemTime::now()).unwrap();
        assert!((3500..3700).contains(&ahead.as_secs()), "{ahead:?}");
    });
}

#[test]
fn what_is_not_there_is_told() {
    both(async |server| {
        assert_eq!(
            cause(&head(&server.store(), "refused/none").await.unwrap_err()),
            Cause::NoObject
        );
        let other = etcdprefix_store::ObjectLocation {
            bucket: "no-such-bucket".into(),
            ..crate::support::location(server.kind())
        };
        let environment = crate::support::environment(server.kind(), server.key());
        let options = server.options(server.address());
        let store = etcdprefix_store::Store::open(&other, &options, &environment).unwrap();
        assert_eq!(cause(&list(&store, "", 1).await.unwrap_err()), Cause::NoBucket);
        // A HEAD alone has nothing but its status to tell.
        assert_eq!(cause(&head(&store, "none").await.unwrap_err()), Cause::NoBucket);
    });
}

#[test]
fn whether_there_is_an_object_is_told_from_whether_one_may_know() {
    both(async |server| {
        let (store, options) = (server.store(), server.options(server.address()));
        server.sdk().put("refused/there", b"x").unwrap();
        server.sdk().put("refused/empty", b"").unwrap();
        let there = async |key| find(&store, key).await.unwrap();
        assert_eq!(there("refused/there").await, Presence::There);
        assert_eq!(there("refused/empty").await, Presence::There);
        assert_eq!(there("refused/nothing").await, Presence::Absent);
        let wrong = Key::new(&server.key().id, "wrong-s3cr3t");
        let error = find(&server.store_with(&wrong, &options), "refused/there").await.unwrap_err();
        assert_eq!(cause(&error), Cause::WrongSecret);
    });
}

#[test]
fn an_object_that_may_not_be_asked_about_is_unknown() {
    let oss = OssServer::start().unwrap();
    let key = Key::new("writer", "writer-s3cr3t");
    oss.allow(&key, &["HeadObject", "GetObject"]).unwrap();
    for (server, key) in [(Server::Oss(oss), key), (Server::start(Kind::S3).unwrap(), write_only())]
    {
        run(async {
            server.sdk().put("k", b"x").unwrap();
            let store = server.store_with(&key, &server.options(server.address()));
            assert_eq!(find(&store, "k").await.unwrap(), Presence::Unknown);
        });
    }
}

#[test]
fn an_upload_that_may_not_be_proved_says_so() {
    let server = OssServer::start().unwrap();
    let key = Key::new("writer", "writer-s3cr3t");
    server.allow(&key, &["HeadObject", "GetObject", "ListObjectsV2"]).unwrap();
    for (server, key) in
        [(Server::Oss(server), key), (Server::start(Kind::S3).unwrap(), write_only())]
    {
        run(async {
            let (_folder, path) = file(b"snapshot");
            let store = server.store_with(&key, &server.options(server.address()));
            let options = UploadOptions::default();
            let error = upload(&store, &path, "refused/unproved", &options, silent()).await;
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Unproved { .. }), "{error:?}");
            assert_eq!(cause(&error), Cause::Denied);
        });
    }
}

#[test]
fn a_probe_can_be_removed_if_that_is_allowed() {
    let server = OssServer::start().unwrap();
    let key = server.key().clone();
    let server = Server::Oss(server);
    run(async {
        let (store, (_folder, path)) = (server.store(), file(b"x"));
        upload(&store, &path, "probe", &UploadOptions::default(), silent()).await.unwrap();
        let Server::Oss(oss) = &server else { unreachable!() };
        oss.allow(&key, &["DeleteObject"]).unwrap();
        assert_eq!(cause(&delete(&store, "probe").await.unwrap_err()), Cause::Denied);
        oss.allow(&key, &[]).unwrap();
        delete(&store, "probe").await.unwrap();
        assert!(head(&store, "probe").await.is_err());
    });
}

#[test]
fn a_host_that_is_not_there_is_told_soon() {
    both(async |server| {
        let store = server.store_at("127.0.0.1:9");
        let error = list(&store, "", 1).await.unwrap_err();
        clean(&error);
        let Error::Unreachable { host, why } = &error else { panic!("{error:?}") };
        assert!(host == "http://127.0.0.1:9" && why.contains("connect"), "{error}");
    });
}
