//! What members say, for `endpoint status` and `endpoint hashkv`.

use comfy_table::Table;
use comfy_table::presets::ASCII_FULL_CONDENSED;
use etcdprefix_etcd::hashkv::MembersHashKv;
use etcdprefix_etcd::members::{Alarm, MemberStatus, Survey};
use serde_json::{Value, json};

use crate::args::Format;
use crate::output::text::{one_line, thousands};
use crate::output::{fields, humanize};

/// What goes to stdout for `endpoint status`.
pub fn status(survey: &Survey, format: Format) -> String {
    let statuses: Vec<&MemberStatus> = survey.statuses().collect();
    let failures: Vec<String> = survey.failures().collect();
    let result = json!({
        "members": statuses,
        "failures": failures,
        "not_asked": survey.unasked(),
    });
    match format {
        Format::Json | Format::Fields => fields::render(&result, format, String::new),
        Format::Simple | Format::Table => {
            let mut text = table(STATUS, statuses.iter().map(|status| status_row(status)));
            text.extend(
                failures.iter().map(|failure| format!("no answer: {}\n", one_line(failure))),
            );
            text.extend(not_asked(&survey.unasked()));
            text
        }
    }
}

const STATUS: &[&str] = &[
    "ENDPOINT", "NAME", "ID", "ROLE", "VERSION", "DB SIZE", "IN USE", "REVISION", "TERM", "INDEX",
    "APPLIED", "ALARMS",
];

fn status_row(status: &MemberStatus) -> Vec<String> {
    let alarms: Vec<&str> = status.alarms.iter().copied().map(Alarm::name).collect();
    vec![
        status.endpoint.to_string(),
        status.name.clone().unwrap_or_default(),
        format!("{:x}", status.member_id),
        role(status).into(),
        status.version.clone(),
        humanize::bytes(status.db_size_bytes),
        humanize::bytes(status.db_in_use_bytes),
        status.revision.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        alarms.join(" "),
    ]
}

fn role(status: &MemberStatus) -> &'static str {
    match (status.is_learner, status.is_leader(), status.leader_id) {
        (true, ..) => "learner",
        (_, true, _) => "leader",
        (.., Some(_)) => "follower",
        (.., None) => "no leader",
    }
}

fn not_asked(names: &[String]) -> Option<String> {
    let names = one_line(&names.join(", "));
    (!names.is_empty()).then(|| format!("not asked, --cluster would: {names}\n"))
}

/// What goes to stdout for `endpoint hashkv`.
pub fn hashkv(hashes: &MembersHashKv, format: Format) -> String {
    match format {
        Format::Json | Format::Fields => {
            let result = serde_json::to_value(hashes).unwrap_or(Value::Null);
            fields::render(&result, format, String::new)
        }
        Format::Simple | Format::Table => {
            let rows = hashes.members.iter().map(|member| {
                vec![
                    member.endpoint.to_string(),
                    member.name.clone().unwrap_or_default(),
                    member.hash.to_string(),
                    member.compact_revision.to_string(),
                ]
            });
            let mut text = table(&["ENDPOINT", "NAME", "HASHKV", "COMPACTED AT"], rows);
            text.extend(
                hashes.missing.iter().map(|missing| format!("missing: {}\n", one_line(missing))),
            );
            text + &verdict(hashes)
        }
    }
}

fn verdict(hashes: &MembersHashKv) -> String {
    let revision = thousands(hashes.revision.unsigned_abs());
    match (hashes.agree, hashes.members.len()) {
        (true, 1) => format!("only one member answered at revision {revision}\n"),
        (true, members) => format!("{members} members hold the same at revision {revision}\n"),
        (false, _) => format!("MEMBERS DIFFER at revision {revision}\n"),
    }
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    format!("{table}\n")
}
