//! A client that goes on writing while something else is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::Client;

use crate::{block_on, member};

/// It writes its keys in turn, so they get a history.
const KEYS: u64 = 100;

/// Long enough for an election meanwhile.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A put without an answer is given up after this: the member may have been stopped.
const PUT_LIMIT: Duration = Duration::from_secs(5);

/// After a failure, so that a dead member is not asked in a loop.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Puts keys under `/registry/writer/` one after the other, in a thread, until it is stopped or
/// dropped. A put that fails is tried again, as often as it takes.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a writer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Puts that the server confirmed.
    pub puts: u64,
    /// Puts that failed or got no answer; some of these may have been made.
    pub failures: u64,
    /// The revision of the last confirmed put.
    pub revision: i64,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    puts: AtomicU64,
    failures: AtomicU64,
    revision: AtomicI64,
}

impl Writer {
    /// Starts writing to a server without TLS, with a pause after each put.
    pub fn start(url: &str, pause: Duration) -> Self {
        Self::start_as(url, None, pause)
    }

    /// As [`Self::start`], authenticated.
    pub fn start_as(
        url: &str,
        user: Option<(&'static str, &'static str)>,
        pause: Duration,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (url, its) = (url.to_owned(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || block_on(its.write(&url, user, pause)));
        Self { shared, thread: Some(thread) }
    }

    /// What it has done so far.
    pub fn so_far(&self) -> Written {
        let shared = &self.shared;
        Written {
            puts: shared.puts.load(Ordering::SeqCst),
            failures: shared.failures.load(Ordering::SeqCst),
            revision: shared.revision.load(Ordering::SeqCst),
        }
    }

    /// Waits until it has made so many more puts.
    pub fn wait_for(&self, puts: u64) -> Result<()> {
        let start = Instant::now();
        let goal = self.so_far().puts + puts;
        while self.so_far().puts < goal {
            ensure!(start.elapsed() < WAIT_LIMIT, "{:?}, not {goal} puts", self.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it, after the put that is under way. An error if it never wrote anything.
    pub fn stop(mut self) -> Result<Written> {
        self.end().ok().context("the writer panicked")?;
        let written = self.so_far();
        ensure!(written.puts > 0, "the writer never wrote: {written:?}");
        Ok(written)
    }

    fn end(&mut self) -> std::thread::Result<()> {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Shared {
    async fn write(&self, url: &str, user: Option<(&str, &str)>, pause: Duration) {
        let mut client = None;
        while !self.ended.load(Ordering::SeqCst) {
            let put = self.puts.load(Ordering::SeqCst);
            match tokio::time::timeout(PUT_LIMIT, write_one(&mut client, url, user, put)).await {
                Ok(Ok(revision)) => {
                    self.revision.store(revision, Ordering::SeqCst);
                    self.puts.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(pause).await;
                }
                Ok(Err(_)) | Err(_) => {
                    self.failures.fetch_add(1, Ordering::SeqCst);
                    client = None;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

async fn write_one(
    client: &mut Option<Client>,
    url: &str,
    user: Option<(&str, &str)>,
    put: u64,
) -> Result<i64> {
    if client.is_none() {
        *client = Some(member::connect(url, user).await?);
    }
    let client = client.as_mut().context("connected just now")?;
    let key = format!("/registry/writer/{:02}", put % KEYS);
    let answer = client.put(key, put.to_string(), None).await?;
    Ok(answer.header().context("no header")?.revision())
}
