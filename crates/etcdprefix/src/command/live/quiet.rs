//! `endpoint quiet`: whether anybody writes.

use std::time::Duration;

use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_etcd::Result;
use etcdprefix_etcd::quiet::{QuietReport, QuietWatch};
use etcdprefix_etcd::unless_interrupted;

use super::client::Members;
use crate::args::Global;
use crate::args::endpoint::QuietArgs;
use crate::command::Answer;
use crate::command::store::Places;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;
use crate::output::progress::Meter;

/// Watches; the result is what was seen in the form asked for.
pub fn run(args: &QuietArgs, global: Global) -> Result<Answer, Failure> {
    let members = Members::new(&args.client)?;
    members.warn(global);
    let report = watch(&members, args.time.0, global)?;
    let failures = (!report.quiet).then(|| written(&report)).into_iter().collect();
    Ok(Answer { text: output::quiet::render(&report, global.write_out), failures })
}

/// Ends the progress display before anything else is printed.
fn watch(members: &Members, time: Duration, global: Global) -> Result<QuietReport, Failure> {
    let meter = crate::command::meter(global, "".as_ref(), &Asked::Look, &Places::default())?;
    crate::command::wait(async {
        let seen = unless_interrupted(&meter, see(members, time, &meter)).await;
        seen.map_err(|error| Failure::live(&error))
    })
}

async fn see(members: &Members, time: Duration, meter: &Meter) -> Result<QuietReport> {
    let watch = QuietWatch::start(&members.dialer, &members.endpoints).await?;
    meter.begin(Phase::Watch, 0);
    let end = tokio::time::Instant::now() + time;
    tokio::time::sleep_until(end).await;
    meter.begin(Phase::Ask, 0);
    watch.stop().await
}

/// What a script's log has to say.
fn written(report: &QuietReport) -> Failure {
    let hint = "the writers to stop first; `-w json` has their keys";
    Failure::new(Exit::Written, output::quiet::verdict(report), Some(hint.into()))
}
