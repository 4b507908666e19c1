//! Keys, clocks, and answers that don't come.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_migrate::Error;
use etcdprefix_migrate::cloud::{Api, ApiError, ApiOptions, RunCommand, Targets, client_token};
use etcdprefix_store::{Environment, Retry};
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::certs::{Authority, Subject};
use etcdprefix_testkit::openapi::{Fault, OpenApi};
use etcdprefix_testkit::stores::Key;
use serde_json::json;
use tempfile::TempDir;

use super::{Cloud, INSTANCE, client, client_of_folder};

/// What a refused call is told to people as.
async fn told(api: &Api) -> (String, String) {
    let error = command(api, "echo c0mmand", "t").await.unwrap_err();
    let code = error.code().unwrap_or_default().to_owned();
    let shown = format!("{error:?}");
    (code, format!("{shown} {}", Error::from(error)))
}

async fn command(api: &Api, content: &str, client_token: &str) -> Result<String, ApiError> {
    let command = RunCommand {
        name: "test",
        content,
        instance_id: INSTANCE,
        timeout_seconds: 60,
        client_token,
    };
    api.run_command(&command).await
}

#[test]
fn whoever_may_not_ask_is_told_why_and_no_secret_is() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let server = &cloud.server;
        let id = &server.key().id;
        let denied = Key::new("LTAIdenied", "denied-s3cr3t");
        server.allow(&denied, &["RunCommand"])?;
        let temporary = Key::new("STS.key", "temporary-s3cr3t").with_token("t0k3n-s3cr3t");
        server.allow(&temporary, &[])?;
        assert!(command(&client(server, &temporary)?, "true", "x").await.is_ok());
        for (key, code, advice) in [
            (Key::new(id, "wrong-s3cr3t"), "SignatureDoesNotMatch", "the secret"),
            (Key::new("LTAInone", "s3cr3t"), "InvalidAccessKeyId.NotFound", "another access key"),
            (denied, "Forbidden.RAM", "migrate policy"),
            (
                Key::new("STS.key", "temporary-s3cr3t").with_token("old-s3cr3t"),
                "InvalidSecurityToken.Expired",
                "credentials that have not ended",
            ),
        ] {
            let (found, told) = told(&client(server, &key)?).await;
            assert_eq!(found, code, "{told}");
            assert!(told.contains(advice) && !told.contains("s3cr3t"), "{told}");
            assert!(!told.contains("ZWNobyBj"), "{told}");
            let theirs = server.sdk_as(&key, "run_command", &json!({"InstanceId": [INSTANCE]}))?;
            assert_eq!(theirs["error"], code);
        }
        assert!(!server.log().contains("s3cr3t") && !server.log().contains("c0mmand"));
        Ok(())
    })
}

#[test]
fn a_clock_that_is_off_is_told() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        for skew in [1_000, -1_000] {
            cloud.server.skew(skew)?;
            let (code, told) = told(&cloud.api).await;
            assert_eq!(code, "InvalidTimeStamp.Expired");
            assert!(told.contains("clock"), "{told}");
        }
        cloud.server.skew(800)?;
        assert!(command(&cloud.api, "true", "t").await.is_ok());
        Ok(())
    })
}

#[test]
fn without_credentials_it_is_told_where_they_were_looked_for() -> Result<()> {
    block_on(async {
        let server = OpenApi::start()?;
        let api = client_of_folder(&server, "/nonexistent".into())?;
        let error = command(&api, "true", "t").await.unwrap_err();
        assert!(matches!(&error, ApiError::NoCredentials(_)), "{error:?}");
        assert!(error.to_string().contains("the folder"), "{error}");
        assert!(server.calls().is_empty());
        Ok(())
    })
}

fn write(folder: &Path, key: &Key) -> Result<()> {
    fs::write(folder.join("access-key-id"), &key.id)?;
    fs::write(folder.join("access-key-secret"), &key.secret)?;
    Ok(fs::write(folder.join("security-token"), key.token.as_deref().unwrap_or_default())?)
}

#[test]
fn credentials_that_ended_are_loaded_anew_once() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let folder = TempDir::new()?;
        let old = Key::new("STS.key", "s3cr3t").with_token("old");
        cloud.server.allow(&old, &[])?;
        write(folder.path(), &old)?;
        let api = client_of_folder(&cloud.server, folder.path().into())?;
        assert!(command(&api, "true", "a").await.is_ok());

        let fresh = old.with_token("fresh");
        cloud.server.allow(&fresh, &[])?;
        write(folder.path(), &fresh)?;
        assert!(command(&api, "true", "b").await.is_ok());

        cloud.server.allow(&fresh.with_token("fresher"), &[])?;
        assert!(command(&api, "true", "c").await.is_err());
        let outcomes = cloud.server.calls_of("RunCommand").into_iter().map(|call| call.outcome);
        let expired = "InvalidSecurityToken.Expired";
        assert_eq!(outcomes.collect::<Vec<_>>(), ["OK", expired, "OK", expired]);
        Ok(())
    })
}

#[test]
fn throttling_passes_or_is_told() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        for fault in [Fault::Throttle, Fault::Busy, Fault::Refuse(429, "TooManyRequests")] {
            cloud.server.fault("RunCommand", fault, 2)?;
            assert!(command(&cloud.api, "true", &client_token()).await.is_ok());
        }
        cloud.server.fault("RunCommand", Fault::Throttle, 100)?;
        let error = command(&cloud.api, "true", "t").await.unwrap_err();
        assert!(matches!(&error, ApiError::Throttled(_)), "{error:?}");
        assert_eq!(cloud.server.calls_of("RunCommand").len(), 9 + 4);
        Ok(())
    })
}

#[test]
fn a_command_whose_answer_is_lost_runs_once() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let folder = TempDir::new()?;
        let file = folder.path().join("runs");
        let script = format!("echo run >> {}", file.display());
        cloud.server.fault("RunCommand", Fault::Lost, 2)?;
        let id = command(&cloud.api, &script, "t").await?;
        cloud.settled(&id).await?;
        let outcomes = cloud.server.calls_of("RunCommand").into_iter().map(|call| call.outcome);
        assert_eq!(outcomes.collect::<Vec<_>>(), ["Lost", "Lost", "OK"]);
        assert_eq!(fs::read_to_string(&file)?, "run\n");

        let other = command(&cloud.api, "true", "t").await.unwrap_err();
        assert_eq!(other.code(), Some("IdempotentParameterMismatch"));

        // All answers are lost: whether it ran is unknown, and the same token finds out.
        cloud.server.fault("RunCommand", Fault::Lost, 4)?;
        let unknown = command(&cloud.api, &script, "u").await.unwrap_err();
        assert!(matches!(&unknown, ApiError::Unreachable(_)), "{unknown:?}");
        cloud.settled(&command(&cloud.api, &script, "u").await?).await?;
        assert_eq!(fs::read_to_string(&file)?, "run\nrun\n");
        Ok(())
    })
}

#[test]
fn what_is_throttled_after_an_answer_was_lost_may_have_been_done() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.fault("RunCommand", Fault::Lost, 1)?;
        cloud.server.fault("RunCommand", Fault::Throttle, 3)?;
        let error = command(&cloud.api, "true", "t").await.unwrap_err();
        assert!(matches!(&error, ApiError::Unreachable(_)), "{error:?}");
        assert_eq!(cloud.server.calls_of("RunCommand").len(), 4);
        Ok(())
    })
}

#[test]
fn a_call_is_over_within_its_limit() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let id = command(&cloud.api, "true", "t").await?;
        cloud.server.fault("DescribeInvocationResults", Fault::BlackHole, 1)?;
        let quick = cloud.api.within(Duration::from_millis(500));
        let error = quick.invocation(&id, INSTANCE).await.unwrap_err();
        assert!(matches!(&error, ApiError::Unreachable(_)), "{error:?}");
        assert!(error.to_string().contains("no answer within 500ms"), "{error}");
        let calls = cloud.server.calls_of("DescribeInvocationResults");
        assert_eq!(calls.iter().map(|call| &*call.outcome).collect::<Vec<_>>(), ["Hole"]);
        assert!(quick.invocation(&id, INSTANCE).await?.is_some());

        // In a pause it is what the last try ended with.
        cloud.server.fault("RunCommand", Fault::Throttle, 1)?;
        let pause = Duration::from_secs(3600);
        let slow = Retry { times: 3, first_pause: pause, longest_pause: pause };
        let error = command(&quick.with_retry(slow), "true", "u").await.unwrap_err();
        assert!(matches!(&error, ApiError::Throttled(_)), "{error:?}");
        Ok(())
    })
}

#[test]
fn a_call_that_came_twice_is_signed_anew() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.fault("RunCommand", Fault::Refuse(400, "SignatureNonceUsed"), 1)?;
        assert!(command(&cloud.api, "true", "t").await.is_ok());
        assert_eq!(cloud.server.calls_of("RunCommand").len(), 2);
        Ok(())
    })
}

#[test]
fn nobody_there_is_told_by_name_alone() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let options = ApiOptions {
            ecs_endpoint: Some(format!("http://{free}")),
            ..super::options(&cloud.server)
        };
        let variables = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), "LTAI".to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), "s3cr3t".to_owned()),
        ];
        let environment = Environment { variables: variables.into(), home: None };
        let api = Api::open(&options, &environment)?.with_retry(super::RETRY);
        let targets = Targets::ResourceIds(vec!["i-1".into()]);
        let error = api.instances(&targets).await.unwrap_err();
        assert!(matches!(&error, ApiError::Unreachable(_)), "{error:?}");
        let told = error.to_string();
        assert!(told.contains(&free.to_string()) && !told.contains("LTAI"), "{told}");
        Ok(())
    })
}

#[test]
fn another_authority_is_trusted_if_it_is_named() -> Result<()> {
    block_on(async {
        let authority = Authority::new()?;
        let server = OpenApi::start_with_tls(&authority.issue(Subject::SERVER)?)?;
        server.add_machine(INSTANCE)?;
        let open = |cacert: Option<&Path>| -> Result<Api> {
            let cacert = cacert.map(Path::to_owned);
            let options = ApiOptions { cacert, ..super::options(&server) };
            let environment = super::environment(server.key());
            Ok(Api::open(&options, &environment)?.with_retry(super::RETRY))
        };
        assert!(command(&open(Some(authority.certificate()))?, "true", "t").await.is_ok());
        let error = command(&open(None)?, "true", "t").await.unwrap_err();
        assert!(matches!(&error, ApiError::Unreachable(_)), "{error:?}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(open(Some(Path::new("/nonexistent"))).is_err());
        Ok(())
    })
}

#[test]
fn no_redirect_is_followed() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.fault("RunCommand", Fault::Refuse(307, "TemporaryRedirect"), 1)?;
        let error = command(&cloud.api, "true", "t").await.unwrap_err();
        assert!(matches!(&error, ApiError::Refused { status: 307, .. }), "{error:?}");
        assert_eq!(cloud.server.calls().len(), 1);
        Ok(())
    })
}
