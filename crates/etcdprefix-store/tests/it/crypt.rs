use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use etcdprefix_core::progress::Silent;
use etcdprefix_store::{
    Error, Identities, Plaintext, Recipients, Result, UploadOptions, download, encrypt,
};

use crate::support::{both, bytes, clean, file, silent, upload};

/// A key pair as a file and a text.
pub struct Pair {
    pub identities: Identities,
    pub recipient: String,
    pub secret: String,
}

impl Pair {
    pub fn new() -> Self {
        let identity = Identity::generate();
        let secret = identity.to_string().expose_secret().to_owned();
        let (_folder, path) = file(format!("# a key\n{secret}\n").as_bytes());
        let identities = Identities::read(&path).unwrap();
        Self { identities, recipient: identity.to_public().to_string(), secret }
    }

    pub fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        encrypted(plain, &[&self.recipient])
    }
}

fn encrypted(mut plain: &[u8], recipients: &[&str]) -> Vec<u8> {
    let recipients: Vec<String> = recipients.iter().map(|text| (*text).to_owned()).collect();
    let (recipients, mut sink) = (Recipients::parse(&recipients).unwrap(), Vec::new());
    encrypt(&mut plain, &mut sink, &recipients, &Silent).unwrap();
    sink
}

/// Passes bytes through in pieces of this size.
fn passed(come: &[u8], piece: usize, identities: Option<&Identities>) -> Result<(Vec<u8>, bool)> {
    let mut sink = Plaintext::new(Vec::new(), identities.cloned());
    for piece in come.chunks(piece) {
        sink.write_all(piece).map_err(|error| error.downcast::<Error>().unwrap())?;
    }
    sink.finish()
}

#[test]
fn what_is_encrypted_is_decrypted_however_it_comes() {
    let (one, other) = (Pair::new(), Pair::new());
    for count in [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1_000_007] {
        let plain = bytes(count);
        let encrypted = encrypted(&plain, &[&one.recipient, &other.recipient]);
        for (pair, piece) in [(&one, 1 << 20), (&other, 16_411)] {
            let came = passed(&encrypted, piece, Some(&pair.identities)).unwrap();
            assert!(came == (plain.clone(), true), "{count} {piece}");
        }
    }
    let short = one.encrypt(b"snapshot");
    assert_eq!(passed(&short, 1, Some(&one.identities)).unwrap(), (b"snapshot".to_vec(), true));
}

#[test]
fn what_is_plain_is_passed_on() {
    let pair = Pair::new();
    for plain in [
        &b""[..],
        b"a",
        b"age-encryption.org/v1",
        b"age-encryption.org/v2\n-> X25519",
        b"age-encryption.org/v1\r\n",
        &bytes(200_000),
    ] {
        for (piece, identities) in [(1 << 20, None), (5, Some(&pair.identities))] {
            let came = passed(plain, piece, identities).unwrap();
            assert!(came == (plain.to_vec(), false), "{piece}");
        }
    }
}

#[test]
fn without_a_fitting_identity_it_says_so() {
    let (one, other) = (Pair::new(), Pair::new());
    for count in [10, 3_000_000] {
        let encrypted = one.encrypt(&bytes(count));
        let none = passed(&encrypted, 4096, None);
        assert!(matches!(none, Err(Error::Encrypted)));
        let wrong = passed(&encrypted, 4096, Some(&other.identities));
        assert!(matches!(wrong, Err(Error::NoIdentity)));
        let later = passed(&encrypted, 4096, None).unwrap_err();
        assert!(!format!("{later}{later:?}").contains(&one.secret));
    }
}

/// Ends the process rather than wait for ever.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(120)).expect("a panic, or it hangs")
}

#[test]
fn every_cut_and_every_other_bit_is_an_error() {
    let pair = Pair::new();
    let encrypted = pair.encrypt(&bytes(150_000));
    let random = bytes(4 * 400);
    let picks = random.chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap()) as usize);
    // With another first line, or none, it is not known to be encrypted.
    let first = b"age-encryption.org/v1\n".len();
    let ends = [first, first + 1, encrypted.len() - 1, encrypted.len() - 17];
    // Chunks of 64 KiB and 16 bytes, counted from the end of the header.
    let payload = encrypted.len() - 150_000 - 3 * 16;
    let borders = [0, 1, 2].map(|chunk| payload + chunk * ((64 << 10) + 16));
    let all = ends.into_iter().chain(borders);
    let all: Vec<usize> =
        all.chain(picks.map(|pick| first + pick % (encrypted.len() - first))).collect();
    in_time(move || {
        for at in all {
            let mut flipped = encrypted.clone();
            flipped[at.min(encrypted.len() - 1)] ^= 1 << (at % 8);
            for damaged in [&encrypted[..at], &flipped] {
                let error = passed(damaged, 1 << 20, Some(&pair.identities)).unwrap_err();
                let fits = matches!(error, Error::Undecryptable | Error::NoIdentity);
                assert!(fits, "{at}: {error:?}");
            }
        }
        let longer = [&encrypted[..], b"x"].concat();
        let error = passed(&longer, 1 << 20, Some(&pair.identities)).unwrap_err();
        assert!(matches!(error, Error::Undecryptable), "{error:?}");
    });
}

#[test]
fn a_header_without_end_is_given_up() {
    let pair = Pair::new();
    for line in ["-> X25519 a\n", "x", "\n"] {
        let endless = format!("age-encryption.org/v1\n{}", line.repeat(1 << 20));
        let identities = pair.identities.clone();
        let error =
            in_time(move || passed(endless.as_bytes(), 4096, Some(&identities))).unwrap_err();
        assert!(matches!(error, Error::Undecryptable), "{error:?}");
    }
}

/// Takes so many bytes; tells when it goes.
struct Full(usize, #[allow(dead_code)] Arc<()>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn dropped_it_takes_its_thread_and_the_sink_along() {
    let (pair, there) = (Pair::new(), Arc::new(()));
    let encrypted = pair.encrypt(&bytes(900_000));
    for end in [0, 10, 100, 500_000, encrypted.len()] {
        let full = Full(usize::MAX, there.clone());
        let mut sink = Plaintext::new(full, Some(pair.identities.clone()));
        sink.write_all(&encrypted[..end]).unwrap();
        drop(sink);
        assert_eq!(Arc::strong_count(&there), 1, "{end}");
    }
}

#[test]
fn objects_are_decrypted_while_they_come_and_the_cause_of_an_error_comes_out() {
    let (pair, other) = (Pair::new(), Pair::new());
    both(async |server| {
        let (plain, store, key) = (bytes(2_000_000), server.store(), "crypt/k");
        let (_folder, path) = file(&pair.encrypt(&plain));
        upload(&store, &path, key, &UploadOptions::default(), silent()).await.unwrap();
        let mut sink = Plaintext::new(Vec::new(), Some(pair.identities.clone()));
        download(&store, key, &mut sink, silent()).await.unwrap();
        assert!(sink.finish().unwrap() == (plain, true));

        for (identities, expected) in [
            (None, "an identity is needed"),
            (Some(&other.identities), "none of the identities"),
            (Some(&pair.identities), "no storage space"),
        ] {
            let mut sink = Plaintext::new(Full(100_000, Arc::default()), identities.cloned());
            let error = match download(&store, key, &mut sink, silent()).await {
                Ok(_) => sink.finish().err().unwrap(),
                Err(error) => {
                    assert!(matches!(sink.finish(), Err(Error::Write(_))));
                    error
                }
            };
            clean(&error);
            assert!(error.to_string().contains(expected), "{error}");
        }
    });
}
