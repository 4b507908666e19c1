use std::sync::Arc;

use serde_json::Value;

use super::{Client, Run, Server, both};

const DEST: &str = "/c0123456789abcdef";

/// A client with `snap.db` here and as `snap.db` in the store.
fn sent(server: &Arc<Server>, under: &str) -> (Client, Vec<u8>) {
    let client = Client::new(server, under);
    let bytes = client.take("k8s120-3.4.23.db");
    client.send("snap.db", &bytes);
    (client, bytes)
}

/// The same text but for what a result calls the file and how long it took.
fn same(here: &str, there: &str, client: &Client) {
    let untimed = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        if let Some(members) = value.as_object_mut() {
            members.retain(|name, _| !name.contains("seconds") && name != "phases");
        }
        value.to_string()
    };
    let urls = ["snap.db", "new.db"].map(|name| client.url(name));
    let named = urls
        .iter()
        .fold(untimed(there), |text, url| text.replace(url, url.rsplit('/').next().unwrap()));
    assert_eq!(untimed(here), named);
}

#[test]
fn what_is_in_a_store_is_looked_at_as_if_it_were_here() {
    both(|server| {
        let (client, _) = sent(server, "looked");
        let line = format!("change-prefix --db snap.db --dest-prefix {DEST} --output new.db");
        client.run(&line).succeeded();
        client.send("new.db", &client.read("new.db"));
        let verify = format!("verify FROM TO --dest-prefix {DEST}");
        for line in ["check FROM", "hashkv FROM", "snapshot status FROM", &verify] {
            let line = format!("{line} -w json");
            let here = line.replace("FROM", "snap.db").replace("TO", "new.db");
            let there = line.replace("FROM", "@snap.db").replace("TO", "@new.db");
            let near = client.path(".").display().to_string();
            let url = line
                .replace("FROM", &format!("file://{near}/snap.db"))
                .replace("TO", &format!("file://{near}/new.db"));
            let here = client.run(&here).succeeded();
            same(&here, &client.run(&there).succeeded(), &client);
            client.run(&url).succeeded();
        }
        for line in ["check @snap.db", "snapshot status @snap.db -w table", "hashkv @snap.db"] {
            client.run(line).succeeded();
        }
    });
}

#[test]
fn a_change_from_one_store_to_another_is_that_of_a_file() {
    let (s3, oss) = (Server::s3(), Server::oss());
    let (client, _) = sent(&s3, "changed");
    let client = client.also(&oss);
    let local = format!("change-prefix --db snap.db --dest-prefix {DEST} --output local.db");
    let local = client.run(&format!("{local} -w json")).json();
    let (from, to) = (client.url("snap.db"), "oss://bucket/changed/new.db");
    let line = format!("change-prefix --db {from} --dest-prefix {DEST} --output {to}");
    let changed = client.run(&format!("{line} -w json")).json();
    assert_eq!((&changed["db"], &changed["output"]), (&from.clone().into(), &to.into()));
    let upload = &changed["upload"];
    assert_eq!((&upload["location"], &upload["agreed"]), (&to.into(), &"checksum".into()));
    assert_eq!(upload["cluster_id"], DEST[1..]);
    assert_eq!(upload["prefix"], DEST);
    assert_eq!(upload["sha256"], local["sha256"]);
    assert_eq!(upload["status_hash"], local["status_hash_after"]);
    assert!(oss.sdk().get("changed/new.db").unwrap() == client.read("local.db"));
    assert_eq!(client.names(), ["local.db", "snap.db"]);
    // There it is found by what is said of it.
    let listed = client.run("store ls oss://bucket/changed/ -w json").json();
    assert_eq!(listed["objects"][0]["cluster_id"], DEST[1..]);
    let again = client.run(&line);
    again.refused(5, &[to, "exists already", "another key"]);
    let other = line.replace("new.db", "told.db");
    let told = client.run(&other).succeeded();
    for words in [from.as_str(), "oss://bucket/changed/told.db", "uploaded", "agreed"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let other = line.replace("new.db", "mine.db") + " --cluster-id mine -w json";
    assert_eq!(client.run(&other).json()["upload"]["cluster_id"], "mine");
}

/// What speaks against the output is found before anything is fetched.
#[test]
fn an_output_that_exists_is_found_first() {
    let server = Server::own_oss();
    let (client, _) = sent(&server, "exists");
    let fetched = || server.as_oss().log().contains_key(&("GetObject".into(), 200));
    let line = format!("change-prefix --db @snap.db --dest-prefix {DEST} --output @snap.db");
    client.run(&line).refused(5, &[&client.url("snap.db"), "exists already"]);
    let elsewhere = line.replace("--output @snap.db", "--output @new.db");
    client.run(&format!("{elsewhere} --recipient age1typo")).failed(2);
    assert!(!fetched());
    client.run(&line.replace("--output @snap.db", "--output new.db")).succeeded();
    assert!(fetched());
}

#[test]
fn an_object_is_never_replaced_in_place() {
    both(|server| {
        let (client, bytes) = sent(server, "in-place");
        let url = client.url("snap.db");
        let line = format!("change-prefix --db @snap.db --dest-prefix {DEST}");
        for more in ["", "--in-place"] {
            let run = client.run(&format!("{line} {more}"));
            run.refused(2, &[&url, "never replaced", "--output", "--dry-run"]);
        }
        let dry = client.run(&format!("{line} --dry-run -w json")).json();
        assert_eq!((&dry["db"], &dry["upload"]), (&url.into(), &Value::Null));
        client.run(&format!("{line} --dry-run --output @new.db")).succeeded();
        assert!(client.fetch("new.db").is_none(), "a dry run sent something");
        assert!(client.fetch("snap.db").unwrap() == bytes);
    });
}

/// It names the object, with nothing of the place where it was meanwhile.
#[track_caller]
fn named(run: &Run, code: i32, url: &str, words: &str) {
    let stderr = run.stderr();
    assert_eq!(run.0.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(url) && stderr.contains(words), "{url}, {words}: {stderr}");
    assert!(!stderr.contains("etcdprefix-") && !run.stdout().contains("/etcdprefix-"), "{stderr}");
}

#[test]
fn what_is_wrong_with_an_object_names_it() {
    both(|server| {
        let (client, bytes) = sent(server, "damaged");
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        client.send("damaged.db", &damaged);
        client.send("bare.db", &bytes[..bytes.len() - 32]);
        client.send("page.html", b"<html></html>");
        let change = format!("--dest-prefix {DEST} --output @new.db");
        for (name, code, words) in [
            ("damaged.db", 3, "another copy"),
            ("bare.db", 7, "trailer"),
            ("page.html", 3, "snapshot"),
        ] {
            let url = client.url(name);
            for line in [
                format!("change-prefix --db @{name} {change}"),
                format!("snapshot status @{name} --check-trailer"),
            ] {
                named(&client.run(&line), code, &url, words);
            }
            assert!(client.fetch("new.db").is_none());
        }
        let url = client.url("damaged.db");
        named(&client.run("check @damaged.db"), 3, &url, "damaged");
        let line = format!("change-prefix --db @snap.db --src-prefix /none {change}");
        named(&client.run(&line), 10, &client.url("snap.db"), "--allow-empty");
        named(&client.run("check @none.db"), 26, &client.url("none.db"), "no such object");
        let line = format!("verify @snap.db @snap.db --dest-prefix {DEST}");
        let run = client.run(&line);
        assert!(!run.0.status.success() && !run.stderr().contains("/etcdprefix-"));
    });
}

#[test]
fn every_form_of_a_result_names_the_objects() {
    both(|server| {
        let (client, bytes) = sent(server, "named");
        let mut damaged = bytes.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        client.send("damaged.db", &damaged);
        for form in ["simple", "table", "json", "fields"] {
            let line = format!("change-prefix --db @damaged.db --dest-prefix {DEST}");
            let line = format!("{line} --skip-hash-check --accept-corrupt-trailer -w {form}");
            let made = client.run(&format!("{line} --output @{form}.db"));
            let tried = client.run(&format!("{line} --dry-run"));
            for (run, name) in [(&made, form), (&made, "damaged"), (&tried, "damaged")] {
                assert_eq!(run.0.status.code(), Some(0), "{}", run.stderr());
                let url = client.url(&format!("{name}.db"));
                assert!(run.stdout().contains(&url), "{url}: {}", run.stdout());
            }
        }
    });
}

/// The output was made, and then could not be sent.
#[test]
fn an_output_that_cannot_be_sent_is_told_and_is_nowhere() {
    let server = Server::own_oss();
    let (client, _) = sent(&server, "unsent");
    let line = format!("change-prefix --db @snap.db --dest-prefix {DEST} --output @new.db");
    server.as_oss().allow(server.key(), &["PutObject"]).unwrap();
    client.run(&line).refused(26, &[&client.url("new.db"), "access is denied", "store policy"]);
    server.as_oss().allow(server.key(), &["HeadObject"]).unwrap();
    let run = client.run(&line);
    run.refused(26, &[&client.url("snap.db"), "access is denied"]);
    server.as_oss().allow(server.key(), &[]).unwrap();
    client.run(&line).succeeded();
}
