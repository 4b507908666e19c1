//! How Alibaba Cloud Assistant is called.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cloud::Targets;
use crate::error::{Error, Result};

/// The API, and where hosts get the binary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssistantConfig {
    /// Of the instances.
    pub region: String,
    /// Host or URL of the ECS API; by default the region's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Who is meant, as OOS has it, in place of `hosts`.
    #[serde(default)]
    pub targets: Option<Targets>,
    /// By `x86_64` and `aarch64`.
    #[serde(default)]
    pub binaries: BTreeMap<String, Fetched>,
    /// A profile of the vendor's file here, for the API.
    #[serde(default)]
    pub profile: Option<String>,
    /// A folder here with credentials for the API.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// Authorities for the API's TLS, here.
    #[serde(default)]
    pub cacert: Option<PathBuf>,
}

/// A binary that hosts fetch themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// Without query or user: it stands in commands, which are no secrets.
    pub url: String,
    /// By default that of the program that runs, for hosts of its kind.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl AssistantConfig {
    /// What no single value shows.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(Error::Usage(why));
        if self.region.is_empty() {
            return wrong("assistant.region is empty; try: --assistant-region".into());
        }
        if self.binaries.is_empty() {
            let why = "no URL for the hosts to fetch the binary from; try: --binary-url";
            return wrong(why.into());
        }
        for (arch, fetched) in &self.binaries {
            if !["x86_64", "aarch64"].contains(&arch.as_str()) {
                return wrong(format!(
                    "assistant.binaries: {arch:?} is neither x86_64 nor aarch64"
                ));
            }
            fetched.check(arch)?;
        }
        Ok(())
    }
}

impl AssistantConfig {
    /// What the migration is: the region, and which binary. Hosts that targets led to are in the configuration.
    #[must_use]
    pub fn without_ways(&self) -> Self {
        let region = self.region.clone();
        let binaries = self.binaries.iter().map(|(arch, fetched)| {
            (arch.clone(), Fetched { url: String::new(), sha256: fetched.sha256.clone() })
        });
        Self { region, binaries: binaries.collect(), ..Self::default() }
    }
}

impl Fetched {
    fn check(&self, arch: &str) -> Result<()> {
        let wrong = |why: &str| Err(Error::Usage(format!("the binary for {arch}: {why}")));
        let is_plain = |c: char| c.is_ascii_graphic() && !['"', '<', '>', '\\', '`'].contains(&c);
        let rest = ["https://", "http://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        match rest {
            None => return wrong("its URL begins with neither https:// nor http://"),
            Some(rest) if rest.is_empty() || !rest.chars().all(is_plain) => {
                return wrong("its URL is none");
            }
            Some(rest) if rest.contains(['?', '@', '#']) => {
                return wrong(
                    "its URL has a query or a user, and commands can be read by others; try: a URL \
                     that needs no signature",
                );
            }
            Some(_) => {}
        }
        let is_hex = |sum: &String| {
            sum.len() == 64 && sum.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        };
        match self.sha256.as_ref().is_none_or(is_hex) {
            true => Ok(()),
            false => wrong("its sha256 is not 64 digits of lower-case hexadecimal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, HostConfig};

    fn given(hosts: &str, assistant: &str) -> Result<Config, String> {
        let text = format!("cluster_id: c1\n{hosts}\nstore: {{url: oss://b}}\n{assistant}\n");
        Config::parse(&text).map_err(|error| error.to_string())
    }

    /// Whoever goes on may have to go another way.
    #[test]
    fn the_way_to_the_api_is_no_part_of_what_is_migrated() {
        let section = |more: &str| {
            let section = format!("assistant: {{region: r, {BINARIES}{more}}}");
            given("hosts: ['ecs:i-1']", &section).unwrap().assistant.unwrap()
        };
        let plain = section("").without_ways();
        for way in ["profile: p", "credentials: /c", "cacert: /a.pem", "endpoint: e"] {
            assert_eq!(section(&format!(", {way}")).without_ways(), plain, "{way}");
        }
        let mut other = section("");
        other.binaries.get_mut("x86_64").unwrap().url = "https://other/etcdprefix".into();
        assert_eq!(other.without_ways(), plain);
        other.binaries.get_mut("x86_64").unwrap().sha256 = Some("ab".repeat(32));
        assert_ne!(other.without_ways(), plain);
        other = section("");
        other.region = "another".into();
        assert_ne!(other.without_ways(), plain);
    }

    const BINARIES: &str = "binaries: {x86_64: {url: 'https://h/etcdprefix'}}";

    #[test]
    fn instances_are_named_by_id_or_by_targets() {
        let section = format!("assistant: {{region: cn-hangzhou, {BINARIES}}}");
        let config = given("hosts: ['ecs:i-bp1abc', 'ecs:i-2']", &section).unwrap();
        assert_eq!(config.hosts[0], HostConfig::Instance("i-bp1abc".into()));
        assert_eq!(config.hosts[0].name(), "ecs:i-bp1abc");
        let targets = "targets: {Type: Tags, Tags: [{Key: role, Value: master}]}";
        let section = format!("assistant: {{region: cn-hangzhou, {targets}, {BINARIES}}}");
        assert!(given("", &section).unwrap().hosts.is_empty());
        let why = given("hosts: [m1]", &section).unwrap_err();
        assert!(why.contains("hosts and assistant.targets"), "{why}");
    }

    /// What the page shows is taken, but for the hash that nobody can know.
    #[test]
    fn the_page_shows_what_is_understood() {
        let page = include_str!("../../../../docs/cloud-assistant.md");
        let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let blocks: Vec<String> =
            blocks.map(|block| block.replace("5f1a…", &"5f".repeat(32))).collect();
        let [whole, targets] = blocks.as_slice() else { panic!("{blocks:?}") };
        let config = Config::parse(whole).unwrap();
        assert_eq!((config.hosts.len(), config.has_instances()), (3, true));
        for line in targets.lines().filter(|line| line.contains("targets: ")) {
            let line = line.replacen("# ", "", 1);
            let text = whole.replace("assistant:\n", &format!("assistant:\n{line}\n"));
            let text: String = text
                .lines()
                .filter(|line| !line.starts_with("hosts:"))
                .map(|it| format!("{it}\n"))
                .collect();
            assert!(Config::parse(&text).unwrap().assistant.unwrap().targets.is_some(), "{line}");
        }
    }

    #[test]
    fn what_is_missing_or_could_leak_is_refused() {
        let ecs = "hosts: ['ecs:i-1']";
        let url =
            |url: &str| format!("assistant: {{region: r, binaries: {{x86_64: {{url: '{url}'}}}}}}");
        for (hosts, section, why) in [
            (ecs, String::new(), "no section `assistant`"),
            (ecs, format!("assistant: {{region: '', {BINARIES}}}"), "region is empty"),
            (ecs, "assistant: {region: r}".into(), "no URL"),
            (ecs, "assistant: {region: r, binaries: {mips: {url: 'http://h/'}}}".into(), "mips"),
            (ecs, url("oss://b/etcdprefix"), "neither https"),
            (ecs, url("https://h/e?Signature=s3cr3t"), "a query or a user"),
            (ecs, url("https://u:s3cr3t@h/e"), "a query or a user"),
            (ecs, url("https://h/e f"), "is none"),
            (
                ecs,
                format!("{}  # ", url("https://h/e")).replace("}}}", ", sha256: ab}}}"),
                "64 digits",
            ),
            ("hosts: ['ecs:']", url("https://h/e"), "is no instance"),
            ("hosts: ['ecs:i-1;reboot']", url("https://h/e"), "is no instance"),
            ("hosts: ['ecs:-i']", url("https://h/e"), "is no instance"),
        ] {
            let error = given(hosts, &section).unwrap_err();
            assert!(error.contains(why) && !error.contains("s3cr3t"), "{section}: {error}");
        }
    }
}
