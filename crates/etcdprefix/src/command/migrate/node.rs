//! `node`: one step on this host. The only file that knows how steps are asked for.

use std::io::{stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use etcdprefix_migrate::node::{self as steps, Context};
use etcdprefix_migrate::protocol::{
    BundleRequest, EtcdAccess, KeyFiles, LiftFence, ObjectAccess, Owner, PreflightRequest, Request,
    Response, SleepRequest, SnapshotRequest, StoreAccess, WakeRequest,
};

use super::config::{etcd, seconds, store};
use super::{bundle, private};
use crate::args::Global;
use crate::args::migrate::config::EtcdArgs;
use crate::args::node::{
    BundleArgs, NodeCommand, OwnerArgs, PreflightArgs, SleepArgs, SnapshotArgs, StateArgs, WakeArgs,
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
        NodeCommand::Step(args) => step(args),
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

fn context(args: &StateArgs) -> Result<Context, Failure> {
    let context = Context::new(&args.state).map_err(|error| Failure::step(&error))?;
    Ok(Context { manifests: args.manifests.clone(), ..context })
}

/// What may be left half done is put back at the first signal.
fn perform(state: &StateArgs, request: &Request) -> Result<Response, Failure> {
    let interrupted = signals(matches!(request, Request::Sleep(_) | Request::Wake(_)))?;
    let context = Context { interrupted, ..context(state)? };
    if let Some(owner) = holder(request) {
        let lock = Request::Lock { owner: owner.clone(), take_over: false };
        steps::perform(&lock, &context).map_err(|error| Failure::step(&error))?;
    }
    steps::perform(request, &context).map_err(|error| Failure::step(&error))
}

/// An orchestrator has locked the host before; people begin with any step.
fn holder(request: &Request) -> Option<&Owner> {
    match request {
        Request::Sleep(request) => Some(&request.owner),
        Request::Snapshot(request) => Some(&request.owner),
        Request::Bundle(request) => Some(&request.owner),
        _ => None,
    }
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

fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "the step answered something else than it was asked for", None)
}

fn owner(args: &OwnerArgs) -> Result<Owner, Failure> {
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
    let lift_fence = match args.managed_side_never_started {
        true => LiftFence::NeverStarted,
        false => LiftFence::No,
    };
    let request = WakeRequest {
        owner: owner(&args.owner)?,
        take_over: args.take_over,
        lift_fence,
        wait_seconds: seconds(args.wait),
    };
    let answer = perform(&args.state, &Request::Wake(request))?;
    let Response::Woken(woken) = answer else { return Err(unexpected()) };
    warn(&woken.warnings, global);
    warn(&give_back(args)?, global);
    Ok(shown::woken(&woken, global.write_out).into())
}

/// All is as before: nobody else needs to wait for us. What can't be given back is worth a word only.
fn give_back(args: &WakeArgs) -> Result<Vec<String>, Failure> {
    let request = Request::Unlock { owner: owner(&args.owner)?, working_dir: None };
    let failed = steps::perform(&request, &context(&args.state)?).err();
    Ok(failed.map(|error| format!("the lock is still there: {error}")).into_iter().collect())
}

fn snapshot(args: &SnapshotArgs, global: Global) -> Result<Answer, Failure> {
    let owner = owner(&args.owner)?;
    let place = store(StoreAccess::default(), &args.store);
    let request = SnapshotRequest {
        etcd: members(&args.etcd)?,
        require_leader: args.require_leader,
        store: StoreAccess { url: object(&place.url, &args.owner.cluster_id), ..place },
        owner,
        working_dir: args.working_dir.clone(),
        src_prefix: args.src_prefix.clone(),
        allow_undecryptable: args.allow_undecryptable,
        target_quota_bytes: args.target_quota,
        rehearsal: args.rehearsal,
        keep: args.keep,
        presign_seconds: seconds(args.presign_lifetime),
    };
    let answer = perform(&args.state, &Request::Snapshot(Box::new(request)))?;
    let Response::Snapshot(made) = answer else { return Err(unexpected()) };
    warn(&made.warnings, global);
    Ok(shown::snapshot(&made, global.write_out).into())
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

fn members(args: &EtcdArgs) -> Result<EtcdAccess, Failure> {
    Ok(etcd(None, args)?.unwrap_or_default())
}

fn bundle(args: &BundleArgs, global: Global) -> Result<Answer, Failure> {
    let recipients = crate::command::store::recipients(&args.recipient)?;
    let answer = perform(&args.state, &Request::Bundle(Box::new(bundle_request(args)?)))?;
    let Response::Bundle(bundled) = answer else { return Err(unexpected()) };
    warn(&bundled.warnings, global);
    let place = match &args.output {
        None => shown::Where::Here,
        Some(file) => bundle::write(file, &bundled, recipients.as_ref())?,
    };
    Ok(shown::bundle(&bundled, &place, global.write_out).into())
}

fn bundle_request(args: &BundleArgs) -> Result<BundleRequest, Failure> {
    Ok(BundleRequest {
        owner: owner(&args.owner)?,
        object: ObjectAccess { store: store(StoreAccess::default(), &args.store) },
        presign_seconds: seconds(args.presign_lifetime),
        etcd: members(&args.etcd)?,
        revision: args.revision,
        quiet_until: args.quiet_until.unwrap_or(args.revision),
        keys: keys(args),
        extra: args.bundle_extra,
    })
}

/// Under kubeadm's names.
fn keys(args: &BundleArgs) -> KeyFiles {
    let pki = |name: &str| args.pki.join(name);
    KeyFiles {
        sakey: pki("sa.key"),
        sapub: pki("sa.pub"),
        frontcrt: pki("front-proxy-ca.crt"),
        frontkey: pki("front-proxy-ca.key"),
        cacrt: pki("ca.crt"),
        cakey: pki("ca.key"),
        encryption_config: args.encryption_config.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_gets_a_name() {
        for place in ["oss://b", "oss://b/", "s3://b/under/"] {
            let url = object(place, "c1");
            assert!(url.contains("/etcd_c1_20") && !url.contains("//etcd"), "{url}");
        }
        assert_eq!(object("oss://b/snap.db", "c1"), "oss://b/snap.db");
    }
}
