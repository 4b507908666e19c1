//! Files of any command that are in object stores: fetched before it, sent after it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use etcdprefix_store::{
    Description, Location, ObjectLocation, Plaintext, Presence, Source, Store, UploadOptions,
    download, find,
};
use tempfile::TempDir;

use super::send::{Sending, send};
use super::{failed, meter, reach, unread};
use crate::args::files::{Files, Made};
use crate::args::transfer::{OpenArgs, SendArgs};
use crate::args::{Command, Global};
use crate::command::facts::Facts;
use crate::command::is_url;
use crate::command::wait;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::Asked;
use crate::output;
use crate::output::upload::Upload;

/// Which files of this machine stand for which objects. Dropped, it removes them.
#[derive(Default)]
pub struct Places {
    here: Vec<Here>,
    folder: Option<TempDir>,
}

/// A file that stands for an object.
struct Here {
    file: PathBuf,
    location: ObjectLocation,
    must_be_new: bool,
}

impl Places {
    /// Puts files of this machine in the place of all objects that the command names. What would
    /// speak against sending is looked for before anything is fetched.
    pub fn prepare(command: &mut Command, global: Global) -> Result<Self, Failure> {
        let Files { read, made, in_place, send, identity } = command.files();
        let mut this = Self::default();
        for made in made {
            this.hold(made)?;
        }
        if let Some(send) = send.filter(|_| !this.here.is_empty()) {
            check(&send)?;
        }
        for file in read {
            this.fetch(file, in_place, identity.as_ref(), global)?;
        }
        Ok(this)
    }

    /// What the user calls the file.
    pub fn name(&self, file: &Path) -> PathBuf {
        let here = self.here.iter().find(|here| here.file == file);
        here.map_or_else(|| file.to_owned(), |here| here.location.to_string().into())
    }

    /// The same text in the user's words.
    pub fn reworded(&self, text: &str) -> String {
        let ours = |here: &Here| (here.file.display().to_string(), here.location.to_string());
        self.here
            .iter()
            .map(ours)
            .fold(text.to_owned(), |text, (file, name)| text.replace(&file, &name))
    }

    /// The same failure in the user's words.
    pub fn named(&self, failure: Failure) -> Failure {
        failure.reworded(|text| self.reworded(text))
    }

    /// Sends a file that the command made, if it stands for an object.
    pub fn send(
        &self,
        file: &Path,
        facts: Facts,
        flags: &SendArgs,
        global: Global,
    ) -> Result<Option<Upload>, Failure> {
        let Some(here) = self.here.iter().find(|here| here.file == file) else { return Ok(None) };
        let store = reach::open_unflagged(&here.location)?;
        let cluster_id = flags.cluster_id.clone().or(facts.cluster_id);
        let sending = Sending {
            recipients: reach::recipients(&flags.recipient)?,
            facts: Facts { cluster_id, ..facts },
            options: UploadOptions { if_absent: here.must_be_new, ..UploadOptions::default() },
        };
        let meter = meter(&here.location, global)?;
        let source = Source::open(file).map_err(failed)?;
        let sent = send(&store, &here.location, &source, sending, &meter)?;
        drop(meter);
        Ok(Some(output::store::upload(&sent)))
    }

    fn hold(&mut self, made: Made<'_>) -> Result<(), Failure> {
        let Some(location) = object(made.file)? else { return Ok(()) };
        if self.here.iter().any(|here| here.location == location) {
            let message = format!("{location} would silently replace what was made of it");
            let hint = "two places, or only one of the flags";
            return Err(Failure::new(Exit::Usage, message, Some(hint.into())));
        }
        let store = reach::open_unflagged(&location)?;
        let there = is_there(&store, &location)?;
        if there && made.must_be_new {
            let error = etcdprefix_store::Error::Exists(location);
            return Err(failed(error));
        }
        *made.file = self.stand_in(location, made.must_be_new)?;
        Ok(())
    }

    fn fetch(
        &mut self,
        file: &mut PathBuf,
        in_place: bool,
        identity: Option<&PathBuf>,
        global: Global,
    ) -> Result<(), Failure> {
        let Some(location) = object(file)? else { return Ok(()) };
        if in_place {
            let message = format!("{location} is an object, which is never replaced");
            let hint = "--output with a file or another object, or --dry-run";
            return Err(Failure::new(Exit::Usage, message, Some(hint.into())));
        }
        let identity = identity.cloned().or_else(|| std::env::var_os(IDENTITY).map(Into::into));
        let identity = identity.filter(|file| !file.as_os_str().is_empty());
        *file = self.stand_in(location.clone(), false)?;
        fetch(&location, file, &OpenArgs { identity }, global)
    }

    /// A name for a file of this machine; there is none yet.
    fn stand_in(
        &mut self,
        location: ObjectLocation,
        must_be_new: bool,
    ) -> Result<PathBuf, Failure> {
        let file = self.name_for(&location);
        let file = file.map_err(|error| Failure::temporary(&error, &Asked::Look))?;
        self.here.push(Here { file: file.clone(), location, must_be_new });
        Ok(file)
    }

    fn name_for(&mut self, location: &ObjectLocation) -> std::io::Result<PathBuf> {
        // Only its owner can enter it.
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => TempDir::with_prefix("etcdprefix-")?,
        };
        let own = self.folder.insert(folder).path().join(self.here.len().to_string());
        fs::create_dir(&own)?;
        // A key's last part may be too long for a file's name.
        let name = location.key.rsplit('/').next().filter(|name| name.len() <= 255);
        Ok(own.join(name.unwrap_or("snapshot")))
    }
}

/// What could not be sent so is told before the work.
fn check(send: &SendArgs) -> Result<(), Failure> {
    reach::recipients(&send.recipient)?;
    let cluster_id = send.cluster_id.clone();
    let description = Description { cluster_id, ..Description::default() };
    description.metadata().map(drop).map_err(failed)
}

/// As of the flag `--identity`.
const IDENTITY: &str = "ETCDPREFIX_IDENTITY";

/// The object that a word names; a file's URL becomes its path.
fn object(file: &mut PathBuf) -> Result<Option<ObjectLocation>, Failure> {
    let Some(text) = file.to_str().filter(|text| is_url(text)) else {
        return Ok(None);
    };
    let location: Location = text.parse().map_err(failed)?;
    match location {
        Location::File(path) => {
            *file = path;
            Ok(None)
        }
        Location::Object(location) => {
            location.object_key().map_err(failed)?;
            Ok(Some(location))
        }
    }
}

/// Who may only write learns nothing here, which does not speak against writing.
fn is_there(store: &Store, location: &ObjectLocation) -> Result<bool, Failure> {
    let found = wait(async { find(store, &location.key).await.map_err(failed) })?;
    Ok(found == Presence::There)
}

/// An object's plain bytes to a file of this machine, sound or not.
fn fetch(
    location: &ObjectLocation,
    file: &Path,
    open: &OpenArgs,
    global: Global,
) -> Result<(), Failure> {
    let store = reach::open_unflagged(location)?;
    let identities = reach::identities(open)?;
    let temporary = |error| Failure::temporary(&error, &Asked::Look);
    let file = File::create_new(file).map_err(temporary)?;
    let mut sink = Plaintext::new(BufWriter::with_capacity(1 << 20, file), identities);
    let meter = meter(location, global)?;
    wait(async {
        let done = download(&store, &location.key, &mut sink, meter).await;
        done.map_err(unread(location, &Asked::Look))
    })?;
    let (mut sink, _) = sink.finish().map_err(unread(location, &Asked::Look))?;
    sink.flush().map_err(temporary)
}
