//! The cloud's API by our client and by the official SDK, on one server that checks signatures and
//! really runs commands.

mod access;
mod ecs;
mod oos;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use etcdprefix_migrate::cloud::{Api, ApiOptions, Invocation, RunCommand, client_token};
use etcdprefix_store::{Environment, Retry};
use etcdprefix_testkit::openapi::OpenApi;
use etcdprefix_testkit::stores::Key;

/// A server with one instance, which is this machine, and a client.
struct Cloud {
    server: OpenApi,
    api: Api,
}

const INSTANCE: &str = "i-1";

impl Cloud {
    fn start() -> Result<Self> {
        let server = OpenApi::start()?;
        server.add_machine(INSTANCE)?;
        let api = client(&server, server.key())?;
        Ok(Self { server, api })
    }

    /// Starts a script and returns its invocation's id.
    async fn start_script(&self, content: &str, timeout_seconds: u64) -> Result<String> {
        let client_token = &client_token();
        let command = RunCommand {
            name: "test",
            content,
            instance_id: INSTANCE,
            timeout_seconds,
            client_token,
        };
        Ok(self.api.run_command(&command).await?)
    }

    /// As it is once it stays so.
    async fn settled(&self, invoke_id: &str) -> Result<Invocation> {
        loop {
            let found = self.api.invocation(invoke_id, INSTANCE).await?;
            let found = found.context("it was started")?;
            if found.state.is_final() {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn run(&self, content: &str, timeout_seconds: u64) -> Result<Invocation> {
        let id = self.start_script(content, timeout_seconds).await?;
        self.settled(&id).await
    }
}

/// Quick, so that what fails for good does so soon.
const RETRY: Retry = Retry {
    times: 3,
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(100),
};

fn client(server: &OpenApi, key: &Key) -> Result<Api> {
    Ok(Api::open(&options(server), &environment(key))?.with_retry(RETRY))
}

fn environment(key: &Key) -> Environment {
    let mut variables = HashMap::from([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), key.id.clone()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), key.secret.clone()),
    ]);
    if let Some(token) = &key.token {
        variables.insert("ALIBABA_CLOUD_SECURITY_TOKEN".to_owned(), token.clone());
    }
    Environment { variables, home: None }
}

/// With the keys of a folder instead.
fn client_of_folder(server: &OpenApi, folder: PathBuf) -> Result<Api> {
    let options = ApiOptions { credentials: Some(folder), ..options(server) };
    Ok(Api::open(&options, &Environment::default())?.with_retry(RETRY))
}

fn options(server: &OpenApi) -> ApiOptions {
    ApiOptions {
        region: OpenApi::REGION.into(),
        ecs_endpoint: Some(server.endpoint()),
        oos_endpoint: Some(server.endpoint()),
        ..ApiOptions::default()
    }
}
