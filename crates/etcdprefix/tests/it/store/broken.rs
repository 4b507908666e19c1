use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdprefix_testkit::stores::{Act, Front, Key, Rule};

use super::servers::write_only;
use super::{Client, Server, both};

pub const UNAVAILABLE: Act =
    Act::Refuse { status: 503, code: "ServiceUnavailable", message: "not now" };

pub fn rule(method: &'static str, holds: &'static str, times: usize, act: Act) -> Rule {
    Rule { method, holds, skip: 0, times, act }
}

/// Waits until the front did something to so many requests.
pub fn wait_for(front: &Front, done: usize) {
    let start = Instant::now();
    while front.done() < done {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {done}", front.done());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client behind a front, with `snap.db` here and as `k` in the store.
fn behind(server: &Arc<Server>, under: &str) -> (Client, Front, Vec<u8>) {
    let front = Front::start(server.address()).unwrap();
    let client = Client::new(server, under).at(&front.address());
    let bytes = client.take("k8s-3.5.1.db");
    client.send("k", &bytes);
    (client, front, bytes)
}

#[test]
fn an_upload_is_sent_again_and_tells_so() {
    both(|server| {
        let (client, front, bytes) = behind(server, "repeated");
        for act in [
            UNAVAILABLE,
            Act::CutRequest { after: 100_000 },
            Act::FlipRequest { at: 1000 },
            Act::LoseAnswer,
        ] {
            front.rule(rule("PUT", "", 1, act.clone()));
            let put = client.run("store put snap.db @new -w json").json();
            assert!(put["repeated"].as_u64().unwrap() >= 1, "{act:?}: {put}");
            assert!(client.fetch("new").unwrap() == bytes);
        }
        front.rule(rule("PUT", "", 1, UNAVAILABLE));
        let told = client.run("store put snap.db @new").succeeded();
        assert!(told.contains("1 request sent again"), "{told}");
        assert_eq!(front.done(), 5);
    });
}

#[test]
fn a_store_that_stays_broken_is_told() {
    both(|server| {
        let (client, front, _) = behind(server, "unavailable");
        for method in ["PUT", "GET", "HEAD"] {
            front.rule(rule(method, "", 1000, UNAVAILABLE));
        }
        client.write("old.db", b"old");
        for line in
            ["store put snap.db @new", "store get @k old.db", "store verify @k", "store ls @"]
        {
            let run = client.run(&format!("{line} --retries 1"));
            run.refused(23, &["the store is not able to now", "503", "--retries"]);
        }
        assert_eq!(client.read("old.db"), b"old");
        assert_eq!(client.names(), ["old.db", "snap.db"]);
    });
}

#[test]
fn a_connection_on_which_nothing_moves_is_given_up() {
    both(|server| {
        let (client, front, bytes) = behind(server, "stalled");
        front.rule(rule("PUT", "", 1, Act::Stall));
        let put = client.run("store put snap.db @new --idle-timeout 1s -w json").json();
        assert!(put["repeated"].as_u64().unwrap() >= 1, "{put}");
        front.rule(rule("GET", "", 1, Act::Stall));
        client.run("store get @k back.db --idle-timeout 1s").succeeded();
        assert!(client.read("back.db") == bytes);
        for (line, method) in [("store put snap.db @new", "PUT"), ("store get @k back.db", "GET")] {
            front.rule(rule(method, "", 1, Act::Stall));
            let run = client.run(&format!("{line} --idle-timeout 1s --retries 0"));
            run.refused(23, &[&front.address(), "; try: "]);
        }
        assert!(client.read("back.db") == bytes);
    });
}

#[test]
fn a_download_goes_on_where_it_broke_or_leaves_the_old_file() {
    both(|server| {
        let (client, front, bytes) = behind(server, "resumed");
        client.write("old.db", b"old");
        for line in ["store get @k old.db", "store verify @k"] {
            front.rule(rule("GET", "", 1, Act::CutAnswer { after: 100_000 }));
            front.rule(rule("GET", "", 2, Act::CutAnswer { after: 10 }));
            client.run(&format!("{line} --retries 1")).refused(23, &["; try: "]);
        }
        assert_eq!(client.read("old.db"), b"old");
        assert_eq!(client.names(), ["old.db", "snap.db"]);

        let (client, front, _) = behind(server, "resumed");
        client.write("old.db", b"old");
        front.rule(rule("GET", "", 2, Act::CutAnswer { after: 100_000 }));
        let got = client.run("store get @k old.db -w json").json();
        assert_eq!(got["resumed"], 2);
        assert!(client.read("old.db") == bytes);
    });
}

/// Between the last byte and the proof somebody else wrote to the same key.
#[test]
fn another_object_than_was_sent_is_told() {
    both(|server| {
        let (client, front, _) = behind(server, "differs");
        front.rule(rule("HEAD", "", 1, Act::Hold));
        let mut command = client.command("store put snap.db @new");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&front, 1);
        client.send("new", b"somebody else's");
        front.release();
        let run = client.judged(child.wait_with_output().unwrap(), "store put");
        run.refused(28, &[&client.url("new"), "another way to the store"]);
    });
}

#[test]
fn what_may_be_written_but_not_looked_at_is_unproved() {
    let oss = Server::own_oss();
    let writer = Key::new("writer", "writer-s3cr3t");
    oss.as_oss().allow(&writer, &["HeadObject", "GetObject"]).unwrap();
    for (server, key) in [(oss, writer), (Server::s3(), write_only())] {
        let client = Client::new(&server, "unproved").keyed(&key);
        let bytes = client.take("s-3.5.1.db");
        let run = client.run("store put snap.db @k");
        let words = ["was written but could not be proved", "access is denied", "store verify"];
        run.refused(28, &words);
        assert!(client.fetch("k").unwrap() == bytes);
    }
}
