//! What an engine's run remembers on a host between its steps, which know nothing of each other:
//! `snapshot.json`. No secret is in it.
//!
//! ```text
//! begin -> made -> fencing -> handing_out -> close -> dead        released with the host's lock
//! ```
//!
//! A fence without a memory of its run is another's: whether that handed something out is not known here.

use serde::{Deserialize, Serialize};

use crate::cluster_id::ClusterId;
use crate::error::{NodeError, NodeErrorKind};
use crate::node::cancel::{self, Task};
use crate::node::clock::{now_ms, text_of};
use crate::node::guard::Guard;
use crate::node::state::{Kept, State};
use crate::node::{Context, detach, lock};
use crate::protocol::{Owner, Snapshotted, StoreAccess};

/// What a run did here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Which.
    pub run: String,
    /// Where its object is or was to be, and how the store is reached.
    pub store: Option<StoreAccess>,
    /// What the object is, once it is whole.
    pub made: Option<Made>,
    /// When a URL was first handed out, in milliseconds since 1970.
    pub handed_out_ms: Option<u64>,
    /// The run makes nothing more here: it is being undone.
    pub closed: bool,
    /// The object is proven to be gone.
    pub dead: bool,
    /// Where the snapshot is from that the fence is for.
    #[serde(default)]
    pub maker: Maker,
}

/// What a run leaves on a host that is given back: for its steps that come late, for its object if that
/// is still there, and as a proof for hosts that sleep on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Closed {
    cluster: ClusterId,
    memory: Memory,
}

/// So many of them, the oldest first.
const CLOSED_MAX: usize = 8;

/// The run of people who name none: it begins anew each time.
pub const BY_HAND: &str = "by-hand";

/// Which host may hand out a bundle, as the fence was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// Nobody said.
    #[default]
    Unknown,
    /// This one.
    Here,
    /// Another, as the engine calls it.
    There(String),
}

/// An uploaded snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its revision.
    pub revision: i64,
    /// See [`Snapshotted::quiet_until`].
    pub quiet_until: i64,
}

impl Memory {
    fn of(run: &str) -> Self {
        let run = run.to_owned();
        Self {
            run,
            store: None,
            made: None,
            handed_out_ms: None,
            closed: false,
            dead: false,
            maker: Maker::Unknown,
        }
    }

    /// Whether somebody may have a URL that still works.
    pub fn is_out(&self) -> bool {
        self.handed_out_ms.is_some() && !self.dead
    }

    /// What lifts the fences of this run on other hosts: nobody has a URL of what was made here, and
    /// nobody will.
    pub fn proof(&self, name: &str) -> Option<String> {
        let is_proven = self.store.is_some() && self.closed && !self.is_out();
        is_proven.then(|| format!("{name}/{}", self.run))
    }
}

/// What this run remembers, if anything, also once it has ended here; another run's is as none.
///
/// # Errors
/// If it can't be read.
pub fn read(run: &str, context: &Context) -> Result<Option<Memory>, NodeError> {
    let Some(state) = State::existing(&context.state)? else { return Ok(None) };
    of(run, &state)?.map_or_else(|| buried(run, &state), |memory| Ok(Some(memory)))
}

fn buried(run: &str, state: &State) -> Result<Option<Memory>, NodeError> {
    let found = closed(state)?.into_iter().map(|closed| closed.memory);
    Ok(found.rev().find(|memory| memory.run == run))
}

fn closed(state: &State) -> Result<Vec<Closed>, NodeError> {
    Ok(state.read(Kept::Closed)?.unwrap_or_default())
}

/// An error if this run was undone on this host: a step of it that begins it anew comes too late.
///
/// # Errors
/// [`NodeErrorKind::Locked`] then.
pub fn refuse_ended(run: &str, context: &Context) -> Result<(), NodeError> {
    match read(run, context)?.map(|memory| open(&memory)) {
        Some(Err(error)) => Err(error.try_("a new run: another --run, or another execution")),
        _ => Ok(()),
    }
}

/// The host is given back: what its run knew goes, but for what its steps that come late have to find,
/// and other hosts that still sleep. Under `host.lock`.
pub(crate) fn bury(state: &State, owner: &Owner) -> Result<(), NodeError> {
    if let Some(memory) = of(&owner.run, state)? {
        bury_one(state, owner, memory)?;
    }
    state.remove(Kept::Snapshot).map(drop)
}

/// Whoever gives a host back makes nothing more there.
fn bury_one(state: &State, owner: &Owner, memory: Memory) -> Result<(), NodeError> {
    if memory.run == BY_HAND {
        return Ok(());
    }
    let mut all = closed(state)?;
    all.retain(|closed| closed.memory.run != memory.run);
    let (cluster, memory) = (owner.cluster.clone(), Memory { closed: true, ..memory });
    all.push(Closed { cluster, memory });
    if all.len() > CLOSED_MAX {
        // Those without an object prove nothing to other hosts.
        let least = all.iter().position(|closed| closed.memory.store.is_none());
        all.remove(least.unwrap_or_default());
    }
    state.write(Kept::Closed, &all)
}

/// One snapshot at a time is made in the foreground, where whoever wakes the host finds and ends it.
///
/// # Errors
/// [`NodeErrorKind::Locked`] if another is under way.
pub fn snapshotting(context: &Context) -> Result<impl Drop, NodeError> {
    let state = State::open(&context.state)?;
    detach::make_folder(&state)?;
    let lock = state.steps().join("foreground.lock");
    let holder = Task::holder(Some(Task::Snapshot));
    let taken = Guard::try_take(&lock, &holder).map_err(NodeError::io("lock", &lock))?;
    taken.map(Foreground).ok_or_else(|| {
        NodeError::new(NodeErrorKind::Locked, "a snapshot is under way on this host")
            .try_("wait for it, or `etcdprefix node wake`")
    })
}

struct Foreground(Guard);

impl Drop for Foreground {
    fn drop(&mut self) {
        self.0.forget();
    }
}

pub(crate) fn of(run: &str, state: &State) -> Result<Option<Memory>, NodeError> {
    Ok(state.read::<Memory>(Kept::Snapshot)?.filter(|memory| memory.run == run))
}

/// A snapshot is about to be made: its object may be there from now on.
///
/// # Errors
/// [`NodeErrorKind::Locked`] if the run is over here; [`NodeErrorKind::Fenced`] if a URL is out.
pub fn begin(owner: &Owner, store: &StoreAccess, context: &Context) -> Result<(), NodeError> {
    change(owner, context, |memory| {
        open(memory)?;
        if memory.is_out() {
            return Err(out(memory));
        }
        let (store, maker) = (Some(store.clone()), memory.maker.clone());
        *memory = Memory { store, maker, ..Memory::of(&owner.run) };
        Ok(())
    })
}

/// It is there.
///
/// # Errors
/// As [`begin`].
pub fn made(owner: &Owner, snapshot: &Snapshotted, context: &Context) -> Result<(), NodeError> {
    let Snapshotted { revision, quiet_until, .. } = *snapshot;
    change(owner, context, |memory| {
        open(memory)?;
        memory.made = Some(Made { revision, quiet_until });
        Ok(())
    })
}

/// The object that a bundle or a URL is to be of.
///
/// # Errors
/// [`NodeErrorKind::NotAsExpected`] if there is none, or the host is not fenced: whoever gets it must find
/// nobody awake.
pub fn uploaded(run: &str, context: &Context) -> Result<(StoreAccess, Made), NodeError> {
    let found = read(run, context)?;
    let found = found.map(|memory| open(&memory).map(|()| (memory.store, memory.made)));
    let Some((Some(store), Some(made))) = found.transpose()? else {
        let why = format!("run {run} remembers no snapshot on this host");
        return Err(NodeError::new(NodeErrorKind::NotAsExpected, why)
            .try_("`etcdprefix node snapshot` here first, or --store with --revision"));
    };
    let state = State::open(&context.state)?;
    fenced(run, &state)?;
    Ok((store, made))
}

/// The host is about to be fenced: from then on a bundle may be out, of the snapshot that `made_on` made,
/// or this host. On the disk before the fence is.
///
/// # Errors
/// [`NodeErrorKind::Locked`] if the run is over here; [`NodeErrorKind::NotAsExpected`] if it was said
/// otherwise before.
pub fn fencing(owner: &Owner, made_on: Option<&str>, context: &Context) -> Result<(), NodeError> {
    change(owner, context, |memory| {
        open(memory)?;
        let maker = match made_on {
            Some(name) => Maker::There(name.to_owned()),
            None if memory.made.is_some() => Maker::Here,
            None => Maker::Unknown,
        };
        if ![&Maker::Unknown, &maker].contains(&&memory.maker) {
            let why = format!("run {} was fenced for another host's snapshot", memory.run);
            return Err(NodeError::new(NodeErrorKind::NotAsExpected, why)
                .try_("the same --made-on as before"));
        }
        memory.maker = maker;
        Ok(())
    })
}

/// Whoever gets what is printed next has a URL of this object. On the disk before it is.
///
/// # Errors
/// [`NodeErrorKind::NotAsExpected`] without a fence, and if the run has another object, or another host
/// for it: what undoes the run would miss this one. [`NodeErrorKind::Locked`] if the run is over.
pub fn handing_out(owner: &Owner, store: &StoreAccess, context: &Context) -> Result<(), NodeError> {
    let state = State::open(&context.state)?;
    change(owner, context, |memory| {
        // Under the host's lock, where no wake lifts it meanwhile.
        fenced(&owner.run, &state)?;
        open(memory)?;
        elsewhere(memory)?;
        let known = memory.store.get_or_insert_with(|| store.clone());
        if known.url != store.url {
            let why = format!("run {} has made {}, not {}", memory.run, known.url, store.url);
            return Err(NodeError::new(NodeErrorKind::NotAsExpected, why)
                .try_("neither --store nor --revision: then the bundle is of that"));
        }
        memory.handed_out_ms = memory.handed_out_ms.or_else(|| Some(now_ms()));
        Ok(())
    })
}

fn elsewhere(memory: &Memory) -> Result<(), NodeError> {
    let Maker::There(name) = &memory.maker else { return Ok(()) };
    let why = format!("the hosts of run {} were fenced for the snapshot of {name}", memory.run);
    Err(NodeError::new(NodeErrorKind::NotAsExpected, why).try_("there"))
}

/// Whether a bundle from this host is of a migration that sleeps here, or was put to sleep here.
///
/// # Errors
/// If it can't be read.
pub fn concerns(context: &Context) -> Result<bool, NodeError> {
    let Some(state) = State::existing(&context.state)? else { return Ok(false) };
    Ok(!lock::is_free(&state)?)
}

/// The run is to be undone: its steps that come late are refused. What it remembers is returned.
///
/// # Errors
/// [`NodeErrorKind::Fenced`] if a URL is out and that is not to be touched, or something else than an
/// engine's steps raised the fence: what that handed out is not known here.
pub fn close(
    owner: &Owner,
    keep_handed_out: bool,
    context: &Context,
) -> Result<Option<Memory>, NodeError> {
    let Some(state) = State::existing(&context.state)? else { return Ok(None) };
    if lock::shown(&state)?.is_none() {
        // Not even our own lock's file is to be left on it.
        return close_ended(owner, &state);
    }
    let guard = state.lock_host(&format!("unpublish for run {}", owner.run))?;
    if lock::check(&state, owner, false)?.is_none() {
        // Nothing of this run is here, and nothing will be: its steps need the lock.
        return Ok(None);
    }
    let found = of(&owner.run, &state)?;
    if found.is_none() && state.fence()?.is_some_and(|fence| fence.run == owner.run) {
        return Err(unknown(&owner.run));
    }
    let found = found.unwrap_or_else(|| Memory::of(&owner.run));
    if keep_handed_out && found.is_out() {
        return Err(out(&found));
    }
    let memory = Memory { closed: true, ..found };
    state.write(Kept::Snapshot, &memory)?;
    drop(guard);
    // Or its object would be there again after it was deleted.
    cancel::stop(&state, &[Task::Snapshot]);
    Ok(Some(memory))
}

/// Of a run that does not hold the host: its object may be left, and a step of it may come late.
fn close_ended(owner: &Owner, state: &State) -> Result<Option<Memory>, NodeError> {
    match buried(&owner.run, state)? {
        Some(memory) => Ok(Some(memory).filter(|memory| !memory.is_out())),
        None => bury_one(state, owner, Memory::of(&owner.run)).map(|()| None),
    }
}

/// The run of this cluster's migration that holds the host, whoever began it.
///
/// # Errors
/// [`NodeErrorKind::Locked`] if it is another cluster's, or nobody knows whose.
pub fn holder(cluster: &ClusterId, context: &Context) -> Result<Option<String>, NodeError> {
    let Some(state) = State::existing(&context.state)? else { return Ok(None) };
    if let Some(held) = lock::shown(&state)? {
        if held.owner.cluster == *cluster {
            return Ok(Some(held.owner.run));
        }
        let why = format!("this host is held by the migration of {}", held.owner.cluster);
        return Err(NodeError::new(NodeErrorKind::Locked, why).try_("that cluster's id"));
    }
    let asleep = state.record()?.map(|record| record.run);
    match asleep.or(state.fence()?.map(|fence| fence.run)) {
        None => {
            let ours = closed(&state)?.into_iter().filter(|closed| closed.cluster == *cluster);
            // One that made something before those that did not: theirs is all that is left to do.
            Ok(ours.max_by_key(|it| it.memory.store.is_some()).map(|it| it.memory.run))
        }
        Some(run) => {
            let why = format!("run {run} has left this host asleep; of which cluster is not known");
            let error = NodeError::new(NodeErrorKind::Locked, why);
            Err(error.try_("--run in place of --any-run, if that was this cluster's"))
        }
    }
}

/// Nobody gets the snapshot any more, by whatever URL.
///
/// # Errors
/// If that can't be written down.
pub fn dead(owner: &Owner, context: &Context) -> Result<(), NodeError> {
    let state = State::open(&context.state)?;
    if lock::shown(&state)?.is_none() {
        let found = buried(&owner.run, &state)?;
        return found.map_or(Ok(()), |it| bury_one(&state, owner, Memory { dead: true, ..it }));
    }
    change(owner, context, |memory| {
        memory.dead = true;
        Ok(())
    })
}

fn change(
    owner: &Owner,
    context: &Context,
    change: impl FnOnce(&mut Memory) -> Result<(), NodeError>,
) -> Result<(), NodeError> {
    let state = State::open(&context.state)?;
    let _guard = state.lock_host(&format!("snapshot.json of run {}", owner.run))?;
    lock::own(&state, owner)?;
    let found = state.read::<Memory>(Kept::Snapshot)?;
    if let Some(other) = found.as_ref().filter(|it| it.run != owner.run && it.is_out()) {
        return Err(out(other));
    }
    let ours = found.filter(|memory| memory.run == owner.run);
    let mut memory = ours.unwrap_or_else(|| Memory::of(&owner.run));
    change(&mut memory)?;
    state.write(Kept::Snapshot, &memory)
}

fn open(memory: &Memory) -> Result<(), NodeError> {
    match memory.closed {
        false => Ok(()),
        true => {
            let why = format!("run {} is being undone: it makes nothing more here", memory.run);
            Err(NodeError::new(NodeErrorKind::Locked, why).try_("`etcdprefix node wake`"))
        }
    }
}

fn fenced(run: &str, state: &State) -> Result<(), NodeError> {
    if state.fence()?.is_some_and(|fence| fence.run == run) {
        return Ok(());
    }
    let why = format!("run {run} has no fence on this host: it could wake while a bundle is out");
    Err(NodeError::new(NodeErrorKind::NotAsExpected, why)
        .try_("`etcdprefix node fence` on all hosts first"))
}

/// Whether a fence may go because nobody has a URL: by what is on this disk, or a proof of the host that
/// made the snapshot. What is not known is taken for handed out.
pub(crate) fn may_lift(run: &str, proofs: &[String], state: &State) -> Result<(), NodeError> {
    let refused = |why: String, hint: &str| {
        Err(NodeError::new(NodeErrorKind::Fenced, why).try_(hint.to_owned()))
    };
    let Some(memory) = of(run, state)? else { return Err(unknown(run)) };
    if memory.is_out() {
        return Err(out(&memory));
    }
    match &memory.maker {
        Maker::Here => Ok(()),
        Maker::There(name) if proofs.contains(&format!("{name}/{run}")) => Ok(()),
        Maker::There(name) => {
            let why = format!("{name} made the snapshot of run {run} and may have handed it out");
            refused(why, "`etcdprefix node unpublish --print-proof` there, then --proof here")
        }
        Maker::Unknown => {
            let why = format!("another host may have handed out the bundle of run {run}");
            refused(why, "--managed-side-never-started, only if it certainly never did")
        }
    }
}

fn unknown(run: &str) -> NodeError {
    let why = format!("run {run} was begun by something else than an engine's steps");
    NodeError::new(NodeErrorKind::Fenced, why)
        .try_("`etcdprefix migrate rollback`, from where it was begun")
}

/// What everything says that would wake a host while a URL works.
pub(crate) fn out(memory: &Memory) -> NodeError {
    let since = memory.handed_out_ms.map(text_of).unwrap_or_default();
    let why = format!("run {} has handed out its bundle here at {since}", memory.run);
    NodeError::new(NodeErrorKind::Fenced, why).try_(
        "nothing, if the managed side has the cluster; `etcdprefix node unpublish` if it certainly \
         never started",
    )
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
