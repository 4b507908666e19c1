//! `migrate policy`: the least rights of an executor.

use etcdprefix_migrate::render::policy::{Executor, Granted, Limits, policy};
use serde_json::{Value, json};

use crate::args::migrate::policy::{ExecutorArg, PolicyArgs};
use crate::args::{Format, Global};
use crate::command::Answer;
use crate::command::store::place;
use crate::failure::Failure;
use crate::output::{self, fields};

/// The result is the policy, to be pasted where it belongs; behind a role's its trust policy.
pub fn run(args: &PolicyArgs, global: Global) -> Result<Answer, Failure> {
    let located = |url: &Option<String>| url.as_deref().map(place).transpose();
    let limits = Limits {
        region: args.region.clone(),
        account: args.account.clone(),
        instances: args.instance.clone(),
        tag: args.tag.clone(),
        template: args.template.clone(),
        role: args.role.clone(),
        from: located(&args.from)?,
        to: located(&args.to)?,
    };
    let granted = policy(args.executor.into(), &limits);
    let granted = granted.map_err(|error| Failure::migration(&error))?;
    if !global.quiet && global.write_out != Format::Json {
        granted.notes.iter().for_each(|note| output::diagnose(&format!("note: {note}")));
    }
    Ok(shown(&granted, global.write_out).into())
}

fn shown(granted: &Granted, format: Format) -> String {
    let Granted { document, trust, notes } = granted;
    let result = json!({"policy": document, "trust": trust, "notes": notes});
    fields::render(&result, format, || {
        let documents = [Some(document), trust.as_ref()];
        documents.into_iter().flatten().map(pretty).collect()
    })
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_else(|_| document.to_string()) + "\n"
}

impl From<ExecutorArg> for Executor {
    fn from(arg: ExecutorArg) -> Self {
        match arg {
            ExecutorArg::Assistant => Self::Assistant,
            ExecutorArg::Oos => Self::Oos,
            ExecutorArg::OosRole => Self::OosRole,
            ExecutorArg::Host => Self::Host,
            ExecutorArg::Kubernetes => Self::Kubernetes,
        }
    }
}
