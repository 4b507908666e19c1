//! The result of `migrate aftercare`.

use std::fmt::Write;

use etcdprefix_migrate::aftercare::{Action, Findings, Performed, State};
use serde_json::json;

use super::state::seconds_clock;
use super::{Row, text};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::one_line;

/// What was found and done.
pub struct Cared {
    /// Until the API was ready, from the first question.
    pub ready_seconds: f64,
    /// From the first sleep until it was ready, at most; `None` if that is not known here.
    pub away_seconds: Option<f64>,
    pub findings: Findings,
    pub performed: Vec<Performed>,
}

/// What goes to stdout.
pub fn render(cared: &Cared, format: Format) -> String {
    let result = json!({
        "ready_seconds": cared.ready_seconds,
        "away_seconds": cared.away_seconds,
        "findings": cared.findings,
        "performed": cared.performed,
    });
    fields::render(&result, format, || summary(cared))
}

fn summary(cared: &Cared) -> String {
    let found = &cared.findings;
    let same = |same: Option<bool>| match same {
        Some(true) => "as before",
        Some(false) => "NOT AS BEFORE",
        None => "whether as before is not known here",
    };
    let mut rows: Vec<Row> = vec![
        ("API", one_line(&format!("{}, {}", found.server, same(found.same_server)))),
        ("version", one_line(&format!("{}, {}", found.version, same(found.same_version)))),
    ];
    rows.extend(cared.away_seconds.map(|seconds| {
        ("outage", format!("at most {} from the first sleep", seconds_clock(seconds)))
    }));
    let masters = found.masters.iter().map(|it| format!("{} (Ready: {})", it.name, it.ready));
    rows.push(("masters", one_line(&masters.collect::<Vec<_>>().join(", "))));
    let mut text = text("the managed side serves", &rows);
    text.push('\n');
    for action in &found.actions {
        let done = cared.performed.iter().any(|done| done.what == action.what);
        tell(&mut text, action, done);
    }
    text
}

fn tell(text: &mut String, action: &Action, done_now: bool) {
    let word = match action.state {
        _ if done_now => "DONE",
        State::Done => "done",
        State::Todo => "todo",
        State::ByHand => "hand",
    };
    let _ = writeln!(text, "  {word}  {}", one_line(&action.what));
    if word == "done" || done_now {
        return;
    }
    let after = action.after.as_deref().unwrap_or_default();
    for (label, words) in [("why", action.why.as_str()), ("first", after), ("do", &action.command)]
    {
        if !words.is_empty() {
            let _ = writeln!(text, "        {:<6} {}", format!("{label}:"), one_line(words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::cared;

    #[test]
    fn what_is_done_is_short_and_the_rest_explained() {
        let text = render(&cared(), Format::Simple);
        for words in [
            "https://10.0.0.9:6443, as before",
            "v1.28.3, NOT AS BEFORE",
            "at most 7:12 from the first sleep",
            "  done  what of terway\n  DONE  what of pod\n  hand  what of release\n",
            "        do:    command of release",
        ] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
    }
}
