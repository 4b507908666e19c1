//! A TCP proxy on loopback before one member, which passes everything until it is told not to.
//!
//! It knows nothing of what it carries, so TLS goes through untouched. Faults concern what the
//! server sends, counted for each connection from its first byte.

mod connection;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use connection::Pumps;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Exactly so many bytes get through, then nothing more; the connection stays open.
    Stall {
        /// How many.
        after: u64,
    },
    /// Exactly so many bytes get through, then both sides are closed.
    Cut {
        /// How many.
        after: u64,
    },
    /// One bit of the byte with this number is another, 0 for the first byte.
    Flip {
        /// Which byte.
        at: u64,
    },
}

/// A running proxy. Dropping it closes its connections and ends its threads.
pub struct Proxy {
    scheme: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    rules: Mutex<Rules>,
    connections: Mutex<Vec<Pumps>>,
    ended: AtomicBool,
    accepted: AtomicUsize,
    afflicted: AtomicUsize,
    passed: AtomicU64,
}

/// What every connection is held to, from now on.
#[derive(Clone, Copy, Default)]
struct Rules {
    fault: Option<Fault>,
    /// How many more connections the fault befalls.
    times: usize,
    bytes_per_second: Option<u64>,
}

impl Proxy {
    /// Listens on the loopback address of the target's family. The target is `host:port`, with a
    /// scheme or without; the endpoint will have the same one.
    pub fn start(target: &str) -> Result<Self> {
        let (scheme, host) = match target.split_once("://") {
            Some((scheme, host)) => (format!("{scheme}://"), host),
            None => (String::new(), target),
        };
        let target: SocketAddr = host.parse().with_context(|| format!("no address: {host}"))?;
        let listener = TcpListener::bind((loopback(target), 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::before(target));
        let its = Arc::clone(&shared);
        let listener = Some(std::thread::spawn(move || its.listen(&listener)));
        Ok(Self { scheme, address, shared, listener })
    }

    /// Where clients reach the target through the proxy.
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.scheme, self.address)
    }

    /// [`Fault::Stall`] for every connection.
    pub fn stall_after(&self, bytes: u64) {
        self.inject(Fault::Stall { after: bytes }, usize::MAX);
    }

    /// [`Fault::Cut`] for every connection.
    pub fn cut_after(&self, bytes: u64) {
        self.inject(Fault::Cut { after: bytes }, usize::MAX);
    }

    /// [`Fault::Flip`] for every connection.
    pub fn flip_byte_at(&self, byte: u64) {
        self.inject(Fault::Flip { at: byte }, usize::MAX);
    }

    /// From now on this fault befalls the first `times` connections that get as far, and no other
    /// fault any. A connection that is past a byte to flip is spared; one that is past the place of
    /// a stall or cut gets nothing more.
    pub fn inject(&self, fault: Fault, times: usize) {
        let mut rules = self.shared.rules();
        (rules.fault, rules.times) = (Some(fault), times);
    }

    /// Lets so much through on each connection, in about 50 pieces a second.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.shared.rules().bytes_per_second = Some(bytes_per_second);
    }

    /// Everything passes again, except on connections that were stalled or cut: these stay so.
    pub fn heal(&self) {
        *self.shared.rules() = Rules::default();
    }

    /// How many connections clients have made.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections a fault has befallen.
    pub fn afflicted(&self) -> usize {
        self.shared.afflicted.load(Ordering::SeqCst)
    }

    /// How many bytes clients got, on all connections together.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// How many connections are open on either side.
    pub fn open(&self) -> usize {
        lock(&self.shared.connections).iter().filter(|pumps| pumps.running()).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener; if that fails it is awake already.
        let _ = TcpStream::connect(self.address);
        let _ = self.listener.take().map(JoinHandle::join);
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        connections.into_iter().for_each(Pumps::end);
    }
}

impl Shared {
    fn before(target: SocketAddr) -> Self {
        Self {
            target,
            rules: Mutex::default(),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            afflicted: AtomicUsize::new(0),
            passed: AtomicU64::new(0),
        }
    }

    fn listen(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else {
                continue;
            };
            self.accepted.fetch_add(1, Ordering::SeqCst);
            // A target that is gone refuses its clients in the same way.
            if let Ok(pumps) = Pumps::start(client, &self) {
                lock(&self.connections).push(pumps);
            }
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }

    /// Whether the fault befalls one more connection.
    fn afflict(&self) -> bool {
        let mut rules = self.rules();
        let afflicts = rules.fault.is_some() && rules.times > 0;
        if afflicts {
            rules.times -= 1;
            self.afflicted.fetch_add(1, Ordering::SeqCst);
        }
        afflicts
    }
}

fn loopback(target: SocketAddr) -> IpAddr {
    match target {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// A test that panicked has its say already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
