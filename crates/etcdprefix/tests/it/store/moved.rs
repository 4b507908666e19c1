use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Client, both};
use crate::support::stdout;

const TOLD: &str = "--cluster-id c1 --prefix /registry --etcd-version 3.5.1";

/// What a result says of the snapshot.
fn description(result: &Value) -> Value {
    let names = ["cluster_id", "revision", "status_hash", "sha256", "etcd_version", "prefix"];
    names.iter().map(|&name| (name.to_owned(), result[name].clone())).collect()
}

/// The same from the file, whose status hash is proved elsewhere.
fn expected(client: &Client) -> Value {
    let path = client.path("snap.db");
    let status = stdout(["snapshot", "status", "-w", "json", path.to_str().unwrap()]).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    let bytes = client.read("snap.db");
    let trailer = bytes[bytes.len() - 32..].iter().map(|byte| format!("{byte:02x}"));
    json!({
        "cluster_id": "c1",
        "revision": status["revision"],
        "status_hash": format!("{:x}", status["hash"].as_u64().unwrap()),
        "sha256": trailer.collect::<String>(),
        "etcd_version": "3.5.1",
        "prefix": "/registry",
    })
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Members of every result after its own.
const DESCRIBED: [&str; 7] =
    ["cluster_id", "revision", "status_hash", "sha256", "etcd_version", "prefix", "encryption"];

#[track_caller]
fn has(result: &Value, own: &[&str]) {
    let mut expected = [own, &DESCRIBED].concat();
    let mut found = names(result);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

fn put(client: &Client, source: &[u8]) {
    let put = client.run(&format!("store put snap.db @snap.db {TOLD} -w json")).json();
    has(
        &put,
        &[
            "location", "bytes", "etag", "checksum", "agreed", "parts", "repeated", "seconds",
            "file",
        ],
    );
    assert_eq!(put["location"], client.url("snap.db"));
    assert_eq!((&put["file"], &put["bytes"]), (&"snap.db".into(), &source.len().into()));
    assert_eq!((&put["parts"], &put["repeated"]), (&0.into(), &0.into()));
    assert_eq!(put["agreed"], "checksum");
    assert_eq!(description(&put), expected(client));
    assert!(client.sdk().get(&client.key("snap.db")).unwrap() == source);
}

fn get(client: &Client, source: &[u8]) {
    let got = client.run("store get @snap.db back.db -w json").json();
    has(
        &got,
        &["location", "file", "bytes", "proved", "encrypted", "checked", "resumed", "seconds"],
    );
    assert_eq!(
        (&got["location"], &got["file"]),
        (&client.url("snap.db").into(), &"back.db".into())
    );
    assert_eq!((&got["proved"], &got["encrypted"]), (&true.into(), &false.into()));
    assert_eq!((&got["bytes"], &got["resumed"]), (&source.len().into(), &0.into()));
    assert_eq!(description(&got), expected(client));
    assert!(client.read("back.db") == source);
    let mode = fs::metadata(client.path("back.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(client.names(), ["back.db", "snap.db"]);
}

fn looked_at(client: &Client, source: &[u8]) {
    let verified = client.run("store verify @snap.db -w json").json();
    has(
        &verified,
        &[
            "location",
            "bytes",
            "snapshot_bytes",
            "encrypted",
            "checked",
            "described",
            "resumed",
            "seconds",
        ],
    );
    assert_eq!((&verified["checked"], &verified["described"]), (&true.into(), &true.into()));
    assert_eq!(verified["snapshot_bytes"], source.len());
    assert_eq!(description(&verified), expected(client));
    let listed = client.run("store ls @ -w json").json();
    assert_eq!(names(&listed), ["location", "objects", "more"]);
    assert_eq!((&listed["location"], &listed["more"]), (&client.url("").into(), &false.into()));
    let objects = listed["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{listed}");
    has(&objects[0], &["key", "bytes", "modified", "etag"]);
    assert_eq!(
        (&objects[0]["key"], &objects[0]["bytes"]),
        (&client.key("snap.db").into(), &source.len().into())
    );
    assert_eq!(description(&objects[0]), expected(client));
}

#[test]
fn a_snapshot_comes_back_as_it_went_with_all_that_is_said_of_it() {
    both(|server| {
        let client = Client::new(server, "moved");
        let source = client.take("k8s-3.5.1.db");
        put(&client, &source);
        get(&client, &source);
        looked_at(&client, &source);
    });
}

#[test]
fn people_read_where_it_is_and_what_proves_it() {
    both(|server| {
        let client = Client::new(server, "told");
        client.take("s-3.5.16.db");
        let url = client.url("snap.db");
        let put = client.run(&format!("store put snap.db @snap.db {TOLD}")).succeeded();
        let expected = expected(&client);
        let hash = expected["status_hash"].as_str().unwrap();
        assert!(put.starts_with(&format!("snap.db is at {url}\n\n")), "{put}");
        let got = client.run("store get @snap.db back.db").succeeded();
        assert!(got.starts_with(&format!("back.db is {url}\n\n")), "{got}");
        let verified = client.run("store verify @snap.db").succeeded();
        assert!(verified.starts_with(&format!("{url} is a whole snapshot\n\n")), "{verified}");
        for text in [put, got, verified] {
            for words in ["36,896 bytes", hash, "cluster      c1", "prefix       /registry"] {
                assert!(text.contains(words), "{words}: {text}");
            }
        }
        let listed = client.run("store ls @").succeeded();
        let lines: Vec<Vec<&str>> =
            listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["TIME", "SIZE", "CLUSTER", "PREFIX", "REVISION", "HASH", "KEY"]);
        assert_eq!(lines[1].last(), Some(&client.key("snap.db").as_str()));
        assert!(lines[1].contains(&hash) && lines[1].contains(&"c1"), "{listed}");
    });
}

#[test]
fn every_form_is_there_for_every_command() {
    both(|server| {
        let client = Client::new(server, "forms");
        client.take("s-3.5.1.db");
        for line in [
            "store put snap.db @snap.db",
            "store get @snap.db back.db",
            "store ls @",
            "store verify @snap.db",
            "store presign @snap.db",
            "store check @",
        ] {
            let fields = client.run(&format!("{line} -w fields --quiet")).succeeded();
            assert!(fields.lines().all(|line| line.starts_with('"') && line.contains(" : ")));
            let table = client.run(&format!("{line} -w table --quiet")).succeeded();
            assert!(table.starts_with("+--") && table.contains("| location "), "{table}");
            let quiet = client.run(&format!("{line} -w json --quiet")).json();
            assert!(quiet["location"].as_str().unwrap().starts_with(server.url()), "{quiet}");
        }
    });
}

#[test]
fn an_object_is_replaced_unless_it_must_be_new() {
    both(|server| {
        let client = Client::new(server, "once");
        let first = client.take("s-3.4.23.db");
        client.run("store put snap.db @snap.db --if-absent").succeeded();
        let second = client.take("s-3.6.14.db");
        let url = client.url("snap.db");
        let again = client.run("store put snap.db @snap.db --if-absent");
        again.refused(5, &[&url, "exists already", "another key"]);
        assert!(client.fetch("snap.db").unwrap() == first);
        client.run("store put snap.db @snap.db").succeeded();
        assert!(client.fetch("snap.db").unwrap() == second);
    });
}

#[test]
fn a_listing_says_if_there_is_more() {
    both(|server| {
        let client = Client::new(server, "listed");
        client.take("s-3.5.1.db");
        for name in ["a", "b", "c"] {
            client.send(name, b"somebody's");
        }
        let all = client.run("store ls @ -w json").json();
        assert_eq!(all["objects"].as_array().unwrap().len(), 3);
        assert_eq!(all["objects"][0]["cluster_id"], Value::Null);
        let run = client.run("store ls @ --limit 2 -w json");
        let two: Value = serde_json::from_str(&run.warned(&["there are more than 2"])).unwrap();
        assert_eq!((two["objects"].as_array().unwrap().len(), &two["more"]), (2, &true.into()));
        let none = client.run("store ls @nothing/ -w json").json();
        assert_eq!((&none["objects"], &none["more"]), (&json!([]), &false.into()));
    });
}

#[test]
fn a_file_may_be_given_by_its_url_and_a_place_must_be_one() {
    both(|server| {
        let client = Client::new(server, "urls");
        let source = client.take("s-3.5.1.db");
        let [from, to] = ["snap.db", "back.db"].map(|name| client.path(name));
        client.run(&format!("store put file://{} @snap.db", from.display())).succeeded();
        client.run(&format!("store get @snap.db file://{}", to.display())).succeeded();
        assert!(client.read("back.db") == source);
        for (line, words) in [
            ("store put snap.db other.db", "other.db is no place in an object store"),
            ("store put @snap.db @other.db", "is no file of this machine"),
            ("store get @snap.db @other.db", "is no file of this machine"),
            ("store put snap.db @", "names no object"),
            ("store put snap.db @x//y", "empty part"),
            ("store get @dir/ back.db", "names no object"),
            ("store verify gs://bucket/key", "the schemes are oss, s3 and file"),
            ("store presign https://bucket.host/key?Signature=abc", "an http URL is no location"),
            ("store ls s3://B/", "can't be the name of a bucket"),
        ] {
            let run = client.run(line);
            run.refused(2, &[words]);
            assert!(!run.stderr().contains("abc"), "{}", run.stderr());
        }
    });
}
