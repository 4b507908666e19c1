//! The results of `migrate hosted`.

use etcdprefix_migrate::hosted::{
    After, Encryption, Found, Made, Phase, PutBack, Status, WriterFound, WriterStatus,
};
use serde_json::json;

use super::{Row, phases, redacted, text, time, warnings};
use crate::args::Format;
use crate::output::fields;
use crate::output::humanize;
use crate::output::text::{one_line, path, thousands};

/// Of `run --dry-run`.
pub fn found(found: &Found, format: Format) -> String {
    let result = serde_json::to_value(found).unwrap_or_default();
    fields::render(&result, format, || {
        let after = match found.after {
            After::Wake => "everything as before",
            After::Stay => "asleep until `migrate hosted rollback`",
        };
        let paused = found.paused_until.as_deref().unwrap_or("not paused");
        let mut rows: Vec<Row> = vec![
            ("cluster", one_line(&format!("{} ({})", found.hosted_cluster, found.api_version))),
            ("stopped", writers(&found.writers)),
            ("in", one_line(&found.control_plane)),
            ("paused", one_line(&format!("{paused}, then true"))),
            ("etcd", one_line(&format!("{} by {}", found.member, found.way))),
            ("size", format!("{} (database)", humanize::bytes(found.db_bytes))),
            ("encryption", encryption(&found.encryption)),
            ("object", one_line(&found.object)),
        ];
        rows.extend(found.prefixes.as_ref().map(|(source, destination)| {
            ("prefix", one_line(&format!("{source} becomes {destination}")))
        }));
        rows.push(("afterwards", after.into()));
        let mut text = text("nothing is changed; a run would do this", &rows);
        warnings(&mut text, &found.warnings);
        text
    })
}

/// Of `run`: the fragment only if it is asked for, and then alone for people.
pub fn made(made: &Made, print_fragment: bool, format: Format) -> String {
    let shown = print_fragment.then(|| made.fragment.reveal());
    let lossy = |file: &std::path::PathBuf| file.to_string_lossy().into_owned();
    let result = json!({
        "run": made.run,
        "hosted_cluster": made.hosted_cluster,
        "after": made.after,
        "object": made.object,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "revision": made.revision,
        "member": made.member,
        "chosen": made.chosen,
        "hashkv": made.hashkv,
        "rewritten": made.rewritten,
        "volume": made.volume,
        "url": redacted(made.url.reveal()),
        "url_ends": time(made.url_ends_ms),
        "output": lossy(&made.output),
        "into": made.into.as_ref().map(lossy),
        "secrets": made.secrets.as_ref().map(lossy),
        "encryption": made.encryption,
        "writers": made.writers,
        "asleep_seconds": made.asleep_seconds,
        "phases": made.phases,
        "fragment": shown,
        "warnings": made.warnings,
    });
    fields::render(&result, format, || match shown {
        Some(fragment) => fragment.to_owned(),
        None => summary(made),
    })
}

/// For people, without secrets.
pub fn summary(made: &Made) -> String {
    let headline = match made.after {
        After::Wake => format!("the snapshot is made, and {} is as before", made.hosted_cluster),
        After::Stay => format!("the snapshot is made, and {} is asleep", made.hosted_cluster),
    };
    let size = format!("{} ({} bytes)", humanize::bytes(made.bytes), thousands(made.bytes));
    let rewritten = made.rewritten.map_or("none: keys are as they were".into(), |count| {
        format!("{} records", thousands(count))
    });
    let mut rows: Vec<Row> = vec![
        ("object", one_line(&made.object)),
        ("size", size),
        ("revision", made.revision.to_string()),
        ("member", one_line(&format!("{}, {}", made.member, made.chosen))),
        ("rewritten", rewritten),
        ("encryption", encryption(&made.encryption)),
        ("URL", one_line(&redacted(made.url.reveal()))),
        ("ends", time(made.url_ends_ms).unwrap_or_default()),
        ("volume", made.volume.clone()),
        ("spec.etcd", path(&made.output)),
    ];
    rows.extend(made.secrets.as_deref().map(|file| ("keys", path(file))));
    rows.extend(made.into.as_deref().map(|file| ("merged into", path(file))));
    rows.push(("stopped", writers(&made.writers)));
    let mut text = text(&headline, &rows);
    text.push('\n');
    text.push_str(&phases(&made.phases));
    warnings(&mut text, &made.warnings);
    let next = match &made.into {
        Some(file) => format!("kubectl apply -f {}", path(file)),
        None => "`hcp create cluster --render`, then put spec.etcd and the keys into it".into(),
    };
    text.push_str(&format!("\nnext: {next}, before the URL ends\n"));
    if made.after == After::Wake {
        text.push_str("what the old cluster writes from now on is not in the snapshot\n");
    }
    if made.after == After::Stay {
        let name = &made.hosted_cluster;
        text.push_str(&format!(
            "to wake it: etcdprefix migrate hosted rollback --hosted-cluster {name}\n"
        ));
    }
    text
}

/// Of `rollback`.
pub fn put_back(done: &PutBack, format: Format) -> String {
    let result = serde_json::to_value(done).unwrap_or_default();
    fields::render(&result, format, || {
        let mut text = match &done.run {
            Some(run) => format!("everything is as before run {}\n\n", one_line(run)),
            None => "nothing was asleep\n\n".into(),
        };
        for change in &done.changed {
            text.push_str(&format!("  {}\n", one_line(change)));
        }
        text.push_str(match done.object_deleted {
            Some(true) => "the snapshot is deleted from the store\n",
            Some(false) => "THE SNAPSHOT MAY STILL BE IN THE STORE\n",
            None => "",
        });
        warnings(&mut text, &done.warnings);
        text
    })
}

/// Of `status`.
pub fn status(status: &Status, format: Format) -> String {
    let result = serde_json::to_value(status).unwrap_or_default();
    fields::render(&result, format, || {
        let asleep = match &status.asleep {
            None => "no".to_owned(),
            Some(record) => {
                let made = if record.made { "its snapshot is made" } else { "not at its end" };
                format!("run {} of {}, since {}; {made}", record.run, record.by, record.began)
            }
        };
        let journal = match status.journal {
            None => "no run was begun here",
            Some(Phase::Running) => "a run is under way, or was killed",
            Some(Phase::Asleep) => "its snapshot is made",
            Some(Phase::Done) => "done, everything as before",
            Some(Phase::PutBack) => "put back",
        };
        let paused = status.paused_until.as_deref().unwrap_or("absent");
        let mut rows: Vec<Row> =
            vec![("asleep", one_line(&asleep)), ("pausedUntil", one_line(paused))];
        rows.extend(status.writers.iter().map(|writer| ("writer", writer_status(writer))));
        rows.push(("here", journal.into()));
        rows.push(("do", one_line(&status.advice)));
        text(&status.hosted_cluster, &rows)
    })
}

fn writer_status(writer: &WriterStatus) -> String {
    let now = writer.replicas.map_or("absent".to_owned(), |count| format!("{count} replicas"));
    let before = writer.before.map(|count| format!(", {count} before")).unwrap_or_default();
    one_line(&format!("{}: {now}{before}", writer.name))
}

fn writers(writers: &[WriterFound]) -> String {
    let one = |writer: &WriterFound| {
        let count = writer.replicas.map_or("absent".to_owned(), |count| count.to_string());
        format!("{} ({count})", writer.name)
    };
    one_line(&writers.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn encryption(encryption: &Encryption) -> String {
    let told = match encryption {
        Encryption::None => "none".to_owned(),
        Encryption::Aescbc { active_key, backup_key: None } => format!("aescbc, {active_key}"),
        Encryption::Aescbc { active_key, backup_key: Some(backup) } => {
            format!("aescbc, {active_key} and {backup}")
        }
        Encryption::Kms { provider } => format!("kms, {provider}"),
    };
    one_line(&told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::{SECRET, hosted};

    #[test]
    fn nothing_secret_is_shown_unless_it_is_asked_for() {
        for format in [Format::Simple, Format::Table, Format::Json, Format::Fields] {
            let text = made(&hosted(), false, format);
            assert!(!text.contains(SECRET) && text.contains("?[redacted]"), "{text}");
            assert!(made(&hosted(), true, format).contains(SECRET));
        }
        assert_eq!(made(&hosted(), true, Format::Simple), format!("spec: {SECRET}"));
    }

    #[test]
    fn people_are_told_what_is_next_and_how_to_wake_it() {
        let text = made(&hosted(), false, Format::Simple);
        for words in [
            "clusters/mine is asleep",
            "kube-apiserver (3)",
            "next: `hcp create cluster --render`",
            "migrate hosted rollback --hosted-cluster clusters/mine",
        ] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
    }
}
