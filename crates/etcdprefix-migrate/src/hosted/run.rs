//! A run from the first look to the last file, and the way back from wherever it ends.

use std::time::Instant;

use serde_json::json;

use super::asleep::PAUSED;
use super::fragment::Fragment;
use super::into::{self, Wanted};
use super::journal::{Journal, MADE, Phase, STOPPING, State, TAKEN_BACK, UPLOAD};
use super::look::{self, Look};
use super::objects::meta;
use super::publish::{self, Published, phase};
use super::record::{ANNOTATION, Record};
use super::results::Made;
use super::targets::{self, Targets};
use super::undo::{self, Back};
use super::{After, RunOptions, Setup, asleep, size};
use crate::bundle::Sensitive;
use crate::error::{Error, Result};
use crate::flow::PhaseTime;
use crate::journal::write_private;
use crate::kubernetes::Patched;
use crate::protocol::Signed;

/// What others change at the same time is tried again.
const MARK_TRIES: u32 = 10;
/// More than this newer versions of HyperShift don't take.
const URL_BYTES_MAX: usize = 1024;

/// What [`super::run`] does.
pub async fn run(setup: &Setup, options: &RunOptions) -> Result<Made> {
    let journal = Journal::open(&setup.folder)?;
    let last = journal.state();
    if let Some(state) = last.as_ref().filter(|state| state.phase == Phase::Running) {
        let run = &state.record.run;
        return Err(Error::Busy(format!(
            "run {run} was begun here and did not end; try: `etcdprefix migrate hosted rollback`"
        )));
    }
    let look = look::look(setup, options).await?;
    if let Some(state) = last.filter(|it| it.is_open() && it.record.uid != look.record.uid) {
        let why = undo::gone(&state.record);
        return Err(Error::Busy(format!("{why}; or another --folder for this one")));
    }
    look.found.warnings.iter().for_each(|text| setup.say(&format!("note: {text}")));
    let before = look.record.paused_until.as_deref();
    asleep::heeded(setup, &look.objects, before, options.stop_limit).await?;
    setup.go_on()?;
    let this = Run { setup, options, journal: &journal, look: &look };
    journal.begin(&look.record, Targets::new(setup, &options.files).own())?;
    match this.make().await {
        Ok(made) => this.end(made).await,
        Err(why) => Err(this.fail(why).await),
    }
}

struct Run<'a> {
    setup: &'a Setup,
    options: &'a RunOptions,
    journal: &'a Journal,
    look: &'a Look<'a>,
}

/// What is made, and since when nothing is as before.
struct Unfinished {
    made: Made,
    asleep: Instant,
}

impl Run<'_> {
    /// Announced on the disk before it is begun.
    fn step(&self, step: &str) -> Result<()> {
        self.setup.go_on()?;
        self.journal.step(step)?;
        self.setup.say(step);
        Ok(())
    }

    /// Everything up to the files.
    async fn make(&self) -> Result<Unfinished> {
        let Self { setup, options, look, .. } = self;
        let (objects, record) = (&look.objects, &look.record);
        let asleep = Instant::now();
        self.step("pause")?;
        asleep::pause(objects, &look.hosted, record).await?;
        asleep::heeded(setup, objects, Some(PAUSED), options.stop_limit).await?;
        self.step("stop the writers")?;
        asleep::stop(setup, objects, record).await?;
        self.step(STOPPING)?;
        asleep::stopped(setup, objects, record, options.stop_limit).await?;
        let mut phases = vec![phase("pause and stop", asleep)];
        let watch = look.way.watch().await?;
        let step = |step: &str| self.step(step);
        let published = publish::publish(setup, options, look, watch.as_ref(), step).await?;
        self.step("presign")?;
        let start = Instant::now();
        let signed = publish::presign(setup, options, &record.object).await?;
        asleep::still_asleep(objects, record).await?;
        let mut warnings = watch.unwritten_since(published.revision).await?;
        phases.extend(published.phases.clone());
        phases.push(phase("sign and prove", start));
        self.step("write")?;
        warnings.extend(look.found.warnings.clone());
        let mut made = self.made(&published, signed, phases, warnings);
        self.write(&mut made)?;
        self.journal.step(MADE)?;
        self.mark_made().await?;
        self.write_into(&mut made)?;
        Ok(Unfinished { made, asleep })
    }

    fn made(
        &self,
        published: &Published,
        signed: Signed,
        phases: Vec<PhaseTime>,
        warnings: Vec<String>,
    ) -> Made {
        let Self { setup, options, look, .. } = self;
        let volume = look.found.volume.as_deref();
        let mut warnings = warnings;
        warnings.extend(published.warnings.iter().chain(&signed.warnings).cloned());
        let length = signed.url.reveal().len();
        if length > URL_BYTES_MAX {
            warnings.push(format!(
                "the URL has {length} characters: HyperShift may take no more than {URL_BYTES_MAX}; \
                 credentials without a token make it shorter"
            ));
        }
        warnings.dedup();
        let volume = size::of_volume(published.bytes, &volume.into_iter().collect::<Vec<_>>());
        let fragment = Fragment { url: signed.url.reveal(), volume: &volume, storage_class: None };
        let object = &look.record.object.url;
        let ends = jiff::Timestamp::from_millisecond(signed.ends_ms as i64).unwrap_or_default();
        let head =
            targets::headline(&look.record.run, &format!(": {object}, by a URL until {ends}"));
        let fragment = Sensitive::new(format!("{head}{}", fragment.document()));
        Made {
            run: look.record.run.clone(),
            hosted_cluster: setup.name.to_string(),
            after: options.after,
            object: look.record.object.url.clone(),
            bytes: published.bytes,
            sha256: published.sha256.clone(),
            revision: published.revision,
            member: published.saved.member.title(),
            chosen: published.saved.chosen.clone(),
            hashkv: published.saved.hashkv.map(|proved| proved.hash),
            rewritten: published.rewritten,
            volume,
            url: signed.url,
            url_ends_ms: signed.ends_ms,
            fragment,
            output: Targets::new(setup, &options.files).output,
            into: options.files.into.clone(),
            secrets: None,
            encryption: look.keys.told(),
            writers: look.found.writers.clone(),
            asleep_seconds: 0.0,
            phases,
            warnings,
        }
    }

    /// All that hold a secret, for their owner alone.
    fn write(&self, made: &mut Made) -> Result<()> {
        if let Some(manifest) = self.look.keys.manifest(&self.setup.name) {
            let file = Targets::new(self.setup, &self.options.files).secrets;
            let head = targets::headline(&self.look.record.run, "");
            write_private(&file, format!("{head}{manifest}").as_bytes())?;
            made.secrets = Some(file);
        }
        write_private(&made.output, made.fragment.reveal().as_bytes())
    }

    /// The annotation says from now on that the object is somebody's.
    async fn mark_made(&self) -> Result<()> {
        let record = Record { made: true, ..self.look.record.clone() };
        for _ in 0..MARK_TRIES {
            let hosted = self.look.objects.hosted().await?;
            if Record::of(&hosted)?.is_none_or(|found| found.run != record.run) {
                let why = "somebody has removed the annotation of the HostedCluster";
                return Err(Error::Written(why.into()));
            }
            let change = json!({"metadata": {
                "resourceVersion": meta(&hosted, "resourceVersion"),
                "annotations": {ANNOTATION: record.annotation()},
            }});
            if let Patched::Done(_) = self.look.objects.patch_hosted(&change).await? {
                return Ok(());
            }
        }
        Err(Error::Kubernetes("others change the HostedCluster all the time".into()))
    }

    /// The last thing that can fail: it is somebody else's file.
    fn write_into(&self, made: &mut Made) -> Result<()> {
        let files = &self.options.files;
        let Some(file) = &files.into else { return Ok(()) };
        let (url, volume) = (made.url.reveal(), made.volume.as_str());
        let name = files.into_name.as_deref();
        let wanted = Wanted { url, volume, keys: &self.look.keys, name, source: &self.setup.name };
        let (text, notes) = into::merge(file, &wanted)?;
        write_private(file, text.as_bytes())?;
        made.warnings.extend(notes);
        Ok(())
    }

    /// As asked for afterwards. What is made is made: from here on nothing takes it back.
    async fn end(&self, unfinished: Unfinished) -> Result<Made> {
        let Unfinished { mut made, asleep } = unfinished;
        // A journal that can't be written is no reason to leave it asleep.
        let mut noted = self.journal.set_phase(Phase::Asleep);
        if self.options.after == After::Wake {
            noted = noted.and_then(|()| self.journal.step("wake"));
            self.setup.say("wake");
            let record = &self.look.record;
            let undone = undo::put_back(self.setup, record, Back::default()).await;
            if undone.is_err() {
                let output = made.output.display();
                self.setup.say(&format!("the snapshot is made all the same: see {output}"));
            }
            undone?;
            made.warnings.extend(asleep::serving(self.setup, record).await);
            noted = noted.and_then(|()| self.journal.set_phase(Phase::Done));
        }
        made.warnings.extend(noted.err().map(|error| error.to_string()));
        made.asleep_seconds = asleep.elapsed().as_secs_f64();
        Ok(made)
    }

    /// Puts everything back, and takes back what was uploaded.
    async fn fail(&self, why: Error) -> Error {
        self.setup.say(&format!("putting everything back: {why}"));
        let noted = self.journal.step(TAKEN_BACK);
        let state = self.journal.state();
        let record = &self.look.record;
        let is_uploaded = state.as_ref().is_some_and(|state| state.has_begun(UPLOAD));
        if let Error::Busy(_) = why {
            // Another run came first: nothing is ours.
            let _ = self.journal.set_phase(Phase::PutBack);
            return why;
        }
        let back = Back {
            accept_changed: false,
            may_be_late: state.as_ref().is_some_and(State::may_be_late),
            object: is_uploaded.then_some(&record.object),
        };
        let undone = undo::put_back(self.setup, record, back).await;
        targets::remove(&Targets::new(self.setup, &self.options.files).own(), &record.run);
        let closed = match &undone {
            Ok(_) => noted.and_then(|()| self.journal.set_phase(Phase::PutBack)),
            Err(_) => noted,
        };
        if let Err(error) = closed {
            self.setup.say(&format!("warning: {error}"));
        }
        match undone {
            Ok(_) => Error::PutBack(Box::new(why)),
            Err(Error::NotPutBack { left, .. }) => {
                Error::NotPutBack { why: Some(Box::new(why)), left }
            }
            Err(error) => Error::NotPutBack { why: Some(Box::new(why)), left: error.to_string() },
        }
    }
}
