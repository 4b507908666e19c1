//! Commands on instances, and which instances there are.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::client::{Api, Call, Service};
use super::error::ApiError;
use super::targets::Targets;

/// What a command may have, as Base64.
pub const MAX_COMMAND_BYTES: usize = 24 << 10;
/// What is kept of what a command prints; see [`Invocation::dropped_bytes`].
pub const MAX_OUTPUT_BYTES: usize = 24 << 10;

/// Instances a page, and instances that may be asked for by id at once.
const PAGE: usize = 100;
/// More pages than any account has.
const MAX_PAGES: usize = 1000;

/// A script to run as root in `/root`, and all its children are ended at the limit.
#[derive(Clone, Copy)]
pub struct RunCommand<'a> {
    /// Shown in the console; up to 128 characters.
    pub name: &'a str,
    /// A shell script; see [`MAX_COMMAND_BYTES`].
    pub content: &'a str,
    /// Where.
    pub instance_id: &'a str,
    /// The limit.
    pub timeout_seconds: u64,
    /// The same for every repetition of the same command.
    pub client_token: &'a str,
}

impl std::fmt::Debug for RunCommand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("RunCommand");
        shown.field("name", &self.name).field("instance_id", &self.instance_id);
        shown.field("timeout_seconds", &self.timeout_seconds).finish_non_exhaustive()
    }
}

/// How a command is doing. Its `Debug` shows no output.
#[derive(Clone, PartialEq, Eq)]
pub struct Invocation {
    /// How far it is.
    pub state: State,
    /// Of a script that ended.
    pub exit_code: Option<i64>,
    /// stdout and stderr as they came; at most [`MAX_OUTPUT_BYTES`].
    pub output: Vec<u8>,
    /// What is missing of the output.
    pub dropped_bytes: u64,
    /// The cloud's code for what went wrong, such as `ClientNotRunning`.
    pub error_code: Option<String>,
    /// One line of the cloud's.
    pub error_info: Option<String>,
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Invocation");
        shown.field("state", &self.state).field("exit_code", &self.exit_code);
        shown.field("output_bytes", &self.output.len());
        shown.field("dropped_bytes", &self.dropped_bytes);
        shown.field("error_code", &self.error_code).finish_non_exhaustive()
    }
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not begun on the instance.
    Pending,
    /// Also while it is being stopped.
    Running,
    /// It ended with 0.
    Success,
    /// It ended with another code.
    Failed,
    /// It was ended at its limit.
    Timeout,
    /// Somebody stopped it, before or while it ran.
    Stopped,
    /// It could not be sent or run: the error's code tells why.
    Error,
}

impl State {
    /// Whether it stays as it is.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    fn of(status: &str) -> Self {
        match status {
            "Pending" | "Scheduled" => Self::Pending,
            "Running" | "Stopping" => Self::Running,
            "Success" | "Finished" => Self::Success,
            "Failed" => Self::Failed,
            "Timeout" => Self::Timeout,
            "Cancelled" | "Terminated" | "Stopped" => Self::Stopped,
            _ => Self::Error,
        }
    }
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Such as `i-bp1...`.
    pub id: String,
    /// Its name in the console.
    pub name: String,
    /// `Running`, `Stopped`, and what is between.
    pub status: String,
    /// Its addresses in the network; the first is the primary one.
    pub private_ips: Vec<String>,
    /// `linux` or `windows`.
    pub os_type: String,
}

impl Api {
    /// Returns the invocation's id as soon as the cloud has taken the command.
    ///
    /// # Errors
    /// [`ApiError`]; if it is [`ApiError::Unreachable`], it may run all the same, and a repetition with the same token
    /// returns the same id.
    pub async fn run_command(&self, command: &RunCommand<'_>) -> Result<String, ApiError> {
        self.run_command_in(command, "ProcessTree").await
    }

    /// As [`Self::run_command`], but at the limit only the script's own process is ended, and what it started goes on.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn run_command_alone(&self, command: &RunCommand<'_>) -> Result<String, ApiError> {
        self.run_command_in(command, "Process").await
    }

    async fn run_command_in(
        &self,
        command: &RunCommand<'_>,
        ends: &str,
    ) -> Result<String, ApiError> {
        let content = STANDARD.encode(command.content);
        if content.len() > MAX_COMMAND_BYTES {
            return Err(ApiError::Usage(format!(
                "a command may have {MAX_COMMAND_BYTES} bytes of Base64, this one has {}",
                content.len()
            )));
        }
        let call = Call::new(Service::Ecs, "RunCommand")
            .with("Type", "RunShellScript")
            .with("Name", command.name)
            .with("CommandContent", content)
            .with("ContentEncoding", "Base64")
            .with("InstanceId.1", command.instance_id)
            .with("Timeout", command.timeout_seconds.to_string())
            .with("TerminationMode", ends)
            .with("WorkingDir", "/root")
            .with("KeepCommand", "false")
            .with("ClientToken", command.client_token);
        let answer = self.call(&call).await?;
        member(&call, &answer, "InvokeId")
    }

    /// `None` if the cloud doesn't know it, or not yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn invocation(
        &self,
        invoke_id: &str,
        instance_id: &str,
    ) -> Result<Option<Invocation>, ApiError> {
        let call = Call::new(Service::Ecs, "DescribeInvocationResults")
            .with("InvokeId", invoke_id)
            .with("InstanceId", instance_id)
            .with("ContentEncoding", "Base64");
        let answer = self.call(&call).await?;
        let results = &answer["Invocation"]["InvocationResults"]["InvocationResult"];
        let is_it = |result: &&Value| {
            result["InvokeId"] == invoke_id && result["InstanceId"] == instance_id
        };
        results.as_array().into_iter().flatten().find(is_it).map(invocation).transpose()
    }

    /// Ends a command with all its children. One that has ended already is left alone.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn stop_invocation(
        &self,
        invoke_id: &str,
        instance_id: &str,
    ) -> Result<(), ApiError> {
        let call = Call::new(Service::Ecs, "StopInvocation")
            .with("InvokeId", invoke_id)
            .with("InstanceId.1", instance_id);
        self.call(&call).await.map(drop)
    }

    /// All pages, sorted by id.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Usage`] if one that is named is not in the region, or the targets are of another.
    pub async fn instances(&self, targets: &Targets) -> Result<Vec<Instance>, ApiError> {
        let targets = targets.in_region(self.region())?;
        let mut found = Vec::new();
        for call in listings(targets) {
            found.extend(self.pages(call).await?);
        }
        found.sort_by(|a: &Instance, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match missing(targets, &found) {
            Some(missing) => Err(ApiError::Usage(format!(
                "there is no instance {missing} in {}; try: the region of the instances, and `aliyun ecs DescribeInstances`",
                self.region()
            ))),
            None => Ok(found),
        }
    }

    async fn pages(&self, first: Call) -> Result<Vec<Instance>, ApiError> {
        let (mut found, mut call) = (Vec::new(), first);
        for _ in 0..MAX_PAGES {
            let answer = self.call(&call).await?;
            let page = answer["Instances"]["Instance"].as_array();
            found.extend(page.into_iter().flatten().map(instance));
            let token = answer["NextToken"].as_str().unwrap_or_default();
            if token.is_empty() {
                return Ok(found);
            }
            call.parameters.retain(|(name, _)| name != "NextToken");
            call = call.with("NextToken", token);
        }
        Err(ApiError::Unreachable(format!("{}: its pages do not end", call.action)))
    }
}

fn listings(targets: &Targets) -> Vec<Call> {
    let call = || Call::new(Service::Ecs, "DescribeInstances").with("MaxResults", PAGE.to_string());
    match targets {
        Targets::ResourceIds(ids) => {
            let ids: Vec<&String> = ids.iter().collect::<BTreeSet<_>>().into_iter().collect();
            let json =
                |ids: &[&String]| Value::from(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>());
            ids.chunks(PAGE).map(|ids| call().with("InstanceIds", json(ids).to_string())).collect()
        }
        Targets::Tags(tags) => {
            let numbered = tags.iter().zip(1..);
            vec![numbered.fold(call(), |call, ((key, value), number)| {
                call.with(format!("Tag.{number}.Key"), key)
                    .with(format!("Tag.{number}.Value"), value)
            })]
        }
        Targets::ResourceGroup(id) => vec![call().with("ResourceGroupId", id)],
        Targets::InRegion(_, targets) => listings(targets),
    }
}

fn missing<'a>(targets: &'a Targets, found: &[Instance]) -> Option<&'a String> {
    let Targets::ResourceIds(ids) = targets else { return None };
    ids.iter().find(|id| !found.iter().any(|instance| instance.id == **id))
}

fn invocation(result: &Value) -> Result<Invocation, ApiError> {
    let text = |name: &str| result[name].as_str().filter(|text| !text.is_empty());
    let status =
        text("InvocationStatus").or_else(|| text("InvokeRecordStatus")).unwrap_or_default();
    let output = STANDARD.decode(text("Output").unwrap_or_default()).map_err(|_| {
        ApiError::Unreachable("DescribeInvocationResults: the output is no Base64".into())
    })?;
    let state = State::of(status);
    Ok(Invocation {
        state,
        exit_code: result["ExitCode"].as_i64().filter(|_| state.is_final()),
        output,
        dropped_bytes: result["Dropped"].as_u64().unwrap_or_default(),
        error_code: text("ErrorCode").map(str::to_owned),
        error_info: text("ErrorInfo").map(etcdprefix_store::redacted_line),
    })
}

fn instance(found: &Value) -> Instance {
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let lists = [
        &found["VpcAttributes"]["PrivateIpAddress"]["IpAddress"],
        &found["InnerIpAddress"]["IpAddress"],
    ];
    let ips = lists.iter().filter_map(|list| list.as_array()).flatten();
    Instance {
        id: text("InstanceId"),
        name: text("InstanceName"),
        status: text("Status"),
        private_ips: ips.filter_map(|ip| Some(ip.as_str()?.to_owned())).collect(),
        os_type: text("OSType"),
    }
}

/// A member of an answer that it must have.
pub(super) fn member(call: &Call, answer: &Value, name: &str) -> Result<String, ApiError> {
    let missing = || ApiError::Unreachable(format!("{}: an answer without {name}", call.action));
    answer[name].as_str().map(str::to_owned).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_the_cloud_has_a_state() {
        for (status, state) in [
            ("Pending", State::Pending),
            ("Running", State::Running),
            ("Stopping", State::Running),
            ("Success", State::Success),
            ("Failed", State::Failed),
            ("Timeout", State::Timeout),
            ("Cancelled", State::Stopped),
            ("Terminated", State::Stopped),
            ("Aborted", State::Error),
            ("Invalid", State::Error),
            ("Error", State::Error),
            ("New", State::Error),
        ] {
            assert_eq!(State::of(status), state, "{status}");
        }
    }

    #[test]
    fn debug_shows_neither_command_nor_output() {
        let command = RunCommand {
            name: "wake",
            content: "echo s3cr3t",
            instance_id: "i-1",
            timeout_seconds: 60,
            client_token: "s3cr3t",
        };
        let result =
            serde_json::json!({"InvocationStatus": "Success", "Output": STANDARD.encode("s3cr3t")});
        let shown = format!("{command:?} {:?}", invocation(&result).unwrap());
        assert!(!shown.contains("s3cr3t") && !shown.contains("115, 51"), "{shown}");
    }
}
