//! `store verify`: whether an object is the snapshot that it is said to be.

use etcdprefix_store::verify;

use super::{meter, reach, unread};
use crate::args::Global;
use crate::args::store::StoreVerifyArgs;
use crate::command::{Answer, wait};
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;

/// Streams the object; the result is what agreed in the form asked for.
pub fn run(args: &StoreVerifyArgs, global: Global) -> Result<Answer, Failure> {
    let location = reach::object(&args.url)?;
    let store = reach::open(&location, &args.reach)?;
    let identities = reach::identities(&args.open)?;
    let verified = {
        let meter = meter(&location, global)?;
        wait(async {
            let verified = verify(&store, &location.key, identities, meter).await;
            verified.map_err(unread(&location, &Asked::Look))
        })?
    };
    Ok(output::store::verify(&verified, global.write_out).into())
}
