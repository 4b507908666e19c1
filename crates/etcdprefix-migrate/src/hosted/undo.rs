//! Everything as it was, but nothing over what somebody else changed meanwhile.
//!
//! What is there decides, not whether the annotation is: somebody may have lost it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::asleep::PAUSED;
use super::objects::{Objects, meta, replicas};
use super::record::{ANNOTATION, Record, Writer};
use super::{Setup, publish};
use crate::error::{Error, Result};
use crate::kubernetes::Patched;
use crate::protocol::StoreAccess;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How often what others change at the same time is tried again at once.
const TRIES: u32 = 10;
/// What makes a late request for an older resource version void; it is gone again at once.
const FENCE: &str = "etcdprefix.github.io/fence";

/// What was put back, and what could not be.
#[derive(Default)]
pub struct Undone {
    /// For people.
    pub changed: Vec<String>,
    /// Somebody else's values, which are left, and what could not be removed from the store.
    pub left: Vec<String>,
    /// Whether the object is gone; `None` if there was none to remove.
    pub object_deleted: Option<bool>,
}

/// How it is put back.
#[derive(Clone, Copy, Default)]
pub struct Back<'a> {
    /// What somebody changed is left, and told as no fault.
    pub accept_changed: bool,
    /// A request may still be on its way whose answer was lost: it must come to nothing.
    pub may_be_late: bool,
    /// The object of a run that came to nothing. It goes once the writers run, and before the annotation.
    pub object: Option<&'a StoreAccess>,
}

/// Puts back what the record says: writers first, then the pause, the object, the annotation. Tried until the
/// limit if the API doesn't answer.
///
/// # Errors
/// [`Error::NotPutBack`].
pub async fn put_back(setup: &Setup, record: &Record, back: Back<'_>) -> Result<Undone> {
    let start = Instant::now();
    loop {
        let mut attempt = Attempt { setup, record, back, undone: Undone::default() };
        let tried = attempt.all().await;
        let undone = attempt.undone;
        let error = match tried {
            Ok(()) if undone.left.is_empty() || back.accept_changed => return Ok(undone),
            Ok(()) => return Err(Error::NotPutBack { why: None, left: undone.left.join("; ") }),
            Err(error) => error,
        };
        if start.elapsed() >= setup.put_back_limit {
            return Err(Error::NotPutBack { why: None, left: error.to_string() });
        }
        setup.say(&format!("not put back yet: {error}"));
        sleep(PAUSE).await;
    }
}

struct Attempt<'a> {
    setup: &'a Setup,
    record: &'a Record,
    back: Back<'a>,
    undone: Undone,
}

impl Attempt<'_> {
    async fn all(&mut self) -> Result<()> {
        // An API server that was just started may know no HostedClusters for a moment.
        let objects = Objects::open(self.setup).await?;
        if self.is_there(&objects).await? {
            for writer in &self.record.writers {
                self.wake(&objects, writer).await?;
            }
            self.lift(&objects, self.back.object.is_none()).await?;
        }
        let Some(object) = self.back.object else { return Ok(()) };
        let removed = publish::unpublish(self.setup, object).await;
        self.undone.object_deleted = Some(removed.is_ok());
        if let Err(error) = removed {
            self.left(format!("{} may still be in the store: {error}", object.url));
        }
        match self.is_there(&objects).await? {
            true => self.lift(&objects, true).await,
            false => Ok(()),
        }
    }

    fn left(&mut self, what: String) {
        if !self.undone.left.contains(&what) {
            self.undone.left.push(what);
        }
    }

    /// Whether it is still the one that was changed, and no other run's.
    async fn is_there(&mut self, objects: &Objects<'_>) -> Result<bool> {
        let found = objects.find_hosted().await?;
        let Some(hosted) = found.filter(|hosted| meta(hosted, "uid") == self.record.uid) else {
            self.left(gone(self.record));
            return Ok(false);
        };
        match Record::of(&hosted)? {
            Some(other) if other.run != self.record.run => {
                self.left(format!("run {} of {} has it now", other.run, other.by));
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    async fn wake(&mut self, objects: &Objects<'_>, writer: &Writer) -> Result<()> {
        let Writer { name, replicas: before, .. } = writer;
        for _ in 0..TRIES {
            let Some(found) = objects.deployment(name).await? else {
                self.left(format!("the deployment {name} is gone"));
                return Ok(());
            };
            let now = replicas(&found);
            if now == *before && (!self.back.may_be_late || *before == 0) {
                return Ok(());
            }
            if now == *before {
                match fence(objects, &found).await? {
                    true => return Ok(()),
                    false => continue,
                }
            }
            if now != 0 || meta(&found, "uid") != writer.uid {
                self.left(format!("{name} has {now} replicas, not {before}: somebody changed it"));
                return Ok(());
            }
            let version = meta(&found, "resourceVersion");
            if let Patched::Done(_) = objects.scale(name, version, *before).await? {
                self.undone.changed.push(format!("{name} has {before} replicas again"));
                return Ok(());
            }
        }
        Err(busy(name))
    }

    /// The annotation stays as long as anything is left: it says what was.
    async fn lift(&mut self, objects: &Objects<'_>, closes: bool) -> Result<()> {
        for _ in 0..TRIES {
            let hosted = objects.hosted().await?;
            let now = hosted["spec"]["pausedUntil"].as_str();
            let before = self.record.paused_until.as_deref();
            let is_known = now == Some(PAUSED) || now == before;
            if !is_known {
                let (now, before) = (now.unwrap_or("absent"), before.unwrap_or("absent"));
                self.left(format!("spec.pausedUntil is {now}, not {before}: somebody changed it"));
            }
            let has_mark = hosted["metadata"]["annotations"][ANNOTATION].is_string();
            if self.back.may_be_late && !has_mark && now == before {
                // A pause that is on its way comes with the annotation.
                let mark = change(&hosted, json!({ANNOTATION: self.record.annotation()}));
                let _ = objects.patch_hosted(&mark).await?;
                self.back.may_be_late = false;
                continue;
            }
            let may_close = closes && (self.undone.left.is_empty() || self.back.accept_changed);
            let marks = if may_close && has_mark { json!({ANNOTATION: null}) } else { json!({}) };
            let mut change = change(&hosted, marks);
            if is_known {
                change["spec"] = json!({"pausedUntil": before});
            }
            if let Patched::Done(_) = objects.patch_hosted(&change).await? {
                if is_known && now != before {
                    let what = format!("spec.pausedUntil is {} again", before.unwrap_or("absent"));
                    self.undone.changed.push(what);
                }
                return Ok(());
            }
        }
        Err(busy("the HostedCluster"))
    }
}

/// Whether it is another version now than any that a request on its way was made for.
async fn fence(objects: &Objects<'_>, deployment: &Value) -> Result<bool> {
    let name = meta(deployment, "name");
    let set = change(deployment, json!({FENCE: "set"}));
    let Patched::Done(_) = objects.patch_deployment(name, &set).await? else { return Ok(false) };
    let unset = json!({"metadata": {"annotations": {FENCE: null}}});
    objects.patch_deployment(name, &unset).await?;
    // It was set on the version that was looked at, so nothing had come before it.
    Ok(true)
}

fn change(object: &Value, annotations: Value) -> Value {
    let version = meta(object, "resourceVersion");
    json!({"metadata": {"resourceVersion": version, "annotations": annotations}})
}

fn busy(what: &str) -> Error {
    Error::Kubernetes(format!("others change {what} all the time"))
}

/// What a run was of is not there.
pub fn gone(record: &Record) -> String {
    let Record { run, server, uid, .. } = record;
    format!(
        "the HostedCluster of run {run} (uid {uid}, by {server}) is not there: this is another \
         management cluster, or it was deleted; try: the kubeconfig of that one, or \
         `etcdprefix migrate hosted rollback --accept-changed` if it was deleted"
    )
}
