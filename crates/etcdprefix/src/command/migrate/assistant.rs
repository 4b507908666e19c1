//! Hosts by Alibaba Cloud Assistant: from flags to a section of the configuration, and from targets to
//! hosts.

use std::path::Path;

use etcdprefix_migrate::Config;
use etcdprefix_migrate::config::{AssistantConfig, Fetched};
use etcdprefix_migrate::host::assistant::targets;

use super::config::wrong;
use crate::args::migrate::assistant::AssistantArgs;
use crate::failure::Failure;

/// The section, if flags or the file say anything of it.
pub fn flagged(
    configured: Option<AssistantConfig>,
    args: &AssistantArgs,
) -> Result<Option<AssistantConfig>, Failure> {
    if configured.is_none() && !is_said(args) {
        return Ok(None);
    }
    let args = args.clone();
    let mut config = configured.unwrap_or_default();
    config.region = args.assistant_region.unwrap_or(config.region);
    config.endpoint = args.assistant_endpoint.or(config.endpoint);
    config.profile = args.assistant_profile.or(config.profile);
    config.credentials = args.assistant_credentials.or(config.credentials);
    config.cacert = args.assistant_cacert.or(config.cacert);
    if let Some(targets) = &args.assistant_targets {
        let parsed = serde_json::from_str(targets);
        let parsed = parsed.map_err(|error| wrong("--assistant-targets", &error.to_string()))?;
        config.targets = Some(parsed);
    }
    for (arch, url) in args.binary_url.iter().map(|given| of_arch(given)) {
        binary(&mut config, arch).url = url.into();
    }
    for (arch, sha256) in args.binary_sha256.iter().map(|given| of_arch(given)) {
        binary(&mut config, arch).sha256 = Some(sha256.to_ascii_lowercase());
    }
    Ok(Some(config))
}

fn is_said(args: &AssistantArgs) -> bool {
    let texts = [
        &args.assistant_region,
        &args.assistant_endpoint,
        &args.assistant_targets,
        &args.assistant_profile,
    ];
    let files = [&args.assistant_credentials, &args.assistant_cacert];
    texts.iter().any(|text| text.is_some())
        || files.iter().any(|file| file.is_some())
        || !args.binary_url.is_empty()
        || !args.binary_sha256.is_empty()
}

fn binary<'a>(config: &'a mut AssistantConfig, arch: &str) -> &'a mut Fetched {
    config.binaries.entry(arch.into()).or_default()
}

/// `ARCH=…`, or for hosts of this machine's kind.
fn of_arch(given: &str) -> (&str, &str) {
    match given.split_once('=') {
        Some((arch @ ("x86_64" | "aarch64"), value)) => (arch, value),
        _ => (std::env::consts::ARCH, given),
    }
}

/// Puts hosts in place of targets; `folder` knows those of a run that is not over.
pub fn resolve(config: &mut Config, folder: &Path) -> Result<(), Failure> {
    if config.assistant.as_ref().is_none_or(|assistant| assistant.targets.is_none()) {
        return Ok(());
    }
    crate::command::wait(async {
        let resolved = targets::resolve(config, folder).await;
        resolved.map_err(|error| Failure::migration(&error))
    })
}
