use std::sync::Arc;

use etcdprefix_testkit::certs::{Authority, Subject};
use etcdprefix_testkit::stores::S3Server;

use super::{Client, Server, both};

/// What looks into the store and at the object `k` in it: with flags, and by the environment.
const LINES: [&str; 3] = ["store ls @", "store verify @k", "store get @k back.db"];

fn sent(server: &Arc<Server>, under: &str) -> Client {
    let client = Client::new(server, under);
    let bytes = client.take("s-3.5.1.db");
    client.send("k", &bytes);
    client
}

#[test]
fn a_certificate_of_its_own_authority_is_trusted_if_told_to() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(Subject::SERVER).unwrap();
    let s3 = S3Server::start_with(&[], Some(&identity)).unwrap();
    let endpoint = format!("--endpoint https://{}", s3.tls_address());
    let client = sent(&Arc::new(Server::S3(s3)), "trusted");
    let trusted = authority.certificate().display().to_string();
    for line in LINES {
        let strange = client.run(&format!("{line} {endpoint} --retries 0"));
        strange.refused(23, &["certificate", "--cacert"]);
        client.run(&format!("{line} {endpoint} --cacert {trusted}")).succeeded();
    }
    let url = endpoint.trim_start_matches("--endpoint ");
    let client = client.set("ETCDPREFIX_STORE_CACERT", &trusted).set("AWS_ENDPOINT_URL_S3", url);
    client.run("check @k").succeeded();
    client.run("store presign @k").noted("ends at");
    client.run("store ls @ --cacert none.pem").refused(4, &["none.pem"]);
    client.run("store ls @ --cacert snap.db").refused(2, &["snap.db"]);
}

#[test]
fn flags_win_over_the_environment_and_empty_words_do_not() {
    both(|server| {
        let client = sent(server, "flags").at("127.0.0.1:9");
        let endpoint = format!("--endpoint http://{}", server.address());
        for line in LINES {
            client.run(&format!("{line} {endpoint}")).succeeded();
        }
        // A script's variable that is not set.
        let client = client.at(server.address());
        let mut command = client.command("store ls @");
        let output = command.args(["--endpoint", "", "--region="]).output().unwrap();
        client.judged(output, "store ls").succeeded();
        let client = client.set("ETCDPREFIX_STORE_ADDRESSING", "").set("ETCDPREFIX_IDENTITY", "");
        client.run("store ls @ --addressing path").succeeded();
        client.run("check @k").succeeded();
    });
}

#[test]
fn wrong_words_are_told_wherever_they_are() {
    both(|server| {
        let client = sent(server, "wrong-words");
        for (line, words) in [
            ("store ls @ --addressing dns", "--addressing"),
            ("store ls @ --signature v2", "--signature"),
            ("store ls @ --retries many", "--retries"),
            ("store ls @ --idle-timeout 5", "no duration such as 5s"),
            ("store ls @ --limit 0", "--limit"),
            ("store put snap.db @k --parallel 65", "--parallel"),
            ("store ls @ --internal --endpoint http://h", "cannot be used with"),
            ("store ls @ --endpoint ftp://h", "http or https"),
        ] {
            client.run(line).refused(2, &[words]);
        }
        let client = client.set("ETCDPREFIX_STORE_ADDRESSING", "dns");
        for line in ["store ls @", "check @k", "change-prefix --db @k --dest-prefix /c --dry-run"] {
            client.run(line).refused(2, &["dns", "path, virtual-host"]);
        }
        // What is only here needs no store.
        client.run("check snap.db").succeeded();
    });
}

#[test]
fn old_signatures_of_oss_work_if_asked_for() {
    let client = sent(&Server::oss(), "signatures");
    for line in LINES {
        client.run(&format!("{line} --signature v1")).succeeded();
    }
    let url = client.run("store presign @k --signature v1").noted("ends at");
    assert!(url.contains("OSSAccessKeyId=") && url.contains("&Signature="), "{url}");
    client.set("ETCDPREFIX_STORE_SIGNATURE", "v1").run("check @k").succeeded();
}
