//! Templates and executions of the orchestration service.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::client::{Api, Call, Service};
use super::ecs::member;
use super::error::ApiError;

/// What a template may have.
pub const MAX_TEMPLATE_BYTES: usize = 64 << 10;
/// Tries to bring a template up to date while answers are lost.
const TRIES: u32 = 3;

/// A template as the service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateInfo {
    /// Its name.
    pub name: String,
    /// Such as `v1`.
    pub version: String,
    /// What was done.
    pub change: Change,
}

/// What was done to a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was none of this name.
    Created,
    /// There was another of this name, which is a version of its own still.
    Updated,
    /// It was there.
    Unchanged,
}

/// How tasks are doing, by status, in the service's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<String, u64>);

impl Counters {
    /// All tasks, as far as they are known.
    pub fn total(&self) -> u64 {
        self.of("Total")
    }

    /// Those of a status, such as `Success`.
    pub fn of(&self, status: &str) -> u64 {
        self.0.get(status).copied().unwrap_or_default()
    }
}

/// A task that is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name in the template.
    pub name: String,
    /// Such as `ACS::ECS::RunCommand`.
    pub action: String,
}

/// One run of a template. Its `Debug` shows the outputs' names alone: their values may be a bundle.
#[derive(Clone, PartialEq)]
pub struct Execution {
    /// Such as `exec-...`.
    pub id: String,
    /// `Started`, `Queued`, `Running`, `Waiting`, `Success`, `Failed`, `Cancelled`.
    pub status: String,
    /// What the service says of it, if anything. It may repeat what a command printed.
    pub status_message: Option<String>,
    /// Which template.
    pub template: String,
    /// Which version of it.
    pub version: String,
    /// In the service's words: UTC, as `2026-11-23T11:00:00Z`.
    pub started: Option<String>,
    /// The same.
    pub ended: Option<String>,
    /// How many tasks are how far.
    pub counters: Counters,
    /// What is being done.
    pub current_tasks: Vec<Task>,
    /// What the template gives back, by name. Sensitive.
    pub outputs: Map<String, Value>,
}

impl Execution {
    /// Whether it stays as it is.
    pub fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "Success" | "Failed" | "Cancelled")
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Execution");
        shown.field("id", &self.id).field("status", &self.status);
        shown.field("template", &self.template).field("version", &self.version);
        shown.field("counters", &self.counters).field("current_tasks", &self.current_tasks);
        shown.field("outputs", &self.outputs.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// One task of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskExecution {
    /// Its name in the template.
    pub name: String,
    /// Such as `ACS::ECS::RunCommand`.
    pub action: String,
    /// As of executions.
    pub status: String,
    /// Why it failed. It may repeat what a command printed.
    pub status_message: Option<String>,
}

impl Api {
    /// Makes a template of this name have this content. Versions that there were stay.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Usage`] if it is over [`MAX_TEMPLATE_BYTES`].
    pub async fn create_template(
        &self,
        name: &str,
        content: &str,
    ) -> Result<TemplateInfo, ApiError> {
        if content.len() > MAX_TEMPLATE_BYTES {
            let bytes = content.len();
            let what =
                format!("a template may have {MAX_TEMPLATE_BYTES} bytes, this one has {bytes}");
            return Err(ApiError::Usage(what));
        }
        let (mut change, mut left) = (Change::Unchanged, TRIES);
        loop {
            let (action, next) = match self.template(name).await? {
                Some((version, there)) if there == content => {
                    return Ok(TemplateInfo { name: name.to_owned(), version, change });
                }
                Some(_) => ("UpdateTemplate", Change::Updated),
                None => ("CreateTemplate", Change::Created),
            };
            // An answer that was lost makes the template be found as it should be the next time.
            if change == Change::Unchanged {
                change = next;
            }
            left -= 1;
            let call = Call::new(Service::Oos, action).once();
            let call = call.with("TemplateName", name).with("Content", content);
            match self.call(&call).await {
                Ok(answer) => {
                    let version = member(&call, &answer["Template"], "TemplateVersion")?;
                    return Ok(TemplateInfo { name: name.to_owned(), version, change });
                }
                Err(ApiError::Unreachable(_)) if left > 0 => {}
                Err(error) if left > 0 && is_there(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The newest version, and its content.
    async fn template(&self, name: &str) -> Result<Option<(String, String)>, ApiError> {
        let call = Call::new(Service::Oos, "GetTemplate").with("TemplateName", name);
        let answer = match self.call(&call).await {
            Err(error) if error.code() == Some("EntityNotExists.Template") => return Ok(None),
            answer => answer?,
        };
        let version = member(&call, &answer["Template"], "TemplateVersion")?;
        Ok(Some((version, member(&call, &answer, "Content")?)))
    }

    /// Returns the execution's id.
    ///
    /// # Errors
    /// [`ApiError`]; if it is [`ApiError::Unreachable`], it may run all the same, and a repetition with the same token
    /// returns the same id.
    pub async fn start_execution(
        &self,
        template: &str,
        version: Option<&str>,
        parameters: &Value,
        description: &str,
        client_token: &str,
    ) -> Result<String, ApiError> {
        let mut call = Call::new(Service::Oos, "StartExecution")
            .with("TemplateName", template)
            .with("Parameters", parameters.to_string())
            .with("Description", description)
            .with("Mode", "Automatic")
            // Otherwise it would wait for somebody to confirm each command in the console.
            .with("SafetyCheck", "Skip")
            .with("ClientToken", client_token);
        if let Some(version) = version {
            call = call.with("TemplateVersion", version);
        }
        let answer = self.call(&call).await?;
        member(&call, &answer["Execution"], "ExecutionId")
    }

    /// How an execution is; `None` if the service doesn't know it, or not yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn execution(&self, id: &str) -> Result<Option<Execution>, ApiError> {
        let call = Call::new(Service::Oos, "ListExecutions").with("ExecutionId", id);
        let answer = match self.call(&call).await {
            Err(error) if error.code() == Some("EntityNotExists.Execution") => return Ok(None),
            answer => answer?,
        };
        let found = answer["Executions"].as_array().into_iter().flatten();
        Ok(found.filter(|it| it["ExecutionId"] == id).map(execution).next())
    }

    /// The tasks of an execution as far as they were begun, in the order in which they were.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn task_executions(&self, id: &str) -> Result<Vec<TaskExecution>, ApiError> {
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let mut call = Call::new(Service::Oos, "ListTaskExecutions")
                .with("ExecutionId", id)
                .with("IncludeChildTaskExecution", "true")
                .with("SortField", "StartDate")
                .with("SortOrder", "Ascending")
                .with("MaxResults", "100");
            if !next.is_empty() {
                call = call.with("NextToken", &next);
            }
            let answer = self.call(&call).await?;
            found.extend(answer["TaskExecutions"].as_array().into_iter().flatten().map(task));
            let token = answer["NextToken"].as_str().unwrap_or_default();
            if token.is_empty() || token == next {
                return Ok(found);
            }
            next = token.to_owned();
        }
    }

    /// Asks an execution to end; what it runs at the moment may go on for a while.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn cancel_execution(&self, id: &str) -> Result<(), ApiError> {
        let call = Call::new(Service::Oos, "CancelExecution").with("ExecutionId", id);
        self.call(&call).await.map(drop)
    }
}

fn is_there(error: &ApiError) -> bool {
    error.code().is_some_and(|code| code.starts_with("EntityAlreadyExist"))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn execution(found: &Value) -> Execution {
    let must = |name: &str| text(&found[name]).unwrap_or_default();
    let tasks = parsed(&found["CurrentTasks"]);
    let task = |task: &Value| Task {
        name: text(&task["TaskName"]).unwrap_or_default(),
        action: text(&task["TaskAction"]).unwrap_or_default(),
    };
    Execution {
        id: must("ExecutionId"),
        status: must("Status"),
        status_message: text(&found["StatusMessage"]),
        template: must("TemplateName"),
        version: must("TemplateVersion"),
        started: text(&found["StartDate"]),
        ended: text(&found["EndDate"]),
        counters: counters(&parsed(&found["Counters"])),
        current_tasks: tasks.as_array().into_iter().flatten().map(task).collect(),
        outputs: parsed(&found["Outputs"]).as_object().cloned().unwrap_or_default(),
    }
}

/// The service sends some members as JSON, and some as a text of JSON.
fn parsed(value: &Value) -> Value {
    let text = value.as_str();
    text.map_or_else(|| value.clone(), |text| serde_json::from_str(text).unwrap_or_default())
}

fn counters(value: &Value) -> Counters {
    let count = |(name, value): (&String, &Value)| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        Some((name.clone(), number))
    };
    Counters(value.as_object().into_iter().flatten().filter_map(count).collect())
}

fn task(found: &Value) -> TaskExecution {
    let must = |name: &str| text(&found[name]).unwrap_or_default();
    TaskExecution {
        name: must("TaskName"),
        action: must("TaskAction"),
        status: must("Status"),
        status_message: text(&found["StatusMessage"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_execution_is_read_in_either_form_and_shows_no_output() {
        let outputs = json!({"readSignOutputs": ["s3cr3t"]});
        for outputs in [outputs.clone(), Value::from(outputs.to_string())] {
            let found = execution(&json!({
                "ExecutionId": "exec-1", "Status": "Running", "TemplateName": "t", "TemplateVersion": "v1",
                "Counters": {"Total": 3, "Success": "1"}, "Outputs": outputs,
                "CurrentTasks": [{"TaskName": "sleep", "TaskAction": "ACS::ECS::RunCommand"}],
            }));
            assert_eq!((found.counters.total(), found.counters.of("Success")), (3, 1));
            assert_eq!(found.outputs["readSignOutputs"][0], "s3cr3t");
            assert_eq!(found.current_tasks[0].name, "sleep");
            assert!(!found.is_final());
            let shown = format!("{found:?}");
            assert!(shown.contains("readSignOutputs") && !shown.contains("s3cr3t"), "{shown}");
        }
    }
}
