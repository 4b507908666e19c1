//! Templates and executions.

use std::time::Duration;

use anyhow::{Context, Result};
use etcdprefix_migrate::cloud::{ApiError, Change, Execution, MAX_TEMPLATE_BYTES};
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::openapi::Fault;
use serde_json::json;

use super::Cloud;

/// Runs a script on the instances that it is given.
const TEMPLATE: &str = r#"
FormatVersion: OOS-2019-06-01
Parameters:
  instanceIds:
    Type: List
  script:
    Type: String
    AllowedPattern: '[a-z0-9 ;$!&]*'
Tasks:
  - Name: runScript
    Action: ACS::ECS::RunCommand
    Properties:
      instanceId: '{{ ACS::TaskLoopItem }}'
      commandType: RunShellScript
      commandContent: '{{ script }}'
      workingDir: /root
      timeout: 60
    Loop:
      Items: '{{ instanceIds }}'
      RateControl: {Mode: Concurrency, MaxErrors: 0, Concurrency: 5}
      Outputs:
        commandOutputs:
          AggregateType: Fn::ListJoin
          AggregateField: commandOutput
    Outputs:
      commandOutput:
        Type: String
        ValueSelector: invocationOutput
Outputs:
  commandOutputs:
    Type: List
    Value: '{{ runScript.commandOutputs }}'
"#;

impl Cloud {
    async fn start_execution(&self, script: &str, token: &str) -> Result<String, ApiError> {
        let parameters = json!({"instanceIds": [super::INSTANCE], "script": script});
        self.api.start_execution("t1", None, &parameters, "a test", token).await
    }

    async fn ended(&self, id: &str) -> Result<Execution> {
        loop {
            let found = self.api.execution(id).await?.context("it was started")?;
            if found.is_final() {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn a_template_is_made_once_and_gets_versions() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let make = async |content: &str| -> Result<(Change, String), ApiError> {
            let made = cloud.api.create_template("t1", content).await?;
            Ok((made.change, made.version))
        };
        let other = format!("{TEMPLATE}# other\n");
        assert_eq!(make(TEMPLATE).await?, (Change::Created, "v1".into()));
        assert_eq!(make(TEMPLATE).await?, (Change::Unchanged, "v1".into()));
        cloud.server.fault("UpdateTemplate", Fault::Lost, 1)?;
        assert_eq!(make(&other).await?, (Change::Updated, "v2".into()));
        assert_eq!(cloud.server.calls_of("UpdateTemplate").len(), 1);
        let theirs = cloud.server.sdk("get_template", &json!({"TemplateName": "t1"}))?;
        assert_eq!(theirs["ok"]["Content"], other);

        let too_long = make(&"#".repeat(MAX_TEMPLATE_BYTES + 1)).await.unwrap_err();
        assert!(matches!(too_long, ApiError::Usage(_)));
        let no_template = make("Tasks: []").await.unwrap_err();
        assert_eq!(no_template.code(), Some("InvalidTemplate"));
        Ok(())
    })
}

#[test]
fn a_template_whose_answer_is_lost_is_made_all_the_same() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.fault("CreateTemplate", Fault::Lost, 1)?;
        let made = cloud.api.create_template("t1", TEMPLATE).await?;
        assert_eq!((made.change, made.version.as_str()), (Change::Created, "v1"));
        assert_eq!(cloud.server.calls_of("CreateTemplate").len(), 1);
        Ok(())
    })
}

#[test]
fn an_execution_is_started_once_and_gives_back_its_outputs() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.api.create_template("t1", TEMPLATE).await?;
        cloud.server.fault("StartExecution", Fault::Lost, 1)?;
        let id = cloud.start_execution("echo hello", "t").await?;
        let ended = cloud.ended(&id).await?;
        assert_eq!(ended.status, "Success", "{:?}", ended.status_message);
        assert_eq!(ended.outputs["commandOutputs"][0].as_str().map(str::trim), Some("hello"));
        assert_eq!((ended.template.as_str(), ended.version.as_str()), ("t1", "v1"));
        assert_eq!(cloud.start_execution("echo hello", "t").await?, id);
        let all = cloud.server.sdk("list_executions", &json!({}))?;
        assert_eq!(all["ok"]["Executions"].as_array().map(Vec::len), Some(1));
        assert_eq!(cloud.api.execution("exec-none").await?, None);
        Ok(())
    })
}

#[test]
fn of_an_execution_that_fails_the_task_is_known() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.api.create_template("t1", TEMPLATE).await?;
        let refused = cloud.start_execution("echo 'no'", "a").await.unwrap_err();
        assert!(matches!(refused, ApiError::Refused { status: 400, .. }), "{refused:?}");
        let id = cloud.start_execution("exit 3", "b").await?;
        assert_eq!(cloud.ended(&id).await?.status, "Failed");
        let tasks = cloud.api.task_executions(&id).await?;
        let failed = tasks.iter().find(|task| task.status == "Failed").context("one failed")?;
        assert_eq!(
            (failed.name.as_str(), failed.action.as_str()),
            ("runScript", "ACS::ECS::RunCommand")
        );
        Ok(())
    })
}

#[test]
fn an_execution_is_cancelled() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.api.create_template("t1", TEMPLATE).await?;
        let id = cloud.start_execution("sleep 3", "a").await?;
        cloud.api.cancel_execution(&id).await?;
        assert_eq!(cloud.ended(&id).await?.status, "Cancelled");
        cloud.api.cancel_execution(&id).await?;
        Ok(())
    })
}
