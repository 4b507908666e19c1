//! Every run of these tests is searched for secrets ([`Client::judged`]). Here are the runs that
//! make it all of them: each command, with what each source of credentials has, in each form, well
//! and badly ended.

use std::fs;
use std::sync::Arc;

use etcdprefix_testkit::stores::{Act, Front, Key, Metadata};

use super::broken::{UNAVAILABLE, rule};
use super::encrypted::RECIPIENT;
use super::{Client, Server, both};

const FORMATS: [&str; 4] = ["simple", "table", "json", "fields"];

/// Each command that can see credentials; `#` is another number each time.
const LINES: [&str; 13] = [
    "store put snap.db @new",
    "store put snap.db @sealed --recipient RECIPIENT",
    "store get @k back.db",
    "store ls @",
    "store presign @k",
    "store verify @k",
    "store check @",
    "check @k",
    "hashkv @k",
    "snapshot status @k",
    "verify @k @changed --dest-prefix /c1",
    "change-prefix --db @k --dest-prefix /c1 --dry-run",
    "change-prefix --db @k --dest-prefix /c1 --output @out#",
];

/// With the token of a role, whose signatures hold it.
fn role() -> Key {
    Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken/+=")
}

/// A client with all that the lines name.
fn prepared(server: &Arc<Server>, under: &str) -> Client {
    let client = Client::new(server, under);
    client.take("s-3.5.1.db");
    let change = "change-prefix --db snap.db --dest-prefix /c1 --output changed.db";
    client.run(change).succeeded();
    for (name, file) in [("k", "snap.db"), ("changed", "changed.db")] {
        client.send(name, &client.read(file));
    }
    client
}

/// Runs every line in these forms; `number` makes outputs differ.
fn each(client: &Client, number: &str, formats: &[&str]) {
    for line in LINES {
        let line = line.replace("RECIPIENT", RECIPIENT);
        for format in formats {
            let line = line.replace('#', &format!("-{number}-{format}"));
            let run = client.run(&format!("{line} -w {format}"));
            assert!(run.0.status.success(), "{line}: {}", run.stderr());
        }
    }
    for line in ["store policy --for upload --bucket bucket", "store --help"] {
        client.run(line);
    }
}

/// A member of etcd is asked, and the store is not.
fn saves(client: &Client) {
    let run = client.run("snapshot save @saved --endpoints 127.0.0.1:1 --retries 0");
    assert!(!run.0.status.success());
}

fn secret_folder(client: &Client, key: &Key) -> String {
    let folder = client.home("secret");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("access-key-id"), &key.id).unwrap();
    fs::write(folder.join("access-key-secret"), &key.secret).unwrap();
    if let Some(token) = &key.token {
        fs::write(folder.join("security-token"), token).unwrap();
    }
    folder.display().to_string()
}

fn profile(client: &Client, key: &Key) {
    for folder in [".aws", ".aliyun"] {
        fs::create_dir(client.home(folder)).unwrap();
    }
    let Key { id, secret, token } = key;
    let aws = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    fs::write(client.home(".aws/credentials"), aws).unwrap();
    let (mode, token) = match token {
        Some(token) => ("StsToken", token.as_str()),
        None => ("AK", ""),
    };
    let aliyun = format!(
        r#"{{"current":"own","profiles":[{{"name":"own","mode":"{mode}",
            "access_key_id":"{id}","access_key_secret":"{secret}","sts_token":"{token}"}}]}}"#
    );
    fs::write(client.home(".aliyun/config.json"), aliyun).unwrap();
}

#[test]
fn no_form_of_a_result_shows_one() {
    let oss = Server::own_oss();
    oss.as_oss().allow(&role(), &[]).unwrap();
    let s3 = Server::s3();
    for (server, key) in [(&oss, role()), (&s3, s3.key().clone())] {
        let client = prepared(server, "secrets-forms").keyed(&key);
        each(&client, "env", &FORMATS);
        saves(&client);
    }
}

#[test]
fn no_source_of_credentials_shows_one() {
    let oss = Server::own_oss();
    oss.as_oss().allow(&role(), &[]).unwrap();
    let s3 = Server::s3();
    for (server, key) in [(&oss, role()), (&s3, s3.key().clone())] {
        let prepared = || prepared(server, "secrets-sources").keyless();
        let client = prepared();
        let folder = secret_folder(&client, &key);
        let client = client.set("ETCDPREFIX_STORE_CREDENTIALS", &folder);
        each(&client, "folder", &["json"]);
        let client = prepared();
        profile(&client, &key);
        each(&client, "profile", &["json"]);
    }
    let metadata = Metadata::start(&role(), std::time::Duration::from_secs(3000)).unwrap();
    let client = prepared(&oss, "secrets-sources").keyless();
    let led = |client: Client, (name, url): &(&'static str, String)| client.set(name, url);
    let client = metadata.variables().iter().fold(client, led);
    each(&client, "role", &["json"]);
}

/// Wrong keys of every source, and what the store says to them.
#[test]
fn no_refusal_shows_one() {
    let oss = Server::own_oss();
    let (id, key) = (oss.key().id.clone(), role());
    oss.as_oss().allow(&key, &[]).unwrap();
    for (number, wrong) in [
        Key { secret: "wrong-s3cr3t".into(), ..key.clone() },
        Key { token: Some("wrong-t0ken".into()), ..key.clone() },
        Key::new(&id, "wrong-s3cr3t").with_token("t0ken"),
        Key::new("nobody", "s3cr3t"),
    ]
    .iter()
    .enumerate()
    {
        let client = prepared(&oss, "secrets-refused").keyed(wrong);
        let format = FORMATS[number];
        each_refused(&client, format);
        let folder = secret_folder(&client, wrong);
        let client = client.keyless().set("ETCDPREFIX_STORE_CREDENTIALS", &folder);
        each_refused(&client, format);
    }
    for wrong in [Key::new(Server::s3().key().id.as_str(), "s3cr3t"), Key::new("nobody", "s3cr3t")]
    {
        let client = prepared(&Server::s3(), "secrets-refused").keyed(&wrong);
        each_refused(&client, "json");
    }
}

/// `store check` tells its steps all the same, so it is not one line.
fn each_refused(client: &Client, format: &str) {
    for line in LINES.iter().filter(|line| !line.starts_with("store check")) {
        let line = line.replace("RECIPIENT", RECIPIENT);
        client.run(&format!("{line} -w {format}")).failed(26);
    }
    let run = client.run(&format!("store check @ -w {format}"));
    assert_eq!(run.0.status.code(), Some(26));
}

/// Rights that are missing, a clock that is off, Referer protection.
#[test]
fn no_fault_of_the_bucket_shows_one() {
    let oss = Server::own_oss();
    let (server, key) = (oss.as_oss(), role());
    let all = ["PutObject", "GetObject", "HeadObject", "ListObjectsV2"];
    server.allow(&key, &[]).unwrap();
    let client = prepared(&oss, "secrets-faults").keyed(&key);
    server.allow(&key, &all).unwrap();
    FORMATS.iter().for_each(|format| each_refused(&client, format));
    server.allow(&key, &[]).unwrap();
    server.protect_by_referer().unwrap();
    for format in FORMATS {
        client.run(&format!("store presign @k -w {format}")).failed(26);
        assert_eq!(client.run(&format!("store check @ -w {format}")).0.status.code(), Some(26));
    }
    server.skew(3600).unwrap();
    for line in LINES.iter().filter(|line| !line.starts_with("store presign")) {
        let run = client.run(&line.replace("RECIPIENT", RECIPIENT));
        assert_eq!(run.0.status.code(), Some(26), "{line}: {}", run.stderr());
    }
}

/// A store, or what stands before it, that repeats what it was sent.
#[test]
fn no_answer_that_repeats_one_is_repeated() {
    let oss = Server::own_oss();
    oss.as_oss().allow(&role(), &[]).unwrap();
    let s3 = Server::s3();
    let full = "by full-s3cr3t-full and http://h/k?X-Amz-Signature=00";
    let token = "of role-s3cr3t-role, t0ken/+= and t0ken/+=, http://h/k?x-oss-signature=00";
    for (server, key, message) in [(&oss, role(), token), (&s3, s3.key().clone(), full)] {
        let front = Front::start(server.address()).unwrap();
        let client = prepared(server, "secrets-repeated").keyed(&key).at(&front.address());
        for method in ["GET", "PUT", "POST", "HEAD"] {
            let act = Act::Refuse { status: 403, code: "AccessDenied", message };
            front.rule(rule(method, "", 1000, act));
        }
        FORMATS.iter().for_each(|format| each_refused(&client, format));
    }
}

/// Connections that fail: their errors could have URLs.
#[test]
fn no_broken_connection_shows_one() {
    both(|server| {
        for act in [UNAVAILABLE, Act::CutAnswer { after: 10 }, Act::LoseAnswer, Act::Stall] {
            let front = Front::start(server.address()).unwrap();
            let client = prepared(server, "secrets-broken").at(&front.address());
            for method in ["GET", "PUT", "HEAD"] {
                front.rule(rule(method, "", 1000, act.clone()));
            }
            for line in ["put snap.db @new", "get @k back.db", "ls @", "verify @k", "check @"] {
                let line = format!("store {line} --retries 0 --idle-timeout 1s");
                let run = client.run(&line);
                assert_eq!(run.0.status.code(), Some(23), "{act:?} {line}: {}", run.stderr());
            }
        }
    });
}
