use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use etcd_client::GetOptions;
use etcdprefix_testkit::{EtcdServer, Version, block_on, tools};
use serde_json::{Value, json};

use super::bench::{self, Bench, HOSTED, KEY};

/// As a new cluster's etcd fetches it.
fn fetch(url: &str) -> Result<Vec<u8>> {
    let curl = ["--silent", "--show-error", "--fail", "--noproxy", "*", url];
    let output = Command::new("curl").args(curl).output().context("curl is needed")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Restored and served by etcd itself, it holds what the hosted etcd holds, below another prefix perhaps.
fn is_the_cluster(bench: &Bench<'_>, url: &str, prefix: &str) -> Result<()> {
    let file = bench.path("fetched.db");
    fs::write(&file, fetch(url)?)?;
    tools::status(Version::JUDGE, &file, None)?;
    let restored = EtcdServer::restored(Version::JUDGE, &file)?;
    let all = Some(GetOptions::new().with_all_keys());
    let (old, new) = block_on(async {
        let old = bench.etcd.client(0).await?.get("", all.clone()).await?;
        anyhow::Ok((old, restored.client().await?.get("", all).await?))
    })?;
    ensure!(old.kvs().len() == 149 && new.kvs().len() == 149, "{}", new.kvs().len());
    for (old, new) in old.kvs().iter().zip(new.kvs()) {
        let key = old.key_str()?.replacen("/kubernetes.io", prefix, 1);
        ensure!(new.key_str()? == key && new.value() == old.value(), "{key}");
        ensure!(new.mod_revision() == old.mod_revision(), "{key}");
    }
    Ok(())
}

fn url_of(manifest: &Value) -> Result<&str> {
    let urls = &manifest["spec"]["etcd"]["managed"]["storage"]["restoreSnapshotURL"];
    ensure!(urls.as_array().is_some_and(|urls| urls.len() == 1), "{urls}");
    urls[0].as_str().context("no text")
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[test]
fn a_copy_for_a_new_cluster_while_the_old_one_goes_on() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        fs::write(bench.path("new.yaml"), include_str!("rendered.yaml"))?;
        let dry = bench.hosted("run --after wake --into new.yaml --dry-run -w json");
        dry.succeeded();
        let found = dry.json();
        assert_eq!(found["writers"][0], json!({"name": "kube-apiserver", "replicas": 3}));
        assert_eq!(
            found["encryption"],
            json!({"type": "aescbc", "active_key": "mine-etcd-encryption-key", "backup_key": null})
        );
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));
        assert_eq!(fs::read_to_string(bench.path("new.yaml"))?, include_str!("rendered.yaml"));

        let run = bench.hosted("run --after wake --into new.yaml -w json");
        run.succeeded();
        let made = run.json();
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        assert_eq!(bench.journal("folder").unwrap()["phase"], "done");
        assert!(made["hashkv"].is_u64() && made["rewritten"].is_null(), "{made}");
        assert_eq!((&made["volume"], &made["api_version"]), (&json!("8Gi"), &Value::Null));
        for file in ["folder/etcd.yaml", "folder/encryption-keys.yaml", "new.yaml"] {
            assert_eq!(mode(&bench.path(file))?, 0o600, "{file}");
        }

        // The API server takes it for a new cluster, and keeps all of it.
        let created =
            bench.kubectl.run(&["apply", "-f", bench.path("new.yaml").to_str().unwrap()])?;
        assert!(created.contains("hostedcluster.hypershift.openshift.io/new created"), "{created}");
        let new = bench.kubectl.raw(&format!("{HOSTED}/new"))?;
        let url = url_of(&new)?;
        let storage = &new["spec"]["etcd"]["managed"]["storage"];
        assert_eq!(storage["persistentVolume"], json!({"size": "8Gi", "storageClassName": "gp3"}));
        assert_eq!(new["spec"]["dns"]["baseDomain"], "example.com");
        let secret = "/api/v1/namespaces/clusters/secrets/new-etcd-encryption-key";
        assert_eq!(bench.kubectl.raw(secret)?["data"]["key"], KEY);
        is_the_cluster(bench, url, "/kubernetes.io")?;
        // Beside the one document nothing has changed.
        let text = fs::read_to_string(bench.path("new.yaml"))?;
        let rendered = include_str!("rendered.yaml");
        let (head, tail) = rendered.split_once("    managed:\n").unwrap();
        let (_, tail) = tail.split_once("    managementType: Managed\n").unwrap();
        assert!(text.starts_with(head) && text.contains(tail), "{text}");

        // A second one has URL and name of its own.
        let again = bench.hosted("run --after wake -w json");
        again.succeeded();
        assert_ne!(again.json()["object"], made["object"]);
        assert_eq!(bench.stored()?.len(), 2);
        // The operator's own URL is what stdout has only if it is asked for.
        let printed = bench.hosted("run --after wake --print-fragment");
        assert!(printed.succeeded().starts_with("# etcdprefix, run "), "{printed}");
        assert!(printed.stdout.contains("\nspec:\n  etcd:\n"), "{printed}");
        assert!(printed.stdout.contains("X-Amz-Signature="), "{printed}");
        Ok(())
    })
}

#[test]
fn a_move_leaves_the_old_cluster_asleep_until_it_is_woken() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        for half in ["--src-prefix /kubernetes.io", "--dest-prefix /moved"] {
            bench.hosted(&format!("run --after stay {half}")).failed(2, &[]);
        }
        let line = "run --after stay --src-prefix /kubernetes.io --dest-prefix /moved -w json";
        let run = bench.hosted(line);
        run.succeeded();
        assert!(run.json()["rewritten"].as_u64() > Some(190), "{run}");
        let hosted = bench.raw_hosted()?;
        assert_eq!(hosted["spec"]["pausedUntil"], "true");
        let path = "jsonpath={.items[*].spec.replicas}";
        let args = ["get", "deployments", "-n", "clusters-mine", "-o", path];
        assert_eq!(bench.kubectl.run(&args)?, "0 0 0");
        let text = fs::read_to_string(bench.path("folder/etcd.yaml"))?;
        let url = text.lines().find_map(|line| line.trim().strip_prefix("- ")).context("no URL")?;
        let url: String = serde_json::from_str(url)?;
        is_the_cluster(bench, &url, "/moved")?;

        let status = bench.hosted("status -w json").json();
        assert_eq!(status["asleep"]["made"], true, "{status}");
        assert_eq!(status["writers"][0]["before"], 3, "{status}");
        assert_eq!(
            (&status["journal"], &status["paused_until"]),
            (&json!("asleep"), &json!("true"))
        );
        bench.hosted("run --after wake").failed(30, &["was left asleep by run", "rollback"]);
        // From a machine that knows nothing.
        let woken = bench.hosted("rollback --folder elsewhere -w json");
        woken.succeeded();
        assert_eq!(woken.json()["changed"].as_array().unwrap().len(), 3, "{woken}");
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        // The new cluster may be under way: its snapshot stays.
        fetch(&url)?;
        let nothing = bench.hosted("rollback -w json");
        assert_eq!(nothing.json()["run"], Value::Null, "{nothing}");
        assert!(bench.hosted("status").succeeded().contains("nothing: no run has it asleep"));
        Ok(())
    })
}

/// A service leads to any member: whichever it is, the leader is found.
#[test]
fn the_leader_is_found_by_any_member() -> Result<()> {
    bench::with_members(3, |bench| {
        let leader = bench.etcd.leader()?;
        let follower = bench.etcd.endpoint((leader + 1) % 3);
        let run = bench.hosted(&format!("run --after wake -w json --etcd-endpoints {follower}"));
        run.succeeded();
        let made = run.json();
        let member = made["member"].as_str().context("no member")?;
        assert!(member.contains(bench.etcd.endpoint(leader)), "{made}");
        assert_eq!((&made["chosen"], made["hashkv"].is_u64()), (&json!("the leader"), true));
        Ok(())
    })
}
