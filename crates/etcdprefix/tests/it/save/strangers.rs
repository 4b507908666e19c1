use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use etcdprefix_testkit::Version;
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster};

use super::Folder;

/// A server that treats each client alike; ends with the test's process.
fn server(serve: impl Fn(TcpStream) + Send + Copy + 'static) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || serve(client));
        }
    });
    Ok(address)
}

/// Answers with `text` and waits for the client to go.
fn answers(client: &mut TcpStream, text: &str) {
    let _ = client.read(&mut [0; 1000]);
    let _ = client.write_all(text.as_bytes());
    while client.read(&mut [0; 1000]).is_ok_and(|read| read > 0) {}
}

const PAGE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nhey\n";

#[test]
fn members_of_two_clusters_are_told_apart() -> Result<()> {
    let start = || EtcdCluster::start(Version::V3_5_1, ClusterOptions::default());
    let (one, other, folder) = (start()?, start()?, Folder::new()?);
    let (one, other) = (one.endpoint(0), other.endpoint(0));
    let words = [one, other, "members of different clusters", "--endpoints of one cluster"];
    folder.save(&format!("{one},{other}"), "").refused(21, &words);
    folder.save(one, &format!("--from {other}")).refused(21, &words);
    assert_eq!(folder.names(), [""; 0]);
    Ok(())
}

#[test]
fn what_is_no_member_is_told() -> Result<()> {
    let folder = Folder::new()?;
    let nobody = "127.0.0.1:1";
    folder.save(nobody, "").refused(21, &[nobody, "cannot connect", "refused", "--endpoints"]);
    let two = folder.save("127.0.0.1:1,localhost:1", "--retries 0");
    two.refused(21, &["127.0.0.1:1: cannot connect", "localhost:1: cannot connect"]);
    for (garbage, words) in
        [("etcd-0", "has no port"), ("ftp://etcd-0:2379", "unknown scheme"), (",", "has no port")]
    {
        folder.save(garbage, "").refused(2, &[words]);
        folder.save(nobody, &format!("--from {garbage}")).refused(2, &[words]);
    }
    let closes = server(drop)?;
    let rubbish = server(|mut client| answers(&mut client, "\0\u{1}rubbish that is no frame"))?;
    let web = server(|mut client| answers(&mut client, PAGE))?;
    let silent = server(|mut client| answers(&mut client, ""))?;
    let start = Instant::now();
    let line = "--retries 0 --dial-timeout 1s";
    for (endpoint, plain, tls) in [
        (closes, (23, "before any answer; this may be no etcd"), (22, "does not speak TLS")),
        (
            web,
            (23, "before any answer; this may be no etcd"),
            (22, "an http:// endpoint would fit"),
        ),
        (rubbish, (23, "no answer within 5s"), (22, "an http:// endpoint would fit")),
        (silent, (23, "no answer within 5s"), (21, "no connection within 1s")),
    ] {
        folder.save(&endpoint, line).refused(plain.0, &[&endpoint, plain.1]);
        folder.save(&format!("https://{endpoint}"), line).refused(tls.0, &[&endpoint, tls.1]);
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(folder.names(), [""; 0]);
    Ok(())
}
