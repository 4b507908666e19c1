use anyhow::{Context, Result};
use serde_json::Value;

use super::bench::{self, Bench, CONTROL_PLANE, HOSTED};

const MARK: &str = "etcdprefix.github.io/asleep-";

fn unmark(bench: &Bench<'_>) -> Result<()> {
    let annotate = ["annotate", "hostedcluster", "mine", "-n", "clusters", MARK];
    bench.kubectl.run(&annotate).map(drop)
}

/// The same HostedCluster made once more, as it was.
fn replace(bench: &Bench<'_>) -> Result<()> {
    let mut hosted = bench.kubectl.raw(&format!("{HOSTED}/mine"))?;
    bench.kubectl.run(&["delete", "hostedcluster", "mine", "-n", "clusters"])?;
    let meta = hosted["metadata"].as_object_mut().context("no metadata")?;
    meta.retain(|name, _| ["name", "namespace"].contains(&name.as_str()));
    hosted["spec"]["pausedUntil"] = Value::Null;
    bench.kubectl.feed(&["create"], &hosted.to_string()).map(drop)
}

/// Without the annotation, what is there decides.
#[test]
fn an_annotation_or_a_cluster_that_is_lost_is_no_reason_to_say_that_all_is_well() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        // In the run.
        bench.hold_upload()?;
        let mut run = bench.begin("run --after stay");
        run.held()?;
        unmark(bench)?;
        bench.front.borrow().release();
        run.end().failed(25, &["the annotation", "as before"]);
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 0));

        // Afterwards.
        bench.hosted("run --after stay").succeeded();
        unmark(bench)?;
        let status = bench.hosted("status -w json").json();
        assert_eq!(status["writers"][0]["before"], 3, "{status}");
        assert!(status["advice"].as_str().unwrap().contains("its annotation is gone"), "{status}");
        for folder in ["folder", "elsewhere"] {
            let again = bench.hosted(&format!("run --after wake --folder {folder}"));
            again.failed(31, &["no annotation says what was before", "rollback"]);
        }
        bench.hosted("rollback").succeeded();
        bench.settle()?;
        assert_eq!((bench.state()?, bench.stored()?.len()), (before.clone(), 1));
        let nothing = bench.hosted("rollback -w json");
        assert_eq!(nothing.json()["run"], Value::Null, "{nothing}");

        // A writer that somebody deletes in the run.
        bench.hold_upload()?;
        let mut run = bench.begin("run --after stay");
        run.held()?;
        let delete = ["delete", "deployment", "openshift-oauth-apiserver", "-n", CONTROL_PLANE];
        bench.kubectl.run(&delete)?;
        bench.front.borrow().release();
        run.end().failed(40, &["changed openshift-oauth-apiserver", "is gone"]);
        bench.hosted("rollback --accept-changed").succeeded();
        assert_eq!(bench.stored()?.len(), 1);

        // Another HostedCluster of this name: its own way, or by other means to another cluster.
        bench.hosted("run --after stay").succeeded();
        replace(bench)?;
        bench.hosted("run --after wake").failed(30, &["is not there", "--accept-changed"]);
        bench.hosted("rollback").failed(31, &["is not there", "--accept-changed"]);
        bench.hosted("rollback --accept-changed").succeeded();
        Ok(())
    })
}
