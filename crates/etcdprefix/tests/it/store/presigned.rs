use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdprefix_testkit::stores::{Key, Metadata};
use serde_json::Value;

use super::client::TOKEN_MARK;
use super::{Client, Server, both};

/// As whoever gets the URL fetches it: the status and what came.
fn curl(url: &str) -> (String, Vec<u8>) {
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--write-out", "%{stderr}%{http_code}", url])
        .output()
        .expect("curl is needed");
    (String::from_utf8(output.stderr).unwrap(), output.stdout)
}

/// A client with `snap.db` in the store.
fn sent(server: &Arc<Server>, under: &str) -> (Client, Vec<u8>) {
    let client = Client::new(server, under);
    let bytes = client.take("s-3.5.1.db");
    client.send("snap.db", &bytes);
    (client, bytes)
}

#[test]
fn a_url_is_alone_on_stdout_and_anybody_can_fetch_by_it() {
    both(|server| {
        let (client, bytes) = sent(server, "presigned");
        let text = client.run("store presign @snap.db").noted("the URL ends at 2");
        assert_eq!(client.run("store presign @snap.db --quiet").succeeded().lines().count(), 1);
        let url = text.strip_suffix('\n').unwrap();
        assert!(url.starts_with("http://") && !url.contains(char::is_whitespace), "{url}");
        assert_eq!(curl(url), ("200".into(), bytes.clone()));
        let usual = if server.is_oss() { 2400 } else { 3600 };
        for (more, seconds) in [("", usual), ("--expires 1h30m", 5400), ("--expires 168h", 604_800)]
        {
            let line = format!("store presign @snap.db -w json --quiet {more}");
            let signed = client.run(&line).json();
            let names: Vec<&String> = signed.as_object().unwrap().keys().collect();
            assert_eq!(
                names,
                ["location", "url", "ends", "lifetime_seconds", "shortened", "reached"]
            );
            assert_eq!(signed["location"], client.url("snap.db"));
            assert_eq!(signed["lifetime_seconds"], seconds);
            assert_eq!((&signed["shortened"], &signed["reached"]), (&false.into(), &true.into()));
            assert!(signed["ends"].as_str().unwrap().ends_with('Z'), "{}", signed["ends"]);
            assert_eq!(curl(signed["url"].as_str().unwrap()).1, bytes);
        }
        let unasked = client.run("store presign @snap.db --no-probe -w json --quiet").json();
        assert_eq!(unasked["reached"], Value::Null);
    });
}

#[test]
fn a_url_ends() {
    both(|server| {
        let (client, _) = sent(server, "ended");
        let url = client.run("store presign @snap.db --expires 1s --no-probe").noted("ends at");
        let start = Instant::now();
        while curl(url.trim()).0 != "403" {
            assert!(start.elapsed() < Duration::from_secs(60), "it still works");
            std::thread::sleep(Duration::from_millis(100));
        }
        for time in ["169h", "168h0m1s", "0", "500ms"] {
            let run = client.run(&format!("store presign @snap.db --expires {time}"));
            run.refused(2, &["a URL lives from one second to seven days"]);
        }
    });
}

#[test]
fn a_host_that_only_the_reader_reaches_is_a_warning() {
    both(|server| {
        let (client, bytes) = sent(server, "elsewhere");
        let line = "store presign @snap.db --presign-endpoint http://127.0.0.1:9";
        let run = client.run(line);
        let url = run.warned(&["the URL could not be tried from here: http://127.0.0.1:9/"]);
        assert!(url.starts_with("http://127.0.0.1:9/") && url.contains("ignature="), "{url}");
        assert_eq!(client.run(&format!("{line} --quiet")).succeeded().lines().count(), 1);
        let told = client.run(&format!("{line} -w json"));
        let told: Value = serde_json::from_str(&told.stdout()).unwrap();
        assert_eq!(told["reached"], false);
        // Another name of the same store.
        let port = server.address().rsplit(':').next().unwrap();
        let line = format!("store presign @snap.db --presign-endpoint http://localhost:{port}");
        let url = client.run(&format!("{line} --addressing path")).noted("ends at");
        assert!(url.starts_with(&format!("http://localhost:{port}/")), "{url}");
        assert_eq!(curl(url.trim()).1, bytes);
    });
}

#[test]
fn what_speaks_against_a_url_is_told_before_it_is_given_out() {
    let server = Server::own_oss();
    let (client, _) = sent(&server, "refused");
    let (oss, key) = (server.as_oss(), server.key());
    oss.allow(key, &["GetObject"]).unwrap();
    let denied = client.run("store presign @snap.db");
    denied.refused(26, &["access is denied", "allows GetObject", "--for upload-presign"]);
    oss.allow(key, &[]).unwrap();
    oss.protect_by_referer().unwrap();
    let protected = client.run("store presign @snap.db");
    protected.refused(26, &["Referer protection", "hotlink protection"]);
    let checked = client.run("store check @");
    assert_eq!(checked.0.status.code(), Some(26), "{}", checked.stderr());
}

#[test]
fn credentials_that_end_earlier_shorten_a_url_only_if_they_may() {
    let server = Server::own_oss();
    let role = Key::new("STS.role", "role-s3cr3t-role").with_token("t0ken/+=");
    server.as_oss().allow(&role, &[]).unwrap();
    let (client, bytes) = sent(&server, "shortened");
    let metadata = Metadata::start(&role, Duration::from_secs(1200)).unwrap();
    let client = metadata
        .variables()
        .iter()
        .fold(client.keyless(), |client, (name, url)| client.set(name, url));
    let run = client.run("store presign @snap.db");
    run.refused(27, &["from ECS RAM role end in", "for 2400 s", "--shorter-ok"]);
    let checked = client.run("store check @ --expires 2h");
    assert_eq!(checked.0.status.code(), Some(27), "{}", checked.stderr());
    let run = client.run("store presign @snap.db --shorter-ok -w json");
    let signed: Value = serde_json::from_str(&run.warned(&["the URL lives", "s only"])).unwrap();
    assert_eq!(signed["shortened"], true);
    let seconds = signed["lifetime_seconds"].as_u64().unwrap();
    assert!((1000..=1200).contains(&seconds), "{seconds}");
    let url = signed["url"].as_str().unwrap();
    assert!(url.contains(TOKEN_MARK), "{url}");
    assert_eq!(curl(url).1, bytes);
    client.run("store presign @snap.db --expires 10m").noted("ends at");
}
