//! `store check`: what the credentials may do.

use etcdprefix_store::{CheckOptions, Checked, ObjectLocation, check};

use super::{failed, meter, reach};
use crate::args::Global;
use crate::args::store::StoreCheckArgs;
use crate::command::{Answer, wait};
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// Tries; the result is what is allowed in the form asked for, enough or not.
pub fn run(args: &StoreCheckArgs, global: Global) -> Result<Answer, Failure> {
    let under = reach::place(&args.url)?;
    let store = reach::open_for(&under, &args.reach, args.life.presign_endpoint.as_ref())?;
    let lifetime = args.life.expires.map(|time| time.0);
    let options = CheckOptions { lifetime, shorter_ok: args.life.shorter_ok };
    let checked = {
        let meter = meter(&under, global)?;
        wait(async {
            let checked = check(&store, &under.key, &options, meter).await;
            checked.map_err(failed)
        })?
    };
    output::warn_anyway(&checked.warnings, global);
    let failures = not_enough(&under, &checked).into_iter().collect();
    Ok(Answer { text: output::store::check(&under, &checked, global.write_out), failures })
}

fn not_enough(under: &ObjectLocation, checked: &Checked) -> Option<Failure> {
    let failure = Failure::store(checked.failure.as_ref()?, &Asked::Look);
    let missing = checked.missing();
    Some(match missing.is_empty() {
        true => failure,
        false => failure.after(&format!("{under}: {} missing", missing.join(", "))),
    })
}
