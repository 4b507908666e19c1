//! The whole flow.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::format::trailer::{Sha256Digest, TRAILER_BYTES, Trailer};
use crate::options::{ChangePrefix, Target};
use crate::outcome::{InputTrailer, Outcome, PhaseTime, Verification};
use crate::progress::{Interrupt, Phase, Progress, step};
use crate::read::Snapshot;
use crate::refuse;
use crate::rewrite::PrefixRule;
use crate::rewrite::rule::{is_reshaped, normalise};
use crate::save::emit::{Emitted, emit};
use crate::save::plan::{Plan, plan};
use crate::save::publish::Staged;
use crate::save::render::Source;
use crate::verify;

/// Changes the key prefix of every record of a snapshot and publishes the result.
///
/// Everything that speaks against the change is found before anything is written, except a wrong
/// trailer, which is computed meanwhile. The result is written beside the target, read back and
/// proved, brought to the disk and then renamed.
///
/// Memory: under 256 MiB whatever the file's size; the source is mapped unless asked otherwise.
/// Time: that of one SHA-256 pass over source and output each, which run side by side.
///
/// # Errors
/// Every variant of [`Error`]. Whatever the error, the target is as it was.
pub fn change_prefix(options: &ChangePrefix, progress: &dyn Progress) -> Result<Outcome> {
    let rule = PrefixRule::new(&options.src_prefix, &options.dest_prefix, options.unmatched)?;
    let run = Run::open(options, &rule, progress)?;
    run.go().map_err(|error| run.explain(error))
}

struct Run<'a> {
    options: &'a ChangePrefix,
    rule: &'a PrefixRule,
    progress: &'a dyn Progress,
    snapshot: Snapshot,
    metadata: Metadata,
    /// The file to publish, links resolved.
    target: PathBuf,
}

impl<'a> Run<'a> {
    fn open(
        options: &'a ChangePrefix,
        rule: &'a PrefixRule,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let snapshot = Snapshot::open(&options.db, options.read_mode)?;
        let metadata = options.db.metadata().map_err(Error::io("inspect", &options.db))?;
        let target = match &options.target {
            Target::File(path) => path.clone(),
            _ => options.db.canonicalize().map_err(Error::io("resolve", &options.db))?,
        };
        if matches!(options.target, Target::File(_)) && target.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: target });
        }
        if snapshot.trailer() == Trailer::Missing && !options.skip_hash_check {
            return Err(Error::TrailerMissing { path: options.db.clone() });
        }
        Ok(Self { options, rule, progress, snapshot, metadata, target })
    }

    fn go(&self) -> Result<Outcome> {
        let mut clock = Clock::default();
        let plan = clock.time(Phase::Plan, || self.plan())?;
        refuse::check(&self.snapshot, &plan, self.rule, self.options)?;
        if self.options.dry_run { self.report(plan, clock) } else { self.write(plan, clock) }
    }

    /// Damage and differences in a file that somebody is writing to are no damage.
    fn explain(&self, error: Error) -> Error {
        let doubtful = matches!(
            error,
            Error::Damaged { .. } | Error::TrailerMismatch { .. } | Error::Unproven { .. }
        );
        match self.snapshot.unchanged() {
            Err(changed) if doubtful => changed,
            _ => error,
        }
    }

    fn plan(&self) -> Result<Plan> {
        self.progress.begin(Phase::Plan, self.snapshot.pages_bytes());
        plan(&self.snapshot, self.rule, self.options, self.progress)
    }

    /// Ends a dry run.
    fn report(&self, plan: Plan, mut clock: Clock) -> Result<Outcome> {
        self.progress.begin(Phase::Read, self.snapshot.pages_bytes());
        let input_trailer = clock.time(Phase::Read, || {
            let digest = self.snapshot.sha256(|bytes| step(self.progress, bytes))?;
            self.judge_trailer(digest)
        })?;
        let quiet = Interrupt(self.progress);
        let before = verify::status_hash(&self.snapshot, self.options.threads, &quiet)?;
        self.snapshot.unchanged()?;
        let emitted = Ended { before, after: None, sha256: None };
        Ok(self.outcome(plan, clock, input_trailer, Verification::Skipped, emitted))
    }

    fn write(&self, plan: Plan, mut clock: Clock) -> Result<Outcome> {
        let bytes_out = output_bytes(&self.snapshot, &plan);
        let replace = !matches!(self.options.target, Target::File(_));
        let staged = Staged::create(&self.target, bytes_out, replace)?;
        self.progress.begin(Phase::Write, bytes_out);
        let (emitted, input_trailer) = clock.time(Phase::Write, || self.emit(&plan, &staged))?;
        let verification = if self.options.verify {
            clock.time(Phase::Verify, || self.verify(&staged, &emitted))?
        } else {
            Verification::Skipped
        };
        if self.options.sync {
            self.progress.begin(Phase::Sync, 0);
            clock.time(Phase::Sync, || staged.sync())?;
        }
        self.progress.begin(Phase::Publish, 0);
        step(self.progress, 0)?;
        let warnings = clock.time(Phase::Publish, || {
            self.snapshot.unchanged()?;
            staged.publish(&self.metadata, self.options.sync)
        })?;
        let ended = Ended {
            before: emitted.status_hash_before,
            after: Some(emitted.status_hash_after),
            sha256: Some(emitted.sha256),
        };
        let mut outcome = self.outcome(plan, clock, input_trailer, verification, ended);
        outcome.warnings.extend(warnings);
        Ok(outcome)
    }

    /// Writes the output while the input's trailer is computed on a thread of its own.
    fn emit(&self, plan: &Plan, staged: &Staged) -> Result<(Emitted, InputTrailer)> {
        let source = Source { snapshot: &self.snapshot, rule: self.rule };
        let progress = self.progress;
        let failed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let digest = scope.spawn(|| {
                self.snapshot.sha256(|_| {
                    let stop = progress.interrupted() || failed.load(Ordering::Relaxed);
                    if stop { Err(Error::Interrupted) } else { Ok(()) }
                })
            });
            let emitted = emit(source, plan, self.options, staged.file(), &self.target, progress);
            failed.store(emitted.is_err(), Ordering::Relaxed);
            let digest = digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((emitted?, self.judge_trailer(digest?)?))
        })
    }

    /// What the trailer of the source is, given the digest of its pages. Without a good one only
    /// the structure can speak for the file, so it must be sound.
    fn judge_trailer(&self, digest: Sha256Digest) -> Result<InputTrailer> {
        let judged = match self.snapshot.trailer() {
            Trailer::Present(found) if found == digest => return Ok(InputTrailer::Verified),
            Trailer::Present(found) => {
                if !(self.options.skip_hash_check && self.options.accept_corrupt_trailer) {
                    let (found, computed) = (hex(&found), hex(&digest));
                    let path = self.options.db.clone();
                    return Err(Error::TrailerMismatch { path, found, computed });
                }
                InputTrailer::Mismatch
            }
            Trailer::Missing => InputTrailer::Missing,
        };
        verify::check_sound(&self.snapshot, self.progress)?;
        Ok(judged)
    }

    fn verify(&self, staged: &Staged, emitted: &Emitted) -> Result<Verification> {
        let file = staged.file().try_clone().map_err(Error::io("read back", &self.target))?;
        let output = Snapshot::from_open_file(file, &self.target, self.options.read_mode)?;
        self.progress.begin(Phase::Verify, output.pages_bytes());
        let (snapshot, threads) = (&self.snapshot, self.options.threads);
        let proof = verify::prove(snapshot, &output, self.rule, threads, self.progress)?;
        let hashes = (proof.status_hash_source, proof.status_hash_output);
        if hashes != (emitted.status_hash_before, emitted.status_hash_after) {
            let why = "its status hash is not the one that was written".into();
            return Err(Error::Unproven { path: self.target.clone(), why });
        }
        Ok(proof.verification)
    }

    fn outcome(
        &self,
        plan: Plan,
        clock: Clock,
        input_trailer: InputTrailer,
        verification: Verification,
        ended: Ended,
    ) -> Outcome {
        let bytes_out = output_bytes(&self.snapshot, &plan);
        Outcome {
            db: self.options.db.clone(),
            output: (!self.options.dry_run).then(|| self.output_name().into()),
            in_place: !matches!(self.options.target, Target::File(_)),
            dry_run: self.options.dry_run,
            src_prefix: self.rule.src().into(),
            dest_prefix: self.rule.dst().into(),
            unmatched_mode: self.options.unmatched,
            auth_roles: refuse::auth_roles(&plan),
            page_size_bytes: self.snapshot.page_size().bytes(),
            bytes_in: self.snapshot.file_bytes(),
            bytes_out,
            input_trailer,
            status_hash_before: format!("{:x}", ended.before),
            status_hash_after: ended.after.map(|hash| format!("{hash:x}")),
            sha256: ended.sha256.map(|digest| hex(&digest)),
            verification,
            warnings: self.warnings(&plan, bytes_out),
            phases: clock.phases,
            census: plan.counts.into_census(plan.keys.live),
        }
    }

    /// The target as the user named it.
    fn output_name(&self) -> &Path {
        match &self.options.target {
            Target::File(path) => path,
            _ => &self.options.db,
        }
    }

    fn warnings(&self, plan: &Plan, bytes_out: u64) -> Vec<String> {
        let mut warnings = refuse::warnings(plan, self.rule, bytes_out);
        for prefix in [&self.options.src_prefix, &self.options.dest_prefix] {
            if is_reshaped(prefix) {
                let taken = normalise(prefix);
                warnings.push(format!(
                    "prefix {prefix:?} was taken as {taken:?}, as kube-apiserver does"
                ));
            }
        }
        warnings
    }
}

/// What is known at the end of a run.
struct Ended {
    before: u32,
    after: Option<u32>,
    sha256: Option<Sha256Digest>,
}

/// Takes the time of each phase.
#[derive(Default)]
struct Clock {
    phases: Vec<PhaseTime>,
}

impl Clock {
    fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        self.phases.push(PhaseTime { phase, seconds });
        result
    }
}

/// The size of the planned output with its trailer.
pub(crate) fn output_bytes(snapshot: &Snapshot, plan: &Plan) -> u64 {
    plan.high_water_mark.0 * snapshot.page_size().bytes() + TRAILER_BYTES
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
