//! The host itself: kubelet, folders, runtime, clock, time zone.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::across::standing_of_skew;
use super::topic::Topic;
use super::{Check, Standing};
use crate::node::kubelet::{Kubelet, Layout};
use crate::node::manifest::StaticPod;
use crate::node::process::Machine;
use crate::node::runtime::{API_SERVER, ASK_LIMIT, Runtimes, Target};
use crate::node::unit::is_systemd;

const KUBELET: Topic = Topic::new(
    "kubelet",
    "the kubelet stops what leaves its folder and starts what comes back: sleep and wake are nothing \
     else",
);
const STAYS: Topic = Topic::new(
    "static_pods",
    "sleep moves kube-apiserver, kube-controller-manager, kube-scheduler and \
     cloud-controller-manager; others stay and may miss them",
);
const BACKUP: Topic = Topic::new(
    "backup_folder",
    "manifests are put beside the kubelet's folder, and nothing is ever overwritten",
);
const RUNTIME: Topic = Topic::new(
    "container_runtime",
    "sleep waits until no container of the control plane is left, which the runtime tells",
);
const NAMES: Topic = Topic::new(
    "manifest_names",
    "what sleep moves is noted by name before it moves: what can't be noted can't be put back",
);
const OTHER: Topic = Topic::new(
    "other_api_server",
    "sleep waits until no kube-apiserver is left on the host: it would wait for this one in vain, and \
     put everything back",
);
const TIMER: Topic = Topic::new(
    "timer",
    "a host that sleeps wakes by its own timer if the orchestrator is lost; after a reboot only if \
     something starts the timer again",
);
const CLOCK: Topic = Topic::new(
    "clock",
    "timers wake the host in time, presigned URLs and certificates hold, only by a right clock",
);
const ZONE: Topic =
    Topic::new("time_zone", "after the move CronJobs start by the managed side's time zone");
const BINARY: Topic =
    Topic::new("binary", "every step of the migration is done by this program on this host");
const ASSISTANT: Topic = Topic::new(
    "cloud_assistant",
    "only an orchestrator that uses the cloud's command API needs its client on the masters",
);

/// Where installers put the client.
const ASSISTANTS: [&str; 4] = [
    "/usr/local/share/aliyun-assist",
    "/usr/sbin/aliyun-service",
    "/usr/bin/aliyun-service",
    "/etc/systemd/system/aliyun.service",
];

/// The kubelet runs, and where it looks.
pub(super) fn kubelet(machine: &Machine, kubelet: Option<&Kubelet>, layout: &Layout) -> Check {
    let folder = layout.manifests.display();
    let kubelets = Kubelet::find_all(machine).len();
    match kubelet {
        Some(_) if kubelets > 1 => KUBELET.warn(
            format!("{kubelets} of them run here; {folder} is taken"),
            "to see whose static pods these are (ps -C kubelet -f), and --manifests if it is another's",
        ),
        Some(Kubelet { manifests: Some(_), .. }) => KUBELET.ok(format!("static pods in {folder}")),
        Some(_) => KUBELET.warn(
            format!("it runs, and does not tell its folder; {folder} is taken"),
            "to compare with staticPodPath in the kubelet's configuration",
        ),
        None => KUBELET.fail(
            "no process kubelet",
            "systemctl start kubelet: without it nothing goes to sleep or wakes up",
        ),
    }
}

/// What could not be looked at.
pub(super) fn no_folder(why: &str, hint: Option<&str>) -> Check {
    let advice = "a master whose control plane runs as static pods: what systemd or another \
                  program runs can't be put to sleep here";
    KUBELET.fail(why, hint.unwrap_or(advice))
}

pub(super) fn static_pods(moved: &[String], stay: &[String], pods: &[StaticPod]) -> Check {
    let others: Vec<&str> = pods
        .iter()
        .filter(|pod| !pod.runs("etcd"))
        .map(StaticPod::file_name)
        .filter_map(|name| stay.iter().find(|stays| **stays == name))
        .map(String::as_str)
        .collect();
    let found = match moved.is_empty() {
        true => "none would sleep".to_owned(),
        false => format!("{} sleep", moved.join(", ")),
    };
    if others.is_empty() {
        return STAYS.ok(found);
    }
    STAYS.warn(
        format!("{found}; {} stay", others.join(", ")),
        "nothing for what only passes traffic on (kube-vip, haproxy); what writes to the API or to \
         etcd has to sleep too: also: [NAME], or all: true",
    )
}

/// Whether sleep finds its place free.
pub(super) fn backup(layout: &Layout, moved: &[String]) -> Check {
    let folder = &layout.backup;
    if let Some(fault) = cannot_move(layout) {
        return BACKUP.fail(fault, "a folder of manifests on the same file system as its parent");
    }
    let there: BTreeSet<String> = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return BACKUP.ok(format!("{} will be made", folder.display()));
        }
        Err(error) => {
            return BACKUP.fail(format!("{}: {error}", folder.display()), "a folder there");
        }
        Ok(entries) => {
            let names = entries.flatten().map(|entry| entry.file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        }
    };
    let same: Vec<String> = moved
        .iter()
        .filter(|name| there.contains(*name))
        .map(|name| {
            let (old, new) = (folder.join(name), layout.manifests.join(name));
            format!("{} and {}", old.display(), new.display())
        })
        .collect();
    match same.is_empty() {
        true => BACKUP.ok(format!("{}: no names in the way", folder.display())),
        false => BACKUP.fail(
            same.join("; "),
            "to move what is in the backup folder elsewhere, if the other one is what runs",
        ),
    }
}

/// Why a rename from the one to the other would not work.
fn cannot_move(layout: &Layout) -> Option<String> {
    let Layout { manifests, backup, .. } = layout;
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    // What is not there yet will be made in its parent.
    let beside = device(backup).or_else(|| device(backup.parent()?))?;
    (device(manifests)? != beside).then(|| {
        format!(
            "{} is a file system of its own, which {} is not on",
            manifests.display(),
            backup.display()
        )
    })
}

/// Manifests whose names can't be written down.
pub(super) fn odd_names(pods: &[StaticPod]) -> Option<Check> {
    let odd = pods.iter().filter(|pod| !pod.has_plain_name());
    let odd: Vec<String> = odd.map(|pod| pod.file.display().to_string()).collect();
    let found = format!("not UTF-8: {}", odd.join(", "));
    (!odd.is_empty()).then(|| NAMES.fail(found, "to rename these files"))
}

/// An API server that sleep would wait for in vain.
pub(super) fn other_api_server(
    machine: &Machine,
    kubelet: Option<&Kubelet>,
    moved: &[Target],
) -> Option<Check> {
    let containers = Runtimes::find(machine, kubelet).other_api_servers(moved, ASK_LIMIT);
    if !containers.is_empty() {
        let advice = "to move it to another host, or its cluster first: sleep ends when no \
                      kube-apiserver is left on this host";
        let found =
            format!("{}, which no manifest here that would sleep started", containers.join(", "));
        return Some(OTHER.fail(found, advice));
    }
    let processes = machine.processes().unwrap_or_default();
    let served = processes.iter().filter(|process| process.is(API_SERVER)).filter_map(|process| {
        let service = machine.service_of(process)?;
        Some(format!("process {} of {service}", process.pid))
    });
    let served: Vec<String> = served.collect();
    let advice = "to see whether a static pod started it; a service of systemd's own has to be stopped \
                  by hand: sleep ends when no kube-apiserver is left on this host";
    (!served.is_empty()).then(|| OTHER.warn(served.join(", "), advice))
}

/// Who starts the timer again.
pub(super) fn timer(machine: &Machine) -> Check {
    let is_covered = is_systemd(machine) && machine.program("systemctl").is_some();
    match is_covered {
        true => TIMER.ok("a unit of systemd, which comes back after a reboot too"),
        false => TIMER.warn(
            "no systemd: the timer is a plain process",
            "nothing, if this host is not rebooted in the outage; if it is: etcdprefix migrate resume, or \
             rollback",
        ),
    }
}

pub(super) fn runtime(machine: &Machine, kubelet: Option<&Kubelet>) -> Check {
    let looked = Runtimes::find(machine, kubelet).look(machine, &[], ASK_LIMIT);
    if !looked.unknown.is_empty() {
        return RUNTIME.fail(
            looked.unknown.join("; "),
            "to see why it does not answer (crictl ps, docker ps): sleep would put everything back",
        );
    }
    match looked.warnings.is_empty() {
        true if looked.running.is_empty() => RUNTIME.warn(
            "it answers, and no kube-apiserver runs here",
            "to see why (crictl ps -a, kubelet's log), if this master should serve",
        ),
        true => RUNTIME.ok(looked.running.join(", ")),
        false => RUNTIME.warn(
            looked.warnings.join("; "),
            "crictl on the host's path: without it a container that hangs is not seen",
        ),
    }
}

/// Against the orchestrator's, by so many milliseconds; `None` if it did not tell its own.
pub(super) fn clock(offset_ms: Option<i64>) -> Option<Check> {
    let offset_ms = offset_ms?;
    let side = if offset_ms < 0 { "behind" } else { "ahead of" };
    let seconds = offset_ms.unsigned_abs() as f64 / 1000.0;
    let found = format!("{seconds:.1} s {side} the orchestrator's");
    let advice = "chronyc makestep (or ntpd -gq), here or where the migration is started";
    Some(match standing_of_skew(offset_ms.unsigned_abs()) {
        Standing::Ok => CLOCK.ok(found),
        standing => CLOCK.check(standing, found, advice),
    })
}

/// `Asia/Shanghai`, by the link that tells it, or the file that Debian keeps beside it.
pub(super) fn time_zone(machine: &Machine) -> Option<String> {
    let link = fs::read_link(machine.path(Path::new("/etc/localtime"))).ok();
    let by_link = link.and_then(|target| {
        let target = target.to_string_lossy().into_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    });
    let by_file = || fs::read_to_string(machine.path(Path::new("/etc/timezone"))).ok();
    let zone = by_link.or_else(by_file)?;
    Some(zone.trim().to_owned()).filter(|zone| !zone.is_empty())
}

pub(super) fn zone(zone: Option<&str>) -> Check {
    let found = zone.unwrap_or("not told by /etc/localtime or /etc/timezone");
    ZONE.ask(
        found,
        "is this the time zone in the console (the cluster's Basic Information)? Set it there \
         before the move",
    )
}

pub(super) fn binary(version: &str, arch: &str) -> Check {
    BINARY.ok(format!("etcdprefix {version} on {arch}"))
}

/// Never a reason against it: over SSH nobody needs it.
pub(super) fn assistant(machine: &Machine) -> Check {
    let found = ASSISTANTS.iter().find(|path| machine.path(Path::new(path)).exists());
    match found {
        Some(path) => ASSISTANT.ok(*path),
        None => ASSISTANT.check(
            Standing::Warn,
            "not installed",
            "nothing over SSH; else to install the Cloud Assistant client, which old masters lack",
        ),
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
