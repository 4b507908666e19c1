//! Results made up here, held against the examples of docs/cli-contract.md.

use etcdprefix_migrate::Bundle;
use etcdprefix_migrate::aftercare::{Action, Findings, Master, Performed, State, Step};
use etcdprefix_migrate::bundle::Sensitive;
use etcdprefix_migrate::cloud::{Change, Counters, Execution, Task, TaskExecution, TemplateInfo};
use etcdprefix_migrate::flow::{
    HandedOut, HostReport, Outputs, Phase, PhaseTime, Presigned, Rehearsal, RolledBack, Status,
};
use etcdprefix_migrate::hosted::{
    self, After, Encryption, Made, PutBack, WriterFound, WriterStatus,
};
use etcdprefix_migrate::node::preflight::{Check, Facts, Preflight, Standing};
use etcdprefix_migrate::protocol::{Bundled, NodeStatus, Signed, Slept, Snapshotted};
use serde_json::{Value, json};

use super::aftercare::Cared;
use super::node::Where;
use super::state::Checked;
use crate::args::Format;

/// What no output may show.
pub const SECRET: &str = "full-s3cr3t";

pub fn snapshot() -> Snapshotted {
    let made = json!({
        "object": "oss://b/etcd_c1", "bytes": 36896, "sha256": "ab", "revision": 64, "matched": 72,
        "unmatched": 1, "member": "etcd-0", "chosen": "the leader", "hashkv": 7, "quiet_until": 64,
        "quiet": null, "phases": [["save", 0.5]], "kept": [], "warnings": [],
    });
    serde_json::from_value(made).unwrap()
}

pub fn bundle() -> Bundle {
    let secret = || Sensitive::new(format!("{SECRET}-key"));
    let oss_url = Sensitive::new(format!("https://b.example/etcd_c1?sign={SECRET}"));
    Bundle { sakey: secret(), sapub: secret(), frontcrt: secret(), frontkey: secret(), oss_url }
}

fn signed() -> Signed {
    let url = Sensitive::new(format!("https://b.example/etcd_c1?sign={SECRET}"));
    Signed { url, ends_ms: 1_700_000_000_000, probe: "fetched".into(), warnings: Vec::new() }
}

pub fn bundled() -> Bundled {
    Bundled {
        bundle: bundle(),
        extra: None,
        ends_ms: 1_700_000_000_000,
        probe: "fetched".into(),
        quiet: json!({}),
        warnings: Vec::new(),
    }
}

fn phases() -> Vec<PhaseTime> {
    vec![PhaseTime { name: "sleep".into(), seconds: 12.0 }]
}

pub fn handed() -> HandedOut {
    HandedOut {
        run: "r1".into(),
        bundle_file: "bundle.json".into(),
        encrypted: false,
        bundle: bundle(),
        snapshot: snapshot(),
        snapshot_host: "m1".into(),
        url_ends_ms: 1_700_000_000_000,
        outage_seconds: 83.2,
        outputs: Outputs {
            find_leader_outputs: vec!["m1".into()],
            read_sign_outputs: vec!["bundle.json".into()],
            ..Outputs::default()
        },
        phases: phases(),
        warnings: vec!["odd".into()],
    }
}

pub fn check(name: &str, standing: Standing) -> Check {
    let text = |what: &str| format!("{what} of {name}");
    let advice = if standing == Standing::Ok { String::new() } else { text("advice") };
    Check { name: name.into(), standing, found: text("found"), why: text("why"), advice }
}

fn rehearsal() -> Rehearsal {
    let look = Preflight { checks: vec![check("clock", Standing::Ok)], facts: Facts::default() };
    Rehearsal {
        at_ms: 1_700_000_000_000,
        config_digest: "ab".into(),
        hosts: vec![("m1".into(), look)],
        across: vec![check("versions", Standing::Warn)],
        snapshot: snapshot(),
        snapshot_host: "m1".into(),
        phases: phases(),
        expected_outage_seconds: 48.0,
        warnings: Vec::new(),
    }
}

pub fn asleep() -> NodeStatus {
    let owner = json!({"run": "r1", "cluster": "c1", "by": "me@here, process 7"});
    let status = json!({
        "hostname": "m1", "arch": "x86_64", "version": "0.1.0", "now_ms": 100_000,
        "lock": {"owner": owner, "taken_ms": 0, "seen_ms": 95_000},
        "asleep": {"run": "r1", "since_ms": 25_000, "moved": ["kube-apiserver.yaml"]},
        "timer": {"run": "r1", "left_seconds": 1100, "alive": true},
        "fired": null, "fence": null, "api_server_runs": false,
    });
    serde_json::from_value(status).unwrap()
}

pub fn status() -> Status {
    let host = |host: &str, status, error| HostReport { host: host.into(), status, error };
    Status {
        phase: Phase::Running,
        run: Some("r1".into()),
        last: Some("sleep on m1".into()),
        object: None,
        hosts: vec![
            host("root@m1", Some(asleep()), None),
            host("root@m2", None, Some("root@m2: connection refused".into())),
        ],
        advice: "migrate resume".into(),
    }
}

pub fn presigned() -> Presigned {
    Presigned {
        object: "oss://b/etcd_c1".into(),
        url: bundle().oss_url,
        ends_ms: 1_700_000_000_000,
        bundle_file: None,
    }
}

pub fn action(name: &str, state: State) -> Action {
    Action {
        name: name.into(),
        what: format!("what of {name}"),
        why: format!("why of {name}"),
        command: format!("command of {name}"),
        after: None,
        state,
        step: Step::None,
    }
}

pub fn cared() -> Cared {
    let (name, what) = ("pod".to_owned(), "what of pod".to_owned());
    let instance = Some("i-bp1a".to_owned());
    Cared {
        ready_seconds: 0.1,
        away_seconds: Some(432.0),
        findings: Findings {
            server: "https://10.0.0.9:6443".into(),
            same_server: Some(true),
            version: "v1.28.3".into(),
            same_version: Some(false),
            masters: vec![Master { name: "m1".into(), ready: "Unknown".into(), instance }],
            actions: vec![
                Action { step: Step::DeleteNode("m1".into()), ..action("terway", State::Done) },
                action("pod", State::Todo),
                action("release", State::ByHand),
            ],
        },
        performed: vec![Performed { name, what, changed: true, seconds: 1.0 }],
    }
}

/// Of an OOS template, as it came back.
pub fn execution() -> Execution {
    let task = Task { name: "rollback".into(), action: "ACS::ECS::RunCommand".into() };
    let counters = [("Failed", 1), ("Success", 2), ("Total", 3)];
    let outputs = json!({
        "sleepOrWakeupControlPlaneOutputs": ["m1 sleeps"],
        "readSignOutputs": ["", format!("{SECRET}-bundle")],
    });
    Execution {
        id: "exec-1".into(),
        status: "Failed".into(),
        status_message: Some("a task failed".into()),
        template: "etcdprefix-migration".into(),
        version: "v1".into(),
        started: Some("2026-11-23T11:00:00Z".into()),
        ended: Some("2026-11-23T11:03:20Z".into()),
        counters: Counters(counters.map(|(name, count)| (name.to_owned(), count)).into()),
        current_tasks: vec![task],
        outputs: outputs.as_object().cloned().unwrap(),
    }
}

pub fn failed_task() -> TaskExecution {
    TaskExecution {
        name: "sleepOrWakeupControlPlane".into(),
        action: "ACS::ECS::RunCommand".into(),
        status: "Failed".into(),
        status_message: Some(format!("oss_url={SECRET}")),
    }
}

pub fn hosted() -> Made {
    let secret = |text: &str| Sensitive::new(format!("{text}{SECRET}"));
    Made {
        run: "r1".into(),
        hosted_cluster: "clusters/mine".into(),
        after: After::Stay,
        object: "s3://b/o.db".into(),
        bytes: 53_280,
        sha256: "ab".into(),
        revision: 202,
        member: "etcd-0".into(),
        chosen: "the leader".into(),
        hashkv: Some(7),
        rewritten: None,
        volume: "8Gi".into(),
        url: secret("https://b.example/o.db?sign="),
        url_ends_ms: 1_700_000_000_000,
        fragment: secret("spec: "),
        output: "etcd.yaml".into(),
        into: None,
        secrets: Some("keys.yaml".into()),
        encryption: Encryption::Aescbc { active_key: "k".into(), backup_key: None },
        writers: vec![WriterFound { name: "kube-apiserver".into(), replicas: Some(3) }],
        asleep_seconds: 41.5,
        phases: phases(),
        warnings: vec!["odd".into()],
    }
}

fn put_back() -> PutBack {
    let changed = vec!["kube-apiserver has 3 replicas again".into()];
    PutBack { run: Some("r1".into()), changed, object_deleted: Some(true), warnings: Vec::new() }
}

fn hosted_status() -> hosted::Status {
    let name = "kube-apiserver".to_owned();
    hosted::Status {
        hosted_cluster: "clusters/mine".into(),
        paused_until: None,
        asleep: None,
        writers: vec![WriterStatus { name, replicas: Some(0), before: Some(3) }],
        journal: Some(hosted::Phase::Asleep),
        advice: "nothing".into(),
    }
}

fn slept() -> Slept {
    Slept {
        moved: vec!["kube-apiserver.yaml".into()],
        left: vec!["etcd.yaml".into()],
        folder: "/m".into(),
        backup: "/m.backup".into(),
        already: false,
        seconds: 1.0,
        warnings: Vec::new(),
    }
}

/// The example below a heading.
fn example(heading: &str) -> Value {
    let contract = include_str!("../../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once(&format!("# `{heading}`\n")).unwrap();
    let (_, example) = section.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str(example).unwrap()
}

/// The same names in the same order, as deep as the example goes; of facts it shows only some.
fn compare(ours: &Value, documented: &Value, place: &str) {
    match (ours, documented) {
        (Value::Object(ours), Value::Object(documented)) if !documented.is_empty() => {
            let names = |value: &serde_json::Map<_, _>| value.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(ours), names(documented), "{place}");
            for (name, documented) in documented.iter().filter(|(name, _)| *name != "facts") {
                compare(&ours[name], documented, &format!("{place}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(documented)) => {
            for (ours, documented) in ours.iter().zip(documented) {
                compare(ours, documented, place);
            }
        }
        _ => {}
    }
}

#[track_caller]
fn as_documented(ours: &str, heading: &str) {
    let ours = serde_json::from_str(ours).unwrap();
    compare(&ours, &example(heading), heading);
}

#[test]
fn json_is_as_documented() {
    let json = Format::Json;
    let rolled_back = RolledBack {
        hosts: vec![("m1".into(), vec!["kube-apiserver.yaml".into()])],
        object_deleted: None,
        warnings: Vec::new(),
    };
    let checks = vec![check("clock", Standing::Fail)];
    let checked = Checked { host: Some("m1".into()), checks };
    let place = Where::File("bundle.json".into(), false);
    let (template, version) = ("etcdprefix-migration".into(), "v1".into());
    let made = TemplateInfo { name: template, version, change: Change::Created };
    let watched = super::oos::watched(&execution(), &[failed_task()], None, json);
    for (ours, heading) in [
        (super::rehearsal::render(&rehearsal(), json), "etcdprefix migrate rehearse"),
        (super::handed::render(&handed(), "c1", false, json), "etcdprefix migrate run"),
        (super::after::rolled_back(&rolled_back, json), "etcdprefix migrate rollback"),
        (super::status::render(&status(), json), "etcdprefix migrate status"),
        (super::after::presigned(&presigned(), false, json), "etcdprefix migrate presign"),
        (super::aftercare::render(&cared(), json), "etcdprefix migrate aftercare"),
        (super::oos::made(&made, json), "etcdprefix migrate oos create"),
        (super::oos::started("exec-1", json), "etcdprefix migrate oos start"),
        (watched, "etcdprefix migrate oos watch"),
        (super::oos::cancelled("exec-1", json), "etcdprefix migrate oos cancel"),
        (super::hosted::made(&hosted(), false, json), "etcdprefix migrate hosted run"),
        (super::hosted::put_back(&put_back(), json), "etcdprefix migrate hosted rollback"),
        (super::hosted::status(&hosted_status(), json), "etcdprefix migrate hosted status"),
        (super::status::node(&asleep(), json), "node status"),
        (super::node::slept(&slept(), json), "node sleep"),
        (super::node::bundle(&bundled(), &place, json), "node bundle"),
        (super::engine::unpublished(Some("o"), Some("deleted"), json), "node unpublish"),
        (super::engine::presigned(&signed(), Some("u".as_ref()), json), "node presign"),
    ] {
        as_documented(&ours, heading);
    }
    let not_ready: Value =
        serde_json::from_str(&super::preflight::not_ready(&[checked], json)).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&not_ready), names(&example("etcdprefix migrate rehearse")));
}

#[test]
fn people_get_every_part_of_a_rehearsal() {
    let text = super::rehearsal::render(&rehearsal(), Format::Simple);
    for words in [
        "ready: about 0:48 from the first sleep",
        "m1: 1 check well",
        "know  versions: found of versions",
        "| sleep        |",
        "next: etcdprefix migrate run",
    ] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
}
