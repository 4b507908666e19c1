//! `endpoint status`, `endpoint hashkv` and `endpoint quiet`.

use etcdprefix_core::progress::{Phase, Progress};
use etcdprefix_etcd::Error;
use etcdprefix_etcd::hashkv::{HashOptions, MembersHashKv};
use etcdprefix_etcd::unless_interrupted;

use super::client::{Members, silent};
use crate::args::Global;
use crate::args::endpoint::{EndpointCommand, HashKvArgs, StatusArgs};
use crate::command::Answer;
use crate::command::store::Places;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// Asks; the result is what the members answer, also where it is not what one would wish.
pub fn run(command: &EndpointCommand, global: Global) -> Result<Answer, Failure> {
    match command {
        EndpointCommand::Status(args) => status(args, global),
        EndpointCommand::HashKv(args) => hashkv(args, global),
        EndpointCommand::Quiet(args) => super::quiet::run(args, global),
    }
}

fn status(args: &StatusArgs, global: Global) -> Result<Answer, Failure> {
    let members = Members::new(&args.client)?;
    let survey = crate::command::wait(async {
        members.survey(args.cluster).await.map_err(|error| Failure::live(&error))
    })?;
    if survey.statuses().next().is_none() {
        return Err(Failure::live(&survey.no_member()));
    }
    let silences: Vec<String> = survey.failures().collect();
    let failures = silent(&silences).into_iter().collect();
    Ok(Answer { text: output::members::status(&survey, global.write_out), failures })
}

fn hashkv(args: &HashKvArgs, global: Global) -> Result<Answer, Failure> {
    let members = Members::new(&args.client)?;
    members.warn(global);
    let revision = (args.rev != 0).then_some(args.rev);
    let defaults = HashOptions::default();
    let timeout = args.client.command_timeout().unwrap_or(defaults.timeout);
    let options = HashOptions { revision, timeout };
    let asked = async {
        let survey = members.survey(args.cluster).await?;
        MembersHashKv::ask(&members.dialer, &survey, options).await
    };
    let meter = crate::command::meter(global, "".as_ref(), &Asked::Look, &Places::default())?;
    meter.begin(Phase::Ask, 0);
    let hashes = crate::command::wait(async {
        let answered = unless_interrupted(&meter, asked).await;
        answered.map_err(|error| Failure::live(&error))
    })?;
    drop(meter);
    let differs = hashes.difference().map(|text| Failure::live(&Error::Differs(text)));
    let failures = differs.into_iter().chain(silent(&hashes.silent)).collect();
    Ok(Answer { text: output::members::hashkv(&hashes, global.write_out), failures })
}
