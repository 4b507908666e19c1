//! `snapshot status` prints byte for byte what etcdutl prints.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::Version;
use serde_json::Value;

use crate::support::{FORMATS, fixture, fixtures, same_status, stdout};

/// The version that we imitate, and whose recorded output proves it.
const LIKE: [(&str, &str); 4] = [
    ("3.5", "etcdutl-3.5.1"),
    ("3.5.30", "etcdutl-3.5.30"),
    ("3.6", "etcdutl-3.6.14"),
    ("3.7", "etcdutl-3.7.1"),
];

/// What every version printed for every snapshot: snapshot, program, format, `{stdout, rc}`.
pub fn recorded() -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/status-outputs.json");
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// Our output in one format and imitation.
fn ours(snapshot: &Path, like: Option<&str>, format: Option<&str>) -> Result<String> {
    let mut arguments = vec![OsStr::new("snapshot"), OsStr::new("status"), snapshot.as_os_str()];
    for (flag, value) in [("--like", like), ("-w", format)] {
        if let Some(value) = value {
            arguments.extend([OsStr::new(flag), OsStr::new(value)]);
        }
    }
    stdout(arguments)
}

#[test]
fn equals_the_recorded_output() -> Result<()> {
    let recorded = recorded()?;
    let snapshots = recorded.as_object().context("an object")?;
    let mut compared = 0;
    for (name, programs) in snapshots.iter().filter(|(name, _)| name.starts_with("s-")) {
        let snapshot = fixture(&format!("{name}.db"));
        for (like, program) in LIKE {
            for format in FORMATS {
                let theirs = programs[program][format.unwrap_or("default")]["stdout"].as_str();
                let theirs = theirs.with_context(|| format!("{name} {program} {format:?}"))?;
                let ours = ours(&snapshot, Some(like), format)?;
                ensure!(ours == theirs, "{name} like {program}: {theirs:?}, ours {ours:?}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 8 * 3 * 5, "only {compared} outputs are recorded");
    Ok(())
}

#[test]
fn the_default_is_3_6() -> Result<()> {
    for format in FORMATS {
        let snapshot = fixture("s-3.6.14.db");
        assert_eq!(ours(&snapshot, None, format)?, ours(&snapshot, Some("3.6"), format)?);
    }
    Ok(())
}

#[test]
fn equals_the_provisioned_programs() -> Result<()> {
    for snapshot in fixtures()? {
        same_status(Version::V3_5_1, &snapshot)?;
        same_status(Version::V3_5_16, &snapshot)?;
    }
    Ok(())
}
