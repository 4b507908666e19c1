use serde_json::Value;

use crate::support::Folder;

/// The contract's example, spread out there.
fn example() -> Value {
    let contract = include_str!("../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once("## `etcdprefix check FILE`").unwrap();
    let (_, example) = section.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str(example).unwrap()
}

/// The file of the example: a record that does not decode, and no trailer.
fn damaged() -> Folder {
    let mut bytes = Folder::with("s-3.5.1.db").read("snap.db");
    bytes.truncate(bytes.len() - 32);
    let other = b"\x0A\x0A/other/key";
    let at = bytes.windows(other.len()).position(|window| window == other).unwrap();
    bytes[at + 1] = 0x7F;
    Folder::of(&bytes)
}

#[test]
fn the_example_of_the_contract_is_what_is_printed() {
    let run = damaged().run("etcdprefix check snap.db -w json");
    assert_eq!(run.code, Some(3));
    assert_eq!(run.stdout.lines().count(), 1);
    let (found, example) = (serde_json::from_str::<Value>(&run.stdout).unwrap(), example());
    assert_eq!(found, example);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&example));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for words in ["snap.db: 1 error: page ", "record 64/0", "(bucket key)", "; try: another copy"] {
        assert!(run.stderr.contains(words), "{words} is not in: {}", run.stderr);
    }
}

#[test]
fn a_sound_file_is_exit_0_at_every_depth() {
    let folder = Folder::with("k8s120-3.4.23.db");
    for depth in ["structure", "records", "full"] {
        let run = folder.run(&format!("etcdprefix check snap.db --depth {depth}"));
        assert!(run.succeeded().starts_with("snap.db: sound\n"), "{}", run.stdout);
        let run =
            folder.run(&format!("etcdprefix check snap.db --depth {depth} -w json --no-mmap"));
        let found: Value = serde_json::from_str(run.succeeded()).unwrap();
        assert_eq!(found["sound"], true);
        assert_eq!(found["records"], 188);
        assert_eq!(found["revision"].is_null(), depth == "structure");
        assert_eq!(found["trailer"].is_null(), depth != "full");
        let pages = found["pages"].as_object().unwrap();
        let parts = pages.iter().filter(|(name, _)| *name != "total");
        let parts: u64 = parts.map(|(_, pages)| pages.as_u64().unwrap()).sum();
        assert_eq!(Some(parts), pages["total"].as_u64());
    }
    assert_eq!(folder.names(), ["snap.db"]);
}

#[test]
fn warnings_leave_the_exit_code_0() {
    let good = Folder::with("s-3.5.1.db").read("snap.db");
    let run = Folder::of(&good[..good.len() - 32]).run("etcdprefix check snap.db");
    let text = run.succeeded();
    assert!(text.starts_with("snap.db: sound, with 1 warning\n"), "{text}");
    assert!(text.contains("  warning  trailer_missing: no SHA-256 trailer"), "{text}");
}

#[test]
fn people_see_the_first_of_many_and_how_many_more() {
    let mut bytes = Folder::with("s-3.5.1.db").read("snap.db");
    // Keys without their field, in so many records that they are not all told.
    let key = b"/registry/pods/default/p";
    let places: Vec<usize> =
        (0..bytes.len() - key.len()).filter(|&at| bytes[at..].starts_with(key)).collect();
    places.iter().for_each(|&at| bytes[at - 2] = 0x0C);
    let run = Folder::of(&bytes).run("etcdprefix check snap.db");
    assert_eq!(run.code, Some(3));
    assert!(run.stdout.starts_with("snap.db: DAMAGED: "), "{}", run.stdout);
    assert!(run.stdout.contains("more of record_invalid\n"), "{}", run.stdout);
    assert_eq!(run.stdout.matches("  error    record_invalid: page ").count(), 20);
}

#[test]
fn fields_and_table_have_what_json_has() {
    let folder = damaged();
    let fields = folder.run("etcdprefix check snap.db -w fields");
    assert!(fields.stdout.contains("\"findings.0.code\" : \"record_invalid\"\n"));
    assert!(fields.stdout.contains("\"pages.total\" : 9\n"));
    let table = folder.run("etcdprefix check snap.db -w table");
    let rows = table.stdout.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, fields.stdout.lines().count() + 1);
    assert_eq!((fields.code, table.code), (Some(3), Some(3)));
}
