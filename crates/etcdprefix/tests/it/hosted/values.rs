use anyhow::Result;
use serde_json::{Value, json};

use super::bench::{self, Bench, CONTROL_PLANE};

fn patch(bench: &Bench<'_>, paused_until: &Value) -> Result<()> {
    let patch = json!({"spec": {"pausedUntil": paused_until}}).to_string();
    let hosted = ["patch", "hostedcluster", "mine", "-n", "clusters", "--type=merge", "-p", &patch];
    bench.kubectl.run(&hosted).map(drop)
}

fn scale(bench: &Bench<'_>, name: &str, replicas: &str) -> Result<()> {
    let count = format!("--replicas={replicas}");
    bench.kubectl.run(&["scale", "deployment", name, "-n", CONTROL_PLANE, &count]).map(drop)
}

#[test]
fn whatever_was_before_is_so_again() -> Result<()> {
    bench::with(|bench| {
        bench.operator.yield_to_others();
        let annotate = ["annotate", "hostedcluster", "mine", "-n", "clusters", "of=others"];
        bench.kubectl.run(&annotate)?;
        for (paused_until, replicas) in [
            (json!("true"), ["1", "3", "0"]),
            (json!("2099-01-01T00:00:00Z"), ["0", "0", "0"]),
            (json!("False"), ["2", "absent", "1"]),
            (Value::Null, ["3", "absent", "0"]),
        ] {
            patch(bench, &paused_until)?;
            let names = ["kube-apiserver", "openshift-apiserver", "openshift-oauth-apiserver"];
            for (name, replicas) in names.iter().zip(replicas) {
                match replicas {
                    "absent" => {
                        let delete = ["delete", "deployment", name, "-n", CONTROL_PLANE];
                        bench.kubectl.run(&[&delete[..], &["--ignore-not-found"]].concat())?;
                    }
                    replicas => scale(bench, name, replicas)?,
                }
            }
            bench.settle()?;
            let before = bench.state()?;
            let run = bench.hosted("run --after wake -w json");
            run.succeeded();
            bench.settle()?;
            assert_eq!(bench.state()?, before, "{paused_until} {replicas:?}");
            let absent = replicas.contains(&"absent");
            assert_eq!(
                run.stderr.contains("not in this control plane: openshift-apiserver"),
                absent
            );
            assert_eq!(bench.raw_hosted()?["spec"]["pausedUntil"], paused_until);
        }
        Ok(())
    })
}
