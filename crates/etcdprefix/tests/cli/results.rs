use serde_json::Value;

use crate::support::Folder;

const CHANGE: &str = "etcdprefix change-prefix --db snap.db --dest-prefix /c123";

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn json_has_the_members_of_the_contract_in_their_order() {
    let contract = include_str!("../../../../docs/cli-contract.md");
    let (_, example) = contract.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let folder = Folder::with("s-3.5.1.db");
    let result = json(folder.run(&format!("{CHANGE} -w json")).succeeded());
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&result), names(&example));
    for part in ["known", "encrypted", "unmatched_components"] {
        assert_eq!(names(&result[part]), names(&example[part]));
    }
}

#[test]
fn a_change_in_place_tells_what_status_tells() {
    let folder = Folder::with("s-3.5.1.db");
    let result = json(folder.run(&format!("{CHANGE} -w json")).succeeded());
    for (name, value) in [
        ("db", "\"snap.db\""),
        ("output", "\"snap.db\""),
        ("in_place", "true"),
        ("records", "73"),
        ("live_keys", "41"),
        ("matched", "72"),
        ("unmatched", "1"),
        ("tombstones", "11"),
        ("revision", "64"),
        ("bytes_in", "36896"),
        ("input_trailer", "\"verified\""),
        ("status_hash_before", "\"889c0f35\""),
        ("verification", "\"inverse_hash\""),
    ] {
        assert_eq!(result[name].to_string(), value, "{name}");
    }
    let status = folder.run("etcdprefix snapshot status snap.db --check-trailer");
    let hash = result["status_hash_after"].as_str().unwrap();
    assert!(status.succeeded().starts_with(&format!("{hash}, 64, 41, ")), "{}", status.stdout);
    assert_eq!(folder.read("snap.db").len() as u64, result["bytes_out"].as_u64().unwrap());
    assert_eq!(folder.names(), ["snap.db"]);
}

#[test]
fn a_dry_run_writes_nothing_and_says_so() {
    let folder = Folder::with("s-3.5.1.db");
    let before = folder.read("snap.db");
    let text = folder.run(&format!("{CHANGE} --dry-run"));
    assert!(text.succeeded().contains("nothing was written"), "{}", text.stdout);
    let result = json(folder.run(&format!("{CHANGE} --dry-run -w json")).succeeded());
    for name in ["output", "status_hash_after", "sha256"] {
        assert_eq!(result[name], Value::Null, "{name}");
    }
    assert_eq!(folder.names(), ["snap.db"]);
    assert_eq!(folder.read("snap.db"), before);
    let done = json(folder.run(&format!("{CHANGE} -w json")).succeeded());
    assert_eq!(result["bytes_out"], done["bytes_out"]);
}

#[test]
fn another_output_leaves_the_source() {
    let folder = Folder::with("s-3.5.1.db");
    let before = folder.read("snap.db");
    let run = folder.run(&format!("{CHANGE} --output new.db"));
    assert!(run.succeeded().starts_with("new.db: /registry replaced by /c123; snap.db is"));
    assert!(run.stdout.contains("all members must restore this same file"), "{}", run.stdout);
    assert_eq!(folder.names(), ["new.db", "snap.db"]);
    assert_eq!(folder.read("snap.db"), before);
}

#[test]
fn warnings_go_to_stderr_and_into_the_result() {
    let warned = "etcdprefix: warning: ";
    let line = "etcdprefix change-prefix --db snap.db --dest-prefix //c1/../c2/";
    let folder = Folder::with("s-3.5.1.db");
    let run = folder.run(&format!("{line} -w json --output a.db"));
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.starts_with(warned), "{}", run.stderr);
    assert_eq!(json(&run.stdout)["warnings"].as_array().unwrap().len(), 1);
    let quiet = folder.run(&format!("{line} --quiet --output b.db"));
    assert!(quiet.succeeded().contains("\nwarnings\n"), "{}", quiet.stdout);
}

/// What `--dest-prefix=/$ID` means in a shell where the variable is not set.
#[test]
fn an_empty_destination_is_a_warning() {
    let folder = Folder::with("s-3.5.1.db");
    let line = "etcdprefix change-prefix --db snap.db --output new.db --dest-prefix=/";
    let run = folder.run(line);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("--dest-prefix is empty"), "{}", run.stderr);
    assert!(run.stdout.contains("/registry stripped"), "{}", run.stdout);
}

#[test]
fn fields_and_table_have_what_json_has() {
    let folder = Folder::with("s-3.5.1.db");
    let fields = folder.run(&format!("{CHANGE} --dry-run -w fields"));
    assert!(fields.succeeded().contains("\"status_hash_before\" : \"889c0f35\"\n"));
    let table = folder.run(&format!("{CHANGE} --dry-run -w table"));
    let rows = table.succeeded().lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, fields.stdout.lines().count() + 1);
}

#[test]
fn reading_with_and_without_a_map_is_the_same() {
    let folder = Folder::with("s-3.6.14.db");
    let lines = ["", " --no-mmap", " --threads 1", " --no-mmap --threads 3 --check-trailer"];
    for flags in lines {
        let run = folder.run(&format!("etcdprefix snapshot status snap.db{flags}"));
        assert_eq!(run.succeeded(), "121091ee, 64, 41, 37 kB, 3.6.0\n", "{flags}");
    }
}
