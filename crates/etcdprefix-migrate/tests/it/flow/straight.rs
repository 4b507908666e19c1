//! Nothing goes wrong.

use std::os::unix::fs::PermissionsExt;

use etcdprefix_migrate::Error;
use etcdprefix_migrate::flow::{Phase, RunOptions, finish, presign, rehearse, run, status};

use super::bench::{Bench, HOSTS};

/// What the hosts were asked for, in order, each once if all hosts were.
fn steps(bench: &Bench) -> Vec<String> {
    let state = bench.state();
    let calls = state.trace.iter().filter(|line| line.contains(" <- "));
    let steps = calls.map(|line| {
        let id = line.split(" <- ").nth(1).unwrap().split(' ').next().unwrap();
        let known = [
            "lock",
            "unlock",
            "preflight",
            "sleep",
            "members",
            "snapshot",
            "bundle",
            "fence",
            "quiet",
        ];
        let word = id.split('.').find(|word| known.contains(word) || *word == "renew");
        word.unwrap_or(id).to_owned()
    });
    let mut steps: Vec<String> = steps.filter(|step| step != "renew").collect();
    steps.dedup();
    steps
}

#[tokio::test(start_paused = true)]
async fn a_migration_from_rehearsal_to_finish() {
    let bench = Bench::new();
    let advice = |status: etcdprefix_migrate::flow::Status| (status.phase, status.advice);
    let before = advice(status(&bench.setup).await.unwrap());
    assert_eq!(before.0, Phase::None);
    assert!(before.1.contains("rehearse"), "{before:?}");

    let rehearsal = rehearse(&bench.setup).await.unwrap();
    assert_eq!(rehearsal.snapshot_host, "m2");
    bench.untouched("after the rehearsal");
    assert!(bench.journal().is_empty());

    bench.world.change(|state| state.trace.clear());
    let handed = run(&bench.setup, &RunOptions::default()).await.unwrap();
    bench.handed_out("after the run");
    assert_eq!(
        steps(&bench),
        ["lock", "preflight", "sleep", "members", "snapshot", "bundle", "fence", "quiet"]
    );
    assert_eq!(handed.snapshot_host, "m2");
    assert_eq!(handed.outputs.sleep_or_wakeup_control_plane_outputs.len(), HOSTS.len());
    bundle_is_the_templates(&bench);
    let then = advice(status(&bench.setup).await.unwrap());
    assert_eq!(then.0, Phase::HandedOut);
    assert!(then.1.contains("finish"), "{then:?}");

    let old = std::fs::read_to_string(&handed.bundle_file).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let signed = presign(&bench.setup).await.unwrap();
    let new = std::fs::read_to_string(&handed.bundle_file).unwrap();
    assert!(new.contains(signed.url.reveal()) && !old.contains(signed.url.reveal()));
    bundle_is_the_templates(&bench);

    let again = bench.run().await.unwrap_err();
    assert!(matches!(again, Error::HandedOut(_)), "{again}");
    finish(&bench.setup).await.unwrap();
    bench.handed_out("after the end");
    assert!(bench.nodes().iter().all(|node| node.lock.is_none()));
    let then = advice(status(&bench.setup).await.unwrap());
    assert_eq!(then.0, Phase::Finished);
    for error in [
        bench.run().await.unwrap_err(),
        bench.resume().await.unwrap_err(),
        bench.rollback().await.unwrap_err(),
        bench.rollback_never_started().await.unwrap_err(),
        rehearse(&bench.setup).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::HandedOut(_)), "{error}");
    }
    bench.world.change(|state| state.never_started = false);
    bench.handed_out("whatever is tried");
    tells_no_secret(&bench);
}

fn bundle_is_the_templates(bench: &Bench) {
    let path = bench.folder.join("bundle.json");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with("}\n"));
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = json.keys().map(String::as_str).collect();
    assert_eq!(names, ["sakey", "sapub", "frontcrt", "frontkey", "oss_url"]);
    assert_eq!(json["sakey"], "s3cr3t-sakey");
}

fn tells_no_secret(bench: &Bench) {
    let shown = format!("{:?}", bench.events.all());
    assert!(!shown.contains("s3cr3t"), "{shown}");
    for entry in std::fs::read_dir(&bench.folder).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let is_bundle = entry.file_name() == "bundle.json";
        assert_eq!(text.contains("s3cr3t"), is_bundle, "{:?}", entry.path());
    }
}
