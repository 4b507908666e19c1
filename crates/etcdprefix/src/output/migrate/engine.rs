//! The results of `node leader`, `unpublish` and `presign`.

use std::path::Path;

use etcdprefix_migrate::protocol::{MemberFacts, Signed};
use serde_json::json;

use super::{Row, redacted, text, time, warnings};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::{one_line, path};

/// Of `leader`: the member that leads, or else one of this host's.
pub fn leader(own: Option<&MemberFacts>, leads: bool, format: Format) -> String {
    let result = json!({"leads": leads, "member": own});
    fields::render(&result, format, || {
        let rows: Vec<Row> = own
            .map(|member| {
                let kind = if member.is_learner { "a learner" } else { "it votes" };
                vec![
                    ("member", one_line(member.name.as_deref().unwrap_or(&member.member_id))),
                    ("at", one_line(&member.endpoint)),
                    ("", kind.to_owned()),
                ]
            })
            .unwrap_or_default();
        let headline =
            if leads { "this host's member leads" } else { "no member of this host leads" };
        text(headline, &rows)
    })
}

/// Of `unpublish`: which object, and how it went; without how it may be left.
pub fn unpublished(object: Option<&str>, how: Option<&str>, format: Format) -> String {
    let result = json!({"object": object, "how": how});
    fields::render(&result, format, || match (object, how) {
        (None, _) => "nothing was there to make unreachable\n".into(),
        (Some(object), Some(how)) => format!("{}: {}, and proven\n", one_line(object), how),
        (Some(object), None) => {
            format!("{} may be left, and nobody has a URL\n", one_line(object))
        }
    })
}

/// Of `presign`: with a file the URL is in that alone.
pub fn presigned(signed: &Signed, file: Option<&Path>, format: Format) -> String {
    let url = signed.url.reveal();
    let result = json!({
        "url": if file.is_none() { url.to_owned() } else { redacted(url) },
        "url_file": file.map(|file| file.to_string_lossy()),
        "url_ends": time(signed.ends_ms),
        "probe": signed.probe,
        "warnings": signed.warnings,
    });
    fields::render(&result, format, || match file {
        None => format!("{url}\n"),
        Some(file) => {
            let rows: [Row; 3] = [
                ("URL", redacted(url)),
                ("ends", time(signed.ends_ms).unwrap_or_default()),
                ("tried", one_line(&signed.probe)),
            ];
            let mut text = text(&format!("the URL is in {}: a secret", path(file)), &rows);
            warnings(&mut text, &signed.warnings);
            text
        }
    })
}
