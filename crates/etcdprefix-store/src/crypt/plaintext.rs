//! What comes, plain or encrypted, becomes plain.
//!
//! ```text
//! write: the first line tells -> plain: the sink
//!                             -> encrypted: a channel -> a thread decrypts -> the sink
//! ```
//!
//! age asks for its bytes, and a download pushes them, so a thread stands between.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use age::{DecryptError, Decryptor};

use super::Identities;
use crate::error::{Error, Result};

/// What begins every file of age's.
const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";
/// What ends its header.
const LAST_LINE: &[u8] = b"---";
/// The longest header that is read: of several hundred recipients.
const MAX_HEADER_BYTES: u64 = 64 << 10;
/// The longest piece that goes through the channel.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait.
const PIECES: usize = 8;

/// A sink that passes plain bytes on, and decrypts what is encrypted (seen by the first line
/// `age-encryption.org/v1`). Its errors of I/O carry an [`Error`], which
/// [`download`](crate::download()) takes out. Dropped, it waits until the sink has gone.
///
/// What the sink gets before [`Plaintext::finish`] was not changed by anybody, but may not be all.
///
/// Memory: about 1 MiB.
pub struct Plaintext<W: Write + Send + 'static> {
    state: State<W>,
    identities: Option<Identities>,
}

enum State<W> {
    /// The first line is not there yet.
    Beginning(W, Vec<u8>),
    Plain(W),
    Encrypted(Decryption<W>),
    /// After an error, which was told.
    Failed,
}

impl<W: Write + Send + 'static> Plaintext<W> {
    /// Before `sink`.
    pub fn new(sink: W, identities: Option<Identities>) -> Self {
        Self { state: State::Beginning(sink, Vec::new()), identities }
    }

    /// The sink, once it has all, and whether that was encrypted.
    ///
    /// # Errors
    /// [`Error::NoIdentity`]; [`Error::Undecryptable`], also if the end is missing;
    /// [`Error::Write`], also if that was told before.
    pub fn finish(mut self) -> Result<(W, bool)> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Beginning(mut sink, begun) => {
                sink.write_all(&begun).map_err(Error::of_sink)?;
                Ok((sink, false))
            }
            State::Plain(sink) => Ok((sink, false)),
            State::Encrypted(mut decryption) => Ok((decryption.end()?, true)),
            State::Failed => Err(Error::Write(failed())),
        }
    }

    /// What the first bytes tell, and those passed on.
    fn begin(&mut self, mut sink: W, begun: Vec<u8>) -> io::Result<State<W>> {
        let told = begun.len().min(FIRST_LINE.len());
        if begun[..told] != FIRST_LINE[..told] {
            sink.write_all(&begun)?;
            return Ok(State::Plain(sink));
        }
        if told < FIRST_LINE.len() {
            return Ok(State::Beginning(sink, begun));
        }
        let identities =
            self.identities.take().ok_or_else(|| io::Error::other(Error::Encrypted))?;
        let mut decryption = Decryption::start(sink, identities)?;
        decryption.push(&begun)?;
        Ok(State::Encrypted(decryption))
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<State<W>> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Beginning(sink, mut begun) => {
                begun.extend_from_slice(bytes);
                self.begin(sink, begun)
            }
            State::Plain(mut sink) => sink.write_all(bytes).map(|()| State::Plain(sink)),
            State::Encrypted(mut decryption) => {
                decryption.push(bytes).map(|()| State::Encrypted(decryption))
            }
            State::Failed => Err(failed()),
        }
    }
}

impl<W: Write + Send + 'static> Write for Plaintext<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PIECE_BYTES)];
        self.state = self.push(bytes)?;
        Ok(bytes.len())
    }

    /// Of plain bytes alone; what is encrypted is whole only at its end.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Plain(sink) => sink.flush(),
            State::Beginning(..) | State::Encrypted(_) => Ok(()),
            State::Failed => Err(failed()),
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("an earlier write failed")
}

/// The thread; it ends when this is dropped.
struct Decryption<W> {
    /// None once it has ended.
    running: Option<Running<W>>,
}

struct Running<W> {
    pieces: SyncSender<Vec<u8>>,
    thread: JoinHandle<Result<W>>,
}

impl<W: Write + Send + 'static> Decryption<W> {
    fn start(sink: W, identities: Identities) -> io::Result<Self> {
        let (pieces, coming) = sync_channel(PIECES);
        let feed = Feed { coming, piece: Cursor::default() };
        let thread = Builder::new().spawn(move || decrypt(feed, sink, &identities))?;
        Ok(Self { running: Some(Running { pieces, thread }) })
    }

    /// Waits while the thread is slower.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let running = self.running.as_ref();
        let sent = running.is_some_and(|running| running.pieces.send(bytes.into()).is_ok());
        if sent {
            return Ok(());
        }
        // It ended early; it can say why.
        Err(self.end().err().map_or_else(failed, io::Error::other))
    }
}

impl<W> Decryption<W> {
    /// Waits until all is decrypted.
    fn end(&mut self) -> Result<W> {
        let running = self.running.take().ok_or_else(|| Error::Write(failed()))?;
        drop(running.pieces);
        let panicked = |_| Err(Error::Write(io::Error::other("a thread ended unexpectedly")));
        running.thread.join().unwrap_or_else(panicked)
    }
}

impl<W> Drop for Decryption<W> {
    fn drop(&mut self) {
        self.end().ok();
    }
}

/// The pieces as a stream, which ends when nobody sends any more.
struct Feed {
    coming: Receiver<Vec<u8>>,
    piece: Cursor<Vec<u8>>,
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.piece.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            match self.coming.recv() {
                Ok(piece) => self.piece = Cursor::new(piece),
                Err(_) => return Ok(0),
            }
        }
    }
}

fn decrypt<W: Write>(feed: Feed, mut sink: W, identities: &Identities) -> Result<W> {
    let mut feed = BufReader::new(feed);
    let header = Cursor::new(header(&mut feed)?);
    let decryptor = Decryptor::new_buffered(header.chain(feed)).map_err(unusable)?;
    let mut plain = decryptor.decrypt(identities.iter()).map_err(unusable)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match plain.read(&mut piece).map_err(|_| Error::Undecryptable)? {
            0 => break,
            bytes => sink.write_all(&piece[..bytes]).map_err(Error::of_sink)?,
        }
    }
    sink.flush().map_err(Error::of_sink)?;
    Ok(sink)
}

/// age reads a header of any length into memory, and from its beginning again at each line.
fn header(feed: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut header = Vec::new();
    loop {
        let begun = header.len();
        let mut rest = feed.take(MAX_HEADER_BYTES - begun as u64);
        rest.read_until(b'\n', &mut header).map_err(|_| Error::Undecryptable)?;
        match header[begun..].last() {
            Some(b'\n') if header[begun..].starts_with(LAST_LINE) => return Ok(header),
            Some(b'\n') => {}
            _ => return Err(Error::Undecryptable),
        }
    }
}

fn unusable(error: DecryptError) -> Error {
    match error {
        DecryptError::NoMatchingKeys => Error::NoIdentity,
        _ => Error::Undecryptable,
    }
}
