//! Faults hit the byte they were meant for.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use etcdprefix_testkit::cluster::{ClusterOptions, EtcdCluster, Family, Security};
use etcdprefix_testkit::load::{self, Load, Mix};
use etcdprefix_testkit::proxy::{Fault, Proxy};
use etcdprefix_testkit::{EtcdServer, Version, block_on, save};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A server on that address that sends back what it gets. Ends with the test's process.
fn echo(address: &str) -> Result<String> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || io::copy(&mut &client, &mut &client));
        }
    });
    Ok(address)
}

fn before_echo() -> Result<Proxy> {
    Proxy::start(&echo("127.0.0.1:0")?)
}

fn connect(proxy: &Proxy) -> Result<TcpStream> {
    let client = TcpStream::connect(proxy.endpoint())?;
    client.set_read_timeout(Some(Duration::from_millis(300)))?;
    Ok(client)
}

/// What comes back of the bytes 0 to 199: all of it, or all until the end or a silence.
fn exchange(client: &mut TcpStream) -> Result<(Vec<u8>, Option<ErrorKind>)> {
    let sent: Vec<u8> = (0..200).collect();
    client.write_all(&sent)?;
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let mut buffer = [0; 200];
        match client.read(&mut buffer) {
            Ok(0) => return Ok((received, None)),
            Ok(read) => received.extend(&buffer[..read]),
            Err(error) => return Ok((received, Some(error.kind()))),
        }
    }
    Ok((received, None))
}

/// Whether a snapshot ends in the SHA-256 of all before. Two of one idle store
/// differ, even in size: saving one commits a transaction of the file.
fn is_sealed(snapshot: &Path) -> Result<bool> {
    let bytes = fs::read(snapshot)?;
    let (pages, trailer) = bytes.split_at(bytes.len() - 32);
    Ok(Sha256::digest(pages)[..] == *trailer)
}

fn bytes(end: u8) -> Vec<u8> {
    (0..end).collect()
}

#[test]
fn everything_passes_on_either_family() -> Result<()> {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let proxy = Proxy::start(&echo(address)?)?;
        for _ in 0..3 {
            assert_eq!(exchange(&mut connect(&proxy)?)?, (bytes(200), None));
        }
        assert_eq!((proxy.accepted(), proxy.afflicted()), (3, 0));
    }
    Ok(())
}

#[test]
fn a_stall_keeps_the_connection_and_healing_helps_new_ones() -> Result<()> {
    let proxy = before_echo()?;
    proxy.stall_after(70);
    let mut stalled = connect(&proxy)?;
    assert_eq!(exchange(&mut stalled)?, (bytes(70), Some(ErrorKind::WouldBlock)));
    proxy.heal();
    assert_eq!(exchange(&mut stalled)?, (Vec::new(), Some(ErrorKind::WouldBlock)));
    assert_eq!(exchange(&mut connect(&proxy)?)?, (bytes(200), None));
    assert_eq!((proxy.accepted(), proxy.afflicted()), (2, 1));
    Ok(())
}

#[test]
fn a_cut_closes_after_exactly_so_many_bytes() -> Result<()> {
    let proxy = before_echo()?;
    proxy.cut_after(70);
    let mut cut = connect(&proxy)?;
    assert_eq!(exchange(&mut cut)?, (bytes(70), None));
    proxy.cut_after(0);
    assert_eq!(exchange(&mut connect(&proxy)?)?, (Vec::new(), None));
    assert_eq!(proxy.afflicted(), 2);
    Ok(())
}

#[test]
fn one_bit_of_one_byte_is_flipped() -> Result<()> {
    let proxy = before_echo()?;
    proxy.flip_byte_at(70);
    let mut expected = bytes(200);
    expected[70] ^= 1;
    let mut client = connect(&proxy)?;
    assert_eq!(exchange(&mut client)?, (expected, None));
    assert_eq!(exchange(&mut client)?, (bytes(200), None), "only once a connection");
    Ok(())
}

#[test]
fn a_fault_can_spare_all_but_the_first_connections() -> Result<()> {
    let proxy = before_echo()?;
    proxy.inject(Fault::Cut { after: 10 }, 2);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(exchange(&mut connect(&proxy)?)?.0.len());
    }
    assert_eq!(seen, [10, 10, 200, 200]);
    assert_eq!(proxy.afflicted(), 2);
    Ok(())
}

#[test]
fn a_throttled_stream_takes_its_time() -> Result<()> {
    let proxy = before_echo()?;
    proxy.throttle(400);
    let start = Instant::now();
    assert_eq!(exchange(&mut connect(&proxy)?)?, (bytes(200), None));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(400), "{took:?} for 200 bytes at 400 a second");
    Ok(())
}

#[test]
fn a_dropped_proxy_closes_what_it_stalled() -> Result<()> {
    let proxy = before_echo()?;
    proxy.stall_after(0);
    let mut stalled = connect(&proxy)?;
    assert_eq!(exchange(&mut stalled)?.1, Some(ErrorKind::WouldBlock));
    assert_eq!(proxy.open(), 1);
    let endpoint = proxy.endpoint();
    drop(proxy);
    assert_eq!(stalled.read(&mut [0])?, 0);
    assert!(TcpStream::connect(endpoint).is_err());
    Ok(())
}

#[test]
fn a_target_that_is_gone_closes_its_clients() -> Result<()> {
    // Nobody listens on a reserved port of loopback.
    let proxy = Proxy::start("127.0.0.1:1")?;
    assert_eq!(connect(&proxy)?.read(&mut [0])?, 0);
    assert_eq!(proxy.accepted(), 1);
    Ok(())
}

#[test]
fn faults_reach_a_snapshot_of_a_real_server() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    let load = Load { records: 2_000, value_bytes: 1_000, mix: Mix::Kubernetes, seed: 2 };
    block_on(async { load::fill(&mut server.client().await?, &load).await })?;
    let proxy = Proxy::start(server.url())?;
    let folder = TempDir::new()?;
    let save = |name: &str| {
        block_on(async {
            let mut client = etcd_client::Client::connect([proxy.endpoint()], None).await?;
            save::stream(&mut client, &folder.path().join(name)).await
        })
    };
    let whole = save("whole")?;
    assert!(whole > 2_000_000, "{whole} bytes");
    proxy.inject(Fault::Cut { after: 1_000_000 }, 1);
    save("cut").expect_err("half of it is missing");
    save("again")?;
    assert!(is_sealed(&folder.path().join("again"))?);
    assert_eq!(proxy.afflicted(), 1);
    proxy.flip_byte_at(1_500_000);
    // One byte in thousands belongs to a frame's head, and its damage ends the stream.
    let whole_stream = save("flipped").is_ok();
    assert!(!whole_stream || !is_sealed(&folder.path().join("flipped"))?, "not damaged");
    assert_eq!(proxy.afflicted(), 2);
    Ok(())
}

#[test]
fn tls_goes_through_on_ipv6() -> Result<()> {
    let (security, family) = (Security::MutualTls, Family::Ipv6);
    let options = ClusterOptions { security, family, ..ClusterOptions::default() };
    let cluster = EtcdCluster::start(Version::V3_5_16, options)?;
    let proxy = Proxy::start(cluster.endpoint(0))?;
    assert!(proxy.endpoint().starts_with("https://[::1]:"), "{}", proxy.endpoint());
    let mut etcdctl = cluster.etcdctl_at(&proxy.endpoint(), Some(cluster.client_certificate()))?;
    let output = etcdctl.args(["put", "key", "value"]).output()?;
    assert!(output.status.success(), "{output:?}");
    assert!(proxy.accepted() > 0);
    Ok(())
}
