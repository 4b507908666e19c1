use std::fs;

use super::{Client, Server, both};
use crate::support::said;

/// What can be wrong with a snapshot: its bytes, the exit code, words.
fn unsound(sound: &[u8]) -> [(&'static str, Vec<u8>, i32, &'static str); 3] {
    let mut damaged = sound.to_vec();
    damaged[sound.len() / 2] ^= 1;
    let cut = sound[..sound.len() / 2 / 4096 * 4096].to_vec();
    let bare = sound[..sound.len() - 32].to_vec();
    [
        ("damaged.db", damaged, 3, "SHA-256"),
        ("cut.db", cut, 9, "cut"),
        ("bare.db", bare, 7, "trailer"),
    ]
}

#[test]
fn what_is_no_sound_snapshot_is_sent_only_as_it_is() {
    both(|server| {
        let client = Client::new(server, "unsound");
        for (name, bytes, code, words) in unsound(&client.take("k8s-3.5.1.db")) {
            client.write(name, &bytes);
            client.run(&format!("store put {name} @{name}")).refused(code, &[name, words]);
            assert!(client.fetch(name).is_none(), "{name} was sent");
            let put = client.run(&format!("store put {name} @{name} --no-check -w json")).json();
            assert_eq!(
                (&put["sha256"], &put["revision"]),
                (&None::<u64>.into(), &None::<u64>.into())
            );
            assert!(client.fetch(name).unwrap() == bytes);
        }
        client.run("store put nothing.db @nothing.db").refused(4, &["nothing.db", "No such file"]);
        let none = client.run("store put nothing.db @nothing.db --no-check");
        none.refused(4, &["nothing.db", "No such file"]);
    });
}

/// Where nothing ends as a snapshot does, a trailer is missing.
#[test]
fn what_is_no_sound_snapshot_is_taken_only_as_it_is() {
    both(|server| {
        let client = Client::new(server, "untaken");
        let cases = unsound(&client.take("k8s-3.5.1.db"));
        for (name, bytes, code) in [
            ("damaged.db", &cases[0].1, 3),
            ("bare.db", &cases[2].1, 7),
            ("page.html", &b"<html>not found</html>".to_vec(), 7),
            ("empty", &Vec::new(), 7),
        ] {
            client.send(name, bytes);
            client.write("old.db", b"old");
            let url = client.url(name);
            let run = client.run(&format!("store get @{name} old.db"));
            run.refused(code, &[&url, "--no-check"]);
            assert_eq!(client.read("old.db"), b"old");
            assert_eq!(client.names(), ["old.db", "snap.db"]);
            let verified = client.run(&format!("store verify @{name}"));
            verified.refused(3, &[&url, "another copy"]);
            let got = client.run(&format!("store get @{name} old.db --no-check -w json")).json();
            assert_eq!((&got["proved"], &got["sha256"]), (&false.into(), &None::<u64>.into()));
            assert!(client.read("old.db") == *bytes, "{name}");
        }
        assert_eq!(client.names(), ["old.db", "snap.db"]);
    });
}

/// Writes `snap.db` as S3 takes it from anybody, with a digest in its metadata.
fn send_with_digest(client: &Client, name: &str, sha256: &str) {
    let (key, address) = (client.server().key(), client.server().address());
    let url = format!("http://{address}/bucket/{}", client.key(name));
    let output = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--upload-file", "snap.db"])
        .args(["--aws-sigv4", "aws:amz:us-east-1:s3"])
        .args(["--user", &format!("{}:{}", key.id, key.secret)])
        .args(["--header", &format!("x-amz-meta-sha256: {sha256}"), &url])
        .current_dir(client.path("."))
        .output()
        .expect("curl is needed");
    assert!(output.status.success(), "{}", said(&output));
}

/// The metadata is one snapshot's and the bytes another's, as when somebody wrote over them.
#[test]
fn metadata_of_another_snapshot_is_told() {
    let client = Client::new(&Server::s3(), "mistaken");
    let (bytes, url, sha256) = (client.take("s-3.5.1.db"), client.url("k"), "ab".repeat(32));
    send_with_digest(&client, "k", &sha256);
    client.write("old.db", b"old");
    let run = client.run("store get @k old.db");
    run.refused(3, &[&url, "metadata is of another snapshot", &sha256, "--no-check"]);
    assert_eq!((client.read("old.db"), client.names().len()), (b"old".to_vec(), 2));
    client.run("store verify @k").refused(3, &[&url, "than its metadata says", &sha256]);
    client.run("store get @k old.db --no-check").succeeded();
    assert!(client.read("old.db") == bytes);
}

#[test]
fn what_cannot_be_had_or_put_leaves_everything_as_it_was() {
    both(|server| {
        let client = Client::new(server, "missing");
        client.take("s-3.5.1.db");
        client.run("store put snap.db @snap.db").succeeded();
        client.write("old.db", b"old");
        let url = client.url("none.db");
        for line in ["store get @none.db old.db", "store verify @none.db", "store presign @none.db"]
        {
            client.run(line).refused(26, &["there is no such object", "store ls"]);
        }
        let run = client.run("store get @none.db old.db");
        run.refused(26, &[&url]);
        client.run("store get @snap.db no/such.db").refused(4, &["no/such.db", "existing folder"]);
        fs::create_dir(client.path("folder")).unwrap();
        client.run("store get @snap.db folder").refused(4, &["folder", "regular file"]);
        assert_eq!(client.read("old.db"), b"old");
        assert_eq!(client.names(), ["folder", "old.db", "snap.db"]);
        let other = server.url().replace("bucket", "no-such-bucket");
        for line in [
            "store put snap.db URLk",
            "store get URLk old.db",
            "store ls URL",
            "store presign URLk",
            "store verify URLk",
            "store check URL",
            "check URLk",
        ] {
            let run = client.run(&line.replace("URL", &other));
            assert_eq!(run.0.status.code(), Some(26), "{}", run.stderr());
            assert!(run.stderr().contains("there is no such bucket"), "{}", run.stderr());
        }
    });
}
