//! `migrate hosted`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use etcdprefix_migrate::Error;
use etcdprefix_migrate::hosted::{self, After, Files, Name, RollbackOptions, RunOptions, Setup};
use etcdprefix_migrate::kubernetes::Cluster;
use etcdprefix_migrate::protocol::{EtcdAccess, StoreAccess};

use super::aftercare::kubeconfig;
use super::{config, folder};
use crate::args::Global;
use crate::args::go::GoDuration;
use crate::args::migrate::config::WhichArgs;
use crate::args::migrate::hosted::{
    AfterArg, HostedArgs, HostedCommand, RollbackArgs, RunArgs, StatusArgs, StoreReachArgs,
};
use crate::command::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output;
use crate::output::migrate::hosted as shown;

/// The longest that a URL lives, and the shortest that is of use.
const PRESIGN_SECONDS: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 3600;

/// What signals do.
enum Care {
    /// The first asks to stop, the second ends the process.
    Usual,
    /// The first has everything put back, for so long if the API does not answer.
    PutsBack(GoDuration),
}

/// Does what was asked for.
pub fn run(command: &HostedCommand, global: Global) -> Result<Answer, Failure> {
    match command {
        HostedCommand::Run(args) => make(args, global),
        HostedCommand::Rollback(args) => rollback(args, global),
        HostedCommand::Status(args) => status(args, global),
    }
}

fn make(args: &RunArgs, global: Global) -> Result<Answer, Failure> {
    let options = options(args)?;
    if args.dry_run {
        let found = work(&args.hosted, Care::Usual, global, async |setup| {
            hosted::plan(setup, &options).await
        })?;
        return Ok(shown::found(&found, global.write_out).into());
    }
    let made = work(&args.hosted, Care::PutsBack(args.put_back_limit), global, async |setup| {
        hosted::run(setup, &options).await
    })?;
    if args.files.print_fragment && global.write_out == crate::args::Format::Simple && !global.quiet
    {
        output::to_stderr(&shown::summary(&made));
    }
    Ok(shown::made(&made, args.files.print_fragment, global.write_out).into())
}

fn rollback(args: &RollbackArgs, global: Global) -> Result<Answer, Failure> {
    let options = RollbackOptions {
        take_over: args.take_over,
        accept_changed: args.accept_changed,
        store: store(String::new(), &args.store),
    };
    let done = work(&args.hosted, Care::PutsBack(args.put_back_limit), global, async |setup| {
        hosted::rollback(setup, &options).await
    })?;
    Ok(shown::put_back(&done, global.write_out).into())
}

fn status(args: &StatusArgs, global: Global) -> Result<Answer, Failure> {
    let mut found =
        work(&args.hosted, Care::Usual, global, async |setup| hosted::status(setup).await)?;
    found.advice = whole(&args.hosted, &found.advice);
    Ok(shown::status(&found, global.write_out).into())
}

/// Runs to its end; signals have everything put back.
fn work<T>(
    args: &HostedArgs,
    care: Care,
    global: Global,
    work: impl AsyncFnOnce(&Setup) -> etcdprefix_migrate::Result<T>,
) -> Result<T, Failure> {
    let folder = home(args)?;
    folder::make(&folder)?;
    let kubeconfig = kubeconfig(args.kubeconfig.as_ref())?;
    let (heeded, put_back_limit) = match care {
        Care::Usual => (interrupt::on_signals(), Duration::ZERO),
        Care::PutsBack(limit) => (interrupt::patiently(heard), limit.0),
    };
    let interrupted = heeded.map_err(|source| {
        Failure::new(Exit::Failed, format!("cannot handle signals: {source}"), None)
    })?;
    let name = name(args)?;
    let quiet = global.quiet;
    let view = move |text: &str| match quiet {
        true => {}
        false => output::diagnose(text),
    };
    crate::command::wait(async {
        let failed = |error: Error| Failure::migration(&error).reworded(|text| whole(args, text));
        let setup = Setup {
            cluster: Cluster::open(&kubeconfig).await.map_err(failed)?,
            control_plane: args.control_plane_namespace.clone().unwrap_or(name.control_plane()),
            name,
            folder,
            environment: Default::default(),
            put_back_limit,
            view: Arc::new(view),
            interrupted,
        };
        work(&setup).await.map_err(failed)
    })
}

/// Commands that are advised, with the flags that were given: they can be typed as they stand.
fn whole(args: &HostedArgs, text: &str) -> String {
    let mut flags = format!(" --hosted-cluster {}", args.hosted_cluster);
    if let Some(namespace) = &args.control_plane_namespace {
        flags.push_str(&format!(" --control-plane-namespace {namespace}"));
    }
    for (flag, path) in [("--kubeconfig", &args.kubeconfig), ("--folder", &args.folder)] {
        if let Some(path) = path {
            flags.push_str(&format!(" {flag} {}", output::text::path(path)));
        }
    }
    let mut text = text.to_owned();
    for command in ["etcdprefix migrate hosted rollback", "etcdprefix migrate hosted status"] {
        text = text.replace(command, &format!("{command}{flags}"));
    }
    text
}

/// What is put back here is on no hosts.
fn heard(text: &str) {
    output::diagnose(match text.starts_with("stopping") {
        true => "stopping; everything is put back, unless the snapshot is made",
        false => {
            "still putting things back; another signal ends this at once (exit 40): \
             `migrate hosted status`"
        }
    });
}

fn name(args: &HostedArgs) -> Result<Name, Failure> {
    let given = &args.hosted_cluster;
    given.parse().map_err(|why: String| {
        let message = format!("--hosted-cluster {given:?}: {why}");
        Failure::new(Exit::Usage, message, Some("clusters/mine".into()))
    })
}

fn home(args: &HostedArgs) -> Result<PathBuf, Failure> {
    let which = WhichArgs { config: None, folder: args.folder.clone(), cluster_id: None };
    let name = name(args)?;
    config::folder(&which, &format!("hosted_{}_{}", name.namespace, name.name))
}

fn options(args: &RunArgs) -> Result<RunOptions, Failure> {
    let presign_seconds = args.presign_lifetime.0.as_secs();
    if !PRESIGN_SECONDS.contains(&presign_seconds) {
        let message = "--presign-lifetime must be from 1m to 168h";
        return Err(Failure::new(Exit::Usage, message, None));
    }
    let etcd = &args.etcd;
    Ok(RunOptions {
        after: match args.after {
            AfterArg::Wake => After::Wake,
            AfterArg::Stay => After::Stay,
        },
        store: store(args.store.store.clone(), &args.store.reach),
        etcd: EtcdAccess {
            endpoints: etcd.etcd_endpoints.clone(),
            cacert: etcd.etcd_cacert.clone(),
            cert: etcd.etcd_cert.clone(),
            key: etcd.etcd_key.clone(),
        },
        prefixes: args.src_prefix.clone().zip(args.dest_prefix.clone()),
        presign_seconds,
        stop_limit: args.stop_limit.0,
        files: Files {
            output: args.files.output.clone(),
            secrets: args.files.secrets.clone(),
            into: args.files.into.clone(),
            into_name: args.files.into_name.clone(),
        },
    })
}

fn store(url: String, args: &StoreReachArgs) -> StoreAccess {
    let args = args.clone();
    StoreAccess {
        url,
        endpoint: args.store_endpoint,
        presign_endpoint: args.presign_endpoint,
        region: args.region,
        internal: args.internal,
        credentials: args.store_credentials,
        profile: args.store_profile,
        cacert: args.store_cacert,
        path_style: args.store_path_style,
    }
}
