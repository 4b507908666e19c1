//! How a migration and its hosts are: `migrate status` and `node status`.

use std::fmt::Write;

use etcdprefix_migrate::flow::{HostReport, Phase, Status};
use etcdprefix_migrate::protocol::{Asleep, Fence, Lock, NodeStatus, Timer};
use serde_json::json;

use super::state::clock;
use super::{table, text};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::one_line;

/// Of `migrate status`.
pub fn render(status: &Status, format: Format) -> String {
    let result = serde_json::to_value(status).unwrap_or_default();
    fields::render(&result, format, || summary(status))
}

fn summary(status: &Status) -> String {
    let mut rows = Vec::new();
    let known = [("run", &status.run), ("last", &status.last), ("object", &status.object)];
    for (label, value) in known {
        rows.extend(value.as_deref().map(|value| (label, one_line(value))));
    }
    rows.push(("do", one_line(&status.advice)));
    let mut text = text(headline(status.phase), &rows);
    let hosts = status.hosts.iter().map(row);
    let head = ["HOST", "CONTROL PLANE", "API SERVER", "TIMER", "HELD BY", "BUNDLE"];
    let _ = writeln!(text, "\n{}", table(head, hosts));
    for host in &status.hosts {
        if let Some(why) = &host.error {
            let _ = writeln!(text, "no answer from {}", one_line(why));
        }
        if let Some(fired) = host.status.as_ref().and_then(|status| status.fired.as_ref()) {
            let _ = writeln!(text, "the timer of {}: {}", one_line(&host.host), one_line(fired));
        }
    }
    text
}

fn headline(phase: Phase) -> &'static str {
    match phase {
        Phase::None => "no migration was begun from here",
        Phase::Running => "a migration is under way; nothing is handed out",
        Phase::HandedOut => "HANDED OUT: nothing may wake the hosts any more",
        Phase::RolledBack => "the last migration was rolled back",
        Phase::Finished => "finished: the managed side has the cluster",
    }
}

fn row(host: &HostReport) -> Vec<String> {
    let mut row = vec![host.host.clone()];
    match &host.status {
        Some(status) => row.extend(cells(status)),
        None => row.push("no answer".into()),
    }
    row
}

fn cells(status: &NodeStatus) -> [String; 5] {
    let since = |ms: u64| clock(std::time::Duration::from_millis(status.now_ms.saturating_sub(ms)));
    let asleep = |it: &Asleep| format!("asleep for {}", since(it.since_ms));
    let timer = |it: &Timer| match it.alive {
        true => format!("wakes it in {}", clock(std::time::Duration::from_secs(it.left_seconds))),
        false => "DEAD".into(),
    };
    let lock = |it: &Lock| format!("{}, heard of {} ago", it.owner.by, since(it.seen_ms));
    let fence = |it: &Fence| format!("out for {}", since(it.since_ms));
    let none = || "-".to_owned();
    [
        status.asleep.as_ref().map_or("awake".into(), asleep),
        if status.api_server_runs { "runs" } else { "-" }.into(),
        status.timer.as_ref().map_or_else(none, timer),
        status.lock.as_ref().map_or_else(none, lock),
        status.fence.as_ref().map_or_else(none, fence),
    ]
}

/// Of `node status`.
pub fn node(status: &NodeStatus, format: Format) -> String {
    fields::render(&json!(status), format, || {
        let [control_plane, api_server, timer, lock, bundle] =
            cells(status).map(|it| one_line(&it));
        let moved = status.asleep.as_ref().map(|asleep| one_line(&asleep.moved.join(", ")));
        let mut rows = vec![
            ("binary", one_line(&format!("{} for {}", status.version, status.arch))),
            ("API server", api_server),
            ("timer", timer),
            ("held by", lock),
            ("bundle", bundle),
        ];
        rows.extend(moved.map(|moved| ("moved", moved)));
        rows.extend(status.fired.as_ref().map(|fired| ("fired", one_line(fired))));
        text(&format!("{}: {control_plane}", status.hostname), &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::{asleep, status};
    use serde_json::Value;

    #[test]
    fn a_tired_person_sees_what_sleeps_and_what_to_do() {
        let text = render(&status(), Format::Simple);
        for words in [
            "under way; nothing is handed out",
            "do           migrate resume",
            "| root@m1 | asleep for 1:15 | -",
            "wakes it in 18:20",
            "me@here, process 7, heard of 0:05 ago",
            "| root@m2 | no answer",
            "no answer from root@m2: connection refused",
        ] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert!(node(&asleep(), Format::Simple).starts_with("m1: asleep for 1:15\n"));
    }

    #[test]
    fn json_is_that_of_the_library() {
        let json: Value = serde_json::from_str(&render(&status(), Format::Json)).unwrap();
        assert_eq!(json["phase"], "running");
        assert_eq!(json["hosts"][0]["status"]["asleep"]["moved"][0], "kube-apiserver.yaml");
        let json: Value = serde_json::from_str(&node(&asleep(), Format::Json)).unwrap();
        assert_eq!(json["timer"]["left_seconds"], 1100);
    }
}
