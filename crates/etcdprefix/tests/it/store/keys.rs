use std::fs;
use std::path::Path;

use etcdprefix_testkit::stores::Key;

use super::{Client, Server, both};

/// What needs credentials, on files and objects that are there.
const LINES: [&str; 6] = [
    "store put snap.db @k",
    "store get @k back.db",
    "store ls @",
    "store presign @k",
    "store verify @k",
    "check @k",
];

/// The wrong key is in the environment; every command says so and what to try.
fn each_refused(client: &Client, code: i32, words: &[&str]) {
    for line in LINES {
        client.run(line).refused(code, words);
    }
    let checked = client.run("store check @");
    assert_eq!(checked.0.status.code(), Some(code), "{}", checked.stderr());
    words.iter().for_each(|word| assert!(checked.stderr().contains(word), "{}", checked.stderr()));
    assert_eq!(client.names(), ["snap.db"]);
}

fn prepared(server: &std::sync::Arc<Server>, under: &str) -> Client {
    let client = Client::new(server, under);
    let bytes = client.take("s-3.5.1.db");
    client.send("k", &bytes);
    client
}

#[test]
fn wrong_keys_are_told_apart() {
    both(|server| {
        let id = server.key().id.clone();
        for (key, words) in [
            (Key::new(&id, "wrong-s3cr3t"), "the secret key is wrong"),
            (Key::new("nobody", "wrong-s3cr3t"), "the store does not know the access key id"),
        ] {
            let client = prepared(server, "wrong").keyed(&key);
            each_refused(&client, 26, &[words, "other credentials"]);
        }
    });
}

#[test]
fn a_token_that_has_ended_is_told() {
    let server = Server::own_oss();
    let key = Key::new("STS.id", "sts-s3cr3t").with_token("right-t0ken");
    server.as_oss().allow(&key, &[]).unwrap();
    let client = prepared(&server, "token").keyed(&key.clone().with_token("wrong-t0ken"));
    each_refused(&client, 26, &["temporary credentials have ended", "fresh temporary credentials"]);
    prepared(&server, "token").keyed(&key).run("store get @k back.db").succeeded();
}

#[test]
fn a_wrong_region_is_told() {
    let client = prepared(&Server::oss(), "region").set("OSS_REGION", "cn-beijing");
    each_refused(&client, 26, &["the region is wrong", "region and endpoint of the bucket"]);
    client.run("store get @k back.db --region cn-hangzhou").succeeded();
}

#[test]
fn a_clock_that_is_off_is_told() {
    let server = Server::own_oss();
    let client = prepared(&server, "clock");
    server.as_oss().skew(3600).unwrap();
    for line in LINES.iter().filter(|line| !line.starts_with("store presign")) {
        client.run(line).refused(26, &["s behind the store's", "chronyc"]);
    }
}

#[test]
fn without_any_each_place_is_named() {
    both(|server| {
        let client = prepared(server, "none").keyless();
        let role = if server.is_oss() { "ECS RAM role" } else { "EC2 role" };
        each_refused(&client, 27, &["no credentials", "environment: none", role, "--credentials"]);
    });
}

#[test]
fn nobody_at_the_endpoint_is_told() {
    both(|server| {
        let client = prepared(server, "nobody").at("127.0.0.1:9");
        for line in LINES.iter().filter(|line| line.starts_with("store ")) {
            if line.starts_with("store presign") {
                // Its reader may be elsewhere.
                client.run(line).warned(&["could not be tried"]);
                continue;
            }
            let run = client.run(&format!("{line} --retries 0"));
            run.refused(23, &["http://127.0.0.1:9", "cannot connect", "--endpoint"]);
        }
        assert_eq!(client.names(), ["snap.db"]);
    });
}

fn secret_folder(folder: &Path, key: &Key) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("access-key-id"), format!("{}\n", key.id)).unwrap();
    fs::write(folder.join("access-key-secret"), &key.secret).unwrap();
}

#[test]
fn a_mounted_secret_is_the_only_place_if_it_is_given() {
    both(|server| {
        let client = prepared(server, "folder");
        let good = client.home("secret");
        secret_folder(&good, server.key());
        let flag = format!("--credentials {}", good.display());
        // What the environment has does not count.
        let client = client.keyed(&Key::new("nobody", "other-s3cr3t"));
        client.run(&format!("store get @k back.db {flag}")).succeeded();
        let client = client.set("ETCDPREFIX_STORE_CREDENTIALS", good.to_str().unwrap());
        client.run("check @k").succeeded();
        fs::remove_file(good.join("access-key-secret")).unwrap();
        client.run("store ls @").refused(27, &["the folder: ", "access-key-secret"]);
    });
}

#[test]
fn a_profile_is_read() {
    both(|server| {
        let client = prepared(server, "profile").keyless();
        let (id, secret) = (&server.key().id, &server.key().secret);
        for folder in [".aws", ".aliyun"] {
            fs::create_dir(client.home(folder)).unwrap();
        }
        let aws = format!("[team]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
        fs::write(client.home(".aws/credentials"), aws).unwrap();
        let aliyun = format!(
            r#"{{"current":"other","profiles":[{{"name":"team","mode":"AK",
                "access_key_id":"{id}","access_key_secret":"{secret}"}}]}}"#
        );
        fs::write(client.home(".aliyun/config.json"), aliyun).unwrap();
        client.run("store get @k back.db --profile team").succeeded();
        let other = client.run("store get @k back.db --profile nobody");
        other.refused(27, &["no credentials"]);
    });
}
