//! Who is meant by tags or a resource group: found once, before anything begins.

use std::path::Path;

use super::api;
use crate::cloud::{Instance, Targets};
use crate::config::{AssistantConfig, Config, HostConfig};
use crate::error::{Error, Result};
use crate::flow::Phase;
use crate::journal::Journal;

/// Puts instances in place of targets. A run that is under way, or has handed out its bundle, keeps those
/// that it was begun with, whatever tags say by now; `folder` has its journal.
///
/// # Errors
/// [`Error::Cloud`] if the API can't be asked; [`Error::NotReady`] if there are none, or one of them does
/// not run, or runs no Linux.
pub async fn resolve(config: &mut Config, folder: &Path) -> Result<()> {
    let Some((assistant, targets)) = asked_for(config) else { return Ok(()) };
    config.hosts = match of_run(folder)? {
        Some(hosts) => hosts,
        None => usable(api(&assistant)?.instances(&targets).await?)?,
    };
    config.check_names()
}

fn asked_for(config: &Config) -> Option<(AssistantConfig, Targets)> {
    let assistant = config.assistant.as_ref()?;
    Some((assistant.clone(), assistant.targets.clone()?))
}

/// The hosts of a run that is not over.
fn of_run(folder: &Path) -> Result<Option<Vec<HostConfig>>> {
    let story = Journal::look(folder)?;
    let story = story.filter(|story| !matches!(story.phase, Phase::None | Phase::RolledBack));
    let Some(story) = story else { return Ok(None) };
    let hosts = story.hosts.into_iter().map(HostConfig::try_from).collect::<Result<_, _>>();
    hosts.map(Some).map_err(Error::Usage)
}

fn usable(found: Vec<Instance>) -> Result<Vec<HostConfig>> {
    let mut failed: Vec<String> = found.iter().filter_map(odd).collect();
    if found.is_empty() && failed.is_empty() {
        failed.push("the targets match no instance in this region".into());
    }
    if !failed.is_empty() {
        return Err(Error::NotReady { failed });
    }
    Ok(found.into_iter().map(|instance| HostConfig::Instance(instance.id)).collect())
}

/// Every master has to be reached: none is left out silently.
fn odd(instance: &Instance) -> Option<String> {
    let Instance { id, name, status, os_type, .. } = instance;
    if !os_type.eq_ignore_ascii_case("linux") {
        return Some(format!("ecs:{id} ({name}) runs {os_type}"));
    }
    (status != "Running").then(|| format!("ecs:{id} ({name}) is {status}, not Running"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Line, Mark};

    fn instance(id: &str, status: &str, os_type: &str) -> Instance {
        Instance {
            id: id.into(),
            name: format!("name-of-{id}"),
            status: status.into(),
            private_ips: Vec::new(),
            os_type: os_type.into(),
        }
    }

    #[test]
    fn running_ones_are_taken_and_others_named() {
        let found = ["i-1", "i-3"].map(|id| instance(id, "Running", "linux")).to_vec();
        let hosts = usable(found.clone()).unwrap();
        assert_eq!(hosts.iter().map(HostConfig::name).collect::<Vec<_>>(), ["ecs:i-1", "ecs:i-3"]);
        for (other, why) in [
            (instance("i-2", "Stopped", "linux"), "ecs:i-2 (name-of-i-2) is Stopped"),
            (instance("i-2", "Running", "windows"), "ecs:i-2 (name-of-i-2) runs windows"),
        ] {
            let all = found.iter().cloned().chain([other]).collect();
            let error = usable(all).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(usable(Vec::new()).unwrap_err().to_string().contains("match no"));
    }

    #[test]
    fn a_run_that_is_not_over_keeps_its_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(of_run(folder).unwrap(), None);
        let journal = Journal::open(folder).unwrap();
        let begun = Mark::Run {
            cluster: "c1".into(),
            hosts: vec!["ecs:i-1".into(), "ecs:i-2".into()],
            config_digest: String::new(),
            store_digest: String::new(),
            keep: false,
        };
        let hosts = ["i-1", "i-2"].map(|id| HostConfig::Instance(id.into()));
        for (mark, keeps) in [
            (begun.clone(), true),
            (Mark::HandingOut, true),
            (Mark::Finished, true),
            (begun, true),
            (Mark::RolledBack, false),
        ] {
            journal.write(Line::now("r", mark)).unwrap();
            assert_eq!(of_run(folder).unwrap(), keeps.then(|| hosts.to_vec()));
        }
    }
}
