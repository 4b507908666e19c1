//! `node`: one step on this host. The only file that knows how steps are asked for.

use std::io::{stdin, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use etcdprefix_migrate::NodeError;
use etcdprefix_migrate::node::memory::{self, Made};
use etcdprefix_migrate::node::{self as steps, Context, RelayAsk, RelayWhat};
use etcdprefix_migrate::protocol::{
    BundleRequest, KeyFiles, LiftFence, ObjectAccess, Owner, PreflightRequest, Request, Response,
    SleepRequest, SnapshotRequest, Snapshotted, StoreAccess, WakeRequest,
};

use super::config::{etcd, seconds, store};
use super::{bundle, engine, private};
use crate::args::Global;
use crate::args::node::{
    BundleArgs, NodeCommand, OwnerArgs, PreflightArgs, RelayArgs, SleepArgs, SnapshotArgs,
    StateArgs, WORKING_DIR, WakeArgs,
};
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::migrate::node as shown;
use crate::output::migrate::{preflight as checks, status};
use crate::output::{diagnose, warn};

/// Does it, and shows what it answers.
pub fn run(command: &NodeCommand, global: Global) -> Result<Answer, Failure> {
    private();
    match command {
        NodeCommand::Preflight(args) => preflight(args, global),
        NodeCommand::Sleep(args) => sleep(args, global),
        NodeCommand::Wake(args) => wake(args, global),
        NodeCommand::Snapshot(args) => snapshot(args, global),
        NodeCommand::Bundle(args) => bundle(args, global),
        NodeCommand::Status(args) => match perform(&args.state, &Request::Status)? {
            Response::Status(found) => Ok(status::node(&found, global.write_out).into()),
            _ => Err(unexpected()),
        },
        NodeCommand::Leader(args) => engine::leader(args, global),
        NodeCommand::Fence(args) => engine::fence(args, global),
        NodeCommand::Unpublish(args) => engine::unpublish(args, global),
        NodeCommand::Presign(args) => engine::presign(args, global),
        NodeCommand::Step(args) => step(args),
        NodeCommand::Relay(args) => relay(args),
        NodeCommand::Work(args) => work(args),
        NodeCommand::Timer(args) => timer(args),
    }
}

/// Its reply is all there is on stdout; what goes wrong is in it.
fn step(args: &StateArgs) -> Result<Answer, Failure> {
    let answered = steps::step(&context(args)?, stdin().lock(), stdout().lock());
    answered.map_err(|source| Failure::stdout(&source))?;
    Ok(String::new().into())
}

/// The same for a caller who can't be answered in the open.
fn relay(args: &RelayArgs) -> Result<Answer, Failure> {
    let what = match (&args.recipient, args.offset) {
        (Some(recipient), None) => RelayWhat::Run {
            recipient: recipient.clone(),
            program: steps::Launcher::this().map_err(|source| unfound(&source))?.program,
            words: args.words.clone(),
        },
        (_, offset) => RelayWhat::Page { offset: offset.unwrap_or_default() },
    };
    let RelayArgs { id, page_bytes, forget, .. } = args;
    let ask = RelayAsk { id: id.clone(), page_bytes: *page_bytes, forget: forget.clone(), what };
    let relayed = steps::relay(&args.state, &ask, stdin().lock(), stdout().lock());
    relayed.map_err(|error| Failure::step(&error))?;
    Ok(String::new().into())
}

/// `cancel` asks it to end by a signal; then sleep is put back, and no file of a snapshot stays.
fn work(args: &StateArgs) -> Result<Answer, Failure> {
    let interrupted = interrupt::on_every_signal().map_err(|source| unheeded(&source))?;
    let broken = "a file that this step reads can't be read any more: cut short, or the disk fails";
    let broken = Failure::new(Exit::Failed, broken, None);
    interrupt::on_bus_error(&broken).map_err(|source| unheeded(&source))?;
    let context = Context { interrupted, ..context(args)? };
    let done = steps::work(&context, stdin().lock(), stdout().lock());
    done.map_err(|error| Failure::step(&error))?;
    Ok(String::new().into())
}

fn timer(args: &StateArgs) -> Result<Answer, Failure> {
    steps::run_timer(&args.state).map_err(|error| Failure::step(&error))?;
    Ok(String::new().into())
}

pub(super) fn context(args: &StateArgs) -> Result<Context, Failure> {
    let context = Context::new(&args.state).map_err(|error| Failure::step(&error))?;
    Ok(Context { manifests: args.manifests.clone(), ..context })
}

/// What may be left half done is put back at the first signal.
pub(super) fn perform(state: &StateArgs, request: &Request) -> Result<Response, Failure> {
    let interrupted = signals(matches!(request, Request::Sleep(_) | Request::Wake(_)))?;
    let context = Context { interrupted, ..context(state)? };
    if let Some(owner) = holder(request) {
        begin(owner, &context)?;
    }
    steps::perform(request, &context).map_err(|error| Failure::step(&error))
}

fn begin(owner: &Owner, context: &Context) -> Result<(), Failure> {
    memory::refuse_ended(&owner.run, context).map_err(|error| Failure::step(&error))?;
    let lock = Request::Lock { owner: owner.clone(), take_over: false };
    steps::perform(&lock, context).map(drop).map_err(|error| Failure::step(&error))
}

/// Whom the step begins a run for: an engine's with sleep alone, so that what comes after it has ended
/// is refused; people begin with any step.
fn holder(request: &Request) -> Option<&Owner> {
    match request {
        Request::Sleep(request) => Some(&request.owner),
        Request::Snapshot(request) => by_hand(&request.owner),
        Request::Bundle(request) => by_hand(&request.owner),
        _ => None,
    }
}

fn by_hand(owner: &Owner) -> Option<&Owner> {
    (owner.run == memory::BY_HAND).then_some(owner)
}

fn signals(puts_back: bool) -> Result<Arc<AtomicBool>, Failure> {
    let heeded = match puts_back {
        true => interrupt::patiently(diagnose),
        false => interrupt::on_signals(),
    };
    heeded.map_err(|source| unheeded(&source))
}

fn unheeded(source: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot handle signals: {source}"), None)
}

fn unfound(source: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot find this program: {source}"), None)
}

pub(super) fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "the step answered something else than it was asked for", None)
}

pub(super) fn owner(args: &OwnerArgs) -> Result<Owner, Failure> {
    let cluster = args.cluster_id.parse().map_err(|error| Failure::migration(&error))?;
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let system = rustix::system::uname();
    let by = format!("{user}@{}, by hand", system.nodename().to_string_lossy());
    Ok(Owner { run: args.run.clone(), cluster, by })
}

fn preflight(args: &PreflightArgs, global: Global) -> Result<Answer, Failure> {
    let place = store(StoreAccess::default(), &args.store);
    let request = PreflightRequest {
        etcd: etcd(None, &args.etcd)?,
        store: (!place.url.is_empty()).then_some(place),
        working_dir: args.working_dir.clone(),
        presign_seconds: seconds(args.presign_lifetime),
        also: args.components.also.clone(),
        all: args.components.all,
        kubeconfig: args.kubeconfig.clone(),
        cluster_checks: !args.no_cluster_checks,
        extra: false,
        asked_ms: 0,
    };
    let answer = perform(&args.state, &Request::Preflight(request))?;
    let Response::Preflight(found) = answer else { return Err(unexpected()) };
    let failure = checks::refusal(&[checks::of_node(&found)]);
    let text = checks::node(&found, global.write_out);
    Ok(Answer { text, failures: failure.into_iter().collect() })
}

fn sleep(args: &SleepArgs, global: Global) -> Result<Answer, Failure> {
    let request = SleepRequest {
        owner: owner(&args.owner)?,
        also: args.components.also.clone(),
        all: args.components.all,
        wake_after_seconds: seconds(args.wake_after),
        wait_seconds: seconds(args.wait),
    };
    let answer = perform(&args.state, &Request::Sleep(request))?;
    let Response::Slept(slept) = answer else { return Err(unexpected()) };
    warn(&slept.warnings, global);
    Ok(shown::slept(&slept, global.write_out).into())
}

fn wake(args: &WakeArgs, global: Global) -> Result<Answer, Failure> {
    let lift_fence = match (args.managed_side_never_started, args.not_handed_out) {
        (true, _) => LiftFence::NeverStarted,
        (false, true) => LiftFence::Proven(args.proof.clone()),
        (false, false) => LiftFence::No,
    };
    let owner = engine::whose(&args.owner, args.any_run, &args.state)?;
    let request = WakeRequest {
        owner: owner.clone(),
        take_over: args.take_over,
        lift_fence,
        wait_seconds: seconds(args.wait),
    };
    let answer = perform(&args.state, &Request::Wake(request))?;
    let Response::Woken(woken) = answer else { return Err(unexpected()) };
    warn(&woken.warnings, global);
    warn(&give_back(owner, args)?, global);
    Ok(shown::woken(&woken, global.write_out).into())
}

/// All is as before: nobody else needs to wait for us. What can't be given back is worth a word only.
fn give_back(owner: Owner, args: &WakeArgs) -> Result<Vec<String>, Failure> {
    // What a snapshot that was killed has left.
    let working_dir = Some(WORKING_DIR.into());
    let request = Request::Unlock { owner, working_dir };
    let failed = steps::perform(&request, &context(&args.state)?).err();
    Ok(failed.map(|error| format!("the lock is still there: {error}")).into_iter().collect())
}

fn snapshot(args: &SnapshotArgs, global: Global) -> Result<Answer, Failure> {
    let owner = owner(&args.owner)?;
    let place = store(StoreAccess::default(), &args.store);
    let place = StoreAccess { url: object(&place.url, &args.owner.cluster_id), ..place };
    let access = engine::access(&args.etcd, &args.state)?;
    if args.require_leader && args.etcd.etcd_endpoints.is_empty() {
        engine::check_leads(&access)?;
    }
    let request = SnapshotRequest {
        etcd: access,
        require_leader: args.require_leader,
        store: place,
        owner: owner.clone(),
        working_dir: args.working_dir.clone(),
        src_prefix: src_prefix(args)?,
        allow_undecryptable: args.allow_undecryptable,
        target_quota_bytes: args.target_quota,
        rehearsal: args.rehearsal,
        keep: args.keep,
        presign_seconds: seconds(args.presign_lifetime),
    };
    let made = remembered(args, request)?;
    warn(&made.warnings, global);
    Ok(shown::snapshot(&made, global.write_out).into())
}

/// For the steps that come after, unless it is only tried.
fn remembered(args: &SnapshotArgs, request: SnapshotRequest) -> Result<Box<Snapshotted>, Failure> {
    let (owner, place, there) =
        (request.owner.clone(), request.store.clone(), context(&args.state)?);
    let step = |done: Result<(), NodeError>| done.map_err(|error| Failure::step(&error));
    let rehearsal = request.rehearsal;
    if !rehearsal {
        by_hand(&owner).map_or(Ok(()), |owner| begin(owner, &there))?;
        step(memory::begin(&owner, &place, &there))?;
    }
    let at_work = memory::snapshotting(&there).map_err(|error| Failure::step(&error))?;
    let answer = perform(&args.state, &Request::Snapshot(Box::new(request)))?;
    let Response::Snapshot(made) = answer else { return Err(unexpected()) };
    if !rehearsal && let Err(error) = memory::made(&owner, &made, &there) {
        // Nobody knows of it any more, so nobody else would.
        let request = Request::Unpublish(ObjectAccess { store: place });
        steps::perform(&request, &there).map_err(|error| Failure::step(&error))?;
        return Err(Failure::step(&error));
    }
    drop(at_work);
    Ok(made)
}

/// By the flag, or the manifest; etcd that was named may be one that no manifest here knows.
fn src_prefix(args: &SnapshotArgs) -> Result<String, Failure> {
    let given = args.src_prefix.clone();
    let found = || match (engine::manifest(&context(&args.state)?), &args.etcd.etcd_endpoints[..]) {
        (Ok(known), _) => Ok(known.etcd_prefix),
        (Err(failure), []) => Err(failure),
        (Err(_), _) => Ok("/registry".into()),
    };
    given.map_or_else(found, Ok)
}

/// As the template calls it, unless the URL is an object's.
fn object(url: &str, cluster_id: &str) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S");
    match place.split_once('/') {
        None => format!("{url}/etcd_{cluster_id}_{now}"),
        Some(_) if url.ends_with('/') => format!("{url}etcd_{cluster_id}_{now}"),
        Some(_) => url.to_owned(),
    }
}

fn bundle(args: &BundleArgs, global: Global) -> Result<Answer, Failure> {
    let recipients = crate::command::store::recipients(&args.recipient)?;
    let request = bundle_request(args)?;
    let (owner, place) = (request.owner.clone(), request.object.store.clone());
    // Of a cluster that nothing sleeps of, and nobody moves, it concerns nobody here.
    let there = context(&args.state)?;
    let concerns = memory::concerns(&there).map_err(|error| Failure::step(&error))?;
    let answer = perform(&args.state, &Request::Bundle(Box::new(request)))?;
    let Response::Bundle(bundled) = answer else { return Err(unexpected()) };
    warn(&bundled.warnings, global);
    if concerns {
        let told = memory::handing_out(&owner, &place, &there);
        told.map_err(|error| Failure::step(&error))?;
    }
    let place = match &args.output {
        None => bundle::print(&bundled, recipients.as_ref())?,
        Some(file) => bundle::write(file, &bundled, recipients.as_ref())?,
    };
    Ok(shown::bundle(&bundled, &place, global.write_out).into())
}

fn bundle_request(args: &BundleArgs) -> Result<BundleRequest, Failure> {
    let owner = owner(&args.owner)?;
    let (place, made) = match args.revision {
        Some(revision) => {
            let quiet_until = args.quiet_until.unwrap_or(revision);
            (store(StoreAccess::default(), &args.store), Made { revision, quiet_until })
        }
        None => engine::uploaded(&owner, args)?,
    };
    Ok(BundleRequest {
        owner,
        object: ObjectAccess { store: place },
        presign_seconds: seconds(args.presign_lifetime),
        etcd: engine::access(&args.etcd, &args.state)?,
        revision: made.revision,
        quiet_until: made.quiet_until,
        keys: keys(args)?,
        extra: args.bundle_extra,
    })
}

/// As the manifest says, or under kubeadm's names.
fn keys(args: &BundleArgs) -> Result<KeyFiles, Failure> {
    let found = match &args.pki {
        Some(folder) => below(folder),
        None => match engine::manifest(&context(&args.state)?) {
            Ok(known) => known.keys,
            Err(failure) if args.etcd.etcd_endpoints.is_empty() => return Err(failure),
            Err(_) => KeyFiles::default(),
        },
    };
    let encryption_config = args.encryption_config.clone().or(found.encryption_config);
    Ok(KeyFiles { encryption_config, ..found })
}

fn below(folder: &Path) -> KeyFiles {
    let pki = |name: &str| folder.join(name);
    KeyFiles {
        sakey: pki("sa.key"),
        sapub: pki("sa.pub"),
        frontcrt: pki("front-proxy-ca.crt"),
        frontkey: pki("front-proxy-ca.key"),
        cacrt: pki("ca.crt"),
        cakey: pki("ca.key"),
        encryption_config: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flag's default is a text, since it is there without the library, too.
    #[test]
    fn by_hand_is_called_alike_on_both_sides() {
        use clap::CommandFactory;
        let node = crate::args::Cli::command();
        let node = node.find_subcommand("node").unwrap().find_subcommand("sleep").unwrap().clone();
        let run = node.get_arguments().find(|arg| arg.get_id() == "run").unwrap().clone();
        assert_eq!(run.get_default_values(), [memory::BY_HAND]);
    }

    #[test]
    fn only_a_place_gets_a_name() {
        for place in ["oss://b", "oss://b/", "s3://b/under/"] {
            let url = object(place, "c1");
            assert!(url.contains("/etcd_c1_20") && !url.contains("//etcd"), "{url}");
        }
        assert_eq!(object("oss://b/snap.db", "c1"), "oss://b/snap.db");
    }
}
