use anyhow::Result;
use etcdprefix_testkit::load::{self, Load, Mix};
use etcdprefix_testkit::{EtcdServer, Version, block_on};

use super::{Client, Server, both};

fn filled() -> Result<EtcdServer> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    let load = Load { records: 200, value_bytes: 100, mix: Mix::Kubernetes, seed: 4 };
    block_on(async { load::fill(&mut server.client().await?, &load).await })?;
    Ok(server)
}

fn save(etcd: &EtcdServer, line: &str) -> String {
    format!("snapshot save --quiet -w json --endpoints {} {line}", etcd.url())
}

#[test]
fn a_snapshot_is_saved_to_a_store() -> Result<()> {
    let etcd = filled()?;
    both(|server| {
        let client = Client::new(server, "saved");
        let saved = client.run(&save(&etcd, "@snap.db --cluster-id c1")).json();
        let url = client.url("snap.db");
        assert_eq!(
            (&saved["file"], &saved["upload"]["location"]),
            (&url.clone().into(), &url.into())
        );
        assert_eq!(saved["upload"]["cluster_id"], "c1");
        assert_eq!(saved["upload"]["etcd_version"], "3.5.16");
        for name in ["revision", "status_hash", "sha256"] {
            assert_eq!(saved["upload"][name], saved[name], "{name}");
        }
        client.run("check @snap.db").succeeded();
        assert_eq!(client.names(), [""; 0]);
        client.run("store verify @snap.db").succeeded();
        // As a file, it is replaced.
        client.run(&save(&etcd, "@snap.db")).json();
    });
    Ok(())
}

#[test]
fn a_snapshot_is_changed_on_its_way_to_a_store() -> Result<()> {
    let etcd = filled()?;
    let (oss, s3) = (Server::oss(), Server::s3());
    let client = Client::new(&s3, "saved-changed").also(&oss);
    let kept = "oss://bucket/saved-changed/kept.db";
    let line = save(&etcd, "@snap.db --change-prefix /c1");
    let saved = client.run(&format!("{line} --keep-saved {kept}")).json();
    assert_eq!(saved["file"], kept);
    assert_eq!(saved["change_prefix"]["db"], kept);
    assert_eq!(saved["change_prefix"]["output"], client.url("snap.db"));
    assert_eq!(saved["change_prefix"]["upload"]["cluster_id"], "c1");
    assert_eq!(saved["upload"]["location"], kept);
    let verified = client.run(&format!("verify {kept} @snap.db --dest-prefix /c1"));
    verified.succeeded();
    client.run(&line).refused(5, &[&client.url("snap.db"), "exists already"]);
    let both = line.replace("@snap.db", "@both.db") + " --keep-saved @both.db";
    client.run(&both).refused(2, &["would silently replace what was made of it"]);
    client.run(&line.replace("snap.db", "alone.db")).json();
    client.run(&format!("verify {kept} @alone.db --dest-prefix /c1")).succeeded();
    let here = line.replace("@snap.db", "here.db") + " --keep-saved " + &client.url("k.db");
    client.run(&here).json();
    assert_eq!(client.names(), ["here.db"]);
    client.run("verify @k.db here.db --dest-prefix /c1").succeeded();
    Ok(())
}

#[test]
fn a_save_that_fails_sends_nothing() -> Result<()> {
    let etcd = filled()?;
    both(|server| {
        let client = Client::new(server, "unsaved");
        let line = save(&etcd, "@snap.db --change-prefix /c1 --src-prefix /nothing");
        client.run(&line).refused(10, &["/nothing", "--allow-empty"]);
        let nobody = "snapshot save @snap.db --endpoints 127.0.0.1:1 --retries 0";
        client.run(nobody).refused(21, &["127.0.0.1:1"]);
        assert!(client.fetch("snap.db").is_none());
        let keyless = Client::new(server, "unsaved").keyless();
        keyless.run(&save(&etcd, "@snap.db")).refused(27, &["no credentials"]);
    });
    Ok(())
}
