use super::{Client, both};

/// Of age's own documentation.
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
pub const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const OTHER: &str = "AGE-SECRET-KEY-16538EAULG65K8AAN7VECSKTUGEFLD57N4FY8A70JS5D9FD7ENJQQC8Q0JT";

/// A client with both identities in files, and `snap.db` in the store for the first one.
pub fn sealed(server: &std::sync::Arc<super::Server>, under: &str) -> (Client, Vec<u8>) {
    let client = Client::new(server, under);
    let bytes = client.take("k8s120-3.4.23.db");
    client.write("key.txt", format!("# of a test\n{IDENTITY}\n").as_bytes());
    client.write("other.txt", OTHER.as_bytes());
    let line = format!("store put snap.db @sealed --recipient {RECIPIENT} --cluster-id c1 -w json");
    let put = client.run(&line).json();
    assert_eq!((&put["encryption"], &put["cluster_id"]), (&"age".into(), &"c1".into()));
    assert!(put["bytes"].as_u64().unwrap() > bytes.len() as u64, "{put}");
    (client, bytes)
}

#[test]
fn only_who_has_the_identity_can_read_it() {
    both(|server| {
        let (client, bytes) = sealed(server, "sealed");
        let there = client.sdk().get(&client.key("sealed")).unwrap();
        assert!(there.starts_with(b"age-encryption.org/v1\n"));
        client.write("back.db", b"old");
        for line in ["store get @sealed back.db", "store verify @sealed"] {
            let words = ["encrypted with age", "an identity is needed", "--identity FILE"];
            client.run(line).refused(2, &words);
            let other = client.run(&format!("{line} --identity other.txt"));
            other.refused(2, &["none of the identities can decrypt it", "--identity with"]);
            client.run(&format!("{line} --identity none.txt")).refused(4, &["none.txt"]);
        }
        assert_eq!(client.read("back.db"), b"old");
        let line = "store get @sealed back.db --identity key.txt -w json";
        let got = client.run(line).json();
        assert_eq!((&got["encrypted"], &got["proved"]), (&true.into(), &true.into()));
        assert_eq!((&got["encryption"], &got["bytes"]), (&"age".into(), &bytes.len().into()));
        assert!(client.read("back.db") == bytes);
        let verified = client.run("store verify @sealed --identity key.txt -w json").json();
        assert_eq!(verified["encrypted"], true);
        assert_eq!(verified["snapshot_bytes"], bytes.len());
        assert_eq!(verified["bytes"], there.len());
    });
}

#[test]
fn other_commands_take_the_identity_from_the_environment() {
    both(|server| {
        let (client, _) = sealed(server, "opened");
        for line in ["check @sealed", "hashkv @sealed", "snapshot status @sealed"] {
            client.run(line).refused(2, &["an identity is needed", "ETCDPREFIX_IDENTITY"]);
        }
        let key = client.path("key.txt");
        let client = client.set("ETCDPREFIX_IDENTITY", key.to_str().unwrap());
        for line in ["check @sealed", "hashkv @sealed", "snapshot status @sealed"] {
            client.run(line).succeeded();
        }
        let line = "change-prefix --db @sealed --dest-prefix /c1 --output @new --recipient";
        let changed = client.run(&format!("{line} {RECIPIENT} -w json")).json();
        assert_eq!(changed["upload"]["encryption"], "age");
        client.run("store verify @new").succeeded();
        let there = client.sdk().get(&client.key("new")).unwrap();
        assert!(there.starts_with(b"age-encryption.org/v1\n"));
    });
}

#[test]
fn what_cannot_be_decrypted_or_encrypted_is_told_without_the_key() {
    both(|server| {
        let (client, _) = sealed(server, "broken-seal");
        let there = client.sdk().get(&client.key("sealed")).unwrap();
        let mut flipped = there.clone();
        flipped[there.len() - 1000] ^= 1;
        let cut = there[..there.len() - 100_000].to_vec();
        for bytes in [flipped, cut] {
            client.send("bad", &bytes);
            for line in ["store get @bad back.db", "store verify @bad"] {
                let run = client.run(&format!("{line} --identity key.txt"));
                run.refused(3, &["damaged or cut off", "another copy"]);
            }
        }
        assert_eq!(client.names(), ["key.txt", "other.txt", "snap.db"]);
        let line = format!("store put snap.db @k --recipient {IDENTITY}");
        client.run(&line).refused(2, &["a secret key is no recipient"]);
        client.run("store put snap.db @k --recipient age1x").refused(2, &["is no recipient"]);
        client.run("store get @sealed x.db --identity snap.db").refused(4, &["snap.db"]);
    });
}
