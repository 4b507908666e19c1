//! The results of `node sleep`, `wake`, `snapshot` and `bundle`.

use etcdprefix_migrate::protocol::{Bundled, Slept, Snapshotted, Woken};
use serde_json::json;

use super::{Row, redacted, snapshot_rows, text, time, warnings};
use crate::args::Format;
use crate::output::fields;
use crate::output::text::{one_line, path};

/// Of `sleep`.
pub fn slept(slept: &Slept, format: Format) -> String {
    fields::render(&json!(slept), format, || {
        let headline = match slept.already {
            true => "the control plane was asleep before".to_owned(),
            false => format!("the control plane is sleeping, after {:.1} s", slept.seconds),
        };
        let rows = [
            ("moved", one_line(&slept.moved.join(", "))),
            ("from", path(&slept.folder)),
            ("to", path(&slept.backup)),
            ("left", one_line(&slept.left.join(", "))),
        ];
        let mut text = text(&headline, &rows);
        warnings(&mut text, &slept.warnings);
        text
    })
}

/// Of `wake`.
pub fn woken(woken: &Woken, format: Format) -> String {
    fields::render(&json!(woken), format, || {
        let headline = match woken.already {
            true => "nothing was asleep".to_owned(),
            false => format!("the control plane has woken up, after {:.1} s", woken.seconds),
        };
        let back = one_line(&woken.restored.join(", "));
        let mut rows: Vec<Row> = (!back.is_empty()).then_some(("back", back)).into_iter().collect();
        rows.extend(
            woken.api_server_runs.map(|runs| {
                ("API server", if runs { "runs" } else { "DOES NOT RUN YET" }.to_owned())
            }),
        );
        let mut text = text(&headline, &rows);
        warnings(&mut text, &woken.warnings);
        text
    })
}

/// Of `snapshot`.
pub fn snapshot(made: &Snapshotted, format: Format) -> String {
    fields::render(&json!(made), format, || {
        let mut rows = snapshot_rows(made, "this host");
        rows.push(("quiet until", made.quiet_until.to_string()));
        let phases = made.phases.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s"));
        rows.push(("time", one_line(&phases.collect::<Vec<_>>().join(", "))));
        let mut text = text("saved, rewritten and uploaded", &rows);
        warnings(&mut text, &made.warnings);
        text
    })
}

/// Where a bundle went.
pub enum Where {
    /// To stdout.
    Here,
    /// To stdout, encrypted for somebody: this text.
    Sealed(String),
    /// To this file, maybe encrypted.
    File(std::path::PathBuf, bool),
}

/// Of `bundle`.
pub fn bundle(bundled: &Bundled, place: &Where, format: Format) -> String {
    let bundle = &bundled.bundle;
    let (file, sealed, is_encrypted) = match place {
        Where::Here => (None, None, false),
        Where::Sealed(text) => (None, Some(text), true),
        Where::File(file, is_encrypted) => (Some(file), None, *is_encrypted),
    };
    let in_clear = file.is_none() && sealed.is_none();
    let result = json!({
        "bundle": in_clear.then_some(bundle),
        "sealed": sealed,
        "bundle_file": file.map(|file| file.to_string_lossy()),
        "encrypted": is_encrypted,
        "oss_url": redacted(bundle.oss_url.reveal()),
        "url_ends": time(bundled.ends_ms),
        "probe": bundled.probe,
        "quiet": bundled.quiet,
        "warnings": bundled.warnings,
    });
    fields::render(&result, format, || match file {
        None => sealed.cloned().unwrap_or_else(|| format!("{}\n", *bundle.to_json())),
        Some(file) => {
            let form = if is_encrypted { "encrypted" } else { "in clear: a secret" };
            let rows: [Row; 3] = [
                ("URL", redacted(bundle.oss_url.reveal())),
                ("ends", time(bundled.ends_ms).unwrap_or_default()),
                ("tried", one_line(&bundled.probe)),
            ];
            let mut text = text(&format!("the bundle is {} ({form})", path(file)), &rows);
            warnings(&mut text, &bundled.warnings);
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::migrate::contract::bundled;

    #[test]
    fn a_bundle_in_a_file_is_nowhere_else() {
        let place = Where::File("bundle.json".into(), false);
        for format in [Format::Simple, Format::Table, Format::Json, Format::Fields] {
            assert!(!bundle(&bundled(), &place, format).contains("s3cr3t"));
        }
        let sealed = Where::Sealed("armored\n".into());
        assert_eq!(bundle(&bundled(), &sealed, Format::Simple), "armored\n");
        assert!(!bundle(&bundled(), &sealed, Format::Json).contains("s3cr3t"));
        assert!(bundle(&bundled(), &Where::Here, Format::Simple).starts_with("{\"sakey\":"));
    }
}
