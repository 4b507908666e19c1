//! The point of no return: fences on all hosts, then the bundle's file.

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use etcdprefix_store::Recipients;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::calls::{Step, unexpected};
use super::outage::Ready;
use super::plan::Plan;
use super::results::Outputs;
use super::session::{Session, all};
use super::{HandedOut, RunOptions, Setup};
use crate::bundle::written;
use crate::error::{Error, NodeError, NodeErrorKind, Result};
use crate::journal::{Mark, stage_private, sync_folder};
use crate::protocol::{Bundled, QuietRequest, Request, Response};

const FENCE_LIMIT_SECONDS: u64 = 60;
const QUIET_LIMIT_SECONDS: u64 = 60;
/// Keys of 4,096 bits and a URL, encrypted for some.
const BUNDLE_BYTES_USUAL: usize = 64 << 10;

/// Where the bundle goes, and for whom.
pub struct Bundling<'a> {
    file: PathBuf,
    recipients: Option<&'a Recipients>,
}

impl<'a> Bundling<'a> {
    /// Finds what would fail at the very end.
    pub fn new(setup: &Setup, options: &'a RunOptions) -> Result<Self> {
        let recipients = options.recipients.as_ref();
        if options.bundle_extra && recipients.is_none() {
            let why = "the cluster's CA key goes into the bundle only encrypted; try: --recipient";
            return Err(Error::Usage(why.into()));
        }
        let name = if recipients.is_some() { "bundle.json.age" } else { "bundle.json" };
        let file = options.bundle.clone().unwrap_or_else(|| setup.folder.join(name));
        // The journal has it for whoever comes later, from wherever.
        let file = std::path::absolute(&file).map_err(Error::file("find", &file))?;
        if file.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Error::Usage(format!("{} is there and no file", file.display())));
        }
        let this = Self { file, recipients };
        // Tells of a folder that is full or closed before the outage.
        this.reserve(BUNDLE_BYTES_USUAL)?;
        Ok(this)
    }

    /// Makes sure that the bundle can be written, without writing it: nothing secret is on the disk yet.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Usage`] if it can't be encrypted.
    pub fn stage(&self, bundled: &Bundled) -> Result<Staged<'_>> {
        let bytes = written(&bundled.bundle, bundled.extra.as_ref(), self.recipients)?;
        let reserved = self.reserve(bytes.len())?;
        Ok(Staged { bundling: self, bytes, reserved })
    }

    /// A file of that many zeros on the disk, beside where the bundle is to be; gone when dropped.
    fn reserve(&self, bytes: usize) -> Result<NamedTempFile> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let failed = || Error::file("write in", folder);
        let mut file = stage_private(&self.file).map_err(failed())?;
        file.write_all(&vec![0; bytes]).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        Ok(file)
    }
}

/// A bundle in memory, and room for it on the disk.
pub struct Staged<'a> {
    bundling: &'a Bundling<'a>,
    bytes: Zeroizing<Vec<u8>>,
    reserved: NamedTempFile,
}

impl Staged<'_> {
    /// Gives it its name, mode 0600.
    fn publish(self) -> Result<()> {
        let path = &self.bundling.file;
        let failed = || Error::file("write", path);
        let mut file = self.reserved;
        file.rewind().and_then(|()| file.write_all(&self.bytes)).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        file.persist(path).map_err(|error| failed()(error.error))?;
        sync_folder(path.parent().unwrap_or(Path::new("/")))
    }
}

/// Disarms all timers and forbids to wake, each confirmed.
pub async fn fence(session: &Session<'_>) -> Result<()> {
    session.go_on()?;
    session.note_fencing();
    let make = |_: &_| {
        let request = Request::Fence { owner: session.owner() };
        Step::new("fence", FENCE_LIMIT_SECONDS, request).patient().once_more(session.moment())
    };
    for (host, response) in all(session.on_all(0, make, super::say::done).await)? {
        let Response::Fenced(status) = response else { return Err(unexpected(host.as_ref())) };
        let is_asleep = status.asleep.is_some() && !status.api_server_runs;
        if status.timer.is_some() || status.fence.is_none() || !is_asleep {
            let why = "it does not sleep any more, or its timer is not disarmed";
            let error = NodeError::new(NodeErrorKind::Awake, why);
            return Err(Error::Step { host: host.name().into(), error });
        }
    }
    Ok(())
}

/// The last look, when nothing can wake any more: nobody has written since the snapshot.
pub async fn still_quiet(session: &Session<'_>, plan: &Plan, ready: &Ready) -> Result<()> {
    let (host, snapshot) = (&ready.host, &ready.snapshot);
    let request = Request::Quiet(QuietRequest {
        etcd: plan.etcd(host.name()),
        revision: snapshot.revision,
        quiet_until: snapshot.quiet_until,
    });
    let step = Step::new("quiet", QUIET_LIMIT_SECONDS, request).patient();
    let answer = session.step(host, step.once_more(session.moment()), super::say::done).await?;
    match answer {
        Response::Quiet => Ok(()),
        _ => Err(unexpected(host.as_ref())),
    }
}

/// Writes the bundle. From its first line on nothing is undone.
pub fn hand_out(
    session: &Session<'_>,
    plan: &Plan,
    staged: Staged<'_>,
    ready: Ready,
    outage_seconds: f64,
) -> Result<HandedOut> {
    let bundling = staged.bundling;
    session.mark(Mark::HandingOut)?;
    staged.publish()?;
    let encrypted = bundling.recipients.is_some();
    session.mark(Mark::HandedOut {
        bundle: bundling.file.display().to_string(),
        encrypted,
        url_ends_ms: ready.bundled.ends_ms,
    })?;
    Ok(HandedOut {
        run: session.run().into(),
        bundle_file: bundling.file.clone(),
        encrypted,
        outputs: outputs(plan, &ready, &bundling.file),
        bundle: ready.bundled.bundle,
        snapshot: ready.snapshot,
        snapshot_host: ready.host.name().into(),
        url_ends_ms: ready.bundled.ends_ms,
        outage_seconds,
        phases: session.times(),
        warnings: session.warnings(),
    })
}

fn outputs(plan: &Plan, ready: &Ready, bundle: &Path) -> Outputs {
    let slept = plan.all_slept();
    let sleeping = slept.iter().map(|(host, slept)| {
        format!("{host}: The control plane is sleeping now: {}", slept.moved.join(", "))
    });
    let snapshot = &ready.snapshot;
    let checkout = format!(
        "{}: {} at revision {}, SHA-256 {}",
        ready.host.name(),
        snapshot.object,
        snapshot.revision,
        snapshot.sha256
    );
    Outputs {
        sleep_or_wakeup_control_plane_outputs: sleeping.collect(),
        etcd_checkout_outputs: vec![checkout],
        find_leader_outputs: vec![ready.host.name().into()],
        read_sign_outputs: vec![bundle.display().to_string()],
    }
}
