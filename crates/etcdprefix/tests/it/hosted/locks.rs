use anyhow::Result;

use super::bench;

#[test]
fn two_runs_never_have_it_at_once() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        bench.hold_upload()?;
        let mut run = bench.begin("run --after wake");
        run.held()?;
        for line in ["run --after wake", "rollback"] {
            bench.hosted(line).failed(30, &["another etcdprefix is at work"]);
        }
        bench.hosted("run --after wake --folder elsewhere").failed(30, &["is held by run"]);
        bench.hosted("rollback --folder elsewhere").failed(30, &["may be at work"]);
        let status = bench.hosted("status --folder elsewhere -w json").json();
        assert_eq!(status["asleep"]["made"], false, "{status}");
        bench.front.borrow().release();
        run.end().succeeded();
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        Ok(())
    })
}
