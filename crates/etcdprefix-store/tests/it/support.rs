//! Servers that tests share as long as any of them runs, and what tests say of stores.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use etcdprefix_core::progress::{Phase, Progress, Silent};
use etcdprefix_store::{
    Environment, Kind, ObjectLocation, Retry, SharedProgress, Source, Store, StoreOptions,
    UploadOptions, Uploaded,
};
use etcdprefix_testkit::stores::{BUCKET, Key, OssServer, S3Server, Sdk};
use tempfile::TempDir;

/// What no text may hold.
pub const SECRET_MARK: &str = "s3cr3t";

/// Of SeaweedFS, which starts in seconds: it writes, but reads nothing.
pub fn write_only() -> Key {
    Key::new("AKIAWRITE", "write-s3cr3t-write")
}

/// A server of either kind.
pub enum Server {
    Oss(OssServer),
    S3(S3Server),
}

static OSS: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static S3: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The one that other tests use too: nobody may change how it behaves.
    pub fn shared(kind: Kind) -> Arc<Self> {
        let shared = match kind {
            Kind::Oss => &OSS,
            Kind::S3 => &S3,
        };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(kind).unwrap());
        *shared = Arc::downgrade(&server);
        server
    }

    /// One of its own.
    pub fn start(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Oss => OssServer::start().map(Self::Oss),
            Kind::S3 => S3Server::start(&[(write_only(), &["Write:bucket"])]).map(Self::S3),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Oss(_) => Kind::Oss,
            Self::S3(_) => Kind::S3,
        }
    }

    pub fn address(&self) -> &str {
        match self {
            Self::Oss(server) => server.address(),
            Self::S3(server) => server.address(),
        }
    }

    pub fn key(&self) -> &Key {
        match self {
            Self::Oss(server) => server.key(),
            Self::S3(server) => server.key(),
        }
    }

    pub fn sdk(&self) -> Sdk {
        match self {
            Self::Oss(server) => server.sdk(),
            Self::S3(server) => server.sdk(),
        }
    }

    /// With the key that may do everything.
    pub fn store(&self) -> Store {
        self.store_with(self.key(), &self.options(self.address()))
    }

    /// The same at another address, such as a front's.
    pub fn store_at(&self, address: &str) -> Store {
        self.store_with(self.key(), &self.options(address))
    }

    pub fn store_with(&self, key: &Key, options: &StoreOptions) -> Store {
        let location = location(self.kind());
        Store::open(&location, options, &environment(self.kind(), key)).unwrap()
    }

    pub fn options(&self, address: &str) -> StoreOptions {
        let region = match self.kind() {
            Kind::Oss => OssServer::REGION,
            Kind::S3 => S3Server::REGION,
        };
        StoreOptions {
            endpoint: Some(format!("http://{address}")),
            region: Some(region.into()),
            retry: QUICK,
            idle_timeout: Duration::from_secs(20),
            ..StoreOptions::default()
        }
    }
}

/// As often as usual, but without the waiting.
pub const QUICK: Retry = Retry {
    times: 6,
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(50),
};

pub fn location(kind: Kind) -> ObjectLocation {
    ObjectLocation { kind, bucket: BUCKET.into(), key: String::new() }
}

pub fn environment(kind: Kind, key: &Key) -> Environment {
    let names = match kind {
        Kind::Oss => ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"],
        Kind::S3 => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
    };
    let values = [Some(&key.id), Some(&key.secret), key.token.as_ref()];
    let pairs = names.iter().zip(values);
    let set = pairs.filter_map(|(name, value)| Some(((*name).to_owned(), value?.clone())));
    Environment { variables: HashMap::from_iter(set), home: None }
}

/// Both stores with the same test, one after the other.
pub fn both(test: impl AsyncFn(Arc<Server>)) {
    for kind in [Kind::Oss, Kind::S3] {
        run(test(Server::shared(kind)));
    }
}

pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Bytes that no two ranges share.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ count as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// A file with these bytes, and the folder that it lives in.
pub fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshot.db");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Opens and uploads.
pub async fn upload(
    store: &Store,
    path: &Path,
    key: &str,
    options: &UploadOptions,
    progress: SharedProgress,
) -> etcdprefix_store::Result<Uploaded> {
    etcdprefix_store::upload(store, &Source::open(path)?, key, options, progress).await
}

/// Parts of 5 MiB, the least that S3 takes, from one byte more than that on.
pub fn in_parts() -> UploadOptions {
    UploadOptions { multipart_from_bytes: 0, part_bytes: PART_BYTES as u64, ..Default::default() }
}

pub const PART_BYTES: usize = 5 << 20;

pub fn silent() -> SharedProgress {
    Arc::new(Silent)
}

/// Counts, and stops once so many bytes are done.
#[derive(Default)]
pub struct Counted {
    pub done: AtomicU64,
    pub total: AtomicU64,
    pub stop_after: Option<u64>,
    pub stopped: AtomicBool,
}

impl Progress for Counted {
    fn begin(&self, _: Phase, total: u64) {
        self.total.store(total, Ordering::SeqCst);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if self.stop_after.is_some_and(|limit| done > limit) {
            self.stopped.store(true, Ordering::SeqCst);
        }
    }

    fn interrupted(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// That neither text of an error has a secret.
#[track_caller]
pub fn clean(error: &etcdprefix_store::Error) {
    let texts = format!("{error} {error:?}");
    assert!(!texts.contains(SECRET_MARK) && !texts.contains("ignature="), "{texts}");
}
