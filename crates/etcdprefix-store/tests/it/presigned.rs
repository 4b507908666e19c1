use std::process::Command;
use std::time::{Duration, SystemTime};

use etcdprefix_store::{
    Cause, Description, Error, Kind, PresignOptions, Reach, SecretUrl, StoreOptions, UploadOptions,
    presign, probe,
};
use etcdprefix_testkit::stores::{Act, Front, Key, OssServer, Rule};

use crate::support::{Server, both, bytes, clean, file, run, silent, upload};

const PROBED: PresignOptions = PresignOptions { lifetime: None, shorter_ok: false, probe: true };

/// As whoever gets the URL fetches it.
fn curl(url: &SecretUrl) -> (String, Vec<u8>) {
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--write-out", "%{stderr}%{http_code}", url.expose()])
        .output()
        .expect("curl is needed");
    (String::from_utf8(output.stderr).unwrap(), output.stdout)
}

#[test]
fn a_url_is_probed_and_fetched_by_curl_until_it_ends() {
    both(async |server| {
        let (store, content) = (server.store(), bytes(4321));
        let (_folder, path) = file(&content);
        let key = "presigned/a b+c%/\u{952e}.db";
        upload(&store, &path, key, &UploadOptions::default(), silent()).await.unwrap();
        let signed = presign(&store, key, &PROBED).await.unwrap();
        assert_eq!(signed.reach, Some(Reach::Fetched { bytes: 4321, encrypted: false }));
        assert_eq!(signed.lifetime, server.kind().presign_lifetime());
        assert_eq!(curl(&signed.url), ("200".into(), content.clone()));
        assert!(!format!("{signed:?}").contains("ignature"), "{signed:?}");

        let tampered = signed.url.expose().replace("presigned/", "presigned/x");
        assert_eq!(curl(&SecretUrl::new(tampered)).0, "403");

        let second = Some(Duration::from_secs(1));
        let brief = PresignOptions { lifetime: second, ..PROBED };
        let short = presign(&store, key, &brief).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let error = probe(&short.url, None).await.unwrap_err();
        assert_eq!(error.refusal().unwrap().cause, Cause::Expired, "{error:?}");
        clean(&error);
    });
}

#[test]
fn an_object_of_one_byte_or_none_is_probed_too() {
    both(async |server| {
        let store = server.store();
        for count in [0usize, 1] {
            let (_folder, path) = file(&bytes(count));
            upload(&store, &path, "presigned/tiny", &UploadOptions::default(), silent())
                .await
                .unwrap();
            let signed = presign(&store, "presigned/tiny", &PROBED).await.unwrap();
            let Some(Reach::Fetched { .. }) = signed.reach else { panic!("{count}: {signed:?}") };
        }
    });
}

#[test]
fn a_probe_tells_that_the_object_is_encrypted() {
    both(async |server| {
        let (store, (_folder, path)) = (server.store(), file(b"age"));
        let encryption = Some("age".to_owned());
        let described = Description { encryption, ..Description::default() };
        let metadata = described.metadata().unwrap();
        let options = UploadOptions { metadata, ..UploadOptions::default() };
        upload(&store, &path, "presigned/age", &options, silent()).await.unwrap();
        let signed = presign(&store, "presigned/age", &PROBED).await.unwrap();
        assert_eq!(signed.reach, Some(Reach::Fetched { bytes: 3, encrypted: true }));
        assert!(!signed.end_unknown);
    });
}

#[test]
fn a_store_that_can_not_answer_now_is_asked_again() {
    both(async |server| {
        server.sdk().put("presigned/busy", b"x").unwrap();
        let front = Front::start(server.address()).unwrap();
        let store = server.store_at(&front.address());
        let act = Act::Refuse { status: 503, code: "SlowDown", message: "" };
        let rule = Rule { method: "GET", holds: "", skip: 0, times: 2, act };
        front.rule(rule.clone());
        let reach = async || presign(&store, "presigned/busy", &PROBED).await.unwrap().reach;
        assert_eq!(reach().await, Some(Reach::Fetched { bytes: 1, encrypted: false }));
        front.rule(Rule { times: 100, ..rule });
        let Some(Reach::Unreachable(why)) = reach().await else { panic!() };
        assert!(why.contains("SlowDown") && !why.contains("ignature="), "{why}");
    });
}

#[test]
fn a_fresh_url_that_has_expired_is_a_clock_that_is_off() {
    let server = OssServer::start().unwrap();
    server.sdk().put("k", b"x").unwrap();
    server.skew(7200).unwrap();
    let server = Server::Oss(server);
    run(async {
        let error = presign(&server.store(), "k", &PROBED).await.unwrap_err();
        clean(&error);
        let Cause::ClockSkew(Some(_)) = error.refusal().unwrap().cause else { panic!("{error:?}") };
        let text = error.to_string();
        assert!(text.contains("this machine's clock is 7") && text.contains("s behind"), "{text}");
    });
}

#[test]
fn a_token_that_does_not_say_when_it_ends_is_told() {
    both(async |server| {
        let key = crate::credentials::with_token(&server).with_token("any-s3cr3t");
        let mut environment = crate::support::environment(server.kind(), &key);
        let store = crate::credentials::store_of(&server, environment.clone());
        assert!(presign(&store, "k", &PresignOptions::default()).await.unwrap().end_unknown);
        let name = "AWS_CREDENTIAL_EXPIRATION".to_owned();
        environment.variables.insert(name, "2999-01-01T00:00:00+00:00".into());
        let store = crate::credentials::store_of(&server, environment);
        let signed = presign(&store, "k", &PresignOptions::default()).await.unwrap();
        assert_eq!(signed.end_unknown, server.kind() == Kind::Oss);
    });
}

#[test]
fn a_probe_tells_why_the_url_does_not_work() {
    let server = OssServer::start().unwrap();
    let key = server.key().clone();
    let server = Server::Oss(server);
    let Server::Oss(oss) = &server else { unreachable!() };
    run(async {
        let (store, (_folder, path)) = (server.store(), file(b"x"));
        upload(&store, &path, "k", &UploadOptions::default(), silent()).await.unwrap();
        let refused = async |key| {
            let error = presign(&store, key, &PROBED).await.unwrap_err();
            clean(&error);
            error.refusal().unwrap().cause.clone()
        };
        assert_eq!(refused("none").await, Cause::NoObject);
        oss.allow(&key, &["GetObject"]).unwrap();
        assert_eq!(refused("k").await, Cause::Denied);
        oss.protect_by_referer().unwrap();
        assert_eq!(refused("k").await, Cause::Referer);
    });
}

#[test]
fn a_url_of_a_host_that_is_elsewhere_is_given_out_with_a_word() {
    both(async |server| {
        let options = StoreOptions {
            presign_endpoint: Some("http://127.0.0.1:9".into()),
            ..server.options(server.address())
        };
        let store = server.store_with(server.key(), &options);
        let signed = presign(&store, "k", &PROBED).await.unwrap();
        assert!(signed.url.expose().starts_with("http://127.0.0.1:9/"), "{signed:?}");
        let Some(Reach::Unreachable(why)) = signed.reach else { panic!("{signed:?}") };
        assert!(!why.contains("ignature") && why.contains("cannot connect"), "{why}");
    });
}

#[test]
fn a_lifetime_that_no_signature_takes_is_refused() {
    both(async |server| {
        for seconds in [0, 7 * 24 * 3600 + 1] {
            let lifetime = Some(Duration::from_secs(seconds));
            let options = PresignOptions { lifetime, ..PresignOptions::default() };
            let refused = presign(&server.store(), "k", &options).await;
            assert!(matches!(refused, Err(Error::Usage(_))), "{seconds}");
        }
    });
}

/// With a role's credentials that last so long.
async fn with_role(left: Duration, options: PresignOptions) -> (SystemTime, Result<u64, Error>) {
    let server = OssServer::start().unwrap();
    let key = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken-s3cr3t/+=");
    server.allow(&key, &[]).unwrap();
    server.sdk().put("k", b"x").unwrap();
    let ends = SystemTime::now() + left;
    let metadata = crate::credentials::Metadata::start(&key, ends);
    let server = Server::Oss(server);
    let store = crate::credentials::store_of(&server, metadata.environment());
    let signed = presign(&store, "k", &options).await;
    let signed = signed.map(|signed| {
        assert_eq!(curl(&signed.url).0, "200");
        assert!(signed.ends <= ends + Duration::from_secs(1));
        signed.lifetime.as_secs()
    });
    (ends, signed)
}

#[test]
fn the_end_of_a_roles_credentials_is_the_end_of_the_url() {
    run(async {
        let seconds = Duration::from_secs;
        let (_, whole) = with_role(seconds(4000), PROBED).await;
        assert_eq!(whole.unwrap(), Kind::Oss.presign_lifetime().as_secs());
        let (_, error) = with_role(seconds(1200), PROBED).await;
        let error = error.unwrap_err();
        let Error::CredentialsEnd { left, .. } = &error else { panic!("{error:?}") };
        assert!((1100..=1200).contains(&left.as_secs()));
        clean(&error);
        let options = PresignOptions { shorter_ok: true, ..PROBED };
        let (_, shorter) = with_role(seconds(1200), options).await;
        assert!((1100..=1200).contains(&shorter.unwrap()));
    });
}
