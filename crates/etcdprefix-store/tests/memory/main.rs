//! Memory of uploads, downloads, encryption and verification: a process of its own, since it counts the whole process's.

#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;

use std::fs::File;
use std::io::sink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use etcdprefix_core::progress::Silent;
use etcdprefix_store::{
    Error, Identities, Kind, Recipients, UploadOptions, download, encrypt, verify,
};

use support::{Server, run, silent, upload};

const BYTES: u64 = 400 << 20;
/// So large that four of them held at once would not fit.
const PART_BYTES: u64 = 50 << 20;
const LIMIT_KIB: u64 = 128 << 10;
/// The stand-in for OSS holds it in memory, twice when it puts parts together.
const ENCRYPTED_BYTES: u64 = 200 << 20;

/// The most anonymous memory that the process had meanwhile.
struct Peak {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Peak {
    fn watch() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let peak = AtomicU64::new(anonymous_kib());
            while !its.load(Ordering::SeqCst) {
                peak.fetch_max(anonymous_kib(), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
            }
            peak.into_inner()
        });
        Self { ended, thread }
    }

    fn kib(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_file_or_its_parts() {
    let server = Server::start(Kind::S3).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("large");
    File::create(&path).unwrap().set_len(BYTES).unwrap();
    let options = UploadOptions { part_bytes: PART_BYTES, ..UploadOptions::default() };
    run(async {
        let (store, peak, start) = (server.store(), Peak::watch(), Instant::now());
        upload(&store, &path, "large", &options, silent()).await.unwrap();
        let up = start.elapsed();
        download(&store, "large", &mut sink(), silent()).await.unwrap();
        let (down, kib) = (start.elapsed() - up, peak.kib());
        println!("{BYTES} bytes: up {up:.1?}, down {down:.1?}, {kib} KiB of anonymous memory");
        assert!(kib < LIMIT_KIB, "{kib} KiB");
    });
}

#[test]
fn memory_does_not_grow_with_what_is_encrypted_and_verified() {
    let server = Server::start(Kind::Oss).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let [plain, encrypted, key] =
        ["plain", "encrypted", "key"].map(|name| folder.path().join(name));
    // No snapshot ends so, which is known only at its end.
    File::create(&plain).unwrap().set_len(ENCRYPTED_BYTES).unwrap();
    let identity = age::x25519::Identity::generate();
    std::fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let recipients = Recipients::parse(&[identity.to_public().to_string()]).unwrap();
    run(async {
        let (store, peak, start) = (server.store(), Peak::watch(), Instant::now());
        let (mut source, mut sink) =
            (File::open(&plain).unwrap(), File::create(&encrypted).unwrap());
        encrypt(&mut source, &mut sink, &recipients, &Silent).unwrap();
        let encrypting = start.elapsed();
        upload(&store, &encrypted, "large", &UploadOptions::default(), silent()).await.unwrap();
        let start = Instant::now();
        let identities = Some(Identities::read(&key).unwrap());
        let error = verify(&store, "large", identities, silent()).await.unwrap_err();
        assert!(matches!(error, Error::Unsound { .. }), "{error:?}");
        let (verifying, kib) = (start.elapsed(), peak.kib());
        println!("encrypted in {encrypting:.1?}, verified in {verifying:.1?}, {kib} KiB");
        assert!(kib < LIMIT_KIB, "{kib} KiB");
    });
}
