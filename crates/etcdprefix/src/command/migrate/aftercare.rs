//! `migrate aftercare`: whether the managed side serves, and what is left to do.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use etcdprefix_migrate::Config;
use etcdprefix_migrate::aftercare::{Action, Aftercare, Options, Performed, State};
use etcdprefix_migrate::flow::{Phase, Rehearsal};
use etcdprefix_migrate::journal::{Journal, Story};

use super::config::folder;
use crate::args::Global;
use crate::args::migrate::AftercareArgs;
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::output::migrate::aftercare::{Cared, render};

/// Looks, and does what the API can do if that is asked for.
pub fn run(args: &AftercareArgs, global: Global) -> Result<Answer, Failure> {
    let known = Known::of(args)?;
    if args.yes {
        known.is_handed_out()?;
    }
    let kubeconfig = kubeconfig(args.kubeconfig.as_ref())?;
    let mut failures = Vec::new();
    let cared = crate::command::wait(async {
        care(args, &known, &kubeconfig, global, &mut failures).await
    })?;
    if cared.findings.same_server == Some(false) {
        let message = format!("the API is at {}, not where it was", cared.findings.server);
        failures.push(Failure::new(Exit::NotReady, message, Some("another --kubeconfig".into())));
    }
    Ok(Answer { text: render(&cared, global.write_out), failures })
}

async fn care(
    args: &AftercareArgs,
    known: &Known,
    kubeconfig: &Path,
    global: Global,
    failures: &mut Vec<Failure>,
) -> Result<Cared, Failure> {
    let failed = |error| Failure::migration(&error);
    let aftercare = Aftercare::open(kubeconfig).await.map_err(failed)?;
    if !global.quiet {
        output::diagnose("waiting until the managed API is ready");
    }
    let ready_seconds = aftercare.await_ready(args.wait.0).await.map_err(failed)?;
    let away_seconds = known.away_seconds(now_ms());
    let findings = aftercare.look(&known.options).await.map_err(failed)?;
    let mut performed = Vec::new();
    for action in findings.actions.iter().filter(|action| may_be_done(action, args)) {
        match perform(&aftercare, action, global).await {
            Ok(done) => performed.push(done),
            // The rest may well be done all the same.
            Err(failure) => failures.push(failure),
        }
    }
    Ok(Cared { ready_seconds, away_seconds, findings, performed })
}

/// What must be done before, and can't be seen from here, has to be said.
fn may_be_done(action: &Action, args: &AftercareArgs) -> bool {
    let is_preceded = action.after.is_none() || args.add_ons_installed;
    args.yes && action.state == State::Todo && is_preceded
}

async fn perform(
    aftercare: &Aftercare,
    action: &Action,
    global: Global,
) -> Result<Performed, Failure> {
    if !global.quiet {
        output::diagnose(&action.what);
    }
    aftercare.perform(action).await.map_err(|error| Failure::migration(&error))
}

/// What the orchestrator wrote down before.
#[derive(Default)]
struct Known {
    options: Options,
    story: Option<Story>,
}

impl Known {
    /// Without a configuration nothing but what flags say.
    fn of(args: &AftercareArgs) -> Result<Self, Failure> {
        let which = &args.which;
        let failed = |error| Failure::migration(&error);
        let configured = which.config.as_deref().map(Config::read).transpose().map_err(failed)?;
        let id = configured.map(|config| config.cluster_id.to_string());
        let folder = match which.cluster_id.clone().or(id) {
            Some(id) => Some(folder(which, &id)?),
            None => which.folder.clone(),
        };
        let mut known = Self::default();
        if let Some(folder) = &folder {
            known.story = Journal::look(folder).map_err(failed)?;
            known.options = rehearsed(folder);
        }
        known.options.masters.extend(args.master.clone());
        take(&mut known.options.expected_server, &args.expected_server);
        take(&mut known.options.expected_version, &args.expected_version);
        take(&mut known.options.pod_image, &args.pod_image);
        Ok(known)
    }

    /// Before that, what the API would delete is still in use.
    fn is_handed_out(&self) -> Result<(), Failure> {
        let Some(story) = &self.story else { return Ok(()) };
        if matches!(story.phase, Phase::HandedOut | Phase::Finished) {
            return Ok(());
        }
        let message = format!("run {} has not handed out its bundle: nothing is done", story.run);
        Err(Failure::new(Exit::Usage, message, Some("without --yes, to look".into())))
    }

    /// From the first sleep until now, while the migration is open.
    fn away_seconds(&self, now_ms: u64) -> Option<f64> {
        let story = self.story.as_ref().filter(|story| story.phase == Phase::HandedOut)?;
        Some(now_ms.saturating_sub(story.outage_began_ms?) as f64 / 1000.0)
    }
}

fn take(value: &mut Option<String>, given: &Option<String>) {
    if given.is_some() {
        value.clone_from(given);
    }
}

/// What was seen before the migration, as far as it was.
fn rehearsed(folder: &Path) -> Options {
    let json = std::fs::read(folder.join("rehearsal.json")).unwrap_or_default();
    let Ok(rehearsal) = serde_json::from_slice::<Rehearsal>(&json) else {
        return Options::default();
    };
    let facts = || rehearsal.hosts.iter().map(|(_, look)| &look.facts);
    Options {
        expected_server: facts().find_map(|facts| facts.api_server.clone()),
        expected_version: facts().find_map(|facts| facts.kubernetes_version.clone()),
        masters: facts().map(|facts| facts.hostname.clone()).collect(),
        ..Options::default()
    }
}

/// The variable may name several files, of which the first that is there has the cluster.
pub(super) fn kubeconfig(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let own = || std::env::home_dir().map(|home| home.join(".kube/config"));
    let Some(given) = given.cloned().or_else(own) else {
        let hint = "--kubeconfig FILE".to_owned();
        return Err(Failure::new(Exit::Usage, "there is no kubeconfig", Some(hint)));
    };
    let first = std::env::split_paths(&given).find(|path| path.is_file());
    Ok(first.filter(|_| !given.is_file()).unwrap_or(given))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
