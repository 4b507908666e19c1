//! `migrate oos` against a server that checks signatures and runs templates on this machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::openapi::{Fault, OpenApi};
use etcdprefix_testkit::stores::Key;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{PROGRAM, said};

/// Runs a script on instances, which finds its own id in `$item`.
const TEMPLATE: &str = r#"
FormatVersion: OOS-2019-06-01
Parameters:
  instanceIds: {Type: List}
  script: {Type: String}
Tasks:
  - Name: readSign
    Action: ACS::ECS::RunCommand
    Properties:
      instanceId: '{{ ACS::TaskLoopItem }}'
      commandType: RunShellScript
      commandContent: |-
        item='{{ ACS::TaskLoopItem }}'
        {{ script }}
      timeout: 60
    Loop:
      Items: '{{ instanceIds }}'
      Outputs:
        commandOutputs: {AggregateType: 'Fn::ListJoin', AggregateField: commandOutput}
    Outputs:
      commandOutput: {Type: String, ValueSelector: invocationOutput}
Outputs:
  readSignOutputs: {Type: List, Value: '{{ readSign.commandOutputs }}'}
"#;

const BUNDLE: &str = r#"{"sakey":"fulls3cr3tAA","sapub":"fulls3cr3tBB","frontcrt":"fulls3cr3tCC","frontkey":"fulls3cr3tDD","oss_url":"https://b/k?Signature=full-s3cr3t"}"#;
const ON_SECOND: &str = "if [ $item = i-2 ]; then cat";

struct Oos {
    server: OpenApi,
    folder: TempDir,
}

impl Oos {
    /// With three instances and the template `t1`.
    fn start() -> Result<Self> {
        let (server, folder) = (OpenApi::start()?, TempDir::new()?);
        for instance in ["i-1", "i-2", "i-3"] {
            server.add_machine(instance)?;
        }
        let this = Self { server, folder };
        fs::write(this.path("t1.yaml"), TEMPLATE)?;
        fs::write(this.path("handed"), BUNDLE)?;
        this.done(&["create", "--template-name", "t1", "--file", &this.text("t1.yaml")])?;
        Ok(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn command(&self, words: &[&str], key: &Key) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["migrate", "oos"]).args(words);
        command.args(["--region", OpenApi::REGION, "--oos-endpoint", &self.server.endpoint()]);
        if ["start", "watch"].contains(&words[0]) {
            command.args(["--interval", "50ms"]);
        }
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", &key.id);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", &key.secret);
        command
    }

    /// What it says holds no secret, whatever it was.
    fn run(&self, words: &[&str]) -> Result<Output> {
        let output = self.command(words, self.server.key()).output()?;
        ensure!(!said(&output).contains("s3cr3t"), "a secret is shown: {}", said(&output));
        Ok(output)
    }

    fn done(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        ensure!(output.status.success(), "{words:?}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Exit code and stderr.
    fn refused(&self, words: &[&str]) -> Result<(i32, String)> {
        let output = self.run(words)?;
        Ok((output.status.code().context("no code")?, String::from_utf8(output.stderr)?))
    }

    fn begin(&self, script: &str) -> Result<String> {
        let script = format!("script={script}");
        let id = self.done(&start(&script))?;
        ensure!(id.starts_with("exec-") && id.lines().count() == 1, "{id}");
        Ok(id.trim().to_owned())
    }
}

fn start(script: &str) -> [&str; 7] {
    let ids = "instanceIds=[\"i-1\",\"i-2\",\"i-3\"]";
    ["start", "--template-name", "t1", "--parameter", ids, "--parameter", script]
}

#[test]
fn a_template_is_made_from_a_file_and_from_stdin() -> Result<()> {
    let oos = Oos::start()?;
    let again = oos.done(&["create", "--template-name", "t1", "--file", &oos.text("t1.yaml")])?;
    assert_eq!(again, "t1 v1 is unchanged\n");
    let words = ["create", "--template-name", "t1", "--file", "-", "-w", "json"];
    let mut command = oos.command(&words, oos.server.key());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    write!(child.stdin.take().context("piped")?, "{TEMPLATE}\n# more\n")?;
    let made: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    assert_eq!((&made["version"], &made["change"]), (&"v2".into(), &"updated".into()));

    fs::write(oos.path("bad.yaml"), "Tasks: []")?;
    let (code, told) =
        oos.refused(&["create", "--template-name", "t2", "--file", &oos.text("bad.yaml")])?;
    assert_eq!(code, 41);
    assert!(told.contains("InvalidTemplate"), "{told}");
    fs::write(oos.path("long.yaml"), "#".repeat(70_000))?;
    let (code, _) =
        oos.refused(&["create", "--template-name", "t2", "--file", &oos.text("long.yaml")])?;
    assert_eq!(code, 2);
    Ok(())
}

#[test]
fn the_one_bundle_is_written_and_never_shown() -> Result<()> {
    let oos = Oos::start()?;
    let script = format!("script={ON_SECOND} {}; fi", oos.text("handed"));
    let file = oos.text("bundle.json");
    let words = [&start(&script)[..], &["--watch", "--bundle", &file]].concat();
    let output = oos.run(&words)?;
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8(output.stdout)?;
    let id = stdout.lines().next().context("the id comes first")?;
    assert!(id.starts_with("exec-") && stdout.contains("Success"), "{stdout}");
    assert_eq!(fs::read_to_string(&file)?, format!("{BUNDLE}\n"));
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);

    for format in ["simple", "json", "table", "fields"] {
        let words = ["watch", "--execution-id", id, "--once", "-w", format];
        assert!(oos.done(&words)?.contains("[redacted]"));
    }
    let words = ["watch", "--execution-id", id, "-w", "json"];
    let ended: Value = serde_json::from_str(&oos.done(&words)?)?;
    assert_eq!(ended["status"], "Success");
    assert_eq!(ended["counters"]["Success"], 1);
    assert_eq!(ended["outputs"]["readSignOutputs"][1], "[redacted]");
    assert!(!oos.server.log().contains("s3cr3t"));
    Ok(())
}

#[test]
fn bundles_of_age_are_written_as_they_are() -> Result<()> {
    let oos = Oos::start()?;
    let armor = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3Yx\n\
                 -----END AGE ENCRYPTED FILE-----";
    let base64 = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBhYmM=";
    for (number, bundle) in [armor, base64].iter().enumerate() {
        fs::write(oos.path("handed"), bundle)?;
        let id = oos.begin(&format!("{ON_SECOND} {}; fi", oos.text("handed")))?;
        let file = oos.text(&format!("bundle-{number}"));
        oos.done(&["watch", "--execution-id", &id, "--bundle", &file])?;
        assert_eq!(fs::read_to_string(&file)?, format!("{bundle}\n"));
    }
    Ok(())
}

/// What a host prints behind its bundle.
fn sealed(bundle: &str) -> String {
    let printed = format!("{bundle}\n");
    let sum: String = Sha256::digest(&printed).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{printed}etcdprefix-bundle bytes={} sha256={sum}\n", printed.len())
}

#[test]
fn a_bundle_whose_middle_was_cut_out_is_none() -> Result<()> {
    let oos = Oos::start()?;
    fs::write(oos.path("handed"), sealed(BUNDLE))?;
    let script = format!("{ON_SECOND} {}; fi", oos.text("handed"));
    let file = oos.text("bundle.json");
    let id = oos.begin(&script)?;
    oos.done(&["watch", "--execution-id", &id, "--bundle", &file])?;
    assert_eq!(fs::read_to_string(&file)?, format!("{BUNDLE}\n"));

    oos.server.set("i-2", "output_limit_bytes", 200)?;
    let (id, other) = (oos.begin(&script)?, oos.text("other.json"));
    let (code, told) = oos.refused(&["watch", "--execution-id", &id, "--bundle", &other])?;
    assert_eq!(code, 42, "{told}");
    assert!(told.contains("SHA-256") && !PathBuf::from(other).exists(), "{told}");
    Ok(())
}

#[test]
fn a_success_after_a_failure_is_told_and_its_bundle_kept() -> Result<()> {
    let oos = Oos::start()?;
    let first = "Tasks:\n  - Name: first\n    Action: ACS::ECS::RunCommand\n    OnError: readSign\n    \
                 Properties: {instanceId: i-1, commandType: RunShellScript, commandContent: exit 3}\n";
    fs::write(oos.path("t1.yaml"), TEMPLATE.replace("Tasks:\n", first))?;
    oos.done(&["create", "--template-name", "t1", "--file", &oos.text("t1.yaml")])?;
    let id = oos.begin(&format!("{ON_SECOND} {}; fi", oos.text("handed")))?;
    let blind = Key::new("LTAIblind", "blind-s3cr3t");
    oos.server.allow(&blind, &["ListTaskExecutions"])?;
    for (key, file, words) in [
        (oos.server.key(), "all.json", "failed at its task first before"),
        (&blind, "blind.json", "can't be listed"),
    ] {
        let file = oos.text(file);
        let words_of = ["watch", "--execution-id", &id, "--bundle", &file, "-w", "json"];
        let output = oos.command(&words_of, key).output()?;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(42), "{told}");
        assert!(told.contains("ended as Success, but failed") && told.contains(words), "{told}");
        assert!(!told.contains("s3cr3t"), "{told}");
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout)?["status"], "Success");
        assert_eq!(fs::read_to_string(&file)?, format!("{BUNDLE}\n"));
    }
    Ok(())
}

#[test]
fn no_bundle_or_two_or_half_a_one_are_none() -> Result<()> {
    let oos = Oos::start()?;
    let handed = oos.text("handed");
    for (script, words) in [
        ("true".to_owned(), "0 bundles"),
        (format!("cat {handed}"), "3 bundles"),
        (format!("{ON_SECOND} {handed} | head -c 100; fi"), "no whole bundle"),
    ] {
        let id = oos.begin(&script)?;
        let file = oos.text("bundle.json");
        let (code, told) = oos.refused(&["watch", "--execution-id", &id, "--bundle", &file])?;
        assert_eq!(code, 42, "{told}");
        assert!(told.contains(words) && !PathBuf::from(file).exists(), "{told}");
    }
    Ok(())
}

#[test]
fn a_failed_execution_names_its_task_and_no_secret() -> Result<()> {
    let oos = Oos::start()?;
    let id = oos.begin(&format!("cat {}; exit 3", oos.text("handed")))?;
    let output = oos.run(&["watch", "--execution-id", &id, "-w", "json"])?;
    assert_eq!(output.status.code(), Some(42), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(told["status"], "Failed");
    assert_eq!(told["failed_tasks"][0]["name"], "readSign");
    let stderr = String::from_utf8(output.stderr)?;
    assert!(stderr.contains("failed at its task readSign"), "{stderr}");
    Ok(())
}

#[test]
fn a_cancelled_execution_ends_as_one() -> Result<()> {
    let oos = Oos::start()?;
    let id = oos.begin("sleep 3")?;
    let once: Value = serde_json::from_str(&oos.done(&[
        "watch",
        "--execution-id",
        &id,
        "--once",
        "-w",
        "json",
    ])?)?;
    assert_eq!(once["status"], "Running");
    assert_eq!(once["current_tasks"][0]["name"], "readSign");
    let cancelled = oos.done(&["cancel", "--execution-id", &id, "-w", "json"])?;
    assert_eq!(serde_json::from_str::<Value>(&cancelled)?["execution_id"], id.as_str());
    let (code, told) = oos.refused(&["watch", "--execution-id", &id])?;
    assert_eq!(code, 42);
    assert!(told.contains("Running (Total 1), at readSign"), "{told}");
    assert!(told.contains("was cancelled"), "{told}");
    Ok(())
}

fn interrupt(child: &Child) -> Result<()> {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    ensure!(status.success(), "it ended by itself");
    Ok(())
}

#[test]
fn who_stops_watching_does_not_stop_the_execution() -> Result<()> {
    let oos = Oos::start()?;
    let done = oos.path("done");
    let id = oos.begin(&format!("sleep 3; echo $item >> {}", done.display()))?;
    let mut command = oos.command(&["watch", "--execution-id", &id], oos.server.key());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("piped")?).lines();
    let first = stderr.next().context("a line tells that it runs")??;
    assert!(first.contains("Running"), "{first}");
    interrupt(&child)?;
    let rest = stderr.collect::<std::io::Result<Vec<_>>>()?.join("\n");
    assert_eq!(child.wait()?.code(), Some(130));
    assert!(rest.contains("goes on") && rest.contains("migrate oos cancel"), "{rest}");
    oos.done(&["watch", "--execution-id", &id])?;
    assert_eq!(fs::read_to_string(done)?.lines().count(), 3);
    Ok(())
}

/// Until a call of an action is left without an answer.
fn wait_for_hole(oos: &Oos, action: &str) {
    while !oos.server.calls_of(action).iter().any(|call| call.outcome == "Hole") {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_is_heard_while_nobody_answers() -> Result<()> {
    let oos = Oos::start()?;
    oos.server.fault("StartExecution", Fault::BlackHole, 1)?;
    let words = [&start("script=true")[..], &["--client-token", "t0ken"]].concat();
    let ended = |words: &[&str], action: &str| -> Result<(Option<i32>, String)> {
        let mut command = oos.command(words, oos.server.key());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        wait_for_hole(&oos, action);
        interrupt(&child)?;
        let output = child.wait_with_output()?;
        Ok((output.status.code(), said(&output)))
    };
    let (code, told) = ended(&words, "StartExecution")?;
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains("--client-token t0ken"), "{told}");

    let id = oos.done(&words)?.trim().to_owned();
    oos.server.fault("ListExecutions", Fault::BlackHole, 1)?;
    let (code, told) = ended(&["watch", "--execution-id", &id], "ListExecutions")?;
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains(&format!("{id} goes on")), "{told}");
    Ok(())
}

#[test]
fn an_execution_that_is_known_is_looked_for_though_nobody_answers() -> Result<()> {
    let oos = Oos::start()?;
    let id = oos.begin("sleep 5")?;
    let mut command = oos.command(&["watch", "--execution-id", &id], oos.server.key());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("piped")?).lines();
    let first = stderr.next().context("a line tells that it runs")??;
    assert!(first.contains("Running"), "{first}");
    // More than one look takes.
    oos.server.fault("ListExecutions", Fault::Busy, 5)?;
    let rest = stderr.collect::<std::io::Result<Vec<_>>>()?.join("\n");
    assert_eq!(child.wait()?.code(), Some(0), "{rest}");
    assert!(rest.contains("can't be seen now: ListExecutions"), "{rest}");

    oos.server.fault("ListExecutions", Fault::Refuse(403, "Forbidden.RAM"), 1)?;
    let (code, told) = oos.refused(&["watch", "--execution-id", &id, "--bundle", "b.json"])?;
    assert_eq!(code, 41, "{told}");
    let again = format!("--region {} --execution-id {id} --bundle b.json`", OpenApi::REGION);
    assert!(told.contains(&again) && told.contains("migrate policy"), "{told}");
    Ok(())
}

#[test]
fn a_start_is_done_once_though_its_answer_is_lost() -> Result<()> {
    let oos = Oos::start()?;
    oos.server.fault("StartExecution", Fault::Lost, 1)?;
    let words = [&start("script=true")[..], &["--client-token", "t"]].concat();
    let first = oos.done(&words)?;
    assert_eq!(oos.done(&words)?, first);
    let all = oos.server.sdk("list_executions", &serde_json::json!({}))?;
    assert_eq!(all["ok"]["Executions"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn what_can_not_be_is_told_before_anything_is_started() -> Result<()> {
    let oos = Oos::start()?;
    for words in [
        &["start", "--template-name", "t1", "--parameters", "{full-s3cr3t"][..],
        &["start", "--template-name", "t1", "--parameters", "[]"],
        &["start", "--template-name", "t1", "--parameter", "full-s3cr3t"],
        &["start", "--template-name", "t1", "--bundle", "file"],
        &["start", "--template-name", "t1", "--region", "Hang zhou"],
    ] {
        // A region given twice is wrong usage, too.
        assert_eq!(oos.refused(words)?.0, 2, "{words:?}");
    }
    assert!(oos.server.calls_of("StartExecution").is_empty());
    let (code, told) = oos.refused(&["start", "--template-name", "t1"])?;
    assert_eq!(code, 41, "{told}");
    let (code, told) = oos.refused(&["watch", "--execution-id", "exec-none"])?;
    assert_eq!(code, 41);
    assert!(told.contains("no execution exec-none in cn-hangzhou"), "{told}");

    let wrong = Key::new(&oos.server.key().id, "wrong-s3cr3t");
    let output = oos.command(&["cancel", "--execution-id", "exec-1"], &wrong).output()?;
    assert_eq!(output.status.code(), Some(41));
    let told = said(&output);
    assert!(told.contains("try: the secret") && !told.contains("s3cr3t"), "{told}");
    Ok(())
}
