//! Hosts that are instances of a cloud, and the template run on them.

use std::cell::RefCell;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, HostsOptions, TestHost};
use etcdprefix_testkit::openapi::OpenApi;
use etcdprefix_testkit::stores::{BUCKET, Key, Metadata, OssServer};
use serde_json::{Value, json};

use super::program::Program;
use crate::migrate::bench::{CLUSTER, COMPONENTS, LIMIT, Migration, Store, stripped};
use crate::support::{PROGRAM, said};

const TEMPLATE: &str = "move";

/// A cluster in a cloud.
pub struct Cloud {
    // Ended in this order.
    api: OpenApi,
    _metadata: Metadata,
    pub moving: Migration,
    pub role: Key,
    program: Program,
    text: RefCell<String>,
    /// Texts that the service has, by the number in their names.
    created: RefCell<Vec<String>>,
}

impl Cloud {
    pub fn start(options: HostsOptions) -> Result<Self> {
        let moving =
            Migration::with(options, |address| Ok(Store::Oss(OssServer::start_at(address)?)))?;
        let role = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken/+=");
        moving.store.as_oss().allow(&role, &[])?;
        let at = moving.hosts.metadata_address()?;
        let metadata = Metadata::start_at(at, &role, Duration::from_secs(3 * 3600))?;
        let api = OpenApi::start()?;
        for host in moving.hosts.all() {
            api.add_host(&instance(host), host)?;
        }
        let program = Program::serve(&stripped()?, CONTROL_ADDRESS.into())?;
        let text = RefCell::new(rendered(&program)?);
        Ok(Self {
            api,
            _metadata: metadata,
            moving,
            role,
            program,
            text,
            created: RefCell::default(),
        })
    }

    pub fn one() -> Result<Self> {
        Self::start(HostsOptions { hosts: 1, ..HostsOptions::default() })
    }

    pub fn host(&self, number: usize) -> &TestHost {
        self.moving.hosts.host(number)
    }

    /// Changes the template's text from now on.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = self.text.take();
        *self.text.borrow_mut() = change(text);
    }

    /// A line for the beginning of a task's script; `$(hostname)` tells where it runs.
    pub fn prepend(&self, task: &str, line: &str) {
        self.edit(|text| {
            let (before, rest) = text.split_once(&format!("- Name: '{task}'\n")).unwrap();
            let rest = rest.replacen("#!/bin/sh\n", &format!("#!/bin/sh\n        {line}\n"), 1);
            format!("{before}- Name: '{task}'\n{rest}")
        });
    }

    /// The template as it was rendered.
    pub fn restore(&self) -> Result<()> {
        *self.text.borrow_mut() = rendered(&self.program)?;
        Ok(())
    }

    /// What every execution has to say.
    pub fn parameters(&self, action: &str) -> Value {
        let ids: Vec<String> = self.moving.hosts.all().iter().map(instance).collect();
        json!({
            "targets": {"Type": "ResourceIds", "ResourceIds": ids, "RegionId": OpenApi::REGION},
            "BucketName": BUCKET,
            "OSSEndpoint": format!("http://{}", self.moving.front.address()),
            "ClusterID": CLUSTER,
            "action": action,
        })
    }

    /// The service's error, if it refuses the template or its parameters.
    pub fn refused(&self, parameters: &Value) -> Result<String> {
        let answer = self.start_execution(parameters)?;
        Ok(answer["error"].as_str().unwrap_or_default().to_owned())
    }

    pub fn begin(&self, parameters: &Value) -> Result<Running<'_>> {
        let answer = self.start_execution(parameters)?;
        let id = answer["ok"]["Execution"]["ExecutionId"].as_str();
        Ok(Running { cloud: self, id: id.with_context(|| answer.to_string())?.to_owned() })
    }

    /// To its end.
    pub fn run(&self, parameters: &Value) -> Result<Ended> {
        self.begin(parameters)?.end()
    }

    pub fn migrate(&self) -> Result<Ended> {
        self.run(&self.parameters("migrate"))
    }

    pub fn roll_back(&self, never_started: &str) -> Result<Ended> {
        let mut parameters = self.parameters("rollback");
        parameters["managedSideNeverStarted"] = never_started.into();
        self.run(&parameters)
    }

    /// `migrate oos`, from a shell with a key: its exit code, and all that it says.
    pub fn oos(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = Command::new(PROGRAM);
        command.args(["migrate", "oos"]).args(arguments);
        command.args(["--region", OpenApi::REGION, "--oos-endpoint", &self.api.endpoint()]);
        let key = self.api.key();
        command.env_clear().env("ALIBABA_CLOUD_ACCESS_KEY_ID", &key.id);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", &key.secret).env("RUST_LOG", "trace");
        let output = command.output()?;
        let said = said(&output);
        self.moving.secrets.are_not_in("what our command tells", said.as_bytes());
        Ok((output.status.code(), said))
    }

    /// The template in a file.
    pub fn written(&self) -> Result<String> {
        let file = self.moving.path("move.yaml");
        std::fs::write(&file, &*self.text.borrow())?;
        Ok(file.display().to_string())
    }

    fn start_execution(&self, parameters: &Value) -> Result<Value> {
        let start = json!({"TemplateName": self.name()?, "Parameters": parameters.to_string()});
        self.api.sdk("start_execution", &start)
    }

    /// Of the template as it is now, which the service has or gets.
    fn name(&self) -> Result<String> {
        let (text, mut created) = (self.text.borrow(), self.created.borrow_mut());
        let known = created.iter().position(|known| known == &*text);
        let name = format!("{TEMPLATE}-{}", known.unwrap_or(created.len()));
        if known.is_none() {
            let create = json!({"TemplateName": name, "Content": *text});
            let answer = self.api.sdk("create_template", &create)?;
            ensure!(answer["error"].is_null(), "{answer}");
            created.push(text.clone());
        }
        Ok(name)
    }

    /// As `node status` tells.
    pub fn status(&self, number: usize) -> Result<Value> {
        let status = "/var/lib/etcdprefix/bin/etcdprefix-oos node status -w json";
        Ok(serde_json::from_str(&self.host(number).shell(status)?)?)
    }

    /// Every host sleeps for good.
    pub fn is_handed_out(&self) -> Result<()> {
        for host in self.moving.hosts.all() {
            let status = self.status(host.number())?;
            let is_asleep = status["asleep"]["moved"].as_array().is_some_and(|all| all.len() == 4);
            ensure!(is_asleep && status["fence"].is_object(), "{}: {status}", host.name());
            ensure!(status["timer"].is_null() && status["fired"].is_null(), "{status}");
            let runs = COMPONENTS.iter().filter(|name| host.runs(name).unwrap_or(true));
            ensure!(runs.count() == 0, "something runs on {}", host.name());
        }
        Ok(())
    }

    /// All is as it was, and no object is left.
    pub fn is_undone(&self) -> Result<()> {
        self.moving.is_as_before()?;
        let stored = self.moving.stored()?;
        ensure!(stored.is_empty(), "left in the store: {stored:?}");
        Ok(())
    }

    #[track_caller]
    fn holds_no_secret(&self) {
        let secrets = &self.moving.secrets;
        for host in self.moving.hosts.all() {
            secrets.are_not_on(host);
            secrets.are_not_below(&host.path("/var/lib/aliyun-assist"));
        }
        secrets.are_not_in("the service's log", self.api.log().as_bytes());
    }
}

/// As the cloud calls a host.
pub fn instance(host: &TestHost) -> String {
    format!("i-bp1{}", host.name())
}

fn rendered(program: &Program) -> Result<String> {
    let mut command = Command::new(PROGRAM);
    command.args(["migrate", "render", "oos", "--binary-url", &program.url]);
    let output = command.args(["--binary-sha256", &program.sha256]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// An execution.
pub struct Running<'a> {
    cloud: &'a Cloud,
    id: String,
}

impl Running<'_> {
    /// Waits until the host says that a task is there: until `/run/seen` is.
    pub fn until_seen(&self, number: usize) -> Result<()> {
        let seen = self.cloud.host(number).path("/run/seen");
        let begun = Instant::now();
        while !seen.exists() {
            ensure!(begun.elapsed() < LIMIT, "nothing was seen: {}", self.shown()?);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn cancel(&self) -> Result<()> {
        let cancelled = self.cloud.api.sdk("cancel_execution", &json!({"ExecutionId": self.id}))?;
        ensure!(cancelled["error"].is_null(), "{cancelled}");
        Ok(())
    }

    pub fn end(self) -> Result<Ended> {
        let (code, said) = self.cloud.oos(&["watch", "--execution-id", &self.id])?;
        let shown = self.shown()?;
        let expected = if shown["Status"] == "Success" { 0 } else { 42 };
        ensure!(code == Some(expected), "{code:?}: {said}");
        self.ended(shown)
    }

    fn shown(&self) -> Result<Value> {
        let listed = self.cloud.api.sdk("list_executions", &json!({"ExecutionId": self.id}))?;
        Ok(listed["ok"]["Executions"][0].clone())
    }

    fn ended(self, execution: Value) -> Result<Ended> {
        let about = json!({"ExecutionId": self.id});
        let tasks = self.cloud.api.sdk("list_task_executions", &about)?;
        let text = execution["Outputs"].as_str().context("no outputs")?;
        let outputs: Value = serde_json::from_str(text)?;
        let tasks = tasks["ok"]["TaskExecutions"].as_array().context("no tasks")?.clone();
        let ended = Ended { execution, outputs, tasks };
        ended.tells_no_secret(self.cloud);
        self.cloud.holds_no_secret();
        Ok(ended)
    }
}

/// How an execution ended.
pub struct Ended {
    pub execution: Value,
    pub outputs: Value,
    tasks: Vec<Value>,
}

impl Ended {
    pub fn status(&self) -> &str {
        self.execution["Status"].as_str().unwrap_or_default()
    }

    /// `name Status`, in the order in which they ran.
    pub fn ran(&self) -> Vec<String> {
        let word = |task: &Value, name: &str| task[name].as_str().unwrap_or_default().to_owned();
        let all = self.tasks.iter();
        all.map(|task| format!("{} {}", word(task, "TaskName"), word(task, "Status"))).collect()
    }

    /// What a task that failed says.
    pub fn said(&self, task: &str) -> String {
        let found = self.tasks.iter().find(|it| it["TaskName"] == task);
        found.map(|it| it["StatusMessage"].to_string()).unwrap_or_default()
    }

    /// The one bundle, if it succeeded.
    #[track_caller]
    pub fn bundle(&self) -> String {
        assert_eq!(self.status(), "Success", "{self}");
        let bundles = self.outputs["readSignOutputs"].as_array().unwrap();
        assert_eq!(bundles.len(), 1, "{self}");
        let text = bundles[0].as_str().unwrap();
        let (bundle, seal) = text.trim_end().rsplit_once('\n').unwrap();
        let bytes = bundle.len() + 1;
        assert!(seal.starts_with(&format!("etcdprefix-bundle bytes={bytes} sha256=")), "{seal}");
        bundle.to_owned()
    }

    /// It failed in this task, whose words have these, and everything after it was undone.
    #[track_caller]
    pub fn failed_in(&self, task: &str, words: &str) {
        assert_eq!(self.status(), "Failed", "{self}");
        let first = self.ran().into_iter().find(|task| task.ends_with(" Failed"));
        assert_eq!(first, Some(format!("{task} Failed")), "{self}");
        assert!(self.said(task).contains(words), "{words:?} is not in: {self}");
        assert!(self.outputs["readSignOutputs"].is_null(), "{self}");
        assert!(self.ran().contains(&"failed Failed".to_owned()), "{self}");
    }

    #[track_caller]
    fn tells_no_secret(&self, cloud: &Cloud) {
        let mut outputs = self.outputs.clone();
        outputs["readSignOutputs"] = Value::Null;
        let tasks = self.tasks.iter().filter(|task| task["TaskName"] != "readSign");
        let told: Vec<&Value> = tasks.collect();
        let status = &self.execution["StatusMessage"];
        let all = json!([outputs, told, status, self.execution["Parameters"]]).to_string();
        cloud.moving.secrets.are_not_in("what the service tells", all.as_bytes());
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.status(), self.execution["StatusMessage"])?;
        for task in &self.tasks {
            writeln!(f, "{} {} {}", task["TaskName"], task["Status"], task["StatusMessage"])?;
        }
        write!(f, "{}", self.outputs["sleepOrWakeupControlPlaneOutputs"])
    }
}
