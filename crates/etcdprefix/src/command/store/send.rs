//! A file becomes an object, encrypted first if it is for somebody.

use std::fs::File;
use std::io::{BufWriter, Write};

use etcdprefix_core::progress::Phase;
use etcdprefix_store::{
    Description, ObjectLocation, Recipients, SharedProgress, Source, Store, UploadOptions,
    Uploaded, encrypt, upload,
};
use tempfile::TempDir;

use crate::command::facts::Facts;
use crate::command::wait;
use crate::failure::Failure;
use crate::hint::Asked;

/// How a file is sent.
pub struct Sending {
    pub recipients: Option<Recipients>,
    pub facts: Facts,
    pub options: UploadOptions,
}

/// What was sent.
pub struct Sent {
    pub uploaded: Uploaded,
    pub description: Description,
}

/// Sends the file and proves that the store has it.
pub fn send(
    store: &Store,
    to: &ObjectLocation,
    source: &Source,
    sending: Sending,
    meter: &SharedProgress,
) -> Result<Sent, Failure> {
    let asked = Asked::Send(to.to_string());
    let failed = super::failed_when(&asked);
    let description = description(sending.facts, sending.recipients.is_some());
    let metadata = description.metadata().map_err(&failed)?;
    let options = UploadOptions { metadata, ..sending.options };
    let sealed = sending.recipients.map(|recipients| seal(source, &recipients, meter, &asked));
    let sealed = sealed.transpose()?;
    let source = sealed.as_ref().map_or(source, |sealed| &sealed.source);
    let uploaded = wait(async {
        upload(store, source, &to.key, &options, meter.clone()).await.map_err(&failed)
    })?;
    Ok(Sent { uploaded, description })
}

fn description(facts: Facts, encrypted: bool) -> Description {
    Description {
        cluster_id: facts.cluster_id,
        revision: facts.revision,
        status_hash: facts.status_hash,
        sha256: facts.sha256,
        etcd_version: facts.etcd_version,
        prefix: facts.prefix,
        encryption: encrypted.then(|| "age".to_owned()),
    }
}

/// An encrypted copy; gone when dropped.
struct Sealed {
    source: Source,
    _folder: TempDir,
}

/// An upload sends parts again, and reads them twice, so it needs bytes that stay.
fn seal(
    source: &Source,
    recipients: &Recipients,
    meter: &SharedProgress,
    asked: &Asked,
) -> Result<Sealed, Failure> {
    let failed = super::failed_when(asked);
    let temporary = |error| Failure::temporary(&error, asked);
    let folder = TempDir::with_prefix("etcdprefix-").map_err(temporary)?;
    let sealed = folder.path().join("sealed");
    let sink = File::create_new(&sealed).map_err(temporary)?;
    let mut sink = BufWriter::with_capacity(1 << 20, sink);
    meter.begin(Phase::Write, source.bytes());
    encrypt(&mut source.file(), &mut sink, recipients, meter.as_ref()).map_err(&failed)?;
    sink.flush().map_err(temporary)?;
    source.check().map_err(&failed)?;
    Ok(Sealed { source: Source::open(&sealed).map_err(&failed)?, _folder: folder })
}
