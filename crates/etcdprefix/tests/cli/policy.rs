use serde_json::Value;

use crate::support::Folder;

#[test]
fn a_policy_is_json_to_paste_and_its_notes_are_apart() {
    let folder = Folder::of(b"");
    let run =
        folder.run("etcdprefix migrate policy --for assistant --region cn-hangzhou --instance i-1");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let policy: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(policy["Statement"][0]["Resource"][0], "acs:ecs:cn-hangzhou:*:instance/i-1");
    assert!(
        run.stderr.lines().all(|line| line.starts_with("etcdprefix: note: ")),
        "{}",
        run.stderr
    );
    let line = "etcdprefix migrate policy --for oos-role -w json";
    let json: Value = serde_json::from_str(folder.run(line).succeeded()).unwrap();
    assert_eq!(json["trust"]["Statement"][0]["Principal"]["Service"][0], "oos.aliyuncs.com");
    let contract = include_str!("../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once("## `etcdprefix migrate policy`").unwrap();
    let example = section.split("```").nth(3).unwrap().trim_start_matches("json");
    let example: Value = serde_json::from_str(example).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&json), names(&example));
    assert!(json["notes"].as_array().unwrap().len() == 2 && json["policy"]["Version"] == "1");
    let line = "etcdprefix migrate policy --for kubernetes --from s3://a-bucket/in/ --to s3://a-bucket/out/";
    let run = folder.run(&format!("{line} --quiet"));
    assert!(run.succeeded().contains("arn:aws:s3:::a-bucket/in/*"));
}

#[test]
fn what_is_missing_or_means_more_is_wrong_usage() {
    let folder = Folder::of(b"");
    for (flags, words) in [
        ("--for host", "--to"),
        ("--for kubernetes --to oss://bucket/a", "--from and --to"),
        ("--for kubernetes --from s3://bucket/a --to oss://bucket/a", "two documents"),
        ("--for assistant --instance *", "is no name"),
        ("--for assistant --tag a", "KEY=VALUE"),
        ("--for everybody", "--for"),
    ] {
        let run = folder.run(&format!("etcdprefix migrate policy {flags}"));
        assert!(run.failed(2).contains(words), "{flags}: {}", run.stderr);
    }
}
