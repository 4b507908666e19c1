//! Hosts are machines of their own, which SSH reaches.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::hosts::{CONTROL_ADDRESS, Hosts, HostsOptions};
use etcdprefix_testkit::stores::{Front, Key, Metadata, OssServer, S3Server};

fn answers(address: IpAddr) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address, 22), Duration::from_secs(1)).is_ok()
}

/// The command lines on this machine that hold this, those in namespaces made from this one included.
fn leftovers(marker: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        found.extend(line.contains(marker).then_some(line));
    }
    Ok(found)
}

use super::{one, ssh, tried};

#[test]
fn each_host_is_a_machine_of_its_own() -> Result<()> {
    let hosts = Hosts::start(HostsOptions::bare(3))?;
    for host in hosts.all() {
        let name = host.name();
        let facts = ssh(&hosts, &name, "hostname; id -u; ip -br addr show eth0; hostname -i")?;
        assert!(facts.starts_with(&format!("{name}\n0\n")), "{facts}");
        assert!(facts.matches(&host.address().to_string()).count() >= 2, "{facts}");
        for folder in ["/etc/kubernetes", "/root", "/tmp", "/run", "/var/lib/etcdprefix", "/home"] {
            ssh(&hosts, &name, &format!("mkdir -p {folder}; echo {name} > {folder}/which"))?;
            assert_eq!(fs::read_to_string(host.path(folder).join("which"))?.trim(), name);
        }
        let processes = host.shell("ls -d /proc/[0-9]* | wc -l")?;
        assert!(processes.trim().parse::<u32>()? < 10, "{processes}");
        assert!(host.command("false")?.status()?.code() == Some(1));
    }
    // The hosts reach each other, and what the test runs.
    let listener = TcpListener::bind((CONTROL_ADDRESS, 0))?;
    let port = listener.local_addr()?.port();
    for (host, other) in [("m1", "m2"), ("m2", "m3"), ("m3", "m1")] {
        ssh(
            &hosts,
            host,
            &format!("exec 3<>/dev/tcp/{other}/22 && exec 3<>/dev/tcp/10.77.0.254/{port}"),
        )?;
    }
    Ok(())
}

#[test]
fn only_who_has_the_keys_is_let_in_and_only_op_becomes_root() -> Result<()> {
    let hosts = one()?;
    assert_eq!(ssh(&hosts, "op@m1", "id -un; sudo -n id -un")?, "op\nroot\n");
    assert!(fs::read_to_string(hosts.host(1).path("/var/log/sudo.log"))?.contains("USER=root"));
    let guest = tried(&hosts, "guest@m1", "sudo -n id")?;
    assert!(String::from_utf8_lossy(&guest.stderr).contains("password is required"), "{guest:?}");
    fs::write(hosts.host(1).path("/root").join(".ssh/authorized_keys"), "")?;
    assert_eq!(tried(&hosts, "root@m1", "true")?.status.code(), Some(255));
    let known = fs::read_to_string(hosts.ssh().known_hosts())?;
    fs::write(hosts.ssh().known_hosts(), known.replace("m1,10.77.0.11", "m9"))?;
    let stranger = tried(&hosts, "op@m1", "true")?;
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(said.contains("Host key verification failed"), "{said}");
    Ok(())
}

#[test]
fn a_host_off_the_network_comes_back() -> Result<()> {
    let hosts = Hosts::start(HostsOptions::bare(2))?;
    let (one, two) = (hosts.host(1), hosts.host(2));
    one.cut()?;
    assert!(!answers(one.address()) && answers(two.address()));
    assert_eq!(one.shell("echo inside")?, "inside\n");
    one.heal()?;
    assert_eq!(ssh(&hosts, "m1", "echo back")?, "back\n");
    let mut session = hosts.ssh().command("m1")?;
    session.arg("touch /tmp/there; sleep 1000").stderr(Stdio::null());
    let mut session = session.spawn()?;
    while !one.path("/tmp/there").exists() {}
    one.drop_connections()?;
    assert_eq!(session.wait()?.code(), Some(255));
    assert_eq!(ssh(&hosts, "m1", "echo another")?, "another\n");
    one.kill_sshd()?;
    assert!(!answers(one.address()));
    Ok(())
}

#[test]
fn a_small_file_system_fills_up() -> Result<()> {
    let hosts = one()?;
    let host = hosts.host(1);
    host.mount_small("/var/lib/etcdprefix/small", 1 << 20)?;
    let fill = "dd if=/dev/zero of=/var/lib/etcdprefix/small/file bs=1k count=2000";
    let full = tried(&hosts, "m1", fill)?;
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"), "{full:?}");
    host.unmount("/var/lib/etcdprefix/small")?;
    ssh(&hosts, "m1", fill)?;
    Ok(())
}

#[test]
fn stores_and_metadata_are_reached_from_hosts() -> Result<()> {
    let hosts = one()?;
    let oss = OssServer::start_at(CONTROL_ADDRESS.into())?;
    let s3 = S3Server::start_at(CONTROL_ADDRESS.into(), &[], None)?;
    let front = Front::start_at(CONTROL_ADDRESS.into(), s3.address())?;
    let role = Key::new("role", "role-s3cr3t-role").with_token("token");
    let _metadata = Metadata::start_at(hosts.metadata_address()?, &role, Duration::from_secs(60))?;
    for (address, status) in [
        (oss.address(), "403"),
        (s3.address(), "403"),
        (&front.address(), "403"),
        ("100.100.100.200:80", "404"),
    ] {
        let (host, port) = address.split_once(':').expect("host:port");
        let ask = format!(
            "exec 3<>/dev/tcp/{host}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3"
        );
        let line = ssh(&hosts, "m1", &ask)?;
        assert_eq!(line.split(' ').nth(1), Some(status), "{address}: {line}");
    }
    oss.sdk().put("key", b"from the test")?;
    s3.sdk().put("key", b"from the test")?;
    Ok(())
}

#[test]
fn nothing_is_left_of_hosts_and_the_thread_is_back() -> Result<()> {
    let network = || fs::read_link("/proc/thread-self/ns/net");
    let before = network()?;
    let mut folder = String::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let hosts = Hosts::start(HostsOptions::bare(3)).expect("hosts");
        folder = hosts
            .ssh()
            .key()
            .parent()
            .and_then(|it| it.parent())
            .expect("two above")
            .display()
            .to_string();
        let mut detached = hosts.ssh().command("m1").expect("ssh");
        detached.arg(format!(
            "setsid sh -c 'touch /tmp/there; sleep 1000; : {folder}' < /dev/null > /dev/null 2>&1 &"
        ));
        assert!(detached.status().expect("ssh").success());
        while !hosts.host(1).path("/tmp/there").exists() {}
        assert_ne!(network().expect("in proc"), before);
        assert!(!leftovers(&format!(": {folder}")).expect("proc").is_empty());
        panic!("as a failing test does");
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"as a failing test does"));
    assert_eq!(network()?, before);
    assert_eq!(leftovers(&folder)?, Vec::<String>::new());
    assert!(!fs::exists(folder)?);
    Ok(())
}
