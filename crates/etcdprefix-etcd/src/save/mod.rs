//! A snapshot from the member that must be right, into a file that is proved before it has a name.
//!
//! ```text
//! survey -> choose -> HashKV of all members -> stream (again from another member if it breaks)
//!     -> check -> HashKV of file and member -> change the prefix -> publish
//! ```

mod before;
mod judge;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdprefix_core::format::trailer::hex;
use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_core::{ChangePrefix, Outcome};
use serde::Serialize;

use crate::client::{Connection, Dialer};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::hashkv::{HashOptions, MembersHashKv};
use crate::interrupt::unless_interrupted;
use crate::members::{MemberStatus, Standing, Survey, rank};

use judge::{Judged, Sender, judge};
use stream::{Following, Streamed, follow};

/// Before members are asked again, longer each time: two retries outlast an election.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a member that is behind is asked whether it still is.
const TICK: Duration = Duration::from_millis(50);

/// What to save, and how.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// The file that it ends in. What is there is replaced by a file that only its owner can read, but
    /// with [`SaveOptions::change`] there must be none.
    pub target: PathBuf,
    /// The member to take, whatever speaks against it; `None` for the best of the endpoints.
    pub from: Option<Endpoint>,
    /// How many times to start anew after a stream broke, on another member where there is one.
    pub retries: u32,
    /// The longest time without any byte.
    pub idle_timeout: Duration,
    /// The longest time for asking and receiving, retries included; `None` for any.
    pub total_timeout: Option<Duration>,
    /// Whether to check pages and records before the file gets its name.
    pub check: bool,
    /// Whether to compare HashKV among all members before, and with the file after.
    pub verify_members: bool,
    /// Longest wait for one member's HashKV.
    pub hash_timeout: Duration,
    /// Rewrites what was saved, and that is what `target` gets.
    pub change: Option<Change>,
    /// Threads that check.
    pub threads: usize,
}

/// A prefix change of what is saved.
#[derive(Clone, Debug)]
pub struct Change {
    /// How; its `db` and `target` are not looked at.
    pub options: ChangePrefix,
    /// Where the saved file is kept too; `None` for nowhere.
    pub keep: Option<PathBuf>,
}

impl SaveOptions {
    /// Where the saved file itself gets its name; what is received is staged beside it.
    fn saved_target(&self) -> &Path {
        let keep = self.change.as_ref().and_then(|change| change.keep.as_deref());
        keep.unwrap_or(&self.target)
    }
}

/// Progress of work that goes on in several threads.
pub type SharedProgress = Arc<dyn Progress + Send + Sync>;

/// What was saved, from whom, and what proves it.
#[derive(Clone, Debug, Serialize)]
pub struct Saved {
    /// The saved file; `None` if only what it was rewritten to was kept.
    pub file: Option<PathBuf>,
    /// Its size, trailer included.
    pub bytes: u64,
    /// The SHA-256 of its pages, which is its trailer.
    pub sha256: String,
    /// What `snapshot status` prints, without leading zeros; `None` if it can't be read.
    pub status_hash: Option<String>,
    /// The revision of the store; `None` if it can't be read.
    pub revision: Option<i64>,
    /// The version of the member's etcd.
    pub etcd_version: String,
    /// The member as it was just before.
    pub member: MemberStatus,
    /// Why this one.
    pub chosen: String,
    /// How many times members were asked for it.
    pub attempts: u32,
    /// Whether pages and records were checked.
    pub checked: bool,
    /// HashKV of all members before the stream.
    pub members_hashkv: Option<MembersHashKv>,
    /// HashKV of file and member, which are equal.
    pub hashkv: Option<ProvedHashKv>,
    /// What became of it, if it was rewritten.
    pub change_prefix: Option<Outcome>,
    /// Time for the stream alone.
    pub stream_seconds: f64,
    /// Time for all.
    pub seconds: f64,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// HashKV that the file and the member agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProvedHashKv {
    /// The hash.
    pub hash: u32,
    /// The snapshot's revision.
    pub revision: i64,
    /// Up to which revision the member had compacted when it was asked.
    pub compact_revision: i64,
}

/// Saves a snapshot.
///
/// Call it on a runtime of several threads: what it writes may keep one waiting. Memory: 8 MiB for
/// the stream, and that of the check.
///
/// # Errors
/// Every variant of [`Error`]. Whatever the error, the target is as it was and nothing is left beside
/// it; but a rewritten file that has its name already stays if the saved one can't get its own.
pub async fn save(
    dialer: &Dialer,
    endpoints: &[Endpoint],
    options: &SaveOptions,
    progress: SharedProgress,
) -> Result<Saved> {
    before::check(options)?;
    let mut run = Run::new(dialer, endpoints, options, progress);
    let caught = run.catch_in_time().await?;
    run.finish(caught).await
}

struct Run<'a> {
    dialer: &'a Dialer,
    endpoints: &'a [Endpoint],
    options: &'a SaveOptions,
    progress: SharedProgress,
    start: Instant,
    attempts: u32,
    warnings: Vec<String>,
    members_hashkv: Option<MembersHashKv>,
}

/// A received file and its sender.
struct Caught {
    streamed: Streamed,
    member: MemberStatus,
    connection: Connection,
    chosen: String,
    seen_revision: i64,
    stream_seconds: f64,
}

impl<'a> Run<'a> {
    fn new(
        dialer: &'a Dialer,
        endpoints: &'a [Endpoint],
        options: &'a SaveOptions,
        progress: SharedProgress,
    ) -> Self {
        let (start, warnings) = (Instant::now(), Vec::new());
        Self {
            dialer,
            endpoints,
            options,
            progress,
            start,
            attempts: 0,
            warnings,
            members_hashkv: None,
        }
    }

    async fn catch_in_time(&mut self) -> Result<Caught> {
        let limit = self.options.total_timeout;
        let out_of_time = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let progress = self.progress.clone();
        tokio::select! {
            caught = unless_interrupted(progress.as_ref(), self.catch()) => caught,
            () = out_of_time => Err(Error::OutOfTime(limit.unwrap_or_default())),
        }
    }

    /// A whole stream, from one member after another.
    async fn catch(&mut self) -> Result<Caught> {
        let mut broken = Vec::new();
        loop {
            let caught = self.attempt(&mut broken).await;
            match caught {
                Err(error) if self.attempts <= self.options.retries && is_passing(&error) => {
                    self.warnings.push(format!("attempt {} failed: {error}", self.attempts));
                    tokio::time::sleep(PAUSE * self.attempts.min(10)).await;
                }
                caught => return caught,
            }
        }
    }

    /// One stream; whose breaks is noted in `broken`.
    async fn attempt(&mut self, broken: &mut Vec<u64>) -> Result<Caught> {
        self.attempts += 1;
        self.progress.begin(Phase::Ask, 0);
        let survey = self.survey().await?;
        let (member, connection, chosen) = self.choose(&survey, broken)?;
        if self.options.verify_members && self.members_hashkv.is_none() {
            self.compare_members(&survey).await?;
        }
        broken.push(member.member_id);
        let revisions = survey.statuses().map(|status| status.revision);
        let seen_revision = revisions.max().unwrap_or_default();
        let start = Instant::now();
        let following = Following {
            target: self.options.saved_target(),
            idle_timeout: self.options.idle_timeout,
            progress: self.progress.as_ref(),
        };
        if member.revision < seen_revision {
            self.wait_until_it_has(seen_revision, &connection).await;
        }
        let connection = self.dialer.log_in(&connection).await;
        let connection = connection.map_err(|failure| failure.at(&member.endpoint))?;
        let streamed = follow(&connection, &following).await?;
        let stream_seconds = start.elapsed().as_secs_f64();
        Ok(Caught { streamed, member, connection, chosen, seen_revision, stream_seconds })
    }

    /// A follower may be a moment behind what another member already had. One that stays so is told when the
    /// file is there.
    async fn wait_until_it_has(&self, revision: i64, connection: &Connection) {
        let caught_up = async {
            while let Ok(status) = MemberStatus::ask(connection).await
                && status.revision < revision
            {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(self.dialer.options().request_timeout, caught_up).await.ok();
    }

    async fn survey(&self) -> Result<Survey> {
        match &self.options.from {
            Some(from) if !self.endpoints.contains(from) => {
                let endpoints: Vec<_> = self.endpoints.iter().chain([from]).cloned().collect();
                Survey::take(self.dialer, &endpoints).await
            }
            _ => Survey::take(self.dialer, self.endpoints).await,
        }
    }

    fn choose(
        &mut self,
        survey: &Survey,
        broken: &[u64],
    ) -> Result<(MemberStatus, Connection, String)> {
        if let Some(from) = &self.options.from {
            return self.take_asked_for(survey, from);
        }
        let ranking = rank(survey);
        let candidates = ranking.candidates();
        let unbroken = candidates.iter().find(|(status, ..)| !broken.contains(&status.member_id));
        let Some((status, connection, standing)) = unbroken.or(candidates.first()) else {
            return Err(ranking.no_member());
        };
        self.note(survey, status, standing, ranking.reasons());
        Ok(((*status).clone(), (*connection).clone(), standing.why()))
    }

    /// What a person should know of the choice.
    fn note(
        &mut self,
        survey: &Survey,
        status: &MemberStatus,
        standing: &Standing,
        out: Vec<String>,
    ) {
        let mut notes = out;
        match standing {
            Standing::Full => notes.push(format!("{} has a NOSPACE alarm", status.title())),
            Standing::Voter if !survey.statuses().any(MemberStatus::is_leader) => {
                let silent = survey.failures().next().is_some();
                let which = if silent { " that answer" } else { "" };
                notes.push(format!("the leader is not among the endpoints{which}"));
            }
            _ => {}
        }
        for note in notes {
            if !self.warnings.contains(&note) {
                self.warnings.push(note);
            }
        }
    }

    fn take_asked_for(
        &mut self,
        survey: &Survey,
        from: &Endpoint,
    ) -> Result<(MemberStatus, Connection, String)> {
        let ranking = rank(survey);
        let Some((asked, standing)) = ranking.of(from) else {
            return Err(Error::Usage(format!("{from} is no endpoint")));
        };
        match &asked.answer {
            Err(failure) => Err(failure.clone().at(from)),
            Ok((status, connection)) => {
                if !matches!(standing, Standing::Leader | Standing::Voter) {
                    self.warnings.push(format!("{}: {}", status.title(), standing.why()));
                }
                Ok((status.clone(), connection.clone(), "asked for".into()))
            }
        }
    }

    async fn compare_members(&mut self, survey: &Survey) -> Result<()> {
        let options = HashOptions { revision: None, timeout: self.options.hash_timeout };
        // All members, not only those that the snapshot may come from.
        let wide;
        let survey = if survey.unasked().is_empty() {
            survey
        } else {
            wide = survey.widened(self.dialer).await?;
            &wide
        };
        let hashes = MembersHashKv::ask(self.dialer, survey, options).await.map_err(overtaken)?;
        if let Some(difference) = hashes.difference() {
            return Err(Error::Differs(difference));
        }
        for missing in &hashes.missing {
            self.warnings.push(format!("HashKV not compared: {missing}"));
        }
        self.members_hashkv = Some(hashes);
        Ok(())
    }

    async fn finish(mut self, caught: Caught) -> Result<Saved> {
        let Caught { streamed, member, connection, chosen, seen_revision, stream_seconds } = caught;
        let (bytes, sha256) = (streamed.received.bytes, hex(&streamed.received.sha256));
        let sender = Sender { dialer: self.dialer, connection: &connection, seen_revision };
        let judged = judge(streamed.received, &sender, self.options, &self.progress).await?;
        let Judged { file, facts, hashkv, outcome } = judged;
        self.warnings.extend(facts.warnings);
        Ok(Saved {
            file,
            bytes,
            sha256,
            status_hash: facts.status_hash.map(|hash| format!("{hash:x}")),
            revision: facts.revision,
            etcd_version: streamed.server_version.unwrap_or_else(|| member.version.clone()),
            member,
            chosen,
            attempts: self.attempts,
            checked: self.options.check,
            members_hashkv: self.members_hashkv,
            hashkv,
            change_prefix: outcome,
            stream_seconds,
            seconds: self.start.elapsed().as_secs_f64(),
            warnings: self.warnings,
        })
    }
}

/// Members that compact, while all are asked about one revision, were not asked wrongly.
fn overtaken(error: Error) -> Error {
    match error {
        Error::NoRevision { endpoint, revision, .. } => Error::Overtaken { endpoint, revision },
        error => error,
    }
}

/// Whether another member, or the same one a moment later, may do better.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Member { failure, .. } => failure.is_passing(),
        Error::NoMember { passing, .. } => *passing,
        _ => false,
    }
}
