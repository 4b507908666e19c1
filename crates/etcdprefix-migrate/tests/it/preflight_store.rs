//! What preflight finds of a store, by the stand-in for OSS.

use anyhow::Result;
use etcdprefix_migrate::node::preflight::Standing::{Fail, Ok as Well, Warn};
use etcdprefix_migrate::protocol::{PreflightRequest, StoreAccess};
use etcdprefix_testkit::stores::{Key, OssServer, S3Server};

use crate::master::Master;

const SECONDS: u64 = 2_400;

/// A master with a key in the call's variables.
fn master(key: &Key) -> Result<Master> {
    let mut master = Master::new()?;
    let mut variables = vec![
        ("OSS_ACCESS_KEY_ID", key.id.clone()),
        ("OSS_ACCESS_KEY_SECRET", key.secret.clone()),
        ("AWS_ACCESS_KEY_ID", key.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.clone()),
    ];
    if let Some(token) = &key.token {
        variables.push(("OSS_SESSION_TOKEN", token.clone()));
    }
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    master.context.environment = variables.collect();
    Ok(master)
}

fn oss(server: &OssServer) -> StoreAccess {
    StoreAccess {
        url: "oss://bucket/moved/".into(),
        endpoint: Some(format!("http://{}", server.address())),
        region: Some(OssServer::REGION.into()),
        path_style: true,
        ..StoreAccess::default()
    }
}

fn request(master: &Master, store: StoreAccess) -> PreflightRequest {
    PreflightRequest { store: Some(store), presign_seconds: SECONDS, ..master.request() }
}

#[test]
fn a_store_that_does_is_left_as_it_was() -> Result<()> {
    let server = OssServer::start()?;
    let master = master(server.key())?;
    let found = master.look(&request(&master, oss(&server)))?;
    found.stands("store", Well, "oss://bucket/moved/: put, fetched and presigned");
    found.stands("store_credentials", Well, "lasting ones from environment");
    assert!(!format!("{:?}", found.0).contains("s3cr3t"));
    let log = server.log();
    let count = |operation: &str| log.get(&(operation.to_owned(), 204)).copied();
    assert!(count("DeleteObject").is_some(), "{log:?}");

    let server = S3Server::start(&[])?;
    let master = crate::preflight_store::master(server.key())?;
    let access = StoreAccess {
        url: "s3://bucket/moved/".into(),
        endpoint: Some(format!("http://{}", server.address())),
        ..StoreAccess::default()
    };
    let found = master.look(&request(&master, access))?;
    found.stands("store", Well, "s3://bucket/moved/");
    Ok(())
}

#[test]
fn what_is_missing_is_told_with_the_statement_to_add() -> Result<()> {
    let server = OssServer::start()?;
    let master = master(server.key())?;
    let request = request(&master, oss(&server));
    server.allow(server.key(), &["PutObject"])?;
    let found = master.look(&request)?;
    found.stands("store", Fail, "oss:PutObject missing");
    found.stands("store", Fail, "k8sMasterRolePolicy");
    found.stands("store", Fail, r#""Resource":["acs:oss:*:*:bucket/*"]"#);

    server.allow(server.key(), &["DeleteObject"])?;
    master.look(&request)?.stands("store", Warn, "oss:DeleteObject denied");
    server.allow(server.key(), &[])?;
    server.protect_by_referer()?;
    master.look(&request)?.stands("store", Fail, "hotlink protection");
    Ok(())
}

#[test]
fn clock_region_and_credentials_are_told() -> Result<()> {
    let server = OssServer::start()?;
    let own = master(server.key())?;
    let elsewhere = StoreAccess { region: Some("cn-beijing".into()), ..oss(&server) };
    let found = own.look(&request(&own, elsewhere))?;
    assert_eq!(found.check("store").standing, Fail, "{:?}", found.check("store"));
    server.skew(3_600)?;
    own.look(&request(&own, oss(&server)))?.stands("store", Fail, "clock");
    server.skew(0)?;

    let stranger = master(&Key::new("LTAInobody", "full-s3cr3t-full"))?;
    let found = stranger.look(&request(&stranger, oss(&server)))?;
    found.stands("store", Fail, "other credentials");
    let mut none = Master::new()?;
    // Nobody answers on a port that nobody has, so no role is found either.
    none.context.environment = ["HOME", "ALIBABA_CLOUD_ECS_METADATA_DISABLED"]
        .map(|name| (name.to_owned(), "true".to_owned()))
        .into();
    let folder = StoreAccess { credentials: Some(none.path("no-folder")), ..oss(&server) };
    let found = none.look(&request(&none, folder))?;
    found.stands("store", Fail, "no credentials");
    let nowhere = StoreAccess { url: "oss://bucket".into(), ..StoreAccess::default() };
    none.look(&request(&none, nowhere))?.stands("store", Fail, "neither endpoint nor region");
    Ok(())
}

#[test]
fn temporary_credentials_that_do_not_tell_their_end_are_named() -> Result<()> {
    let server = OssServer::start()?;
    let key = Key::new("LTAIsts", "full-s3cr3t-full").with_token("s3cr3t-token");
    server.allow(&key, &[])?;
    let master = master(&key)?;
    let found = master.look(&request(&master, oss(&server)))?;
    found.stands("store", Well, "presigned");
    found.stands("store_credentials", Well, "do not say when they end");
    assert!(!format!("{:?}", found.0).contains("s3cr3t"));
    Ok(())
}
