//! `store presign`: a URL by which anybody can fetch the object for a while.

use etcdprefix_store::{PresignOptions, Presigned, Reach, presign};

use super::{failed, reach};
use crate::args::Global;
use crate::args::store::PresignArgs;
use crate::command::{Answer, wait};
use crate::failure::Failure;
use crate::output;

/// Signs; the result is the URL, which is shown nowhere else.
pub fn run(args: &PresignArgs, global: Global) -> Result<Answer, Failure> {
    let location = reach::object(&args.url)?;
    let store = reach::open_for(&location, &args.reach, args.life.presign_endpoint.as_ref())?;
    let options = PresignOptions {
        lifetime: args.life.expires.map(|time| time.0),
        shorter_ok: args.life.shorter_ok,
        probe: !args.no_probe,
    };
    let signed = wait(async { presign(&store, &location.key, &options).await.map_err(failed) })?;
    output::warn_anyway(&warnings(&signed), global);
    if !global.quiet {
        let ends = output::store::time(signed.ends).unwrap_or_default();
        output::diagnose(&format!("note: the URL ends at {ends}"));
    }
    Ok(output::store::presign(&location, &signed, global.write_out).into())
}

fn warnings(signed: &Presigned) -> Vec<String> {
    let unreached = match &signed.reach {
        Some(Reach::Unreachable(why)) => {
            Some(format!("the URL could not be tried from here: {} ({why})", signed.url.redacted()))
        }
        _ => None,
    };
    let sealed = matches!(signed.reach, Some(Reach::Fetched { encrypted: true, .. }));
    let sealed = sealed.then(|| "the object is encrypted: its reader has to decrypt it".to_owned());
    let seconds = signed.lifetime.as_secs();
    let shortened =
        signed.is_shortened.then(|| format!("the URL lives {seconds} s only, as its credentials"));
    let unknown = signed.end_unknown.then(|| {
        "the credentials are temporary and don't tell when they end: the URL ends with them".into()
    });
    [unreached, sealed, shortened, unknown].into_iter().flatten().collect()
}
