use serde_json::{Value, json};

use super::servers::{read_only, write_only};
use super::{Client, Run, Server, both};

const STEPS: [&str; 7] = ["put", "head", "get", "presign", "parts", "list", "delete"];

/// What came of a step.
fn outcome<'a>(checked: &'a Value, name: &str) -> &'a Value {
    let steps = checked["steps"].as_array().unwrap();
    let names: Vec<&Value> = steps.iter().map(|step| &step["name"]).collect();
    assert_eq!(names, STEPS);
    &steps.iter().find(|step| step["name"] == name).unwrap()["outcome"]
}

/// It is not enough: the result is there nevertheless, and the error names what is missing.
#[track_caller]
fn not_enough(run: &Run, words: &[&str]) -> Value {
    assert_eq!(run.0.status.code(), Some(26), "{}", run.stderr());
    let checked: Value = serde_json::from_str(&run.stdout()).unwrap();
    assert_eq!(checked["enough"], false);
    let stderr = run.stderr();
    let last = stderr.lines().last().unwrap();
    for word in words.iter().chain(&["; try: "]) {
        assert!(last.contains(word), "{word:?} is not in: {stderr}");
    }
    checked
}

#[test]
fn a_key_that_may_everything_leaves_nothing() {
    both(|server| {
        let client = Client::new(server, "rights");
        let checked = client.run("store check @ -w json").json();
        let names: Vec<&String> = checked.as_object().unwrap().keys().collect();
        let expected =
            ["location", "enough", "missing", "probe", "probe_left", "steps", "warnings"];
        assert_eq!(names, expected);
        assert_eq!((&checked["enough"], &checked["missing"]), (&true.into(), &json!([])));
        assert_eq!(checked["probe"], client.url("etcdprefix-probe"));
        assert_eq!((&checked["probe_left"], &checked["warnings"]), (&false.into(), &json!([])));
        assert!(STEPS.iter().all(|step| outcome(&checked, step) == "allowed"), "{checked}");
        assert!(client.fetch("etcdprefix-probe").is_none());
        let told = client.run("store check @").succeeded();
        assert!(told.starts_with(&format!("{} may be used as it is\n", client.url(""))), "{told}");
        assert_eq!(told.lines().filter(|line| line.contains(" allowed ")).count(), 7, "{told}");
    });
}

#[test]
fn the_least_is_enough_and_what_is_left_is_named() {
    let server = Server::own_oss();
    let least = ["DeleteObject", "ListObjectsV2", "AbortMultipartUpload"];
    server.as_oss().allow(server.key(), &least).unwrap();
    let client = Client::new(&server, "least");
    let run = client.run("store check @ -w json");
    let probe = client.url("etcdprefix-probe");
    let words = ["an upload that fails would leave its parts", "lifecycle rule", &probe, "is left"];
    let checked: Value = serde_json::from_str(&run.warned(&words)).unwrap();
    assert_eq!((&checked["enough"], &checked["probe_left"]), (&true.into(), &true.into()));
    let missing = ["oss:AbortMultipartUpload", "oss:ListObjects", "oss:DeleteObject"];
    assert_eq!(checked["missing"], json!(missing));
    assert_eq!(checked["warnings"].as_array().unwrap().len(), 2);
    // The probe that it left is no hindrance.
    let told = client.run("store check @").warned(&[&probe]);
    assert_eq!(told.lines().filter(|line| line.contains(" DENIED ")).count(), 3, "{told}");
}

#[test]
fn what_is_missing_is_named() {
    let server = Server::own_oss();
    let client = Client::new(&server, "missing");
    for (denied, missing, step) in [
        (&["PutObject"][..], "oss:PutObject missing", "put"),
        (&["GetObject", "HeadObject"], "oss:GetObject missing", "get"),
    ] {
        server.as_oss().allow(server.key(), denied).unwrap();
        let run = client.run("store check @ -w json");
        let checked = not_enough(&run, &[&client.url(""), missing, "access is denied"]);
        assert_eq!(outcome(&checked, step), "denied");
        let told = client.run("store check @").stdout();
        assert!(told.contains("may NOT be used") && told.contains("DENIED"), "{told}");
    }
    let s3 = Server::s3();
    for (key, missing) in [(write_only(), "s3:GetObject"), (read_only(), "s3:PutObject")] {
        let client = Client::new(&s3, "missing").keyed(&key);
        let run = client.run("store check @ -w json");
        not_enough(&run, &[&client.url(""), missing, "access is denied"]);
    }
}

#[test]
fn somebody_elses_object_is_left_as_it_is() {
    both(|server| {
        let client = Client::new(server, "theirs");
        let key = client.key("etcdprefix-probe");
        client.sdk().put(&key, b"somebody's").unwrap();
        let run = client.run("store check @");
        assert_eq!(run.0.status.code(), Some(5), "{}", run.stderr());
        assert_eq!(client.sdk().get(&key).unwrap(), b"somebody's");
    });
}

/// As the vendor's documentation has them, in its order.
const ACK_MASTER: &str = concat!(
    r#"{"Action":["oss:PutObject","oss:GetObject"],"Effect":"Allow","#,
    r#""Resource":["acs:oss:*:*:backups/*"]}"#,
);
const BACKUP_CENTER: &str = concat!(
    r#"{"Version":"1","Statement":[{"Action":["oss:PutObject","#,
    r#""oss:GetObject","oss:DeleteObject","oss:GetBucket","oss:ListObjects","#,
    r#""oss:ListBuckets","oss:GetBucketStat"],"#,
    r#""Resource":["acs:oss:*:*:backups","acs:oss:*:*:backups/*"],"#,
    r#""Effect":"Allow"}]}"#,
);
const UPLOAD: &str = concat!(
    r#"{"Version":"1","Statement":[{"Action":["oss:PutObject","#,
    r#""oss:AbortMultipartUpload","oss:GetObject"],"Effect":"Allow","#,
    r#""Resource":["acs:oss:*:*:backups/c1/*"]}]}"#,
);
const UPLOAD_S3: &str = concat!(
    r#"{"Version":"2012-10-17","Statement":[{"Action":["s3:PutObject","#,
    r#""s3:AbortMultipartUpload","s3:GetObject"],"Effect":"Allow","#,
    r#""Resource":["arn:aws:s3:::backups/*"]}]}"#,
);

#[test]
fn policies_are_those_of_the_vendors() {
    let client = Client::new(&Server::oss(), "policies").keyless().at("127.0.0.1:9");
    for (line, policy, note) in [
        ("ack-master", ACK_MASTER, "k8sMasterRolePolicy"),
        ("backup-center", BACKUP_CENTER, "Cloud Backup"),
        ("upload --prefix c1/", UPLOAD, "oss:GetObject is needed"),
        ("upload-presign --prefix c1/", UPLOAD, "A presigned URL has the rights"),
        ("upload --store s3", UPLOAD_S3, "arn:aws-cn"),
        ("upload-presign --store s3", UPLOAD_S3, "arn:aws-cn"),
    ] {
        let line = format!("store policy --bucket backups --for {line}");
        let told = client.run(&line).noted(note);
        let pretty: Value = serde_json::from_str(&told).unwrap();
        assert!(told.contains("\n  \""), "it is spread over lines for people");
        let text = client.run(&format!("{line} -w json --quiet")).succeeded();
        assert_eq!(text.trim_end(), policy);
        assert_eq!(pretty.to_string(), policy);
    }
}

#[test]
fn policies_that_cannot_be_are_refused() {
    let client = Client::new(&Server::oss(), "no-policies");
    for (line, words) in [
        ("ack-master --bucket backups --store s3", "not in S3"),
        ("backup-center --bucket backups --store s3", "not in S3"),
        ("upload --bucket Backups", "can't be the name of a bucket"),
        ("upload --bucket backups --prefix a*", "would mean something else in a policy"),
        ("everything --bucket backups", "everything"),
        ("upload", "--bucket"),
    ] {
        client.run(&format!("store policy --for {line}")).refused(2, &[words]);
    }
}
