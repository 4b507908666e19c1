use std::fs;

use anyhow::{Result, ensure};
use etcdprefix_testkit::stores::Act;

use super::bench;

/// As the journal announces them.
const STEPS: [&str; 9] = [
    "pause",
    "stop the writers",
    "wait until they are gone",
    "save",
    "upload",
    "presign",
    "write",
    "made",
    "wake",
];

#[test]
fn from_any_step_rollback_puts_everything_back() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        for step in STEPS {
            let mut run = bench.begin("run --after wake");
            run.step(step)?;
            let run = run.kill();
            // The last step may be over before the signal comes.
            ensure!(run.was_killed() || step == "wake", "{step}: {run}");
            if run.was_killed() && step != "wake" {
                bench.hosted("run --after wake").failed(30, &["did not end", "rollback"]);
            }
            bench.hosted("rollback").succeeded();
            bench.settle()?;
            assert_eq!(bench.state()?, before, "{step}");
            let left = fs::read_dir(bench.path("folder"))?.map(|it| Ok(it?.file_name()));
            let left = left.collect::<Result<Vec<_>>>()?;
            let odd = left.iter().map(|name| name.to_string_lossy());
            let odd: Vec<_> = odd.filter(|it| it.ends_with(".db") || it.contains("tls")).collect();
            assert!(odd.is_empty(), "{step}: {odd:?}");
            let is_made = ["write", "made", "wake"].contains(&step);
            assert!(is_made || bench.stored()?.is_empty(), "{step}");
            let journal = bench.journal("folder").unwrap();
            let steps = journal["steps"].as_array().unwrap();
            // Whoever has the files has the object, and nobody has one without the other.
            let has_file = bench.path("folder/etcd.yaml").exists();
            let was_made = steps.iter().any(|begun| begun["step"] == "made");
            assert_eq!(has_file, was_made, "{step}: {journal}");
            if has_file {
                fs::remove_file(bench.path("folder/etcd.yaml"))?;
            }
        }
        bench.hosted("run --after wake").succeeded();
        assert_eq!(bench.state()?, before);
        Ok(())
    })
}

#[test]
fn another_machine_needs_nothing_but_the_annotation() -> Result<()> {
    bench::with(|bench| {
        let before = bench.state()?;
        // What is only held would be passed on for a client that is no more.
        bench.next_upload(Act::Stall)?;
        let mut run = bench.begin("run --after stay");
        run.held()?;
        assert!(run.kill().was_killed());
        let elsewhere = "rollback --folder elsewhere";
        bench.hosted(elsewhere).failed(30, &["may be at work", "--take-over"]);
        let back = bench.hosted(&format!("{elsewhere} --take-over -w json"));
        back.succeeded();
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        assert!(bench.stored()?.is_empty(), "{back}");
        // The machine that comes back finds it done.
        bench.hosted("run --after wake").failed(30, &["did not end"]);
        bench.hosted("rollback").succeeded();
        assert_eq!(bench.state()?, before);

        // And this one needs nothing but its journal.
        bench.next_upload(Act::Stall)?;
        let mut run = bench.begin("run --after stay");
        run.held()?;
        assert!(run.kill().was_killed());
        let mark = "etcdprefix.github.io/asleep-";
        bench.kubectl.run(&["annotate", "hostedcluster", "mine", "-n", "clusters", mark])?;
        bench.hosted("rollback").succeeded();
        bench.settle()?;
        assert_eq!(bench.state()?, before);
        bench.hosted("run --after wake").succeeded();
        Ok(())
    })
}
