//! The least rights of those who run a migration on another engine, as policies to paste.

use etcdprefix_store::{Kind, ObjectLocation, Purpose};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Who needs rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// Whoever migrates through Cloud Assistant.
    Assistant,
    /// Whoever starts and watches an execution of OOS.
    Oos,
    /// The role that OOS takes on for the execution.
    OosRole,
    /// The masters themselves: their instances' role.
    Host,
    /// Pods that rewrite snapshots from one place of a store to another.
    Kubernetes,
}

/// What rights are limited to. What is not given is not limited.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of the instances and templates.
    pub region: Option<String>,
    /// The account's number.
    pub account: Option<String>,
    /// Instances by their ids.
    pub instances: Vec<String>,
    /// Only instances with this tag.
    pub tag: Option<(String, String)>,
    /// The template's name.
    pub template: Option<String>,
    /// The role that OOS takes on.
    pub role: Option<String>,
    /// Where snapshots are read, for [`Executor::Kubernetes`].
    pub from: Option<ObjectLocation>,
    /// Where snapshots go, for [`Executor::Host`] and [`Executor::Kubernetes`].
    pub to: Option<ObjectLocation>,
}

/// A policy, who may take on the role that gets it, and what is to be known about both.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// The permission policy.
    pub document: Value,
    /// Of a role: whom it trusts.
    pub trust: Option<Value>,
    /// For people.
    pub notes: Vec<String>,
}

/// What our client of ECS calls to run commands.
pub const ECS_RUN: [&str; 2] = ["ecs:RunCommand", "ecs:StopInvocation"];
/// What it calls to look.
pub const ECS_LOOK: [&str; 2] = ["ecs:DescribeInstances", "ecs:DescribeInvocationResults"];
/// What OOS calls for the actions of the template, as the documentation of the template that ours replaces
/// says.
pub const OOS_ROLE: [&str; 4] = [
    "ecs:DescribeInstances",
    "ecs:DescribeInvocationResults",
    "ecs:DescribeInvocations",
    "ecs:RunCommand",
];
/// What our client of OOS calls about templates.
pub const OOS_TEMPLATE: [&str; 4] =
    ["oos:CreateTemplate", "oos:UpdateTemplate", "oos:GetTemplate", "oos:StartExecution"];
/// And about executions.
pub const OOS_EXECUTION: [&str; 3] =
    ["oos:ListExecutions", "oos:ListTaskExecutions", "oos:CancelExecution"];

/// The policy of an executor.
///
/// # Errors
/// [`Error::Usage`] for limits that would mean something else in a policy, or that are missing.
pub fn policy(executor: Executor, limits: &Limits) -> Result<Granted> {
    check(limits)?;
    match executor {
        Executor::Assistant => Ok(assistant(limits)),
        Executor::Oos => Ok(oos(limits)),
        Executor::OosRole => Ok(oos_role(limits)),
        Executor::Host => host(limits),
        Executor::Kubernetes => kubernetes(limits),
    }
}

/// `acs:ecs:cn-hangzhou:123:instance/i-1`.
fn resource(limits: &Limits, service: &str, what: &str) -> String {
    let any = |limit: &Option<String>| limit.clone().unwrap_or_else(|| "*".into());
    // Roles are in no region.
    let region = if service == "ram" { "*".into() } else { any(&limits.region) };
    format!("acs:{service}:{region}:{}:{what}", any(&limits.account))
}

fn allow(actions: &[&str], resources: Vec<String>) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resources})
}

fn of_ram(statements: Vec<Value>) -> Value {
    json!({"Version": "1", "Statement": statements})
}

/// Those on which commands may run.
fn instances(limits: &Limits) -> Vec<String> {
    if limits.instances.is_empty() {
        return vec![resource(limits, "ecs", "instance/*")];
    }
    let named = |id: &String| resource(limits, "ecs", &format!("instance/{id}"));
    limits.instances.iter().map(named).collect()
}

fn on_instances(limits: &Limits, actions: &[&str]) -> Value {
    let mut statement = allow(actions, instances(limits));
    if let Some((key, value)) = &limits.tag {
        statement["Condition"] = json!({"StringEquals": {format!("ecs:tag/{key}"): [value]}});
    }
    statement
}

fn assistant(limits: &Limits) -> Granted {
    let commands = resource(limits, "ecs", "command/*");
    let all = resource(limits, "ecs", "instance/*");
    let document = of_ram(vec![
        on_instances(limits, &ECS_RUN),
        allow(&ECS_RUN, vec![commands.clone()]),
        allow(&ECS_LOOK, vec![all, commands]),
    ]);
    let notes = vec![
        "RunCommand makes a command and runs it on instances, so it is asked of both.".into(),
        "Whoever may run commands is root there: name the instances (--instance), or a tag that \
         nobody else may set (--tag)."
            .into(),
        "The store's rights are the instances' own: --for host.".into(),
    ];
    Granted { document, trust: None, notes }
}

fn oos(limits: &Limits) -> Granted {
    let name = limits.template.as_deref().unwrap_or("*");
    let [create, others @ ..] = OOS_TEMPLATE;
    let mut statements = vec![
        allow(&[create], vec![resource(limits, "oos", "template/*")]),
        allow(&others, vec![resource(limits, "oos", &format!("template/{name}"))]),
        // To start is asked of the execution, too.
        allow(&["oos:StartExecution"], vec![resource(limits, "oos", "execution/*")]),
        allow(&OOS_EXECUTION, vec![resource(limits, "oos", "execution/*")]),
    ];
    let mut notes = vec![
        "Outputs of executions hold the bundle: whoever may list executions of the template \
         sees it, unless the run encrypts it for a recipient."
            .to_owned(),
    ];
    match &limits.role {
        Some(role) => {
            let mut pass = allow(
                &["ram:PassRole"],
                vec![resource(limits, "ram", &format!("role/{}", role.to_lowercase()))],
            );
            pass["Condition"] = json!({"StringEquals": {"acs:Service": "oos.aliyuncs.com"}});
            statements.push(pass);
            notes.push("The role itself gets --for oos-role.".into());
        }
        None => {
            statements.extend(on_hosts(limits));
            notes.push(
                "Without --role (OOSAssumeRole empty) the execution has the rights of whoever \
                 starts it, so those of the template's actions are in it."
                    .into(),
            );
        }
    }
    Granted { document: of_ram(statements), trust: None, notes }
}

/// What the template's actions do.
fn on_hosts(limits: &Limits) -> Vec<Value> {
    let [look @ .., run] = OOS_ROLE;
    let commands = resource(limits, "ecs", "command/*");
    let all = resource(limits, "ecs", "instance/*");
    vec![
        on_instances(limits, &[run]),
        allow(&[run], vec![commands.clone()]),
        allow(&look, vec![all, commands]),
    ]
}

fn oos_role(limits: &Limits) -> Granted {
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": ["oos.aliyuncs.com"]},
    }]});
    let notes = vec![
        "These are the ecs actions that the documentation of ACS-CS-DedicatedMigration lists. Its \
         oos:GetApplicationGroup is for targets that are an application group: ours are instances, \
         tags or a resource group."
            .into(),
        "The second document is the role's trust policy.".into(),
    ];
    Granted { document: of_ram(on_hosts(limits)), trust: Some(trust), notes }
}

fn host(limits: &Limits) -> Result<Granted> {
    let Some(to) = &limits.to else {
        return Err(Error::Usage("where the snapshot goes is missing; try: --to".into()));
    };
    let granted = etcdprefix_store::policy(Purpose::UploadPresign, to.kind, &to.bucket, &to.key);
    let etcdprefix_store::Policy { document, mut notes } = granted.map_err(usage)?;
    notes.push(format!(
        "{0}:DeleteObject is not needed: without it a rehearsal leaves its probe, and a rollback \
         overwrites the snapshot instead of deleting it.",
        service(to.kind)
    ));
    notes.push(
        "On ACK's masters add its statement to the policy whose name begins with \
         k8sMasterRolePolicy, or attach it to the role of the instances."
            .into(),
    );
    Ok(Granted { document, trust: None, notes })
}

fn kubernetes(limits: &Limits) -> Result<Granted> {
    let (Some(from), Some(to)) = (&limits.from, &limits.to) else {
        let why = "where snapshots are and where they go is missing; try: --from and --to";
        return Err(Error::Usage(why.into()));
    };
    if from.kind != to.kind {
        let why = "OSS's policies and S3's are two documents; try: one --for host each, for the \
                   store that is written, and GetObject at the other";
        return Err(Error::Usage(why.into()));
    }
    let granted = etcdprefix_store::policy(Purpose::Upload, to.kind, &to.bucket, &to.key);
    let etcdprefix_store::Policy { mut document, mut notes } = granted.map_err(usage)?;
    let read = etcdprefix_store::policy(Purpose::Upload, from.kind, &from.bucket, &from.key);
    let resource = read.map_err(usage)?.document["Statement"][0]["Resource"].clone();
    let read = json!({
        "Action": [format!("{}:GetObject", service(from.kind))],
        "Effect": "Allow",
        "Resource": resource,
    });
    if let Some(statements) = document["Statement"].as_array_mut() {
        statements.push(read);
    }
    notes.push(
        "By RRSA (ACK) or IRSA (EKS) it is attached to the role of the pods' service account; else \
         to the user whose keys the Secret holds."
            .into(),
    );
    notes.push(
        "`migrate render kubernetes --from` lists the source once, from where it is called: that \
         right is not in it."
            .into(),
    );
    Ok(Granted { document, trust: None, notes })
}

fn service(kind: Kind) -> &'static str {
    match kind {
        Kind::Oss => "oss",
        Kind::S3 => "s3",
    }
}

fn usage(error: etcdprefix_store::Error) -> Error {
    Error::Usage(error.to_string())
}

/// Wildcards and variables of policies are no names.
fn check(limits: &Limits) -> Result<()> {
    let names = [&limits.region, &limits.account, &limits.template, &limits.role];
    let tag = limits.tag.iter().flat_map(|(key, value)| [key, value]);
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    for name in names.into_iter().flatten().chain(&limits.instances) {
        if name.is_empty() || !name.chars().all(word) {
            return Err(Error::Usage(format!("{name:?} is no name: letters, digits, -, _ and .")));
        }
    }
    for text in tag {
        let odd = |c: char| c.is_control() || "*?${}".contains(c);
        if text.is_empty() || text.chars().any(odd) {
            let why = format!("{text:?} would mean something else in a policy");
            return Err(Error::Usage(why));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
