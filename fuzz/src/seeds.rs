//! Where fuzzing begins: parts of the snapshots in testdata and of the evil files, in the form that
//! each target takes.

use std::collections::BTreeSet;

use etcdprefix_testkit::bolt::Bolt;

use super::patch::bases;

/// Longer parts teach nothing that shorter ones don't.
const BYTES_MAX: usize = 600;

/// The inputs for one target.
pub fn of(target: &str, snapshots: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    match target {
        "page" => snapshots.iter().chain(bases()).flat_map(|file| pages(file)).collect(),
        // A rule by its first choices, and a value as bytes.
        "splice" => {
            let values = snapshots.iter().flat_map(|file| values(file));
            values.map(|value| [vec![0; 12], value].concat()).collect()
        }
        // No patch to any of the files: what comes first chooses the kind and the file.
        "snapshot" => numbers().map(|base| vec![0, 0, 0, 0, base]).collect(),
        "rewrite" => numbers().map(|base| vec![base]).collect(),
        _ => BTreeSet::new(),
    }
}

fn numbers() -> impl Iterator<Item = u8> {
    0..bases().len().min(256) as u8
}

/// What stands where a page may begin.
fn pages(file: &[u8]) -> Vec<Vec<u8>> {
    let starts = file.chunks(1024).filter(|page| page.iter().any(|byte| *byte != 0));
    starts.map(|page| page[..page.len().min(BYTES_MAX)].to_vec()).collect()
}

fn values(file: &[u8]) -> Vec<Vec<u8>> {
    let bolt = Bolt::parse(file.to_vec()).expect("a snapshot");
    let records = bolt.bucket(b"key").unwrap_or_default();
    let short = records.iter().filter(|(_, value)| value.len() <= BYTES_MAX);
    short.map(|(_, value)| value.to_vec()).collect()
}
