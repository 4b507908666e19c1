//! Keys and URL: read and signed at the end, when nothing else can fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcdprefix_etcd::{Dialer, Endpoint, QuietReport, QuietWatch};
use etcdprefix_store::{
    Cause, ObjectLocation, PresignOptions, Presigned, Reach, Source, Store, UploadOptions, delete,
    upload,
};
use zeroize::Zeroizing;

use super::reach;
use super::snapshot::{CATCH_UP, unwritten};
use crate::bundle::{Bundle, Extra, Sensitive};
use crate::error::{NodeError, NodeErrorKind};
use crate::protocol::{
    BundleRequest, Bundled, KeyFiles, ObjectAccess, PresignRequest, QuietRequest, Signed,
};

/// Keys and configurations are some kilobytes.
const KEY_BYTES_MAX: u64 = 1 << 20;
/// What takes a snapshot's place where it can't be deleted.
const REVOKED: &[u8] = b"revoked by etcdprefix: the migration was rolled back\n";
/// How often a URL is tried that has to be dead.
const DEAD_TRIES: u32 = 3;

/// The bundle, after it is sure that nobody has written since the snapshot.
///
/// # Errors
/// [`NodeErrorKind::Written`], what the store refuses, and keys that can't be read.
pub fn run(
    request: &BundleRequest,
    environment: &BTreeMap<String, String>,
) -> Result<Bundled, NodeError> {
    let keys = keys(&request.keys)?;
    let extra = request.extra.then(|| extra(&request.keys)).transpose()?;
    let (dialer, endpoints) = reach::etcd(&request.etcd)?;
    let (store, location) = reach::store(&request.object.store, environment)?;
    reach::wait(async {
        let signed = sign(&store, &location, request.presign_seconds).await?;
        let seen = look(&dialer, &endpoints, request.quiet_until, request.revision).await?;
        Ok(Bundled {
            bundle: Bundle { oss_url: signed.url, ..keys },
            extra,
            ends_ms: signed.ends_ms,
            probe: signed.probe,
            quiet: serde_json::to_value(&seen).unwrap_or_default(),
            warnings: signed.warnings,
        })
    })
}

/// That nobody has written since the snapshot, looked at once more when all hosts are fenced.
///
/// # Errors
/// [`NodeErrorKind::Written`].
pub fn quiet(request: &QuietRequest) -> Result<(), NodeError> {
    let (dialer, endpoints) = reach::etcd(&request.etcd)?;
    let looked = look(&dialer, &endpoints, request.quiet_until, request.revision);
    reach::wait(looked).map(|_| ())
}

async fn look(
    dialer: &Dialer,
    endpoints: &[Endpoint],
    from: i64,
    revision: i64,
) -> Result<QuietReport, NodeError> {
    let watch = QuietWatch::start_after(dialer, endpoints, from).await?;
    let seen = watch.caught_up(CATCH_UP).await?;
    unwritten(&seen, revision)?;
    Ok(seen)
}

/// The URL alone.
///
/// # Errors
/// What the store refuses.
pub fn presign(
    request: &PresignRequest,
    environment: &BTreeMap<String, String>,
) -> Result<Signed, NodeError> {
    let (store, location) = reach::store(&request.object.store, environment)?;
    reach::wait(sign(&store, &location, request.presign_seconds))
}

async fn sign(store: &Store, location: &ObjectLocation, seconds: u64) -> Result<Signed, NodeError> {
    let lifetime = Some(Duration::from_secs(seconds));
    let options = PresignOptions { lifetime, shorter_ok: false, probe: true };
    let signed = etcdprefix_store::presign(store, &location.key, &options).await?;
    let (probe, mut warnings) = probed(&signed);
    if signed.end_unknown {
        let text =
            "the credentials are temporary and don't tell when they end: the URL ends with them";
        warnings.push(text.into());
    }
    Ok(Signed {
        url: Sensitive::new(signed.url.expose().to_owned()),
        ends_ms: milliseconds(signed.ends),
        probe,
        warnings,
    })
}

fn probed(signed: &Presigned) -> (String, Vec<String>) {
    match &signed.reach {
        Some(Reach::Fetched { bytes, .. }) => {
            (format!("fetched the first and last of its {bytes} bytes"), Vec::new())
        }
        Some(Reach::Unreachable(why)) => {
            let text = format!("the URL could not be tried from the host: {why}");
            (text.clone(), vec![text])
        }
        None => ("not tried".into(), Vec::new()),
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Without a URL yet.
fn keys(files: &KeyFiles) -> Result<Bundle, NodeError> {
    Ok(Bundle {
        sakey: encoded(&files.sakey)?,
        sapub: encoded(&files.sapub)?,
        frontcrt: encoded(&files.frontcrt)?,
        frontkey: encoded(&files.frontkey)?,
        oss_url: Sensitive::new(String::new()),
    })
}

fn extra(files: &KeyFiles) -> Result<Extra, NodeError> {
    let config = files.encryption_config.as_deref();
    Ok(Extra {
        cacrt: encoded(&files.cacrt)?,
        cakey: encoded(&files.cakey)?,
        encryption_config: config.map(encoded).transpose()?,
    })
}

/// In base64 without line breaks, as `base64 -w0`.
fn encoded(path: &Path) -> Result<Sensitive, NodeError> {
    let file = File::open(path).map_err(NodeError::io("open", path))?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.take(KEY_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(NodeError::io("read", path))?;
    if bytes.is_empty() || bytes.len() as u64 > KEY_BYTES_MAX {
        let message = format!("{} is no key: {} bytes", path.display(), bytes.len());
        return Err(NodeError::new(NodeErrorKind::NotAsExpected, message));
    }
    Ok(Sensitive::new(STANDARD.encode(&*bytes)))
}

/// Deletes the object; where that is not allowed, puts a few words in its place. Then a URL for it is
/// signed and fetched: whoever has an older one gets the same.
///
/// # Errors
/// What the store refuses, and that the snapshot is still there.
pub fn unpublish(
    request: &ObjectAccess,
    environment: &BTreeMap<String, String>,
) -> Result<String, NodeError> {
    let (store, location) = reach::store(&request.store, environment)?;
    reach::wait(async {
        let how = match delete(&store, &location.key).await {
            // Who may not list is told of a missing object only that it may not.
            Ok(()) if dead(&store, &location).await.is_err() => {
                overwrite(&store, &location).await?;
                "deleted and overwritten"
            }
            Ok(()) => "deleted",
            Err(error) if error.cause() == Some(&Cause::Denied) => {
                overwrite(&store, &location).await?;
                "overwritten"
            }
            Err(error) if error.cause() == Some(&Cause::NoObject) => "was not there",
            Err(error) => return Err(error.into()),
        };
        dead(&store, &location).await?;
        Ok(how.to_owned())
    })
}

async fn overwrite(store: &Store, location: &ObjectLocation) -> Result<(), NodeError> {
    let file = tempfile::NamedTempFile::new();
    let written = file.and_then(|mut file| {
        std::io::Write::write_all(&mut file, REVOKED)?;
        Ok(file)
    });
    let file = written.map_err(NodeError::io("write a file in", std::env::temp_dir()))?;
    let source = Source::open(file.path())?;
    let progress = std::sync::Arc::new(etcdprefix_core::progress::Silent);
    upload(store, &source, &location.key, &UploadOptions::default(), progress).await?;
    Ok(())
}

async fn dead(store: &Store, location: &ObjectLocation) -> Result<(), NodeError> {
    // A minute is enough for one GET, and any credentials last so long.
    let lifetime = Some(Duration::from_secs(60));
    let options = PresignOptions { lifetime, shorter_ok: true, probe: true };
    let still = |why: String| {
        let message = format!("it is not sure that {location} is gone: {why}");
        NodeError::new(NodeErrorKind::Store, message)
            .try_("to delete it by hand, then to try the old URL: it must not answer 200")
    };
    let mut why = String::new();
    for _ in 0..DEAD_TRIES {
        match etcdprefix_store::presign(store, &location.key, &options).await {
            Err(error) if error.cause() == Some(&Cause::NoObject) => return Ok(()),
            Err(error) => return Err(still(error.to_string())),
            Ok(signed) => match signed.reach {
                Some(Reach::Fetched { bytes, .. }) if bytes == REVOKED.len() as u64 => {
                    return Ok(());
                }
                Some(Reach::Fetched { bytes, .. }) => {
                    return Err(still(format!("it has {bytes} bytes")));
                }
                // A connection that broke off says nothing about the object.
                Some(Reach::Unreachable(broken)) => why = broken,
                None => return Err(still("it was not tried".into())),
            },
        }
    }
    Err(still(why))
}
