//! The structure check that judges our output does refuse broken files made from it.

use std::fs;

use anyhow::Result;
use etcdprefix_testkit::tools::{self, RestoreOptions};
use etcdprefix_testkit::{Version, tamper};
use tempfile::TempDir;

use crate::support::{fixture, rewrite_and_judge, run};

type Tamper = fn(&[u8]) -> Result<Vec<u8>>;

#[test]
fn disorder_and_leaks_are_refused() -> Result<()> {
    let folder = TempDir::new()?;
    let good = folder.path().join("good.db");
    rewrite_and_judge(&fixture("k8s120-3.4.23.db"), &good, &[])?;
    let kinds = [("disorder", tamper::disorder as Tamper), ("leak", tamper::leak as Tamper)];
    for (name, tamper) in kinds {
        let bad = folder.path().join(name);
        fs::write(&bad, tamper(&fs::read(&good)?)?)?;
        let judged = tools::status_output(Version::JUDGE, &bad, None)?;
        assert!(!judged.status.success(), "{name} was accepted: {judged:?}");
        // 3.5.1 restores it with its hash checked: nothing but the structure is wrong with it.
        let data = folder.path().join(format!("{name}.data"));
        tools::restore(Version::V3_5_1, &bad, &data, RestoreOptions::default())?;
        let path = bad.to_str().expect("the path is UTF-8");
        let ours = run(["snapshot", "status", path])?;
        assert_eq!(ours.status.code(), Some(3), "our status of {name}: {ours:?}");
    }
    Ok(())
}
