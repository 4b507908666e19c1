//! Memory of an upload and a download: a process of its own, since it counts the whole process's.

#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;

use std::fs::File;
use std::io::sink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcdprefix_store::{Kind, UploadOptions, download, upload};

use support::{Server, run, silent};

const BYTES: u64 = 400 << 20;
/// So large that four of them held at once would not fit.
const PART_BYTES: u64 = 50 << 20;
const LIMIT_KIB: u64 = 128 << 10;

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
