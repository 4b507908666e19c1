//! The whole flow.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Refusal, Result};
use crate::format::trailer::{Sha256Digest, TRAILER_BYTES, Trailer, hex};
use crate::options::{ChangePrefix, Target};
use crate::outcome::{AuthCounts, InputTrailer, LeaseCounts, Outcome, PhaseTime, Verification};
use crate::parallel::{join, spawn};
use crate::progress::{Phase, Progress, Until, step};
use crate::read::{ReadMode, Snapshot, Windows};
use crate::refuse;
use crate::rewrite::PrefixRule;
use crate::rewrite::rule::{is_reshaped, normalise};
use crate::save::direct::DirectFile;
use crate::save::disk::{Disk, Patient, RealDisk};
use crate::save::emit::{Emitted, emit};
use crate::save::plan::{Plan, plan};
use crate::save::publish::Staged;
use crate::save::render::Source;
use crate::save::space::{check_writable, free_bytes};
use crate::verify::{self, Proof};

/// Changes the key prefix of every record of a snapshot and publishes the result.
///
/// Everything that speaks against the change is found before anything is written, except a wrong
/// trailer, which is computed meanwhile. A dry run ends with what was found, refusals included.
/// The result is written beside the target, read back and proved, brought to the disk and then
/// renamed.
///
/// Memory: under 256 MiB whatever the file's size; the source is mapped unless asked otherwise.
/// Time: about that of SHA-256 over the source, the output and the output read back, shared by two
/// cores.
///
/// # Errors
/// Every variant of [`Error`]. Whatever the error, the target is as it was.
pub fn change_prefix(options: &ChangePrefix, progress: &dyn Progress) -> Result<Outcome> {
    change_prefix_on(Arc::new(RealDisk), options, progress)
}

/// The same on another `disk` than the operating system's: for tests, which have it fail.
///
/// # Errors
/// As [`change_prefix`].
pub fn change_prefix_on(
    disk: Arc<dyn Disk>,
    options: &ChangePrefix,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let rule = PrefixRule::new(&options.src_prefix, &options.dest_prefix, options.unmatched)?;
    let snapshot = Snapshot::open(&options.db, options.read_mode)?;
    changed(disk, snapshot, options, &rule, progress)
}

/// The same of a `snapshot` that is open already, be it one without a name, as
/// [`Received::snapshot`](crate::save::receive::Received::snapshot) gives it. `options.db` is not
/// looked at, and `options.read_mode` only for reading the output back.
///
/// # Errors
/// As [`change_prefix`]; [`Error::Usage`] if the snapshot has no name and the target is no file of
/// its own.
pub fn change_prefix_of(
    disk: Arc<dyn Disk>,
    snapshot: Snapshot,
    options: &ChangePrefix,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let rule = PrefixRule::new(&options.src_prefix, &options.dest_prefix, options.unmatched)?;
    changed(disk, snapshot, options, &rule, progress)
}

fn changed(
    disk: Arc<dyn Disk>,
    snapshot: Snapshot,
    options: &ChangePrefix,
    rule: &PrefixRule,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let run = Run::new(Arc::new(Patient(disk)), snapshot, options, rule, progress)?;
    run.go().map_err(|error| run.explain(error))
}

struct Run<'a> {
    disk: Arc<dyn Disk>,
    options: &'a ChangePrefix,
    rule: &'a PrefixRule,
    progress: &'a dyn Progress,
    snapshot: Snapshot,
    /// The source's; none for bytes in memory.
    metadata: Option<Metadata>,
    /// The file to publish, links resolved.
    target: PathBuf,
    free_bytes: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(
        disk: Arc<dyn Disk>,
        snapshot: Snapshot,
        options: &'a ChangePrefix,
        rule: &'a PrefixRule,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let db = snapshot.path();
        let metadata = snapshot.file().map(|file| file.metadata()).transpose();
        let metadata = metadata.map_err(Error::io("inspect", db))?;
        let target = match &options.target {
            Target::File(path) => path.clone(),
            _ if snapshot.is_named() => db.canonicalize().map_err(Error::io("resolve", db))?,
            _ => return Err(Error::Usage { why: format!("{} is no file yet", db.display()) }),
        };
        if matches!(options.target, Target::File(_)) && target.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: target });
        }
        if snapshot.trailer()? == Trailer::Missing && !options.skip_hash_check {
            return Err(Error::TrailerMissing { path: db.into() });
        }
        let free_bytes = free_bytes(&target);
        Ok(Self { disk, options, rule, progress, snapshot, metadata, target, free_bytes })
    }

    /// The source's trailer is verified from the first moment to the last, beside everything else:
    /// that pass is sequential and as long as all other work of a core.
    fn go(&self) -> Result<Outcome> {
        let until = Until::new(self.progress);
        std::thread::scope(|scope| {
            let input = spawn(scope, || self.input(&until))?;
            let outcome = self.go_beside(|| join(input));
            until.end();
            outcome
        })
    }

    fn go_beside(&self, input: impl FnOnce() -> Result<InputTrailer>) -> Result<Outcome> {
        let mut clock = Clock::default();
        let plan = clock.time(Phase::Plan, || self.plan())?;
        let refusals = clock.time(Phase::Plan, || self.refusals(&plan))?;
        if self.options.dry_run {
            return self.report(plan, clock, input, refusals);
        }
        match refusals.into_iter().next() {
            Some(refusal) => Err(self.refused(refusal)),
            None => self.write(plan, clock, input),
        }
    }

    fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { path: self.snapshot.path().into(), refusal }
    }

    fn refusals(&self, plan: &Plan) -> Result<Vec<Refusal>> {
        let change = refuse::Change {
            snapshot: &self.snapshot,
            plan,
            rule: self.rule,
            options: self.options,
            bytes_out: output_bytes(&self.snapshot, plan),
            free_bytes: self.free_bytes,
        };
        refuse::refusals(change, self.progress)
    }

    /// Damage and differences in a file that somebody is writing to are no damage; bytes that are
    /// missing are no fault of its disk.
    fn explain(&self, error: Error) -> Error {
        let doubtful = match &error {
            Error::Damaged { .. } | Error::TrailerMismatch { .. } | Error::Unproven { .. } => true,
            Error::Io { source, .. } => source.kind() == ErrorKind::UnexpectedEof,
            _ => false,
        };
        match self.snapshot.unchanged() {
            Err(changed) if doubtful => changed,
            _ => error,
        }
    }

    fn plan(&self) -> Result<Plan> {
        self.progress.begin(Phase::Plan, self.snapshot.pages_bytes());
        plan(&self.snapshot, self.rule, self.options, self.progress)
    }

    /// Ends a dry run: with the plan, or as the change itself would, which is refused before it looks
    /// for anything else.
    fn report(
        &self,
        plan: Plan,
        mut clock: Clock,
        input: impl FnOnce() -> Result<InputTrailer>,
        refusals: Vec<Refusal>,
    ) -> Result<Outcome> {
        self.progress.begin(Phase::Read, self.snapshot.pages_bytes());
        let read = clock.time(Phase::Read, || {
            let before = verify::status_hash(&self.snapshot, self.options.threads, self.progress)?;
            let input_trailer = input()?;
            self.snapshot.unchanged()?;
            Ok((before, input_trailer))
        });
        let (before, input_trailer) = match (read, refusals.first()) {
            (Err(error), Some(_)) if matches!(error, Error::Interrupted) => return Err(error),
            (Err(_), Some(refusal)) => return Err(self.refused(refusal.clone())),
            (read, _) => read?,
        };
        if refusals.is_empty() {
            check_writable(&self.target)?;
        }
        let ended = Ended { before, after: None, sha256: None };
        let outcome = self.outcome(plan, clock, input_trailer, Verification::Skipped, ended);
        Ok(Outcome { refusals, ..outcome })
    }

    fn write(
        &self,
        plan: Plan,
        mut clock: Clock,
        input: impl FnOnce() -> Result<InputTrailer>,
    ) -> Result<Outcome> {
        let bytes_out = output_bytes(&self.snapshot, &plan);
        let replace = !matches!(self.options.target, Target::File(_));
        let staged = Staged::create(self.disk.clone(), &self.target, bytes_out, replace)?;
        let file = DirectFile::new(self.disk.clone(), staged.file(), bytes_out);
        let file = Arc::new(file.map_err(Error::io("write", &self.target))?);
        let (emitted, verification) = self.emit_and_prove(&plan, &staged, &file, &mut clock)?;
        let input_trailer = clock.time(Phase::Write, input)?;
        if self.options.sync {
            self.progress.begin(Phase::Sync, 0);
            clock.time(Phase::Sync, || staged.sync())?;
        }
        self.progress.begin(Phase::Publish, 0);
        step(self.progress, 0)?;
        let warnings = clock.time(Phase::Publish, || {
            self.snapshot.unchanged()?;
            staged.publish(self.metadata.as_ref(), self.options.sync)
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

    /// Writes the output; it is read back and proved while it is being written.
    fn emit_and_prove(
        &self,
        plan: &Plan,
        staged: &Staged,
        file: &Arc<DirectFile>,
        clock: &mut Clock,
    ) -> Result<(Emitted, Verification)> {
        let until = Until::new(self.progress);
        std::thread::scope(|scope| {
            let prove = || spawn(scope, || self.prove(staged, file, &until));
            let proof = self.options.verify.then(prove).transpose()?;
            self.progress.begin(Phase::Write, file.len());
            let emitted = clock.time(Phase::Write, || self.emit(plan, file));
            let emitted = until.fails(emitted)?;
            let Some(proof) = proof else {
                return Ok((emitted, Verification::Skipped));
            };
            self.progress.begin(Phase::Verify, 0);
            let proof = clock.time(Phase::Verify, || join(proof))?;
            let verification = self.same_hashes(&proof, &emitted)?;
            Ok((emitted, verification))
        })
    }

    fn emit(&self, plan: &Plan, file: &DirectFile) -> Result<Emitted> {
        // However it ends, nobody waits for more.
        let _abandons = Abandons(file);
        let source = Source { snapshot: &self.snapshot, rule: self.rule };
        emit(source, plan, self.options, file, &self.target, self.progress)
    }

    fn prove(&self, staged: &Staged, file: &Arc<DirectFile>, until: &Until<'_>) -> Result<Proof> {
        let (len, file) = (file.len(), file.clone());
        let mut windows = Windows::new(Box::new(move |buffer, at| file.read_at(buffer, at)), len);
        if self.options.read_mode == ReadMode::Map {
            // Where that can't be, large values take memory.
            windows.map_large(staged.file()).ok();
        }
        let output = Snapshot::from_storage(Box::new(windows), &self.target);
        let output = output.map_err(|error| match error {
            Error::Damaged { damage, at, .. } => {
                Error::Unproven { path: self.target.clone(), why: format!("{damage}{at}") }
            }
            error => error,
        })?;
        let (unmapped_roles, threads) = (self.options.allow_unmapped_roles, self.options.threads);
        verify::prove(&self.snapshot, &output, self.rule, unmapped_roles, threads, until)
    }

    fn same_hashes(&self, proof: &Proof, emitted: &Emitted) -> Result<Verification> {
        let proved = (proof.status_hash_source, proof.status_hash_output);
        if proved == (emitted.status_hash_before, emitted.status_hash_after) {
            return Ok(proof.verification);
        }
        let why = "its status hash is not the one that was written".into();
        Err(Error::Unproven { path: self.target.clone(), why })
    }

    /// Proves the source by its trailer. Without a good one only the structure can speak for the
    /// file, so it must be sound.
    fn input(&self, until: &Until<'_>) -> Result<InputTrailer> {
        let judged = match self.snapshot.trailer()? {
            Trailer::Missing => InputTrailer::Missing,
            Trailer::Present(found) => {
                let digest = self.snapshot.sha256(|bytes| step(until, bytes))?;
                if found == digest {
                    return Ok(InputTrailer::Verified);
                }
                if !(self.options.skip_hash_check && self.options.accept_corrupt_trailer) {
                    let (found, computed) = (hex(&found), hex(&digest));
                    let path = self.snapshot.path().into();
                    return Err(Error::TrailerMismatch { path, found, computed });
                }
                InputTrailer::Mismatch
            }
        };
        verify::check_sound(&self.snapshot, until)?;
        Ok(judged)
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
        let warnings = self.warnings(&plan, bytes_out);
        Outcome {
            db: self.snapshot.path().into(),
            output: (!self.options.dry_run).then(|| self.output_name().into()),
            in_place: !matches!(self.options.target, Target::File(_)),
            dry_run: self.options.dry_run,
            src_prefix: self.rule.src().into(),
            dest_prefix: self.rule.dst().into(),
            unmatched_mode: self.options.unmatched,
            auth_roles: plan.roles.roles,
            auth: AuthCounts { enabled: plan.store.auth_enabled, roles: plan.roles },
            alarms: plan.store.alarms,
            compaction: plan.store.compaction,
            leases: LeaseCounts {
                leases: plan.store.leases.count,
                keys: plan.keys.leased,
                orphaned_keys: plan.store.leases.are_known().then_some(plan.keys.orphaned),
            },
            collisions: plan.keys.collided,
            page_size_bytes: self.snapshot.page_size().bytes(),
            bytes_in: self.snapshot.file_bytes(),
            bytes_out,
            free_bytes: self.free_bytes,
            target_quota_bytes: self.options.target_quota_bytes,
            input_trailer,
            status_hash_before: format!("{:x}", ended.before),
            status_hash_after: ended.after.map(|hash| format!("{hash:x}")),
            sha256: ended.sha256.map(|digest| hex(&digest)),
            verification,
            refusals: Vec::new(),
            warnings,
            phases: clock.phases,
            census: plan.counts.into_census(plan.keys.live),
        }
    }

    /// The target as the user named it.
    fn output_name(&self) -> &Path {
        match &self.options.target {
            Target::File(path) => path,
            _ => self.snapshot.path(),
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

/// Abandons a file that is not written any further.
struct Abandons<'f>(&'f DirectFile);

impl Drop for Abandons<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// What is known at the end of a run.
struct Ended {
    before: u32,
    after: Option<u32>,
    sha256: Option<Sha256Digest>,
}

/// Takes the time of each phase, of all its parts together.
#[derive(Default)]
struct Clock {
    phases: Vec<PhaseTime>,
}

impl Clock {
    fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        match self.phases.iter_mut().find(|time| time.phase == phase) {
            Some(time) => time.seconds += seconds,
            None => self.phases.push(PhaseTime { phase, seconds }),
        }
        result
    }
}

/// The size of the planned output with its trailer.
pub(crate) fn output_bytes(snapshot: &Snapshot, plan: &Plan) -> u64 {
    plan.high_water_mark.0 * snapshot.page_size().bytes() + TRAILER_BYTES
}
