//! `node leader`, `fence`, `unpublish` and `presign`, and what steps of engines have in common: what a
//! manifest or an earlier step tells needs no flag.

use etcdprefix_migrate::journal::write_private;
use etcdprefix_migrate::node::Context;
use etcdprefix_migrate::node::members;
use etcdprefix_migrate::node::memory::{self, Made, Memory};
use etcdprefix_migrate::node::preflight::{Known, known, own_members};
use etcdprefix_migrate::protocol::{
    EtcdAccess, MemberFacts, ObjectAccess, Owner, PresignRequest, Request, Response, StoreAccess,
};

use super::config::{etcd, seconds, store};
use super::node::{context, owner, perform, unexpected};
use crate::args::Global;
use crate::args::migrate::config::EtcdArgs;
use crate::args::node::engine::{AnyRunArgs, FenceArgs, LeaderArgs, PresignArgs, UnpublishArgs};
use crate::args::node::{BundleArgs, OwnerArgs, StateArgs};
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::migrate::{engine as shown, status};
use crate::output::warn;

/// How etcd is asked: as the flags say, or as the API server's manifest does.
pub fn access(args: &EtcdArgs, state: &StateArgs) -> Result<EtcdAccess, Failure> {
    match etcd(None, args)? {
        Some(given) => Ok(given),
        None => Ok(manifest(&context(state)?)?.etcd),
    }
}

/// What the manifest says.
pub fn manifest(context: &Context) -> Result<Known, Failure> {
    known(context).map_err(|error| Failure::step(&error))
}

/// Whoever is meant: by `--any-run` whoever holds the host for this cluster.
pub fn whose(args: &OwnerArgs, any: AnyRunArgs, state: &StateArgs) -> Result<Owner, Failure> {
    let given = owner(args)?;
    if !any.any_run {
        return Ok(given);
    }
    let held = memory::holder(&given.cluster, &context(state)?);
    let held = held.map_err(|error| Failure::step(&error))?;
    Ok(Owner { run: held.unwrap_or(given.run.clone()), ..given })
}

/// What `bundle` is of if no flag says. Flags go before it, but the object is that.
pub fn uploaded(owner: &Owner, args: &BundleArgs) -> Result<(StoreAccess, Made), Failure> {
    if args.store.store.is_some() {
        let why = "--store names the object, and nothing its revision";
        let hint = "--revision too, or neither: then it is what `node snapshot` made here";
        return Err(Failure::new(Exit::Usage, why, Some(hint.into())));
    }
    let found = memory::uploaded(&owner.run, &context(&args.state)?);
    let (known, made) = found.map_err(|error| Failure::step(&error))?;
    Ok((store(known, &args.store), made))
}

/// With `--print` its exit code says nothing of who leads: then it is for engines that collect what
/// hosts print.
pub fn leader(args: &LeaderArgs, global: Global) -> Result<Answer, Failure> {
    let access = access(&args.etcd, &args.state)?;
    let own = own_members(&access).map_err(|error| Failure::step(&error))?;
    let leading = own.iter().find(|member| member.is_leader && !member.is_learner);
    if let Some(text) = &args.print {
        return Ok(leading.map(|_| format!("{text}\n")).unwrap_or_default().into());
    }
    let failure = leading.is_none().then(|| not_leading(&own));
    let text = shown::leader(leading.or(own.first()), leading.is_some(), global.write_out);
    Ok(Answer { text, failures: failure.into_iter().collect() })
}

/// For `snapshot --require-leader`, and for `leader`.
pub fn check_leads(access: &EtcdAccess) -> Result<(), Failure> {
    let own = own_members(access).map_err(|error| Failure::step(&error))?;
    match own.iter().any(|member| member.is_leader && !member.is_learner) {
        true => Ok(()),
        false => Err(not_leading(&own)),
    }
}

fn not_leading(own: &[MemberFacts]) -> Failure {
    let why = match own {
        [] => "no member of etcd is on this host",
        [one] if one.is_learner => "this host's member of etcd is a learner",
        _ => "this host's member of etcd does not lead",
    };
    Failure::new(Exit::NoMember, why, Some("on the host whose member leads".into()))
}

pub fn fence(args: &FenceArgs, global: Global) -> Result<Answer, Failure> {
    let owner = owner(&args.owner)?;
    if let Some(hosts) = args.hosts {
        check_count(hosts, args.made_on.is_some(), &manifest(&context(&args.state)?)?.etcd)?;
    }
    let told = memory::fencing(&owner, args.made_on.as_deref(), &context(&args.state)?);
    told.map_err(|error| Failure::step(&error))?;
    let request = Request::Fence { owner };
    match perform(&args.state, &request)? {
        Response::Fenced(found) => Ok(status::node(&found, global.write_out).into()),
        _ => Err(unexpected()),
    }
}

/// A master that was forgotten would stay awake while the bundle is out.
fn check_count(hosts: usize, is_other: bool, etcd: &EtcdAccess) -> Result<(), Failure> {
    let members = members::count(etcd).map_err(|error| Failure::step(&error))?;
    // A learner tells no list: then the host that made the snapshot looks.
    if members == hosts || (members == 0 && is_other) {
        return Ok(());
    }
    let why = format!("etcd has {members} members, and {hosts} hosts are to sleep");
    let hint = "all masters, and no other hosts; a member of a lost master is to be removed first";
    Err(Failure::new(Exit::NotReady, why, Some(hint.into())))
}

/// First nothing more is made here, then what was made goes.
pub fn unpublish(args: &UnpublishArgs, global: Global) -> Result<Answer, Failure> {
    let owner = whose(&args.owner, args.any_run, &args.state)?;
    let there = context(&args.state)?;
    let closed = memory::close(&owner, args.unless_handed_out, &there);
    let found = closed.map_err(|error| Failure::step(&error))?;
    let gone = made_dead(&owner, found.as_ref(), args, global)?;
    if let Some(name) = &args.print_proof {
        let left = memory::read(&owner.run, &there).map_err(|error| Failure::step(&error))?;
        let proof = left.and_then(|memory| memory.proof(name));
        return Ok(proof.map(|proof| format!("{proof}\n")).unwrap_or_default().into());
    }
    let (object, how) = gone;
    Ok(shown::unpublished(object.as_deref(), how.as_deref(), global.write_out).into())
}

/// The object, if there was one, and how it went.
fn made_dead(
    owner: &Owner,
    found: Option<&Memory>,
    args: &UnpublishArgs,
    global: Global,
) -> Result<(Option<String>, Option<String>), Failure> {
    let store = found.filter(|it| !it.dead).and_then(|it| it.store.clone());
    let Some(place) = store.map(|known| store_of(known, args)) else {
        return Ok((None, None));
    };
    let object = place.url.clone();
    let request = Request::Unpublish(ObjectAccess { store: place });
    let done = match perform(&args.state, &request) {
        Ok(Response::Unpublished(how)) => how,
        Ok(_) => return Err(unexpected()),
        Err(failure) if found.is_some_and(|it| it.is_out()) => return Err(failure),
        Err(failure) => {
            let why = format!("{object} may be left; nobody was given a URL: {failure}");
            warn(&[why], global);
            return Ok((Some(object), None));
        }
    };
    let told = memory::dead(owner, &context(&args.state)?);
    told.map_err(|error| Failure::step(&error))?;
    Ok((Some(object), Some(done)))
}

/// Flags go before what is remembered, but the object is that.
fn store_of(known: StoreAccess, args: &UnpublishArgs) -> StoreAccess {
    let url = known.url.clone();
    StoreAccess { url, ..store(known, &args.store) }
}

pub fn presign(args: &PresignArgs, global: Global) -> Result<Answer, Failure> {
    let owner = whose(&args.owner, args.any_run, &args.state)?;
    let there = context(&args.state)?;
    let found = memory::uploaded(&owner.run, &there).map_err(|error| Failure::step(&error))?;
    let url = found.0.url.clone();
    let place = StoreAccess { url, ..store(found.0, &args.store) };
    let request = Request::Presign(PresignRequest {
        object: ObjectAccess { store: place.clone() },
        presign_seconds: seconds(args.presign_lifetime),
    });
    let Response::Presigned(signed) = perform(&args.state, &request)? else {
        return Err(unexpected());
    };
    warn(&signed.warnings, global);
    memory::handing_out(&owner, &place, &there).map_err(|error| Failure::step(&error))?;
    if let Some(file) = &args.output {
        let line = format!("{}\n", signed.url.reveal());
        let done = write_private(file, line.as_bytes());
        done.map_err(|error| Failure::migration(&error))?;
    }
    Ok(shown::presigned(&signed, args.output.as_deref(), global.write_out).into())
}
