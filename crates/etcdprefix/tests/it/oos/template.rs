use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::provisioned::cloud_python;
use serde_json::{Value, json};

use super::hostile::{HARM, TAINTED};
use crate::support::PROGRAM;

/// Prints what PyYAML, which the engine reads templates with, makes of it.
const PARSE: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";

/// Of a template and what is done with it: the error's code, or `ok`.
const CHECK: &str = "import sys; sys.path.insert(0, sys.argv[1]); import oos_engine\n\
    try: oos_engine.parsed(sys.stdin.read()); print('ok')\n\
    except oos_engine.TemplateError as error: print(error.code, error.message)";

/// Of a template's text and values for its texts, one after the other: those that were taken.
const TAKEN: &str = "import json, sys; sys.path.insert(0, sys.argv[1]); import oos_engine\n\
    text, names, values = json.load(sys.stdin); taken = []\n\
    known = oos_engine.parsed(text)['Parameters']\n\
    for name in names:\n    for value in values:\n        try: oos_engine.check_value(name, known[name], value); taken.append(name)\n        \
    except oos_engine.TemplateError: pass\n\
    print(json.dumps(taken))";

fn python(script: &str, input: &str) -> Result<String> {
    let mut command = Command::new(cloud_python()?);
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../etcdprefix-testkit/tools");
    command.args(["-c", script, tools]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "python fails");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn rendered() -> Result<String> {
    let output = Command::new(PROGRAM).args(["migrate", "render", "oos"]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

fn names<'a>(all: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    all.into_iter().filter_map(|it| it["Name"].as_str()).collect()
}

/// The source's parameters and outputs have their names; every String has a pattern.
#[test]
fn the_template_has_what_the_source_has() -> Result<()> {
    let template: Value = serde_json::from_str(&python(PARSE, &rendered()?)?)?;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&template),
        ["FormatVersion", "Description", "Parameters", "RamRole", "Tasks", "Outputs", "Metadata"]
    );
    assert_eq!(template["FormatVersion"], "OOS-2019-06-01");
    let parameters = template["Parameters"].as_object().unwrap();
    let source = [
        "regionId",
        "workingDir",
        "rateControl",
        "targets",
        "action",
        "OOSAssumeRole",
        "BucketName",
        "OSSEndpoint",
        "ClusterID",
    ];
    assert!(source.iter().all(|name| parameters.contains_key(*name)), "{parameters:?}");
    for (name, parameter) in parameters {
        assert!(parameter["Label"]["en"].is_string() && parameter["Label"]["zh-cn"].is_string());
        let is_text = parameter["Type"] == "String";
        assert_eq!(is_text, parameter["AllowedPattern"].is_string(), "{name}");
    }
    assert_eq!(parameters["action"]["Default"], "rollback");
    let rate = json!({"Mode": "Concurrency", "MaxErrors": 0, "Concurrency": 5});
    assert_eq!(parameters["rateControl"]["Default"], rate);
    assert_eq!(
        keys(&template["Outputs"]),
        [
            "sleepOrWakeupControlPlaneOutputs",
            "etcdCheckoutOutputs",
            "findLeaderOutputs",
            "readSignOutputs"
        ]
    );
    let groups = &template["Metadata"]["ALIYUN::OOS::Interface"]["ParameterGroups"];
    let grouped: Vec<&str> = groups
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    assert!(parameters.keys().all(|name| grouped.contains(&name.as_str())), "{grouped:?}");
    Ok(())
}

#[test]
fn tasks_run_in_their_order_with_the_sources_limits() -> Result<()> {
    let template: Value = serde_json::from_str(&python(PARSE, &rendered()?)?)?;
    let tasks = template["Tasks"].as_array().unwrap();
    assert_eq!(
        names(tasks),
        [
            "getInstance",
            "checkTargets",
            "migrateOrRollback",
            "prepare",
            "sleepOrWakeupControlPlane",
            "findLeader",
            "etcdCheckout",
            "fence",
            "readSign",
            "unpublish",
            "rollback",
            "failed",
            "withdraw",
            "wake"
        ]
    );
    let limit = |name: &str| {
        let task = tasks.iter().find(|task| task["Name"] == name).unwrap();
        task["Properties"]["timeout"].as_u64().unwrap()
    };
    for (name, seconds) in [
        ("sleepOrWakeupControlPlane", 240),
        ("etcdCheckout", 600),
        ("findLeader", 60),
        ("fence", 60),
        ("readSign", 60),
        ("rollback", 240),
    ] {
        assert_eq!(limit(name), seconds, "{name}");
    }
    for task in tasks.iter().filter(|task| task["Action"] == "ACS::ECS::RunCommand") {
        let script = task["Properties"]["commandContent"].as_str().unwrap();
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn()?;
        shell.stdin.take().context("no stdin")?.write_all(script.as_bytes())?;
        assert!(shell.wait()?.success(), "{}", task["Name"]);
        // The service takes 18 KB of Base64 at the least.
        assert!(script.len() < 13 << 10, "{}", task["Name"]);
    }
    Ok(())
}

/// The interpreter is strict: what it took would otherwise tell nothing.
#[test]
fn the_interpreter_refuses_what_is_no_template() -> Result<()> {
    let text = rendered()?;
    assert_eq!(python(CHECK, &text)?, "ok");
    for (from, to, word) in [
        ("RamRole:", "RamRoles:", "unknown member RamRoles"),
        ("Action: 'ACS::SelectTargets'", "Action: 'ACS::Other'", "unknown action"),
        ("Fn::Intersection:", "Fn::Intersect:", "Fn::Intersect is not known"),
        ("{{ getInstance.instanceIds }}", "{{ getInstance.ids }}", "which is nothing"),
        ("OnError: 'unpublish'", "OnError: 'undo'", "which is no task"),
        ("NextTask: 'prepare'", "NextTask: 'undo'", "which is no task"),
        ("AggregateType: 'Fn::ListJoin'", "AggregateType: 'Fn::Sum'", "Fn::Sum is not known"),
        ("Type: 'Json'", "Type: 'Map'", "type that can't be"),
        ("timeout: 600", "timeouts: 600", "unknown member timeouts"),
        ("FormatVersion: OOS-2019-06-01", "FormatVersion: OOS-2018-01-01", "FormatVersion"),
    ] {
        let told = python(CHECK, &text.replacen(from, to, 1))?;
        assert!(told.starts_with("InvalidTemplate") && told.contains(word), "{to}: {told}");
    }
    Ok(())
}

#[test]
fn no_pattern_takes_what_means_harm() -> Result<()> {
    let more = [
        "action",
        "workingDir",
        "managedSideNeverStarted",
        "failedChecks",
        "OOSAssumeRole",
        "regionId",
    ];
    let names: Vec<&str> = TAINTED.into_iter().chain(more).collect();
    let asked = json!([rendered()?, names, HARM]).to_string();
    assert_eq!(python(TAKEN, &asked)?, "[]");
    let good = json!([rendered()?, ["ClusterID"], ["c1", "c0123456789abcdef0123456789abcdef"]]);
    assert_eq!(python(TAKEN, &good.to_string())?, "[\"ClusterID\", \"ClusterID\"]");
    Ok(())
}

/// Held against what the service's documents say of loops, lists and errors, with templates that are
/// written as theirs are.
#[test]
fn the_interpreter_runs_templates_as_the_service_does() -> Result<()> {
    let told: Value = serde_json::from_str(&python(include_str!("engine.py"), "")?)?;
    let chosen = &told["chosen"];
    assert_eq!(chosen["status"], "Success", "{chosen}");
    assert_eq!(chosen["ran"], json!(["getInstance Success", "ask Success", "chosen Success"]));
    assert_eq!(chosen["outputs"], json!({"asked": ["", "", "i-2"], "chosen": [""]}));
    let calls = chosen["calls"].as_array().unwrap();
    assert_eq!(calls[0], "ask who i-1 in cn-hangzhou");
    assert_eq!(calls[3], r#"of ["", "", "i-2"]"#);
    assert_eq!(chosen["counters"], json!({"Total": 3, "Success": 3, "Failed": 0}));
    // A loop over nothing succeeds: why the template has to look for itself.
    assert_eq!(told["nobody"]["status"], "Success");
    assert_eq!(told["nobody"]["outputs"]["chosen"], json!([]));
    let failed = &told["failed"];
    assert_eq!(failed["ran"], json!(["getInstance Success", "ask Failed", "undo Success"]));
    assert_eq!((&failed["status"], &failed["outputs"]["asked"]), (&"Success".into(), &Value::Null));
    let borne = &told["borne"];
    assert_eq!((&borne["most"], &borne["outputs"]["asked"]), (&1.into(), &json!(["i-1", "i-3"])));
    // What comes after one that is not borne is not begun.
    assert_eq!(told["too_many"]["calls"].as_array().unwrap().len(), 3, "{told}");
    assert_eq!(told["refused"], json!(vec!["InvalidParameter"; 5]));
    Ok(())
}
