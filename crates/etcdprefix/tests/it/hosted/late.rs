//! Requests whose answers are lost, or that come when nobody waits for them any more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::stores::{Act, Front, Rule};
use serde_json::json;

use super::bench::{self, Bench};

/// kubectl's own proxy: the API without TLS, so that a front knows one request from another.
struct Plain {
    child: Child,
    address: String,
}

impl Plain {
    fn start(bench: &Bench<'_>) -> Result<Self> {
        let mut command = Command::new(bench.kubectl.program());
        command.arg("--kubeconfig").arg(bench.path("kubeconfig"));
        command.args(["proxy", "--port=0", "--reject-methods=NONE"]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { child, address })
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A front that does this to the PATCH after so many, and a kubeconfig by way of it.
fn front(bench: &Bench<'_>, plain: &Plain, skip: usize, act: Act) -> Result<Front> {
    let front = Front::start(&plain.address)?;
    front.rule(Rule { method: "PATCH", holds: "", skip, times: 1, act });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", front.address())}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(bench.path("plain"), config.to_string())?;
    Ok(front)
}

/// The pause, one of two to scale, the mark; then one of two that scale back, and the last.
const PATCHES: [usize; 5] = [0, 1, 3, 4, 6];

#[test]
fn whichever_answer_is_lost_or_late_everything_is_as_before() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        let plain = Plain::start(bench)?;
        let run = "run --after wake --kubeconfig plain";
        for number in PATCHES {
            // Done, but nobody hears of it.
            let lossy = front(bench, &plain, number, Act::LoseAnswer)?;
            let ended = bench.hosted(run);
            ensure!(lossy.done() == 1, "{number}: {ended}");
            // What is lost after it was made is only tried again.
            match number {
                0..=3 => ended.failed(39, &["as before"]),
                _ => drop(ended.succeeded().to_owned()),
            }
            bench.settle()?;
            assert_eq!(bench.state()?, before, "{number}: {ended}");
        }
        for number in 0..2 {
            // Not done until the one who sent it is dead, and somebody else has put everything back.
            let slow = front(bench, &plain, number, Act::Hold)?;
            let mut begun = bench.begin(run);
            begun.until(|| slow.done() == 1)?;
            assert!(begun.kill().was_killed());
            bench.hosted("rollback").succeeded();
            bench.settle()?;
            assert_eq!(bench.state()?, before, "{number}");
            slow.release();
            // However soon it comes: either it is refused or it is late.
            std::thread::sleep(std::time::Duration::from_millis(500));
            bench.settle()?;
            assert_eq!(bench.state()?, before, "{number}");
            bench.hosted("rollback").succeeded();
        }
        Ok(())
    })
}
