//! Snapshots in a bucket, rewritten by Jobs of Kubernetes: one an index.

mod check;
mod job;
pub mod list;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use list::Task;

pub use check::check_image;

/// A ConfigMap holds 1 MiB with all its names; what is left is for these.
const LIST_BYTES: usize = 1_000_000;
/// Of a Job with limits by index.
const LARGEST_JOB: usize = 100_000;

/// What the Jobs are like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the Job and its ConfigMap; with `-1`, `-2`, ... if there are several.
    pub name: String,
    /// Where they live; by default where kubectl is.
    pub namespace: Option<String>,
    /// With the program in its `PATH`.
    pub image: String,
    /// Indices at once, by each Job.
    pub parallelism: u32,
    /// How often an index is tried again after what may pass: disks, networks.
    pub retries: u32,
    /// After so many failed indices a Job is given up; by default only at its deadline.
    pub max_failed_indexes: Option<u32>,
    /// For one try of one index.
    pub try_seconds: u64,
    /// For a Job as a whole.
    pub deadline_seconds: u64,
    /// Until a Job that is done is removed.
    pub ttl_seconds: u64,
    /// As Kubernetes writes quantities: of the folder that holds source and output meanwhile.
    pub scratch: String,
    /// A quantity.
    pub cpu: String,
    /// A quantity.
    pub memory: String,
    /// Whose rights the pods have, by RRSA or IRSA.
    pub service_account: Option<String>,
    /// A Secret with `access-key-id` and `access-key-secret` (and `security-token`).
    pub credentials_secret: Option<String>,
    /// A Secret whose members become variables.
    pub env_secret: Option<String>,
    /// Host or URL of the store.
    pub store_endpoint: Option<String>,
    /// Region of the buckets.
    pub region: Option<String>,
    /// The bucket stands in the path of URLs.
    pub path_style: bool,
    /// The prefix of the keys before.
    pub src_prefix: String,
    /// Leave keys outside the source prefix out.
    pub drop_unmatched: bool,
    /// The cluster's version, major and minor.
    pub kubernetes: (u32, u32),
}

/// The objects, each ConfigMap before its Job.
///
/// # Errors
/// [`Error::Usage`] for values that Kubernetes would refuse or read as something else, and for lists that
/// contradict themselves.
pub fn render(options: &Options, tasks: &[Task]) -> Result<Vec<Value>> {
    list::check(tasks)?;
    check::check(options, tasks)?;
    let parts = parts(tasks)?;
    let many = parts.len() > 1;
    let objects = parts.iter().enumerate().flat_map(|(index, part)| {
        let name = match many {
            true => format!("{}-{}", options.name, index + 1),
            false => options.name.clone(),
        };
        [config_map(options, &name, part), job::job(options, &name, part)]
    });
    Ok(objects.collect())
}

/// As many tasks each as a ConfigMap and a Job hold.
fn parts(tasks: &[Task]) -> Result<Vec<&[Task]>> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, task) in tasks.iter().enumerate() {
        let line = task.line().len() + 1;
        if bytes + line > LIST_BYTES || index - start == LARGEST_JOB {
            parts.push(tasks.get(start..index).unwrap_or_default());
            (start, bytes) = (index, 0);
        }
        bytes += line;
    }
    parts.push(tasks.get(start..).unwrap_or_default());
    if parts.len() > 999 {
        let why = format!("{} snapshots would need {} Jobs", tasks.len(), parts.len());
        return Err(Error::Usage(why));
    }
    Ok(parts)
}

fn config_map(options: &Options, name: &str, tasks: &[Task]) -> Value {
    let lines: String = tasks.iter().map(|task| task.line() + "\n").collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(options, name),
        "immutable": true,
        "data": {job::LIST_KEY: lines},
    })
}

fn metadata(options: &Options, name: &str) -> Value {
    let mut metadata = json!({"name": name, "labels": labels(name)});
    if let Some(namespace) = &options.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    metadata
}

fn labels(name: &str) -> Value {
    json!({"app.kubernetes.io/name": "etcdprefix", "app.kubernetes.io/instance": name})
}
