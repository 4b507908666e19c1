//! What the Deployment controller, a kubelet and HyperShift's operator do, as far as somebody waits for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use etcdprefix_testkit::kubernetes::Kubectl;
use serde_json::{Value, json};

use super::bench::{CONTROL_PLANE, DEPLOYMENTS, HOSTED};

const PLANE: &str = "/apis/hypershift.openshift.io/v1beta1/namespaces/{}/hostedcontrolplanes/mine";
const TICK: Duration = Duration::from_millis(50);

/// A thread that does it, until it is dropped.
pub struct Operator {
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Flags {
    held: AtomicBool,
    /// Pods that have to end do not.
    pods_held: AtomicBool,
    /// Whether it scales kube-apiserver as it thinks right, unless it is paused.
    insists: AtomicBool,
    ended: AtomicBool,
}

impl Operator {
    pub fn start(kubeconfig: &Path) -> Result<Self> {
        let flags = Arc::new(Flags { insists: AtomicBool::new(true), ..Flags::default() });
        let (its, kubectl) = (Arc::clone(&flags), Kubectl::with(kubeconfig)?);
        let thread = std::thread::spawn(move || {
            while !its.ended.load(Ordering::SeqCst) {
                // A watch that breaks, or an object that changed meanwhile: again.
                let _ = follow(&kubectl, &its);
            }
        });
        Ok(Self { flags, thread: Some(thread) })
    }

    /// Nobody does anything until [`Self::go_on`].
    pub fn hold(&self) {
        self.flags.held.store(true, Ordering::SeqCst);
    }

    /// No pod comes or goes until [`Self::go_on`]; pauses are passed on.
    pub fn hold_pods(&self) {
        self.flags.pods_held.store(true, Ordering::SeqCst);
    }

    pub fn go_on(&self) {
        self.flags.held.store(false, Ordering::SeqCst);
        self.flags.pods_held.store(false, Ordering::SeqCst);
    }

    /// Whatever replicas there are, is right.
    pub fn yield_to_others(&self) {
        self.flags.insists.store(false, Ordering::SeqCst);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.flags.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(kubectl: &Kubectl, flags: &Flags) -> Result<()> {
    let mut pending = BTreeMap::new();
    let mut watches = Vec::new();
    for path in [DEPLOYMENTS, HOSTED] {
        let list = kubectl.raw(path)?;
        for item in list["items"].as_array().context("no list")? {
            pending.insert(format!("{path}/{}", item["metadata"]["name"]), item.clone());
        }
        let version = list["metadata"]["resourceVersion"].as_str().context("no version")?;
        watches.push((path, kubectl.watch(path, version.parse()?)?));
    }
    while !flags.ended.load(Ordering::SeqCst) {
        for (path, watch) in &watches {
            // Nothing within the time is no error here; a watch that ended is found out by that too.
            if let Ok(event) = watch.next(TICK) {
                let object = &event["object"];
                pending.insert(format!("{path}/{}", object["metadata"]["name"]), object.clone());
            }
        }
        if !flags.held.load(Ordering::SeqCst) {
            let (held, mut later) = (flags.pods_held.load(Ordering::SeqCst), BTreeMap::new());
            for (key, object) in std::mem::take(&mut pending) {
                match object["spec"]["template"].is_object() {
                    true if held => drop(later.insert(key, object)),
                    true => run_pods(kubectl, &object)?,
                    false => pass_on(kubectl, &object)?,
                }
            }
            pending = later;
            if flags.insists.load(Ordering::SeqCst) {
                insist(kubectl)?;
            }
        }
    }
    Ok(())
}

/// As many pods as there are to be, and the status that says so.
fn run_pods(kubectl: &Kubectl, deployment: &Value) -> Result<()> {
    let name = deployment["metadata"]["name"].as_str().context("no name")?;
    let path = format!("{DEPLOYMENTS}/{name}");
    let mut fresh = kubectl.raw(&path)?;
    let wanted = fresh["spec"]["replicas"].as_i64().context("no replicas")?;
    let generation = fresh["metadata"]["generation"].clone();
    if fresh["status"]["observedGeneration"] == generation
        && fresh["status"]["replicas"].as_i64().unwrap_or_default() == wanted
    {
        return Ok(());
    }
    let force = ["--ignore-not-found", "--wait=true", "--grace-period=0", "--force"];
    let these = ["delete", "pods", "-n", CONTROL_PLANE, "-l", &format!("app={name}")];
    kubectl.run(&[&these[..], &force].concat())?;
    let pods = (0..wanted).map(|number| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{name}-{number}"), "namespace": CONTROL_PLANE, "labels": {"app": name},
            },
            "spec": {"containers": [{"name": name, "image": "none"}]},
        })
    });
    let pods: Vec<Value> = pods.collect();
    if !pods.is_empty() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
        kubectl.feed(&["create"], &list.to_string())?;
    }
    fresh["status"] =
        json!({"replicas": wanted, "readyReplicas": wanted, "observedGeneration": generation});
    fresh["metadata"]["resourceVersion"] = Value::Null;
    kubectl.feed(&["replace", "--raw", &format!("{path}/status")], &fresh.to_string())?;
    Ok(())
}

/// Only a pause that has reached the HostedControlPlane keeps the operator from it.
fn insist(kubectl: &Kubectl) -> Result<()> {
    let path = format!("{DEPLOYMENTS}/kube-apiserver");
    let plane = PLANE.replace("{}", CONTROL_PLANE);
    let is_paused = |it: &Value| it["spec"]["pausedUntil"] == "true";
    if kubectl.raw(&path)?["spec"]["replicas"] == 0 && !is_paused(&kubectl.raw(&plane)?) {
        let name = "kube-apiserver";
        let scale = ["scale", "deployment", name, "-n", CONTROL_PLANE, "--replicas=3"];
        kubectl.run(&scale)?;
    }
    Ok(())
}

/// The pause, from the HostedCluster to the HostedControlPlane.
fn pass_on(kubectl: &Kubectl, hosted: &Value) -> Result<()> {
    if hosted["metadata"]["name"] != "mine" {
        return Ok(());
    }
    let patch = json!({"spec": {"pausedUntil": hosted["spec"]["pausedUntil"]}}).to_string();
    let plane = ["patch", "hostedcontrolplane", "mine", "-n", CONTROL_PLANE, "--type=merge", "-p"];
    kubectl.run(&[&plane[..], &[&patch]].concat()).map(drop)
}
