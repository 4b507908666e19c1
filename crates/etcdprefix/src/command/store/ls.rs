//! `store ls`: the snapshots under a prefix.

use etcdprefix_store::list_described;

use super::{failed, reach};
use crate::args::Global;
use crate::args::store::LsArgs;
use crate::command::{Answer, wait};
use crate::failure::Failure;
use crate::output;

/// Lists; the result is what was found in the form asked for.
pub fn run(args: &LsArgs, global: Global) -> Result<Answer, Failure> {
    let under = reach::place(&args.url)?;
    let store = reach::open(&under, &args.reach)?;
    let (found, more) = wait(async {
        let found = list_described(&store, &under.key, args.limit as usize).await;
        found.map_err(failed)
    })?;
    let cut = more.then(|| format!("there are more than {}: the first are shown", args.limit));
    let unread = found.iter().any(|(_, head)| head.is_none()).then(|| {
        "what is said of some objects may not be read (GetObject), so it is not shown".to_owned()
    });
    output::warn_anyway(&cut.into_iter().chain(unread).collect::<Vec<_>>(), global);
    Ok(output::store::ls(&under, &found, more, global.write_out).into())
}
