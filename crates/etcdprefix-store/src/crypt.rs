//! Snapshots that are encrypted before they leave, with age: whoever can read the bucket reads
//! nothing.

mod plaintext;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use age::{Encryptor, x25519};
use etcdprefix_core::progress::Progress;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub use plaintext::Plaintext;

/// Read at once to be encrypted.
const PIECE_BYTES: usize = 256 << 10;
/// So many fit into the longest header that is read back.
const MAX_RECIPIENTS: usize = 256;
/// No file of identities is longer.
const MAX_IDENTITIES_BYTES: u64 = 1 << 20;

/// Whom to encrypt to.
#[derive(Clone, Debug)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads public keys as `age-keygen` shows them: `age1` and so on.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the first that is none; also if there are none, or over 256.
    pub fn parse(texts: &[String]) -> Result<Self> {
        if texts.is_empty() || texts.len() > MAX_RECIPIENTS {
            let why = format!("1 to {MAX_RECIPIENTS} recipients are needed to encrypt");
            return Err(Error::Usage(why));
        }
        texts.iter().map(|text| recipient(text.trim())).collect::<Result<_>>().map(Self)
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient> {
    x25519::Recipient::from_str(text).map_err(|why| {
        let secret = text.to_ascii_uppercase().contains("SECRET");
        Error::Usage(match secret {
            true => {
                "a secret key is no recipient: give the public key, which begins with age1".into()
            }
            false => format!("{text:?} is no recipient, which begins with age1: {why}"),
        })
    })
}

/// Secret keys to decrypt with. Its `Debug` shows nothing of them.
#[derive(Clone)]
pub struct Identities(Arc<Vec<x25519::Identity>>);

impl Identities {
    /// Reads a file as `age-keygen` makes it: lines `AGE-SECRET-KEY-1` and so on, comments with `#`.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Usage`] with the number of a line that is no identity, or if there
    /// are none. Nothing of the file is repeated.
    pub fn read(file: &Path) -> Result<Self> {
        let text = read_text(file).map_err(Error::file(file))?;
        let lines = text.lines().map(str::trim).enumerate();
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let wrong = |at| Error::Usage(format!("line {at} of {} is no identity", file.display()));
        let keys = keys.map(|(at, line)| line.parse().map_err(|_| wrong(at + 1)));
        let identities: Vec<_> = keys.collect::<Result<_>>()?;
        if identities.is_empty() {
            return Err(Error::Usage(format!("{} holds no identity", file.display())));
        }
        Ok(Self(Arc::new(identities)))
    }

    fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities([redacted])")
    }
}

fn read_text(file: &Path) -> io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(file)?;
    let bytes = file.metadata()?.len();
    if bytes > MAX_IDENTITIES_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Where it grows, it leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes as usize + 1));
    file.take(MAX_IDENTITIES_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Encrypts all that `source` has, to be decrypted by any one of `recipients`; returns how many
/// bytes were written. It begins no phase of `progress`, and advances by what it has read.
///
/// Memory: half a MiB.
///
/// # Errors
/// [`Error::Encryption`] if `source` can't be read or `sink` not be written, [`Error::Interrupted`].
/// With any of them, what is in `sink` can't be decrypted to its end.
pub fn encrypt(
    source: &mut dyn Read,
    sink: &mut dyn Write,
    recipients: &Recipients,
    progress: &dyn Progress,
) -> Result<u64> {
    let mut counted = Counted { sink, bytes: 0 };
    let recipients = recipients.0.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients);
    let encryptor =
        encryptor.map_err(|_| Error::Usage("the recipients don't go together".into()))?;
    let mut encrypted = encryptor.wrap_output(&mut counted).map_err(unwritten)?;
    let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
    loop {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let bytes = read(source, &mut piece).map_err(unread)?;
        if bytes == 0 {
            break;
        }
        encrypted.write_all(&piece[..bytes]).map_err(unwritten)?;
        progress.advance(bytes as u64);
    }
    encrypted.finish().and_then(|rest| rest.flush()).map_err(unwritten)?;
    Ok(counted.bytes)
}

fn unread(source: io::Error) -> Error {
    Error::Encryption { action: "read what is to be encrypted", source }
}

fn unwritten(source: io::Error) -> Error {
    Error::Encryption { action: "write what is encrypted", source }
}

/// A signal in between is no failure.
fn read(source: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

struct Counted<'a> {
    sink: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdprefix_core::progress::{Phase, Silent};

    /// Of age's own documentation.
    const SECRET: &str =
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.txt");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_bad_recipient_is_named_unless_it_is_a_secret() {
        Recipients::parse(&[format!(" {PUBLIC}\n")]).unwrap();
        let wrong = PUBLIC.replace('7', "8");
        for texts in [vec![], vec![PUBLIC.to_owned(), wrong.clone()], vec![PUBLIC.into(); 257]] {
            let error = Recipients::parse(&texts).unwrap_err().to_string();
            assert!(texts.len() != 2 || error.contains(&wrong), "{error}");
        }
        for secret in [SECRET.to_owned(), SECRET.to_lowercase(), SECRET.replace('7', "8")] {
            let error = Recipients::parse(std::slice::from_ref(&secret)).unwrap_err();
            assert!(!format!("{error}{error:?}").contains(&secret[20..]), "{error}");
        }
    }

    #[test]
    fn identities_are_read_with_comments_and_never_shown() {
        let (_folder, path) = file(&format!("# created: now\r\n\n{SECRET}\r\n  {SECRET}"));
        let identities = Identities::read(&path).unwrap();
        assert_eq!(identities.0.len(), 2);
        assert_eq!(identities.0[0].to_public().to_string(), PUBLIC);
        assert_eq!(format!("{:?}", identities.clone()), "Identities([redacted])");
    }

    #[test]
    fn what_is_no_file_of_identities_is_refused_and_not_repeated() {
        for text in
            ["", "# only", &format!("#\n{}", &SECRET[..50]), &SECRET.replace('7', "8"), PUBLIC]
        {
            let (_folder, path) = file(text);
            let error = Identities::read(&path).unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{error}");
            let shown = format!("{error}{error:?}");
            assert!(text.is_empty() || !text.lines().any(|line| shown.contains(line)), "{shown}");
        }
        let (_folder, path) = file("x");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        for path in [path.clone(), path.with_extension("none")] {
            assert!(matches!(Identities::read(&path), Err(Error::File { .. })));
        }
    }

    struct Stopped;

    impl Progress for Stopped {
        fn begin(&self, _: Phase, _: u64) {
            panic!("the caller's phase");
        }

        fn interrupted(&self) -> bool {
            true
        }
    }

    #[test]
    fn encryption_counts_what_it_writes_and_stops_if_asked_to() {
        let recipients = Recipients::parse(&[PUBLIC.to_owned()]).unwrap();
        let (mut sink, plain) = (Vec::new(), vec![7; 3 * PIECE_BYTES + 1]);
        let bytes = encrypt(&mut &plain[..], &mut sink, &recipients, &Silent).unwrap();
        assert!(bytes == sink.len() as u64 && bytes > plain.len() as u64);
        let stopped = encrypt(&mut &plain[..], &mut Vec::new(), &recipients, &Stopped);
        assert!(matches!(stopped, Err(Error::Interrupted)));
        let full = encrypt(&mut &plain[..], &mut &mut [0; 1000][..], &recipients, &Silent);
        assert!(matches!(full, Err(Error::Encryption { .. })));
    }
}
