use std::time::Instant;

use anyhow::{Result, ensure};
use etcdprefix_testkit::stores::Act;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::bench::{self, Bench, CONTROL_PLANE};

fn patch(bench: &Bench<'_>, spec: &Value) -> Result<()> {
    let patch = json!({ "spec": spec }).to_string();
    let hosted = ["patch", "hostedcluster", "mine", "-n", "clusters", "--type=merge", "-p", &patch];
    bench.kubectl.run(&hosted).map(drop)
}

/// Who signs etcd's certificates is found where other versions have it, and asked for where none has.
fn authority_elsewhere(bench: &Bench<'_>) -> Result<()> {
    let path = format!("/api/v1/namespaces/{CONTROL_PLANE}/configmaps/etcd-ca");
    let authority = bench.kubectl.raw(&path)?["data"]["ca.crt"].clone();
    let delete = |kind| bench.kubectl.run(&["delete", kind, "etcd-ca", "-n", CONTROL_PLANE]);
    delete("configmap")?;
    let run = "run --after wake --dry-run";
    bench.hosted(run).failed(31, &["no authority", "--etcd-cacert"]);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": {"ca.crt": authority},
        "metadata": {"name": "etcd-ca", "namespace": CONTROL_PLANE},
    });
    bench.kubectl.feed(&["create"], &secret.to_string())?;
    bench.hosted(run).succeeded();
    Ok(())
}

#[test]
fn what_speaks_against_it_is_told_before_anything_changes() -> Result<()> {
    bench::with(|bench| {
        let run = "run --after wake";
        bench
            .hosted(&format!("{run} --hosted-cluster clusters/other"))
            .failed(31, &["no HostedCluster"]);
        bench
            .hosted(&format!("{run} --control-plane-namespace default"))
            .failed(31, &["no kube-apiserver in default"]);
        let nobody = bench.hosted(&format!("{run} --etcd-endpoints https://127.0.0.1:1"));
        nobody.failed(21, &["etcd: "]);
        bench.hosted("run --after wake --presign-lifetime 200h").failed(2, &["168h"]);
        authority_elsewhere(bench)?;
        let named = |name: &str| json!({"aescbc": {"activeKey": {"name": name}}});
        patch(bench, &json!({"secretEncryption": named("missing")}))?;
        let before = bench.state()?;
        bench.hosted(run).failed(31, &["clusters/missing", "is not there"]);
        assert_eq!(bench.state()?, before);
        patch(
            bench,
            &json!({"secretEncryption": {"type": "kms", "aescbc": null,
            "kms": {"provider": "AWS"}}}),
        )?;
        let kms = bench.hosted(&format!("{run} --dry-run"));
        assert!(kms.succeeded().contains("the new cluster must reach the same key"), "{kms}");
        std::fs::write(bench.path("new.yaml"), "kind: Secret\n")?;
        bench
            .hosted(&format!("{run} --into new.yaml"))
            .failed(31, &["new.yaml", "no HostedCluster"]);
        // A management cluster that knows the older version alone.
        let served = r#"[{"op": "replace", "path": "/spec/versions/1/served", "value": false}]"#;
        let crd = "hostedclusters.hypershift.openshift.io";
        // For a moment the API says that it serves what it does not.
        let version = || {
            let found = bench.hosted(&format!("{run} --dry-run -w json")).stdout;
            let found: Value = serde_json::from_str(&found).unwrap_or_default();
            found["api_version"].clone()
        };
        assert_eq!(version(), "v1beta1");
        bench.kubectl.run(&["patch", "crd", crd, "--type=json", "-p", served])?;
        let start = Instant::now();
        while version() != "v1alpha1" {
            ensure!(start.elapsed() < bench::LIMIT, "the newer version is still served");
        }
        bench.kubectl.run(&[
            "patch",
            "crd",
            crd,
            "--type=json",
            "-p",
            &served.replace("false", "true"),
        ])?;
        while version() != "v1beta1" {
            ensure!(start.elapsed() < bench::LIMIT, "the newer version is not served again");
        }
        let shards = json!({"managed": {"shards": [{"name": "events"}]}});
        patch(bench, &json!({ "etcd": shards }))?;
        bench.hosted(run).failed(31, &["divided"]);
        patch(bench, &json!({"etcd": {"managementType": "Unmanaged", "managed": null}}))?;
        bench.hosted(run).failed(31, &["not managed by HyperShift"]);
        assert!(bench.stored()?.is_empty());
        Ok(())
    })
}

#[test]
fn what_goes_wrong_on_the_way_is_put_back() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        // Writers that never stop.
        bench.operator.hold_pods();
        let never = bench.hosted("run --after wake --stop-limit 2s");
        never.failed(33, &["not all writers are gone after 2 s", "as before"]);
        bench.operator.go_on();
        bench.settle()?;
        assert_eq!(bench.state()?, before);

        // Somebody writes beside the upload.
        bench.hold_upload()?;
        let mut run = bench.begin("run --after stay");
        run.held()?;
        bench.write()?;
        bench.front.borrow().release();
        run.end().failed(25, &["/kubernetes.io/configmaps/default/late", "as before"]);
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));
        assert!(!bench.path("folder/etcd.yaml").exists());

        // A store that refuses.
        let (status, code, message) = (403, "AccessDenied", "no");
        bench.next_upload(Act::Refuse { status, code, message })?;
        bench.hosted("run --after stay").failed(26, &["the store: ", "as before"]);
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));

        // Ctrl-C, and what engines send.
        for (signal, step) in [(Signal::INT, "pause"), (Signal::TERM, "save")] {
            if step == "pause" {
                bench.operator.hold();
            }
            let mut run = bench.begin("run --after wake");
            run.step(step)?;
            run.signal(signal)?;
            run.end().failed(130, &["interrupted", "as before"]);
            bench.operator.go_on();
            bench.settle()?;
            assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));
        }
        Ok(())
    })
}

#[test]
fn what_others_change_meanwhile_is_left_and_told() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        bench.hold_upload()?;
        let mut run = bench.begin("run --after wake");
        run.held()?;
        let scale = ["scale", "deployment", "openshift-apiserver", "-n", CONTROL_PLANE];
        bench.kubectl.run(&[&scale[..], &["--replicas=2"]].concat())?;
        patch(bench, &json!({"pausedUntil": "2099-01-01T00:00:00Z"}))?;
        bench.front.borrow().release();
        let told = ["openshift-apiserver has 2 replicas, not 1", "spec.pausedUntil is 2099"];
        run.end().failed(40, &told);
        bench.hosted("rollback").failed(40, &told);
        // Everything else is back, and what was is still written there.
        let status = bench.hosted("status -w json").json();
        assert_eq!(status["writers"][0]["replicas"], 3, "{status}");
        assert_eq!(status["asleep"]["paused_until"], Value::Null, "{status}");
        bench.hosted("run --after wake").failed(30, &[]);
        let closed = bench.hosted("rollback --accept-changed -w json");
        assert_eq!(closed.json()["warnings"].as_array().unwrap().len(), 2, "{closed}");
        patch(bench, &json!({"pausedUntil": null}))?;
        bench.kubectl.run(&[&scale[..], &["--replicas=1"]].concat())?;
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before, 0));
        Ok(())
    })
}

#[test]
fn an_api_that_is_away_is_waited_for_and_then_told() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        bench.hold_upload()?;
        let mut run = bench.begin("run --after wake --put-back-limit 2s");
        run.held()?;
        bench.api.cut_after(0);
        bench.front.borrow().release();
        run.end().failed(40, &["not as before", "rollback"]);
        bench.api.heal();
        bench.hosted("rollback").succeeded();
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));

        // It comes back within the limit.
        bench.hold_upload()?;
        let mut run = bench.begin("run --after wake");
        run.held()?;
        let cut = bench.api.afflicted();
        bench.api.cut_after(0);
        bench.front.borrow().release();
        run.until(|| bench.api.afflicted() > cut + 2)?;
        bench.api.heal();
        run.end().failed(39, &["as before"]);
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before, 0));
        Ok(())
    })
}
