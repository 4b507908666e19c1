use serde_json::Value;

use crate::support::Folder;

#[test]
fn the_example_of_the_contract_is_what_is_printed() {
    let contract = include_str!("../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once("## `etcdprefix hashkv FILE`").unwrap();
    let (_, example) = section.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let folder = Folder::with("k8s120-3.4.23.db");
    let run = folder.run("etcdprefix hashkv snap.db -w json");
    assert_eq!(run.succeeded().trim_end(), example.to_string());
    assert_eq!(folder.names(), ["snap.db"]);
}

#[test]
fn a_revision_can_be_asked_for() {
    let folder = Folder::with("s-3.5.1.db");
    let latest = folder.run("etcdprefix hashkv snap.db");
    assert!(latest.succeeded().contains(" at revision 64 (latest), not compacted\n"));
    assert_eq!(folder.run("etcdprefix hashkv snap.db --rev 64").succeeded(), latest.stdout);
    let older = folder.run("etcdprefix hashkv snap.db --rev 30 -w fields");
    assert!(older.succeeded().contains("\"hash_revision\" : 30\n"), "{}", older.stdout);
    let last = folder.run("etcdprefix hashkv snap.db --rev 64 -w fields");
    let hash =
        |text: &str| text.lines().find(|line| line.starts_with("\"hash\"")).map(str::to_owned);
    assert_ne!(hash(&older.stdout), hash(last.succeeded()));
}
