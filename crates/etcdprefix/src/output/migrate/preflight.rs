//! What speaks for and against a migration.

use std::fmt::Write;

use etcdprefix_migrate::node::preflight::{Check, Preflight, Standing};
use serde_json::{Value, json};

use super::state::Checked;
use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::fields;
use crate::output::text::{count, one_line};

/// By host; what is well is only counted.
pub fn report(all: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { host, checks } in all {
        let host = host.as_deref().unwrap_or("all hosts together");
        let _ = writeln!(text, "{}: {}", one_line(host), tally(checks));
        for standing in [Standing::Fail, Standing::Ask, Standing::Warn] {
            let such = checks.iter().filter(|check| check.standing == standing);
            such.for_each(|check| tell(&mut text, check));
        }
    }
    text
}

/// What a script's log has to say where something speaks against it.
pub fn refusal(all: &[Checked]) -> Option<Failure> {
    let against = all.iter().flat_map(|Checked { host, checks }| {
        let failed = checks.iter().filter(|check| check.standing == Standing::Fail);
        failed.map(move |check| match host {
            Some(host) => format!("{} of {host}", check.name),
            None => check.name.clone(),
        })
    });
    let against: Vec<String> = against.collect();
    let (count, names) = (count(against.len() as u64, "check"), against.join(", "));
    (!against.is_empty()).then(|| {
        let message = format!("speaking against it: {count}, {names}");
        let hint = "what the report says of each".to_owned();
        Failure::new(Exit::NotReady, message, Some(hint))
    })
}

fn tally(checks: &[Check]) -> String {
    let of = |standing| checks.iter().filter(|check| check.standing == standing).count() as u64;
    let mut parts = vec![format!("{} well", count(of(Standing::Ok), "check"))];
    for (standing, what) in [
        (Standing::Fail, "AGAINST IT"),
        (Standing::Ask, "for you to look at"),
        (Standing::Warn, "to know of"),
    ] {
        let number = of(standing);
        parts.extend((number > 0).then(|| format!("{number} {what}")));
    }
    parts.join(", ")
}

fn tell(text: &mut String, check: &Check) {
    let word = match check.standing {
        Standing::Ok => "well",
        Standing::Warn => "know",
        Standing::Ask => "look",
        Standing::Fail => "FAIL",
    };
    let _ = writeln!(text, "  {word}  {}: {}", one_line(&check.name), one_line(&check.found));
    for (label, words) in [("why", &check.why), ("do", &check.advice)] {
        if !words.is_empty() {
            let _ = writeln!(text, "        {:<4} {}", format!("{label}:"), one_line(words));
        }
    }
}

/// What this host was found to be.
pub fn of_node(preflight: &Preflight) -> Checked {
    let host = Some(preflight.facts.hostname.clone());
    Checked { host, checks: preflight.checks.clone() }
}

/// Of `node preflight`.
pub fn node(preflight: &Preflight, format: Format) -> String {
    let result = serde_json::to_value(preflight).unwrap_or_default();
    fields::render(&result, format, || {
        let mut text = report(&[of_node(preflight)]);
        for (label, files) in [
            ("would sleep", &preflight.facts.would_move),
            ("would stay", &preflight.facts.would_stay),
        ] {
            let _ = writeln!(text, "{label:<12} {}", one_line(&files.join(", ")));
        }
        text
    })
}

/// Of a rehearsal that something speaks against: the members of one that went well.
pub fn not_ready(all: &[Checked], format: Format) -> String {
    fields::render(&json(all), format, || report(all))
}

fn json(all: &[Checked]) -> Value {
    let hosts = all.iter().filter_map(|checked| {
        let host = checked.host.as_ref()?;
        Some(json!({"host": host, "checks": checked.checks, "facts": null}))
    });
    let hosts: Vec<Value> = hosts.collect();
    let across = all.iter().find(|checked| checked.host.is_none());
    json!({
        "ready": false,
        "rehearsed_at": null,
        "hosts": hosts,
        "across": across.map(|checked| &checked.checks),
        "snapshot": null,
        "snapshot_host": null,
        "phases": [],
        "expected_outage_seconds": null,
        "warnings": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::check;

    fn checked() -> Vec<Checked> {
        let checks = vec![
            check("clock", Standing::Ok),
            check("space", Standing::Ok),
            check("encryption", Standing::Fail),
            check("referer", Standing::Ask),
        ];
        let across = vec![check("versions", Standing::Ok)];
        vec![
            Checked { host: Some("root@m1".into()), checks },
            Checked { host: None, checks: across },
        ]
    }

    #[test]
    fn what_is_well_is_counted_and_the_rest_explained() {
        let expected = "\
root@m1: 2 checks well, 1 AGAINST IT, 1 for you to look at
  FAIL  encryption: found of encryption
        why: why of encryption
        do:  advice of encryption
  look  referer: found of referer
        why: why of referer
        do:  advice of referer
all hosts together: 1 check well
";
        assert_eq!(report(&checked()), expected);
        let refusal = refusal(&checked()).unwrap().to_string();
        let expected = "speaking against it: 1 check, encryption of root@m1; try: what";
        assert!(refusal.starts_with(expected), "{refusal}");
        assert!(super::refusal(&checked()[1..]).is_none());
    }

    #[test]
    fn a_program_gets_all_of_them() {
        let json: Value = serde_json::from_str(&not_ready(&checked(), Format::Json)).unwrap();
        assert_eq!(json["hosts"][0]["checks"].as_array().unwrap().len(), 4);
        assert_eq!(json["hosts"][0]["checks"][2]["standing"], "fail");
        assert_eq!(json["across"][0]["name"], "versions");
        assert_eq!(json["ready"], false);
    }
}
