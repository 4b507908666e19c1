//! The Job: its pods, and what becomes of those that fail.

use etcdprefix_store::Kind;
use serde_json::{Value, json};

use super::list::Task;
use super::{Options, labels, metadata};

/// The list's name in its ConfigMap.
pub const LIST_KEY: &str = "snapshots";
const LIST: &str = "/etcdprefix/list";
const CREDENTIALS: &str = "/etcdprefix/credentials";
const SCRATCH: &str = "/scratch";
const CONTAINER: &str = "rewrite";
/// Nobody's, as images without a shell have it.
const USER: u32 = 65532;

/// Exits of the program that no repetition mends: wrong words, unsound or unfit snapshots, an output that is
/// there and differs, and what the store refuses. docs/cli-contract.md has their meanings.
pub const HOPELESS: [i32; 16] = [2, 3, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 26];

/// The first version whose Jobs count and end by index, by default.
const BY_INDEX: (u32, u32) = (1, 29);

pub fn job(options: &Options, name: &str, tasks: &[Task]) -> Value {
    let mut spec = json!({
        "completionMode": "Indexed",
        "completions": tasks.len(),
        "parallelism": (options.parallelism as usize).min(tasks.len()),
        "activeDeadlineSeconds": options.deadline_seconds,
        "ttlSecondsAfterFinished": options.ttl_seconds,
        "template": {"metadata": {"labels": labels(name)}, "spec": pod(options, name, tasks)},
    });
    if options.kubernetes >= BY_INDEX {
        spec["backoffLimitPerIndex"] = options.retries.into();
        if let Some(most) = options.max_failed_indexes {
            spec["maxFailedIndexes"] = (most as usize).min(tasks.len()).into();
        }
        spec["podFailurePolicy"] = failures();
    } else {
        // They count failed pods of all indices together.
        let pods = tasks.len().saturating_mul(options.retries as usize + 1);
        spec["backoffLimit"] = pods.min(i32::MAX as usize).into();
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(options, name),
        "spec": spec,
    })
}

/// A pod that its node or a more important one pushed away has not failed.
fn failures() -> Value {
    json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": HOPELESS}},
    ]})
}

fn pod(options: &Options, name: &str, tasks: &[Task]) -> Value {
    let mut pod = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": options.try_seconds,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(options, tasks)],
        "volumes": volumes(options, name),
    });
    if let Some(account) = &options.service_account {
        pod["serviceAccountName"] = account.as_str().into();
    }
    pod
}

fn container(options: &Options, tasks: &[Task]) -> Value {
    let limits = json!({
        "cpu": options.cpu, "memory": options.memory, "ephemeral-storage": options.scratch,
    });
    let mut container = json!({
        "name": CONTAINER,
        "image": options.image,
        "command": ["etcdprefix"],
        "args": arguments(options),
        "env": environment(options, tasks),
        "resources": {"requests": limits, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts(options),
    });
    if let Some(secret) = &options.env_secret {
        container["envFrom"] = json!([{"secretRef": {"name": secret}}]);
    }
    container
}

/// The kubelet puts the index in.
fn arguments(options: &Options) -> Value {
    let mut words = vec![
        "migrate".to_owned(),
        "rewrite".into(),
        format!("--list={LIST}/{LIST_KEY}"),
        "--index=$(JOB_COMPLETION_INDEX)".into(),
        format!("--src-prefix={}", unexpanded(&options.src_prefix)),
        "--quiet".into(),
        "--write-out=json".into(),
    ];
    if options.drop_unmatched {
        words.insert(5, "--unmatched=drop".into());
    }
    words.into()
}

fn environment(options: &Options, tasks: &[Task]) -> Value {
    let (endpoint, region) = match tasks.first().map(|task| task.source.kind) {
        Some(Kind::S3) => ("AWS_ENDPOINT_URL_S3", "AWS_REGION"),
        _ => ("OSS_ENDPOINT", "OSS_REGION"),
    };
    let path = options.path_style.then(|| "path".to_owned());
    let folder = options.credentials_secret.as_ref().map(|_| CREDENTIALS.to_owned());
    let set = [
        ("TMPDIR", Some(SCRATCH.to_owned())),
        (endpoint, options.store_endpoint.clone()),
        (region, options.region.clone()),
        ("ETCDPREFIX_STORE_ADDRESSING", path),
        ("ETCDPREFIX_STORE_CREDENTIALS", folder),
    ];
    let set = set.into_iter().filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| json!({"name": name, "value": unexpanded(&value)})).collect()
}

/// `$(NAME)` in words and variables is the kubelet's to replace, and `$$` its way to write a dollar.
fn unexpanded(text: &str) -> String {
    text.replace('$', "$$")
}

fn mounts(options: &Options) -> Value {
    let mut mounts = vec![
        json!({"name": "list", "mountPath": LIST, "readOnly": true}),
        json!({"name": "scratch", "mountPath": SCRATCH}),
    ];
    if options.credentials_secret.is_some() {
        let mount = json!({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": true});
        mounts.push(mount);
    }
    mounts.into()
}

fn volumes(options: &Options, name: &str) -> Value {
    let mut volumes = vec![
        json!({"name": "list", "configMap": {"name": name}}),
        json!({"name": "scratch", "emptyDir": {"sizeLimit": options.scratch}}),
    ];
    if let Some(secret) = &options.credentials_secret {
        // Its group's too: the pod is in it, and is not root. 0440.
        let secret = json!({"secretName": secret, "defaultMode": 288});
        volumes.push(json!({"name": "credentials", "secret": secret}));
    }
    volumes.into()
}
