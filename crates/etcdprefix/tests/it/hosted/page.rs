use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::bench::{self, Bench};
use crate::support::said;

const PAGE: &str = include_str!("../../../../../docs/hosted-control-planes.md");

/// The block that begins so.
fn block(kind: &str, begin: &str) -> &'static str {
    let fence = format!("```{kind}\n");
    let mut blocks = PAGE.split(fence.as_str()).skip(1);
    let block = blocks.find(|block| block.starts_with(begin)).expect("the page has it");
    block.split("```").next().unwrap()
}

/// A kubeconfig of the account that the page makes.
fn restricted(bench: &Bench<'_>) -> Result<()> {
    let path = "/api/v1/namespaces/clusters/serviceaccounts/etcdprefix/token";
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let made = bench.kubectl.feed(&["create", "--raw", path], &request.to_string())?;
    let made: Value = serde_json::from_str(&made)?;
    let token = made["status"]["token"].as_str().context("no token")?;
    let mut config: Value = serde_json::from_str(&fs::read_to_string(bench.path("kubeconfig"))?)?;
    config["users"][0]["user"] = json!({ "token": token });
    Ok(fs::write(bench.path("restricted"), config.to_string())?)
}

#[test]
fn the_pages_rights_are_enough_and_its_way_back_by_hand_works() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        restricted_without_rights(bench)?;
        bench.kubectl.feed(&["apply"], block("yaml", "apiVersion: v1\nkind: ServiceAccount"))?;
        restricted(bench)?;
        fs::write(bench.path("new.yaml"), include_str!("rendered.yaml"))?;
        for line in [
            "run --after wake --dry-run",
            "run --after wake --into new.yaml",
            "status",
            "run --after stay",
            "rollback",
        ] {
            bench.hosted(&format!("{line} --kubeconfig restricted")).succeeded();
        }
        bench.settle()?;
        assert_eq!(bench.state()?, before);

        bench.hosted("run --after stay").succeeded();
        let kubectl = bench.kubectl.program().parent().context("no folder")?;
        let path = format!("{}:{}", kubectl.display(), std::env::var("PATH")?);
        let by_hand = block("", "kubectl -n clusters get hostedcluster mine -o jsonpath");
        let mut command = Command::new("sh");
        command.args(["-ec", by_hand]).env("PATH", path).current_dir(bench.path(""));
        let output = command.env("KUBECONFIG", bench.path("kubeconfig")).output()?;
        ensure!(output.status.success(), "{}", said(&output));
        ensure!(said(&output).contains("\"replicas\":3"), "{}", said(&output));
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        bench.hosted("run --after wake").succeeded();
        Ok(())
    })
}

/// An account that may nothing is told so, and nothing is changed.
fn restricted_without_rights(bench: &Bench<'_>) -> Result<()> {
    bench.kubectl.run(&["create", "serviceaccount", "etcdprefix", "-n", "clusters"])?;
    restricted(bench)?;
    let refused = bench.hosted("run --after wake --kubeconfig restricted");
    refused.failed(39, &["HTTP 403", "kubeconfig of an administrator"]);
    Ok(())
}
