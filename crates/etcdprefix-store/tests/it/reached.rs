use std::process::Command;

use etcdprefix_store::{
    Addressing, Environment, Error, Kind, PresignOptions, Reach, Store, StoreOptions,
    UploadOptions, list, presign, probe,
};
use etcdprefix_testkit::certs::{Authority, Subject};
use etcdprefix_testkit::stores::S3Server;

use crate::support::{Server, both, bytes, clean, file, in_parts, run, silent, upload};

#[test]
fn a_store_with_a_certificate_of_its_own_authority_is_trusted_if_told_to() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(Subject::SERVER).unwrap();
    let s3 = S3Server::start_with(&[], Some(&identity)).unwrap();
    let url = format!("https://{}", s3.tls_address());
    let server = Server::S3(s3);
    run(async {
        let strange = StoreOptions { endpoint: Some(url), ..server.options("") };
        let error = list(&server.store_with(server.key(), &strange), "", 1).await.unwrap_err();
        clean(&error);
        let Error::Unreachable { why, .. } = &error else { panic!("{error:?}") };
        assert!(why.contains("certificate"), "{why}");

        let ca_file = Some(authority.certificate().to_owned());
        let store = server.store_with(server.key(), &StoreOptions { ca_file, ..strange });
        let (_folder, path) = file(&bytes(6 << 20));
        upload(&store, &path, "tls", &in_parts(), silent()).await.unwrap();
        let options = PresignOptions { probe: true, ..PresignOptions::default() };
        let signed = presign(&store, "tls", &options).await.unwrap();
        assert_eq!(signed.reach, Some(Reach::Fetched { bytes: 6 << 20, encrypted: false }));
        let reach = probe(&signed.url, Some(authority.certificate())).await.unwrap();
        assert_eq!(reach, Reach::Fetched { bytes: 6 << 20, encrypted: false });
        assert!(matches!(probe(&signed.url, None).await.unwrap(), Reach::Unreachable(_)));
    });
}

#[test]
fn a_file_of_authorities_that_holds_none_is_refused() {
    both(async |server| {
        let (_folder, path) = file(b"no certificate");
        let options = StoreOptions { ca_file: Some(path), ..server.options(server.address()) };
        let environment = crate::support::environment(server.kind(), server.key());
        let location = crate::support::location(server.kind());
        let opened = etcdprefix_store::Store::open(&location, &options, &environment);
        assert!(matches!(opened, Err(Error::Usage(why)) if why.contains("no certificate")));
    });
}

#[test]
fn a_profile_tells_where_its_store_is() {
    let home = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let config = "[profile team]\nregion = eu-north-1\n";
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let environment = Environment { home: Some(home.path().into()), ..Environment::default() };
    let location = crate::support::location(Kind::S3);
    let mut options = StoreOptions::default();
    options.credentials.profile = Some("team".into());
    let store = Store::open(&location, &options, &environment).unwrap();
    assert_eq!(store.endpoint().to_string(), "https://s3.eu-north-1.amazonaws.com");
    options.credentials.profile = None;
    assert!(matches!(Store::open(&location, &options, &environment), Err(Error::Usage(_))));
}

/// Names of the form `bucket.host` lead nowhere here, so curl is told where to go.
#[test]
fn a_url_with_the_bucket_in_its_host_is_signed_right() {
    let server = Server::shared(Kind::Oss);
    run(async {
        let content = bytes(999);
        let (_folder, path) = file(&content);
        let key = "reached/a b.db";
        upload(&server.store(), &path, key, &UploadOptions::default(), silent()).await.unwrap();
        let port = server.address().rsplit(':').next().unwrap();
        let options = StoreOptions {
            endpoint: Some(format!("http://oss-cn-hangzhou.oss.test:{port}")),
            addressing: Some(Addressing::VirtualHost),
            ..server.options("")
        };
        let store = server.store_with(server.key(), &options);
        let signed = presign(&store, key, &PresignOptions::default()).await.unwrap();
        let host = "http://bucket.oss-cn-hangzhou.oss.test:";
        assert!(signed.url.expose().starts_with(host), "{signed:?}");
        let resolve = format!("bucket.oss-cn-hangzhou.oss.test:{port}:127.0.0.1");
        let output = Command::new("curl")
            .args(["--silent", "--fail", "--noproxy", "*", "--resolve", &resolve])
            .arg(signed.url.expose())
            .output()
            .expect("curl is needed");
        assert!(output.status.success() && output.stdout == content);
    });
}
