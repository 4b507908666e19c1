//! The results of `migrate rollback`, `finish` and `presign`.

use etcdprefix_migrate::flow::{Finished, Presigned, RolledBack};
use serde_json::{Value, json};

use super::{Row, redacted, text, time, warnings};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::{one_line, path};

/// Of `rollback`.
pub fn rolled_back(done: &RolledBack, format: Format) -> String {
    let hosts = done.hosts.iter().map(|(host, files)| json!({"host": host, "restored": files}));
    let result = json!({
        "hosts": hosts.collect::<Vec<Value>>(),
        "object_deleted": done.object_deleted,
        "warnings": done.warnings,
    });
    fields::render(&result, format, || {
        let rows = done.hosts.iter().map(|(host, files)| match files.is_empty() {
            true => format!("{}: nothing was asleep\n", one_line(host)),
            false => format!("{}: {}\n", one_line(host), one_line(&files.join(", "))),
        });
        let mut text = "every host is awake, as before\n\n".to_owned();
        text.extend(rows);
        text.push_str(match done.object_deleted {
            Some(true) => "the snapshot is deleted from the store\n",
            Some(false) => "THE SNAPSHOT IS STILL IN THE STORE\n",
            None => "",
        });
        warnings(&mut text, &done.warnings);
        text
    })
}

/// Of `finish`.
pub fn finished(done: &Finished, format: Format) -> String {
    let result = serde_json::to_value(done).unwrap_or_default();
    fields::render(&result, format, || {
        let mut text = format!("run {} is closed\n", one_line(&done.run));
        if !done.silent.is_empty() {
            let silent = one_line(&done.silent.join(", "));
            text.push_str(&format!("no answer, so their locks are still there: {silent}\n"));
        }
        text
    })
}

/// Of `presign`: the URL only if it is asked for, and then alone for people.
pub fn presigned(signed: &Presigned, print_url: bool, format: Format) -> String {
    let shown = match print_url {
        true => signed.url.reveal().to_owned(),
        false => redacted(signed.url.reveal()),
    };
    let ends = time(signed.ends_ms);
    let file = signed.bundle_file.as_ref().map(|file| file.to_string_lossy().into_owned());
    let result = json!({"object": signed.object, "url": shown, "ends": ends, "bundle_file": file});
    fields::render(&result, format, || {
        if print_url {
            return format!("{shown}\n");
        }
        let place = signed.bundle_file.as_deref().map(path);
        let place = place.unwrap_or_else(|| "nowhere: --print-url prints it".into());
        let rows: [Row; 3] =
            [("URL", shown.clone()), ("ends", ends.clone().unwrap_or_default()), ("bundle", place)];
        text(&format!("{} is signed again", signed.object), &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::presigned as signed;

    #[test]
    fn the_url_is_shown_if_it_is_asked_for() {
        for format in [Format::Simple, Format::Json, Format::Table, Format::Fields] {
            assert!(!presigned(&signed(), false, format).contains("s3cr3t"));
        }
        let text = presigned(&signed(), true, Format::Simple);
        assert_eq!(text, "https://b.example/etcd_c1?sign=full-s3cr3t\n");
    }

    #[test]
    fn a_rollback_names_what_is_back() {
        let hosts = vec![("m1".into(), vec!["kube-apiserver.yaml".into()]), ("m2".into(), vec![])];
        let done = RolledBack { hosts, object_deleted: Some(true), warnings: vec!["odd".into()] };
        let text = rolled_back(&done, Format::Simple);
        assert!(text.contains("m1: kube-apiserver.yaml\nm2: nothing was asleep\n"), "{text}");
        let json: Value = serde_json::from_str(&rolled_back(&done, Format::Json)).unwrap();
        assert_eq!(json["hosts"][0]["restored"][0], "kube-apiserver.yaml");
    }
}
