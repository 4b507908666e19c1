use std::process::{Command, Stdio};

use super::encrypted::RECIPIENT;
use super::{Client, Run, both};
use crate::support::PROGRAM;

/// With files of 50 KB at most.
fn limited(client: &Client, line: &str) -> Run {
    let bounded = client.program(line);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 100 && exec \"$@\"", "sh", PROGRAM]).args(bounded.get_args());
    let variables = bounded.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(variables).current_dir(client.path(".")).stdin(Stdio::null());
    client.judged(command.output().unwrap(), line)
}

#[test]
fn what_cannot_be_written_is_exit_4_and_leaves_nothing() {
    both(|server| {
        let client = Client::new(server, "limited");
        let bytes = client.take("k8s120-3.4.23.db");
        client.send("k", &bytes);
        client.write("old.db", b"old");
        let run = limited(&client, "store get @k old.db");
        run.refused(4, &["old.db", "File too large", "ulimit -f"]);
        assert_eq!(client.read("old.db"), b"old");
        let seal = format!("store put snap.db @sealed --recipient {RECIPIENT}");
        for line in ["check @k", "hashkv @k", "snapshot status @k", &seal] {
            let run = limited(&client, line);
            run.refused(4, &["File too large", "TMPDIR on a file system with room"]);
        }
        let line = "change-prefix --db snap.db --dest-prefix /c1 --output @new";
        limited(&client, line).refused(4, &[&client.url("new"), "File too large"]);
        assert!(client.fetch("new").is_none() && client.fetch("sealed").is_none());
        assert_eq!(client.names(), ["old.db", "snap.db"]);
    });
}

#[test]
fn a_place_for_temporary_files_is_needed() {
    both(|server| {
        let client = Client::new(server, "homeless");
        let bytes = client.take("s-3.5.1.db");
        client.send("k", &bytes);
        let seal = format!("store put snap.db @sealed --recipient {RECIPIENT}");
        let change = "change-prefix --db @k --dest-prefix /c1 --output new.db";
        for line in ["check @k", change, &seal] {
            let mut command = client.command(line);
            let output = command.env("TMPDIR", client.path("none")).output().unwrap();
            let run = client.judged(output, line);
            run.refused(4, &["temporary file", "No such file", "TMPDIR on a file system"]);
        }
        // Those that need none.
        for line in ["store put snap.db @k", "store get @k back.db", "store verify @k"] {
            let mut command = client.command(line);
            let output = command.env("TMPDIR", client.path("none")).output().unwrap();
            client.judged(output, line).succeeded();
        }
    });
}
