//! Commands and instances.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_migrate::cloud::{ApiError, MAX_COMMAND_BYTES, MAX_OUTPUT_BYTES, State, Targets};
use etcdprefix_testkit::block_on;
use etcdprefix_testkit::openapi::Fault;
use serde_json::{Value, json};

use super::{Cloud, INSTANCE};

#[test]
fn a_command_runs_and_both_clients_read_the_same() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let id = cloud.start_script("#!/bin/bash\npwd\necho 'a b' >&2\nexit 3\n", 60).await?;
        let ours = cloud.settled(&id).await?;
        assert_eq!((ours.state, ours.exit_code), (State::Failed, Some(3)));
        assert_eq!(String::from_utf8(ours.output.clone())?, "/root\na b\n");
        assert_eq!((ours.dropped_bytes, ours.error_code.as_deref()), (0, Some("ExitCodeNonzero")));

        let theirs = cloud.server.sdk("describe_invocation_results", &json!({"InvokeId": id}))?;
        let theirs = &theirs["ok"]["Invocation"]["InvocationResults"]["InvocationResult"][0];
        assert_eq!(theirs["ExitCode"], 3);
        assert_eq!(theirs["Output"], STANDARD.encode(&ours.output));
        assert_eq!(cloud.run("exit 0", 60).await?.state, State::Success);
        Ok(())
    })
}

#[test]
fn what_the_official_sdk_starts_our_client_reads() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let started = cloud.server.sdk(
            "run_command",
            &json!({
                "Type": "RunShellScript", "CommandContent": "echo \u{9e2d} 'a+b & c=d'", "InstanceId": [INSTANCE],
                "Name": "of the SDK", "Timeout": 60,
            }),
        )?;
        let id = started["ok"]["InvokeId"].as_str().unwrap_or_default();
        let found = cloud.settled(id).await?;
        assert_eq!(String::from_utf8(found.output)?, "\u{9e2d} a+b & c=d\n");
        assert_eq!(cloud.api.invocation("t-none", INSTANCE).await?, None);
        assert_eq!(cloud.api.invocation(id, "i-2").await?, None);
        Ok(())
    })
}

#[test]
fn a_command_over_its_limit_is_ended_with_its_children() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let found = cloud.run("sleep 300 &\necho $!\nsleep 300\n", 10).await?;
        assert_eq!((found.state, found.exit_code), (State::Timeout, None));
        assert_gone(&String::from_utf8(found.output)?).await;
        Ok(())
    })
}

#[test]
fn a_command_is_stopped_with_its_children() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let id = cloud.start_script("sleep 300 &\necho $!\nsleep 300\n", 600).await?;
        let child = loop {
            let found = cloud.api.invocation(&id, INSTANCE).await?;
            let output = found.map(|found| found.output).unwrap_or_default();
            if output.ends_with(b"\n") {
                break String::from_utf8(output)?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        cloud.api.stop_invocation(&id, INSTANCE).await?;
        assert_eq!(cloud.settled(&id).await?.state, State::Stopped);
        assert_gone(&child).await;
        cloud.api.stop_invocation(&id, INSTANCE).await?;
        Ok(())
    })
}

/// Once the kernel has buried it.
async fn assert_gone(process: &str) {
    let path = Path::new("/proc").join(process.trim()).join("cmdline");
    for _ in 0..100 {
        if fs::read(&path).unwrap_or_default().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("process {process} lives");
}

#[test]
fn output_that_is_cut_is_told() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let found = cloud.run("seq -f %09.0f 3000", 60).await?;
        let output = String::from_utf8(found.output)?;
        assert_eq!(output.len(), MAX_OUTPUT_BYTES);
        // The beginning and the end, and no mark between them.
        let begins = (1..=600).map(|line| format!("{line:09}\n")).collect::<String>();
        assert!(output.starts_with(&begins) && output.ends_with("000002999\n000003000\n"));
        assert_eq!(found.dropped_bytes, 30_000 - MAX_OUTPUT_BYTES as u64);
        assert_eq!(found.state, State::Success);
        Ok(())
    })
}

#[test]
fn a_command_whose_end_nobody_tells_counts_as_timed_out_and_goes_on() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let folder = tempfile::TempDir::new()?;
        let file = folder.path().join("done");
        cloud.server.fault_on("i-2", "RunCommand", Fault::Unreported, 1)?;
        assert_eq!(cloud.run("echo told", 60).await?.output, b"told\n");
        cloud.server.fault_on(INSTANCE, "RunCommand", Fault::Unreported, 2)?;
        let script = format!("echo lost; echo lost > {}", file.display());
        let id = cloud.start_script(&script, 10).await?;
        while fs::read(&file).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let meanwhile = cloud.api.invocation(&id, INSTANCE).await?.context("it was started")?;
        assert_eq!((meanwhile.state, meanwhile.output.len()), (State::Running, 0));
        let found = cloud.settled(&id).await?;
        assert_eq!((found.state, found.output.len()), (State::Timeout, 0));

        let id = cloud.start_script("sleep 1", 600).await?;
        while cloud.api.invocation(&id, INSTANCE).await?.map(|it| it.state) != Some(State::Running)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cloud.api.stop_invocation(&id, INSTANCE).await?;
        assert_eq!(cloud.settled(&id).await?.state, State::Stopped);
        Ok(())
    })
}

#[test]
fn a_command_that_is_interrupted_ends_with_its_children() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.fault("RunCommand", Fault::Interrupted(1.0), 1)?;
        let found = cloud.run("sleep 300 &\necho $!\nsleep 300\n", 600).await?;
        let code = found.error_code.as_deref();
        assert_eq!((found.state, code), (State::Error, Some("ExecutionInterrupted")));
        assert_gone(&String::from_utf8(found.output)?).await;
        Ok(())
    })
}

#[test]
fn what_is_handed_over_late_runs_unless_it_was_stopped() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let folder = tempfile::TempDir::new()?;
        let file = folder.path().join("runs");
        let script = |name: &str| format!("echo {name} >> {}", file.display());
        cloud.server.fault("RunCommand", Fault::Pending(2.0), 2)?;
        let stopped = cloud.start_script(&script("stopped"), 60).await?;
        let late = cloud.start_script(&script("late"), 60).await?;
        let found = cloud.api.invocation(&late, INSTANCE).await?.context("it was started")?;
        assert_eq!(found.state, State::Pending);
        cloud.api.stop_invocation(&stopped, INSTANCE).await?;
        assert_eq!(cloud.settled(&stopped).await?.state, State::Stopped);
        assert_eq!(cloud.settled(&late).await?.state, State::Success);
        assert_eq!(fs::read_to_string(&file)?, "late\n");
        Ok(())
    })
}

#[test]
fn targets_of_another_region_are_not_looked_for_here() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let targets = |region: &str| -> Result<Targets> {
            let words = json!({"Type": "ResourceIds", "RegionId": region, "ResourceIds": ["i-1"]});
            Ok(serde_json::from_value(words)?)
        };
        let error = cloud.api.instances(&targets("cn-beijing")?).await.unwrap_err();
        assert!(matches!(&error, ApiError::Usage(_)), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("cn-beijing") && told.contains("cn-hangzhou"), "{told}");
        assert!(cloud.server.calls().is_empty());
        assert_eq!(cloud.api.instances(&targets("cn-hangzhou")?).await?.len(), 1);
        Ok(())
    })
}

#[test]
fn a_command_that_is_too_long_is_not_sent() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        let longest = "#".repeat(MAX_COMMAND_BYTES / 4 * 3);
        assert_eq!(cloud.run(&longest, 60).await?.state, State::Success);
        let error = cloud.start_script(&format!("{longest}#"), 60).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ApiError::Usage(_))), "{error}");
        // The server would have refused it, too.
        let content = STANDARD.encode(format!("{longest}#"));
        let refused = cloud.server.sdk(
            "run_command",
            &json!({
                "Type": "RunShellScript", "CommandContent": content, "ContentEncoding": "Base64",
                "InstanceId": [INSTANCE],
            }),
        )?;
        assert_eq!(refused["error"], "CmdContent.ExceedLimit");
        Ok(())
    })
}

#[test]
fn instances_that_can_run_nothing_are_told_apart() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        for (member, value, code) in [
            ("agent", Value::Bool(false), "ClientNotRunning"),
            ("status", "Stopped".into(), "InstanceNotRunning"),
        ] {
            cloud.server.set(INSTANCE, member, value)?;
            let found = cloud.run("true", 60).await?;
            assert_eq!((found.state, found.error_code.as_deref()), (State::Error, Some(code)));
        }
        let targets = Targets::ResourceIds(vec![INSTANCE.into()]);
        assert_eq!(cloud.api.instances(&targets).await?[0].status, "Stopped");
        Ok(())
    })
}

#[test]
fn instances_are_found_on_all_pages_by_ids_tags_and_group() -> Result<()> {
    block_on(async {
        let cloud = Cloud::start()?;
        cloud.server.page(2)?;
        for number in 2..=5 {
            let id = &format!("i-{number}");
            cloud.server.add_machine(id)?;
            cloud.server.set(id, "group", "rg-1")?;
            cloud.server.set(id, "tags", json!({"role": "master", "no": number.to_string()}))?;
        }
        let ids = async |targets: Targets| -> Result<Vec<String>> {
            let found = cloud.api.instances(&targets).await?;
            Ok(found.into_iter().map(|found| found.id).collect())
        };
        let all = ["i-5", "i-1", "i-3", "i-2", "i-4", "i-1"].map(str::to_owned).to_vec();
        assert_eq!(ids(Targets::ResourceIds(all)).await?, ["i-1", "i-2", "i-3", "i-4", "i-5"]);
        assert_eq!(cloud.server.calls_of("DescribeInstances").len(), 3);
        let masters = ["i-2", "i-3", "i-4", "i-5"];
        assert_eq!(ids(Targets::ResourceGroup("rg-1".into())).await?, masters);
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(ids(Targets::Tags(vec![tag("role", "master")])).await?, masters);
        let one = Targets::Tags(vec![tag("role", "master"), tag("no", "4")]);
        assert_eq!(ids(one).await?, ["i-4"]);
        assert!(ids(Targets::Tags(vec![tag("role", "worker")])).await?.is_empty());
        let missing =
            ids(Targets::ResourceIds(vec!["i-1".into(), "i-9".into()])).await.unwrap_err();
        assert!(missing.to_string().contains("i-9 in cn-hangzhou"), "{missing}");

        let theirs = cloud.server.sdk(
            "describe_instances",
            &json!({"PageNumber": 2, "PageSize": 3, "Tag": [{"Key": "role", "Value": "master"}]}),
        )?;
        assert_eq!(theirs["ok"]["TotalCount"], 4);
        assert_eq!(theirs["ok"]["Instances"]["Instance"][0]["InstanceId"], "i-5");
        Ok(())
    })
}
