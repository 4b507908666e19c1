//! A run of the binary over an executor that everybody may read, and that cuts long outputs off: the
//! result is sealed for the caller and fetched in pages.
//!
//! ```text
//! caller -- id, recipient, words, stdin --> relay: takes relay/ID.lock, runs, seals, keeps relay/ID.reply
//!      <-- the first page -------------------'
//!      -- id, offset --> relay: the page from there
//! ```

mod child;
mod page;

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcdprefix_core::progress::Silent;
use etcdprefix_store::{Recipients, encrypt};
use zeroize::Zeroizing;

#[cfg(test)]
pub(crate) use page::cut;
pub(crate) use page::{Answer, Page, Relayed};

use crate::error::{NodeError, NodeErrorKind};
use crate::node::guard::{self, Guard};
use crate::node::state::{Kept, State};
use crate::node::{disk, step};

/// No request is larger.
const INPUT_LIMIT_BYTES: u64 = 4 << 20;
/// Whoever asks for the same again waits for the first; the executor's own limit ends it.
const WAIT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody comes back for a reply after so long.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RelayAsk {
    /// The same id is the same run. Letters, digits, `-` and `.`.
    pub id: String,
    /// So many bytes of the sealed reply at most, before Base64.
    pub page_bytes: usize,
    /// Replies that the caller has whole: they are removed.
    pub forget: Vec<String>,
    /// Whether to run something, or only to go on with a reply.
    pub what: RelayWhat,
}

/// A run, or a page of one.
#[derive(Clone, Debug)]
pub enum RelayWhat {
    /// Runs a program, and gives the first page of its sealed result.
    Run {
        /// Of age, to whom the result is sealed: `age1...`.
        recipient: String,
        /// The program, which is usually this one.
        program: PathBuf,
        /// Its words.
        words: Vec<String>,
    },
    /// The page of a run's result that begins there.
    Page {
        /// In bytes.
        offset: u64,
    },
}

/// Answers with one line of JSON, whatever the program ended with. While a migration holds the host, a
/// second call with the same id does not run anything again.
///
/// # Errors
/// If the ask is none, the program can't be started, or the reply not be sealed or told.
pub fn relay(
    dir: &Path,
    ask: &RelayAsk,
    stdin: impl Read,
    mut stdout: impl Write,
) -> Result<(), NodeError> {
    check(ask)?;
    let state = State::open(dir)?;
    let files = Files::new(&state);
    files.forget(&ask.forget);
    let answer = match &ask.what {
        RelayWhat::Page { offset } => match files.reply(&ask.id)? {
            Some(sealed) => page::cut(&ask.id, &sealed, *offset, ask.page_bytes),
            None => Answer::Gone { id: ask.id.clone() },
        },
        RelayWhat::Run { recipient, program, words } => {
            let recipients = Recipients::parse(std::slice::from_ref(recipient));
            let recipients = recipients.map_err(|error| usage(error.to_string()))?;
            let run = || {
                let relayed = child::run(&ask.id, program, words, &read(stdin)?)?;
                seal(&relayed, &recipients)
            };
            let sealed = files.once(&state, ask, run)?;
            page::cut(&ask.id, &sealed, 0, ask.page_bytes)
        }
    };
    let mut line = serde_json::to_vec(&answer).map_err(untold)?;
    line.push(b'\n');
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(untold)
}

/// Removes what calls left that don't run any more. The caller who does it is still at work.
pub(crate) fn forget(state: &State) {
    let files = Files::new(state);
    files.remove_if(|_, _| true);
    files.remove_folder();
}

fn check(ask: &RelayAsk) -> Result<(), NodeError> {
    if let Some(odd) = ask.forget.iter().chain([&ask.id]).find(|id| !step::is_id(id)) {
        return Err(usage(format!("{odd:?} is no id of a relay")));
    }
    match ask.page_bytes {
        0 => Err(usage("a page of 0 bytes is none".into())),
        _ => Ok(()),
    }
}

fn usage(why: String) -> NodeError {
    NodeError::new(NodeErrorKind::Usage, why)
}

fn untold(error: impl Into<io::Error>) -> NodeError {
    let why = format!("the reply can't be told: {}", error.into());
    NodeError::new(NodeErrorKind::Io, why)
}

fn read(stdin: impl Read) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    let mut input = Zeroizing::new(Vec::new());
    let read = stdin.take(INPUT_LIMIT_BYTES + 1).read_to_end(&mut input);
    read.map_err(|error| usage(format!("cannot read the request: {error}")))?;
    match input.len() as u64 > INPUT_LIMIT_BYTES {
        true => Err(usage("the request is too long".into())),
        false => Ok(input),
    }
}

fn seal(relayed: &Relayed, recipients: &Recipients) -> Result<Vec<u8>, NodeError> {
    let json = serde_json::to_vec(relayed).map(Zeroizing::new).map_err(untold)?;
    let mut sealed = Vec::new();
    let done = encrypt(&mut json.as_slice(), &mut sealed, recipients, &Silent);
    done.map_err(|error| NodeError::new(NodeErrorKind::Failed, error.to_string()))?;
    Ok(sealed)
}

/// The folder of replies: nothing but ciphertext.
struct Files(PathBuf);

impl Files {
    fn new(state: &State) -> Self {
        Self(state.dir().join("relay"))
    }

    fn lock(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.lock"))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.reply"))
    }

    fn reply(&self, id: &str) -> Result<Option<Vec<u8>>, NodeError> {
        let path = self.path(id);
        disk::read_bounded(&path).map_err(NodeError::io("read", path))
    }

    /// The reply that is there, or a new one.
    fn once(
        &self,
        state: &State,
        ask: &RelayAsk,
        run: impl FnOnce() -> Result<Vec<u8>, NodeError>,
    ) -> Result<Vec<u8>, NodeError> {
        // On a full disk nothing is kept; what is called for may be what makes room.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        let guard = Guard::take(&self.lock(&ask.id), "relay", WAIT_LIMIT).ok().flatten();
        if let Some(sealed) = self.reply(&ask.id)? {
            return Ok(sealed);
        }
        let sealed = run();
        if let Ok(sealed) = &sealed
            && (is_held(state) || sealed.len() > ask.page_bytes)
        {
            let _ = disk::write_whole(&self.path(&ask.id), sealed);
        }
        // Who waits for it finds the reply.
        let _ = guard.map(Guard::remove);
        self.remove_folder();
        sealed
    }

    fn forget(&self, ids: &[String]) {
        self.remove_if(|id, age| ids.iter().any(|it| it == id) || age > FORGOTTEN);
    }

    /// What can't be removed now is removed with the lock.
    fn remove_if(&self, is_over: impl Fn(&str, Duration) -> bool) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            let is_running = guard::is_held(&self.lock(&id)).unwrap_or(true);
            if !is_running && is_over(&id, age(&path)) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Stays if there is something in it.
    fn remove_folder(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Then somebody comes who gives it back, and with it what is kept.
fn is_held(state: &State) -> bool {
    state.read::<serde_json::Value>(Kept::Lock).is_ok_and(|lock| lock.is_some())
}

fn age(path: &Path) -> Duration {
    let modified = fs::metadata(path).and_then(|found| found.modified());
    let age = modified.map(|then| SystemTime::now().duration_since(then).unwrap_or_default());
    age.unwrap_or_default()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
