//! What Kubernetes takes, by its published schema; members that it does not know are errors.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use etcdprefix_testkit::ansible_python;
use serde_json::Value;

/// Definitions of one version.
pub struct Schema(Value);

impl Schema {
    /// As recorded in tests/data.
    pub fn of(version: &str) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let text = std::fs::read_to_string(folder.join(format!("job-{version}.json")))?;
        let recorded: Value = serde_json::from_str(&text)?;
        Ok(Self(recorded["definitions"].clone()))
    }

    /// What is wrong with an object of that kind.
    pub fn faults(&self, object: &Value) -> Vec<String> {
        let kind = object["kind"].as_str().unwrap_or("no kind");
        let mut faults = Vec::new();
        self.judge(object, &self.0[kind], kind, &mut faults);
        if self.0[kind].is_null() {
            faults.push(format!("{kind} is unknown"));
        }
        faults
    }

    fn judge(&self, value: &Value, schema: &Value, at: &str, faults: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let definition = &self.0[name];
            assert!(definition.is_object(), "{name} is not recorded");
            return self.judge(value, definition, at, faults);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = |choice: &&Value| {
                let mut faults = Vec::new();
                self.judge(value, choice, at, &mut faults);
                faults.is_empty()
            };
            if choices.iter().filter(fits).count() != 1 {
                faults.push(format!("{at} is {value}"));
            }
        }
        if !is_type(value, &schema["type"]) {
            faults.push(format!("{at} is no {}: {value}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
            faults.push(format!("{at} is {value}"));
        }
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            self.judge(element, &schema["items"], &format!("{at}[{index}]"), faults);
        }
        self.judge_members(value, schema, at, faults);
    }

    fn judge_members(&self, value: &Value, schema: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(members) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap_or_default()) {
                faults.push(format!("{at} has no {name}"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => faults.push(format!("{at} is unknown")),
                (Value::Null, others) => self.judge(member, others, &at, faults),
                (Value::Object(known), _) if known.is_empty() => {
                    faults.push(format!("{at} is not recorded"));
                }
                (known, _) => self.judge(member, known, &at, faults),
            }
        }
    }
}

fn is_type(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::Array(some) => some.iter().any(|one| is_type(value, one)),
        Value::String(name) => match name.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("the schema has a type {other}"),
        },
        other => panic!("the schema has a type {other}"),
    }
}

/// The documents of a YAML text, as PyYAML reads them.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    use std::io::Write;
    let mut python = Command::new(ansible_python()?);
    let script = "import json, sys, yaml\n\
                  json.dump(list(yaml.safe_load_all(sys.stdin.buffer.read())), sys.stdout)";
    python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    stdin.write_all(yaml.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "PyYAML refuses it");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_judge_finds_what_is_wrong() -> Result<()> {
    let schema = Schema::of("1.29.0")?;
    let object =
        |spec: Value| serde_json::json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec});
    let pod = |container: Value| {
        let spec = serde_json::json!({"template": {"spec": {"containers": [container]}}});
        schema.faults(&object(spec))
    };
    assert_eq!(pod(serde_json::json!({"name": "a"})), [""; 0]);
    for (faults, words) in [
        (pod(serde_json::json!({"image": "a"})), "has no \"name\""),
        (pod(serde_json::json!({"name": "a", "agrs": []})), "agrs is unknown"),
        (pod(serde_json::json!({"name": 3})), "name is no \"string\""),
        (pod(serde_json::json!({"name": "a", "args": [3]})), "args[0] is no"),
        (schema.faults(&object(serde_json::json!({}))), "has no \"template\""),
    ] {
        assert!(faults.len() == 1 && faults[0].contains(words), "{words}: {faults:?}");
    }
    Ok(())
}
