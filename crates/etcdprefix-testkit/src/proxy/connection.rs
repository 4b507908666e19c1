//! One connection through the proxy: two threads, one for each direction.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Fault, Shared};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How soon a waiting thread sees that its connection has been closed.
const STEP: Duration = Duration::from_millis(20);

/// Pieces of a throttled stream in a second.
const PIECES: u64 = 50;

/// Both sides' sockets.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    closed: AtomicBool,
}

impl Connection {
    fn open(client: TcpStream, target: SocketAddr) -> io::Result<Arc<Self>> {
        let server = TcpStream::connect_timeout(&target, CONNECT_LIMIT)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
        }
        Ok(Arc::new(Self { client, server, closed: AtomicBool::new(false) }))
    }

    /// Closes both sides, which wakes both threads.
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for socket in [&self.client, &self.server] {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn wait(&self, duration: Duration) {
        let start = Instant::now();
        while !self.closed.load(Ordering::SeqCst) && start.elapsed() < duration {
            std::thread::sleep(STEP.min(duration));
        }
    }
}

/// A connection's threads: to the server, to the client.
pub struct Pumps {
    connection: Arc<Connection>,
    threads: [JoinHandle<()>; 2],
}

impl Pumps {
    pub fn start(client: TcpStream, shared: &Arc<Shared>) -> io::Result<Self> {
        let connection = Connection::open(client, shared.target)?;
        let threads = start(&connection, shared);
        Ok(Self { connection, threads })
    }

    pub fn running(&self) -> bool {
        !self.threads.iter().all(JoinHandle::is_finished)
    }

    pub fn end(self) {
        self.connection.close();
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn start(connection: &Arc<Connection>, shared: &Arc<Shared>) -> [JoinHandle<()>; 2] {
    let up = Arc::clone(connection);
    let mut down =
        Down { connection: Arc::clone(connection), shared: Arc::clone(shared), passed: 0 };
    [
        std::thread::spawn(move || {
            // An error is the end of a connection like any other. Clients of etcd close both
            // directions together, so the end of one is taken for the end of both.
            let _ = io::copy(&mut &up.client, &mut &up.server);
            up.close();
        }),
        std::thread::spawn(move || {
            let _ = down.run();
            down.connection.close();
        }),
    ]
}

/// What comes from the server.
struct Down {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    /// Bytes that the client got.
    passed: u64,
}

impl Down {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let rate = self.shared.rules().bytes_per_second;
            let piece = rate.map_or(u64::MAX, |rate| (rate / PIECES).max(1));
            let piece = usize::try_from(piece).unwrap_or(usize::MAX).min(buffer.len());
            let read = (&self.connection.server).read(&mut buffer[..piece])?;
            if read == 0 || !self.pass(&mut buffer[..read])? {
                return Ok(());
            }
            if let Some(rate) = rate {
                let share = read as f64 / rate.max(1) as f64;
                self.connection.wait(Duration::from_secs_f64(share));
            }
        }
    }

    /// False if nothing more may pass.
    fn pass(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let (start, end) = (self.passed, self.passed + bytes.len() as u64);
        let fault = self.shared.rules().fault;
        match fault {
            Some(Fault::Flip { at }) if (start..end).contains(&at) && self.shared.afflict() => {
                bytes[(at - start) as usize] ^= 1;
                self.send(bytes)?;
            }
            Some(Fault::Stall { after }) if end > after && self.shared.afflict() => {
                self.send(&bytes[..after.saturating_sub(start) as usize])?;
                self.connection.wait(Duration::MAX);
                return Ok(false);
            }
            Some(Fault::Cut { after }) if end > after && self.shared.afflict() => {
                self.send(&bytes[..after.saturating_sub(start) as usize])?;
                return Ok(false);
            }
            _ => self.send(bytes)?,
        }
        Ok(true)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.connection.client).write_all(bytes)?;
        self.passed += bytes.len() as u64;
        self.shared.passed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
