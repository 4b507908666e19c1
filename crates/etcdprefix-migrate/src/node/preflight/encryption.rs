//! Encryption at rest: which values can be read after the move, and with what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::apiserver::ApiServer;
use super::topic::Topic;
use super::version::Version;
use super::{Check, Standing};

const TOPIC: Topic = Topic::new(
    "encryption",
    "values that were sealed together with their key in etcd can't be read under another prefix, \
     and one such value keeps the API server from being ready",
);

/// Written anew, all values are in the form of the first provider.
const REWRITE: &str = "write all values anew before the migration (for secrets: kubectl get secrets \
                       -A -o json | kubectl replace -f -)";

#[derive(Deserialize)]
struct Configuration {
    resources: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    resources: Vec<String>,
    providers: Vec<BTreeMap<String, Option<Value>>>,
}

/// The EncryptionConfiguration, if there is one; the second flag is that of 1.12 and older.
pub(super) fn file(server: &ApiServer<'_>) -> Option<PathBuf> {
    let flags = ["encryption-provider-config", "experimental-encryption-provider-config"];
    let inside = flags.into_iter().find_map(|flag| server.flag(flag))?;
    Some(server.host_path(inside))
}

pub(super) fn check(server: &ApiServer<'_>, version: Option<Version>) -> Check {
    let Some(file) = file(server) else { return TOPIC.ok("nothing is encrypted") };
    match read(&file) {
        Ok(configuration) => judge(&configuration, version),
        Err(why) => TOPIC.fail(
            format!("{}: {why}", file.display()),
            "the EncryptionConfiguration that --encryption-provider-config names, on this host",
        ),
    }
}

/// What was read is not repeated: it holds keys.
fn read(file: &Path) -> Result<Configuration, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
    let read = serde_json::from_str(&text).ok().or_else(|| serde_saphyr::from_str(&text).ok());
    read.ok_or_else(|| "it is no EncryptionConfiguration".to_owned())
}

fn judge(configuration: &Configuration, version: Option<Version>) -> Check {
    let rules = &configuration.resources;
    let found: Vec<String> = rules.iter().map(told).collect();
    let verdicts = rules.iter().map(|rule| verdict(rule, version));
    let (standing, advice) = verdicts
        .max_by_key(|(standing, _)| *standing as u8)
        .unwrap_or((Standing::Ok, String::new()));
    TOPIC.check(standing, found.join("; "), advice)
}

fn told(rule: &Rule) -> String {
    let providers: Vec<&str> =
        rule.providers.iter().flat_map(|one| one.keys()).map(String::as_str).collect();
    format!("{}: {}", rule.resources.join(", "), providers.join(", then "))
}

fn verdict(rule: &Rule, version: Option<Version>) -> (Standing, String) {
    let mut providers = rule.providers.iter().flatten();
    let Some((writer, options)) = providers.next() else { return (Standing::Ok, String::new()) };
    let readers: Vec<&str> = providers.map(|(name, _)| name.as_str()).collect();
    let resources = rule.resources.join(", ");
    match writer.as_str() {
        "aesgcm" => (Standing::Fail, unseal(&resources, "aesgcm")),
        "kms" => kms(&resources, options.as_ref(), version),
        "aescbc" | "secretbox" => (
            Standing::Ask,
            format!(
                "does the managed side get the same EncryptionConfiguration (--bundle-extra)? If \
                 not, put identity first in it, restart the API servers, and {REWRITE}"
            ),
        ),
        "identity" if readers.is_empty() => (Standing::Ok, String::new()),
        "identity" => (
            Standing::Warn,
            format!(
                "old values of {resources} may still be sealed by {}: {REWRITE}",
                readers.join(" or ")
            ),
        ),
        other => (Standing::Ask, format!("does {other} seal values together with their keys?")),
    }
}

fn unseal(resources: &str, provider: &str) -> String {
    format!(
        "put identity, aescbc or secretbox before {provider} in the EncryptionConfiguration, \
         restart the API servers, and {REWRITE}; this is about {resources}"
    )
}

/// From 1.25 on, and always in version 2, the value is sealed by AES-GCM with its key.
fn kms(resources: &str, options: Option<&Value>, version: Option<Version>) -> (Standing, String) {
    let is_v2 = options.is_some_and(|options| options["apiVersion"] == "v2");
    if is_v2 || version.is_some_and(Version::seals_kms_with_key) {
        return (Standing::Fail, unseal(resources, "kms"));
    }
    let advice = "does the managed side have the same KMS plugin and key, and were all values \
                  written before Kubernetes 1.25? Only then can they be read there, and the rewrite \
                  has to be told so (allow_undecryptable)";
    (Standing::Ask, advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(providers: &str, version: &str) -> Check {
        let text = format!(
            "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers: [{providers}]\n"
        );
        judge(&serde_saphyr::from_str(&text).unwrap(), Version::parse(version))
    }

    #[test]
    fn the_writer_decides_and_readers_matter() {
        let keys = "keys: [{name: a, secret: s3cr3t}]";
        for (providers, version, standing) in [
            ("identity: {}", "v1.20.2", Standing::Ok),
            ("identity: ", "v1.20.2", Standing::Ok),
            (&format!("{{identity: {{}}}}, {{aescbc: {{{keys}}}}}"), "v1.20.2", Standing::Warn),
            (&format!("{{aescbc: {{{keys}}}}}, {{identity: {{}}}}"), "v1.20.2", Standing::Ask),
            (&format!("{{secretbox: {{{keys}}}}}"), "v1.20.2", Standing::Ask),
            (&format!("{{aesgcm: {{{keys}}}}}, {{identity: {{}}}}"), "v1.20.2", Standing::Fail),
            ("kms: {name: k}", "v1.24.0", Standing::Ask),
            ("kms: {name: k}", "v1.25.0", Standing::Fail),
            ("kms: {name: k, apiVersion: v2}", "v1.24.0", Standing::Fail),
            ("novelty: {}", "v1.24.0", Standing::Ask),
        ] {
            let providers = if providers.starts_with('{') {
                providers.to_owned()
            } else {
                format!("{{{providers}}}")
            };
            let check = judged(&providers, version);
            assert_eq!(check.standing, standing, "{providers} {version}: {check:?}");
            assert_eq!(check.advice.is_empty(), standing == Standing::Ok, "{check:?}");
            assert!(!format!("{check:?}").contains("s3cr3t"), "{check:?}");
            assert!(check.found.starts_with("secrets: "), "{check:?}");
        }
    }

    #[test]
    fn the_worst_rule_counts() {
        let text = "resources: [{resources: [a], providers: [{aesgcm: {}}]}, \
                    {resources: [b], providers: [{identity: {}}]}]";
        let check = judge(&serde_saphyr::from_str(text).unwrap(), None);
        assert_eq!(
            (check.standing, check.found.as_str()),
            (Standing::Fail, "a: aesgcm; b: identity")
        );
    }
}
