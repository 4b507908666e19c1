use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn limits() -> Limits {
    let place = |url: &str| match url.parse().unwrap() {
        etcdprefix_store::Location::Object(place) => Some(place),
        etcdprefix_store::Location::File(_) => None,
    };
    Limits {
        region: Some("cn-hangzhou".into()),
        account: Some("123".into()),
        from: place("oss://backups/old/"),
        to: place("oss://backups/new/"),
        ..Limits::default()
    }
}

fn actions(executor: Executor, limits: &Limits) -> BTreeSet<String> {
    let granted = policy(executor, limits).unwrap();
    let statements = granted.document["Statement"].as_array().unwrap().clone();
    let actions = statements.iter().flat_map(|one| one["Action"].as_array().unwrap().clone());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The actions that the client names, each with its service.
fn called(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
    let quoted = code.split('"').skip(1).step_by(2);
    let verbs = ["Run", "Stop", "Describe", "Create", "Update", "Get", "Start", "List", "Cancel"];
    let is_action = |word: &&str| {
        let rest = verbs.iter().find_map(|verb| word.strip_prefix(verb));
        rest.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_uppercase())
                && rest.chars().all(|c| c.is_ascii_alphabetic())
        })
    };
    let service = file.trim_end_matches(".rs");
    // Parameters and values that begin as an action does.
    let others = ["StartDate", "RunShellScript"];
    let actions = quoted.filter(is_action).filter(|word| !others.contains(word));
    actions.map(|action| format!("{service}:{action}")).collect()
}

#[test]
fn only_what_our_clients_call_is_allowed() {
    assert_eq!(actions(Executor::Assistant, &limits()), called("ecs.rs"));
    let mut expected = called("oos.rs");
    expected.insert("ram:PassRole".into());
    let with_role = Limits { role: Some("OOSServiceRole".into()), ..limits() };
    assert_eq!(actions(Executor::Oos, &with_role), expected);
    let own: BTreeSet<String> =
        called("oos.rs").into_iter().chain(OOS_ROLE.map(str::to_owned)).collect();
    assert_eq!(actions(Executor::Oos, &limits()), own);
}

/// As the documentation of ACS-CS-DedicatedMigration has them.
#[test]
fn the_role_gets_what_the_template_that_is_replaced_needed() {
    let granted = policy(Executor::OosRole, &limits()).unwrap();
    let expected = OOS_ROLE.map(str::to_owned);
    assert_eq!(actions(Executor::OosRole, &limits()), expected.into());
    let trust = granted.trust.unwrap().to_string();
    assert!(trust.contains(r#""Service":["oos.aliyuncs.com"]"#), "{trust}");
}

/// `RunCommand` of OOS looks at the instance, runs the command and asks for its result; `SelectTargets` looks for
/// instances. An action that is new in the template needs rights of its own here.
#[test]
fn the_template_takes_no_action_that_the_role_may_not() {
    let binary = crate::render::oos::Binary { url: None, sha256: None };
    let template = crate::render::oos::template(&binary).unwrap();
    let words = template.split("ACS::").skip(1);
    let name = |word: &str| {
        word.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').next().map(str::to_owned)
    };
    let found: BTreeSet<String> = words.filter_map(name).collect();
    let actions = ["ECS::RunCommand", "SelectTargets"];
    // A choice asks no service.
    let others = ["AccountId", "Choice", "END", "ExecutionId", "RegionId", "TaskLoopItem"];
    for word in &found {
        assert!(actions.contains(&&**word) || others.contains(&&**word), "{word} is new");
    }
    assert!(actions.iter().all(|action| found.contains(*action)), "{found:?}");
}

#[test]
fn commands_run_on_named_instances_alone() {
    let limits = Limits {
        instances: vec!["i-1".into(), "i-2".into()],
        tag: Some(("role".into(), "master".into())),
        ..limits()
    };
    for executor in [Executor::Assistant, Executor::OosRole] {
        let document = policy(executor, &limits).unwrap().document;
        let first = &document["Statement"][0];
        assert_eq!(
            first["Resource"],
            json!(["acs:ecs:cn-hangzhou:123:instance/i-1", "acs:ecs:cn-hangzhou:123:instance/i-2"])
        );
        assert_eq!(first["Condition"], json!({"StringEquals": {"ecs:tag/role": ["master"]}}));
        for other in &document["Statement"].as_array().unwrap()[1..] {
            let runs = other["Action"].to_string().contains("RunCommand");
            assert!(!runs || !other["Resource"].to_string().contains("instance"), "{other}");
        }
    }
}

#[test]
fn stores_are_written_at_one_place_and_read_at_another() {
    let granted = policy(Executor::Kubernetes, &limits()).unwrap();
    assert_eq!(
        granted.document,
        json!({"Version": "1", "Statement": [
            {"Action": ["oss:PutObject", "oss:AbortMultipartUpload", "oss:GetObject"],
             "Effect": "Allow", "Resource": ["acs:oss:*:*:backups/new/*"]},
            {"Action": ["oss:GetObject"], "Effect": "Allow",
             "Resource": ["acs:oss:*:*:backups/old/*"]},
        ]})
    );
    let host = policy(Executor::Host, &limits()).unwrap();
    let all = "oss:PutObject oss:AbortMultipartUpload oss:GetObject";
    let all: BTreeSet<String> = all.split(' ').map(str::to_owned).collect();
    assert_eq!(actions(Executor::Host, &limits()), all);
    assert!(host.trust.is_none());
}

#[test]
fn what_would_mean_more_is_refused() {
    let refused = |limits: Limits| {
        assert!(matches!(policy(Executor::Assistant, &limits), Err(Error::Usage(_))));
    };
    for odd in ["*", "", "a/b", "${x}", "a:b", "i-?"] {
        refused(Limits { region: Some(odd.into()), ..limits() });
        refused(Limits { instances: vec![odd.into()], ..limits() });
        refused(Limits { role: Some(odd.into()), ..limits() });
        refused(Limits { template: Some(odd.into()), ..limits() });
    }
    refused(Limits { tag: Some(("*".into(), "a".into())), ..limits() });
    for executor in [Executor::Host, Executor::Kubernetes] {
        assert!(matches!(policy(executor, &Limits::default()), Err(Error::Usage(_))));
    }
}
