//! The template for Alibaba Cloud's orchestration service (OOS): `oos/template.yaml`, whose marks are
//! filled in with the scripts beside it.
//!
//! ```text
//! @TASK name@    a task that runs a script on an instance
//! @ALL 60@       on all instances at once, and no failure is borne; 60 s each
//! @REACHED 60@   on all that can be reached: what the next tasks need is in the outputs
//! @EACH 60@      on all, as the user's rate control says
//! @LEADER 60@    on the one instance that findLeader named
//! @ONE 60@       on the first instance
//! ```

use crate::error::{Error, Result};

const TEMPLATE: &str = include_str!("oos/template.yaml");

/// What each task runs; those with a head have the program.
const SCRIPTS: [(&str, &str, bool); 12] = [
    ("checkTargets", include_str!("oos/check.sh"), false),
    ("prepare", include_str!("oos/prepare.sh"), true),
    ("sleepOrWakeupControlPlane", include_str!("oos/sleep.sh"), true),
    ("findLeader", include_str!("oos/leader.sh"), true),
    ("etcdCheckout", include_str!("oos/checkout.sh"), true),
    ("fence", include_str!("oos/fence.sh"), true),
    ("readSign", include_str!("oos/sign.sh"), true),
    ("unpublish", include_str!("oos/unpublish.sh"), true),
    ("rollback", include_str!("oos/rollback.sh"), true),
    ("failed", include_str!("oos/failed.sh"), false),
    ("withdraw", include_str!("oos/withdraw.sh"), true),
    ("wake", include_str!("oos/wake.sh"), true),
];

const HEAD: &str = include_str!("oos/head.sh");

/// What scripts have in common.
const PARTS: [(&str, &str); 2] = [
    ("@STORE@\n", include_str!("oos/store.sh")),
    ("@ONE_LEADER@\n", include_str!("oos/one_leader.sh")),
];

/// All hosts at once; the service takes so many.
const STRICT: &str = "
        Mode: 'Concurrency'
        MaxErrors: 0
        Concurrency: 20
";

/// Failures are borne: whoever needs what a host prints finds it missing.
const REACHED: &str = "
        Mode: 'Concurrency'
        MaxErrors: '100%'
        Concurrency: 20
";

/// Where hosts get the program, if the template is to have that as its defaults.
#[derive(Clone, Debug, Default)]
pub struct Binary {
    /// Of the static program.
    pub url: Option<String>,
    /// In hexadecimal.
    pub sha256: Option<String>,
}

/// The template, as YAML.
///
/// # Errors
/// [`Error::Usage`] for defaults that its own patterns would refuse.
pub fn template(binary: &Binary) -> Result<String> {
    let url = binary.url.as_deref().map(url).transpose()?;
    let sha256 = binary.sha256.as_deref().map(sha256).transpose()?;
    let filled = TEMPLATE
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@BINARY_URL@", &default(url))
        .replace("@BINARY_SHA256@", &default(sha256));
    let mut text = String::new();
    let mut task = None;
    for line in filled.lines() {
        match mark(line) {
            Some(("TASK", name)) => {
                task = Some(name);
                text += &format!("  - Name: '{name}'\n    Action: 'ACS::ECS::RunCommand'\n");
            }
            Some((place, limit)) => text += &command(place, task.unwrap_or_default(), limit),
            None => text = text + line + "\n",
        }
    }
    Ok(text)
}

/// `@ALL 60@`, alone on its line.
fn mark(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('@')?.strip_suffix('@')?.split_once(' ')
}

fn default(value: Option<&str>) -> String {
    value.map(|value| format!("    Default: '{value}'\n")).unwrap_or_default()
}

/// As the parameter's pattern has it.
fn url(text: &str) -> Result<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~:/?&=%+,@-".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && text.len() <= 2000 && rest.chars().all(is_plain) => {
            Ok(text)
        }
        _ => Err(Error::Usage(
            "the program's URL is no http or https URL of plain characters; try: one that every \
             host reaches without a login"
                .into(),
        )),
    }
}

fn sha256(text: &str) -> Result<&str> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match text.len() == 64 && text.chars().all(is_hex) {
        true => Ok(text),
        false => Err(Error::Usage(format!(
            "{text:?} is no SHA-256: 64 digits and letters a to f; try: sha256sum"
        ))),
    }
}

/// The rest of a task: what it runs, where, and how its outputs come together.
fn command(place: &str, task: &str, limit_seconds: &str) -> String {
    let instance = match place {
        "ONE" => "{{ getInstance.firstInstanceId }}",
        _ => "{{ ACS::TaskLoopItem }}",
    };
    let script = indented(&script(task));
    let properties = format!(
        "    Properties:
      regionId: '{{{{ regionId }}}}'
      commandContent: |-
{script}      instanceId: '{instance}'
      commandType: 'RunShellScript'
      workingDir: '{{{{ workingDir }}}}'
      timeout: {limit_seconds}
"
    );
    let output = "    Outputs:
      commandOutput:
        ValueSelector: 'invocationOutput'
        Type: 'String'
";
    properties + &looped(place) + output
}

fn looped(place: &str) -> String {
    let all = " '{{ getInstance.instanceIds }}'\n";
    let leader = "
        Fn::Intersection:
          - '{{ getInstance.instanceIds }}'
          - '{{ findLeader.commandOutputs }}'
";
    let (items, rate) = match place {
        "ONE" => return String::new(),
        "LEADER" => (leader, STRICT),
        "REACHED" => (all, REACHED),
        "EACH" => (all, " '{{ rateControl }}'\n"),
        _ => (all, STRICT),
    };
    format!(
        "    Loop:
      Items:{items}      RateControl:{rate}      Outputs:
        commandOutputs:
          AggregateType: 'Fn::ListJoin'
          AggregateField: 'commandOutput'
"
    )
}

fn script(task: &str) -> String {
    let found = SCRIPTS.iter().find(|(name, ..)| *name == task);
    let Some((_, own, has_head)) = found else { return String::new() };
    let mut text = if *has_head { HEAD.to_owned() + own } else { (*own).to_owned() };
    for (mark, part) in PARTS {
        text = text.replace(mark, part);
    }
    text
}

fn indented(script: &str) -> String {
    script.lines().map(|line| format!("        {line}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(url: &str, sha256: &str) -> Binary {
        Binary { url: Some(url.into()), sha256: Some(sha256.into()) }
    }

    #[test]
    fn every_mark_is_filled_in() {
        let hash = "ab".repeat(32);
        let text = template(&binary("https://b.example/etcdprefix?a=1&b=2", &hash)).unwrap();
        assert!(!text.lines().any(|line| line.trim_start().starts_with('@')), "{text}");
        for (task, ..) in SCRIPTS {
            assert_eq!(text.matches(&format!("- Name: '{task}'\n")).count(), 1, "{task}");
        }
        assert!(text.contains(&format!("    Default: '{hash}'\n    AllowedPattern")), "{text}");
        assert!(!template(&Binary::default()).unwrap().contains("Default: 'https"));
        // The service takes 64 KB.
        assert!(text.len() < 50_000, "{}", text.len());
    }

    #[test]
    fn scripts_trace_nothing_and_hold_no_bare_value() {
        for (task, ..) in SCRIPTS {
            let text = script(task);
            assert!(!text.contains("set -x") && !text.contains("/tmp/"), "{task}");
            for (at, line) in text.lines().enumerate().filter(|(_, line)| line.contains("{{")) {
                let before = text.lines().nth(at - 1).unwrap_or_default();
                assert!(before.contains("<<'END_OF_VALUE'"), "{task}: {line}");
            }
        }
    }

    #[test]
    fn defaults_are_what_the_patterns_take() {
        let hash = "ab".repeat(32);
        for (url, sha256) in [
            ("ftp://b/x", hash.as_str()),
            ("https://b/x'; id", hash.as_str()),
            ("https://", hash.as_str()),
            ("https://b/x", "AB"),
        ] {
            assert!(matches!(template(&binary(url, sha256)), Err(Error::Usage(_))), "{url}");
        }
    }
}
