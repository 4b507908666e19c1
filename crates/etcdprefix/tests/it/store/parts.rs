use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use etcdprefix_testkit::stores::{Act, Front};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::broken::{rule, wait_for};
use super::{Client, Server};

/// From here on a file goes in parts.
const LARGE_BYTES: usize = 100_000_000;
/// The last of its parts of 16 MiB.
const PARTS: usize = LARGE_BYTES.div_ceil(16 << 20);

static LARGE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());

/// A folder with `large`, which is no snapshot and no two ranges of which are alike.
fn large() -> Arc<TempDir> {
    let mut shared = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = shared.upgrade() {
        return folder;
    }
    let folder = Arc::new(TempDir::new().unwrap());
    let mut file = BufWriter::new(File::create(folder.path().join("large")).unwrap());
    for number in 0..LARGE_BYTES as u64 / 8 {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        file.write_all(&mixed.to_le_bytes()).unwrap();
    }
    file.into_inner().unwrap();
    *shared = Arc::downgrade(&folder);
    folder
}

/// `large` of that folder in the client's own.
fn link(client: &Client, folder: &TempDir) {
    std::os::unix::fs::symlink(folder.path().join("large"), client.path("large")).unwrap();
}

/// A part breaks off twice, and everything is there all the same.
fn goes_in_parts(server: &Arc<Server>) {
    let folder = large();
    let front = Front::start(server.address()).unwrap();
    let client = Client::new(server, "parts").at(&front.address());
    link(&client, &folder);
    front.rule(rule("PUT", "partNumber=2", 2, Act::CutRequest { after: 2_000_000 }));
    let put = client.run("store put large @large --no-check --parallel 2 -w json").json();
    assert_eq!((&put["parts"], &put["bytes"]), (&PARTS.into(), &LARGE_BYTES.into()));
    assert!(put["repeated"].as_u64().unwrap() >= 2, "{put}");
    assert_eq!(put["agreed"], "checksum");
    let source = client.read("large");
    assert!(client.sdk().get(&client.key("large")).unwrap() == source);
    front.rule(rule("GET", "", 1, Act::CutAnswer { after: 30_000_000 }));
    let got = client.run("store get @large back --no-check -w json").json();
    assert_eq!((&got["resumed"], &got["checked"]), (&1.into(), &true.into()));
    assert!(client.read("back") == source);
}

#[test]
fn a_large_file_goes_to_oss_in_parts() {
    goes_in_parts(&Server::oss());
}

#[test]
fn a_large_file_goes_to_s3_in_parts() {
    goes_in_parts(&Server::s3());
}

fn started(client: &Client, line: &str) -> Child {
    let mut program = client.program(line);
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn no_parts_left(client: &Client) {
    match client.server() {
        Server::S3(s3) => assert!(s3.sdk().uploads(&client.key("large")).unwrap().is_empty()),
        Server::Oss(oss) => {
            let log = oss.log();
            let count = |operation: &str, status| {
                log.get(&(operation.to_owned(), status)).copied().unwrap_or_default()
            };
            assert_eq!(count("InitiateMultipartUpload", 200), 1, "{log:?}");
            assert_eq!(count("AbortMultipartUpload", 204), 1, "{log:?}");
        }
    }
    assert!(client.fetch("large").is_none());
}

/// In the middle of an upload in parts, and in the middle of a download.
fn ends_by_a_signal(server: &Arc<Server>, signal: Signal) {
    let folder = large();
    let front = Front::start(server.address()).unwrap();
    let client = Client::new(server, "signals").at(&front.address());
    link(&client, &folder);
    front.rule(rule("PUT", "partNumber=4", 1, Act::Stall));
    let child = started(&client, "store put large @large --no-check --parallel 1");
    wait_for(&front, 1);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let run = client.judged(child.wait_with_output().unwrap(), "store put");
    let url = client.url("large");
    assert_eq!(run.failed(130), format!("interrupted; {url} was not written"));
    no_parts_left(&client);

    client.send("k", b"anything");
    client.write("old.db", b"old");
    for line in ["store get @k old.db", "store verify @k", "check @k"] {
        front.rule(rule("GET", "", 1, Act::Stall));
        let before = front.done();
        let child = started(&client, line);
        wait_for(&front, before + 1);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let run = client.judged(child.wait_with_output().unwrap(), line);
        assert!(run.failed(130).starts_with("interrupted"), "{line}");
    }
    assert_eq!(client.read("old.db"), b"old");
    assert_eq!(client.names(), ["large", "old.db"]);
}

/// While what it made is on its way.
fn ends_a_change(server: &Arc<Server>, signal: Signal) {
    let front = Front::start(server.address()).unwrap();
    let client = Client::new(server, "signalled").at(&front.address());
    let bytes = client.take("s-3.5.1.db");
    client.send("k", &bytes);
    front.rule(rule("PUT", "", 1, Act::Stall));
    let line = "change-prefix --db @k --dest-prefix /c1 --output @new";
    let child = started(&client, line);
    wait_for(&front, 1);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let run = client.judged(child.wait_with_output().unwrap(), line);
    // Its one request was out, and nobody but the store knows what became of it.
    let may = format!("interrupted; {} may have been written all the same; try", client.url("new"));
    assert!(run.failed(130).starts_with(&may));
    assert!(client.fetch("new").is_none());
}

#[test]
fn a_signal_ends_what_goes_to_oss_and_leaves_nothing() {
    ends_by_a_signal(&Server::own_oss(), Signal::INT);
    ends_a_change(&Server::oss(), Signal::TERM);
}

#[test]
fn a_signal_ends_what_goes_to_s3_and_leaves_nothing() {
    ends_by_a_signal(&Server::s3(), Signal::TERM);
    ends_a_change(&Server::s3(), Signal::INT);
}
