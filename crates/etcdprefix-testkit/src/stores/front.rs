//! An HTTP front before a store that does as it is told to some requests: it answers with an error
//! of its own, or breaks off in the middle of a body. All else passes untouched, signatures too.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::process::LOOPBACK;

/// How soon a held request sees that it may go on.
const STEP: Duration = Duration::from_millis(10);

/// What to do to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer with this status, code and message, and pass nothing on.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The error code in the XML.
        code: &'static str,
        /// The message in the XML.
        message: &'static str,
    },
    /// Close after so many bytes of its body came; the store sees a body that ends early.
    CutRequest {
        /// How many.
        after: usize,
    },
    /// One bit of this byte of its body is another, 0 for the first byte.
    FlipRequest {
        /// Which byte.
        at: u64,
    },
    /// Close after so many bytes of the answer, its head included.
    CutAnswer {
        /// How many.
        after: usize,
    },
    /// Pass the request on whole and close without any answer.
    LoseAnswer,
    /// Leave these headers, in lower case, out of the answer.
    HideHeaders(&'static [&'static str]),
    /// Take the request's head and then nothing more; the connection stays open until the front goes.
    Stall,
    /// Wait for [`Front::release`] before passing it on.
    Hold,
}

/// Which requests, how many of them, and what to do.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// What the path with its query must hold.
    pub holds: &'static str,
    /// How many requests to let pass before.
    pub skip: usize,
    /// How many to do it to.
    pub times: usize,
    /// What.
    pub act: Act,
}

/// A running front. Dropped, it takes no more connections.
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    rules: Mutex<Vec<Rule>>,
    done: Mutex<usize>,
    released: AtomicBool,
    ended: AtomicBool,
}

impl Front {
    /// Before the store at `target`, a `host:port`.
    pub fn start(target: &str) -> Result<Self> {
        Self::start_at(LOOPBACK, target)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(host: IpAddr, target: &str) -> Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            rules: Mutex::default(),
            done: Mutex::default(),
            released: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let listener = Some(std::thread::spawn(move || its.listen(&listener)));
        Ok(Self { address, shared, listener })
    }

    /// Where clients reach the store through it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on also this.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Passes on what is held, now and later.
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }

    /// To how many requests something was done.
    pub fn done(&self) -> usize {
        *lock(&self.shared.done)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener; if that fails it is awake already.
        let _ = TcpStream::connect(self.address);
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn listen(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let its = Arc::clone(&self);
            // It ends with its one request.
            std::thread::spawn(move || its.serve(&client));
        }
    }

    /// An error is the end of a connection like any other.
    fn serve(&self, client: &TcpStream) {
        let _ = self.handle(client);
        let _ = client.shutdown(Shutdown::Both);
    }

    fn handle(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let head = read_head(&mut reader)?;
        let act = self.act(head.lines().next().unwrap_or_default());
        match &act {
            Some(Act::Refuse { status, code, message }) => {
                io::copy(&mut reader.take(length(&head)), &mut io::sink())?;
                return refuse(client, *status, code, message);
            }
            Some(Act::Stall) => {
                self.wait();
                return Ok(());
            }
            Some(Act::Hold) => self.wait(),
            _ => {}
        }
        self.pass(client, reader, &head, act)
    }

    fn pass(
        &self,
        mut client: &TcpStream,
        mut reader: impl Read,
        head: &str,
        act: Option<Act>,
    ) -> io::Result<()> {
        let mut server = TcpStream::connect(&self.target)?;
        server.write_all(one_request(head).as_bytes())?;
        let mut body = match act {
            Some(Act::CutRequest { after }) => length(head).min(after as u64),
            _ => length(head),
        };
        if let Some(Act::FlipRequest { at }) = act {
            io::copy(&mut (&mut reader).take(at), &mut server)?;
            let mut byte = [0];
            reader.read_exact(&mut byte)?;
            server.write_all(&[byte[0] ^ 1])?;
            body -= at + 1;
        }
        io::copy(&mut reader.take(body), &mut server)?;
        match act {
            Some(Act::CutRequest { .. }) => server.shutdown(Shutdown::Both),
            Some(Act::LoseAnswer) => io::copy(&mut server, &mut io::sink()).map(drop),
            Some(Act::CutAnswer { after }) => {
                io::copy(&mut server.take(after as u64), &mut client).map(drop)
            }
            Some(Act::HideHeaders(names)) => without(names, server, client),
            _ => without(&[], server, client),
        }
    }

    fn wait(&self) {
        while !self.released.load(Ordering::SeqCst) && !self.ended.load(Ordering::SeqCst) {
            std::thread::sleep(STEP);
        }
    }

    /// The first rule that fits and is not used up.
    fn act(&self, line: &str) -> Option<Act> {
        let mut rules = lock(&self.rules);
        let (method, rest) = line.split_once(' ')?;
        let fits = |rule: &&mut Rule| rule.method == method && rest.contains(rule.holds);
        let rule = rules.iter_mut().filter(fits).find(|rule| rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        *lock(&self.done) += 1;
        Some(rule.act.clone())
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn length(head: &str) -> u64 {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    named.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}

/// One request for each connection keeps all answers apart.
fn one_request(head: &str) -> String {
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let kept: Vec<&str> = kept.filter(|line| !line.is_empty()).collect();
    format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"))
}

/// A client that is not told that the connection closes may send its next request into it.
fn without(names: &[&str], server: TcpStream, mut client: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(server);
    let head = read_head(&mut reader)?;
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_kept = |line: &&str| !names.contains(&&*name(line)) && name(line) != "connection";
    let kept: Vec<&str> = head.lines().filter(|line| !line.is_empty()).filter(is_kept).collect();
    client.write_all(format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())?;
    io::copy(&mut reader, &mut client).map(drop)
}

fn refuse(mut client: &TcpStream, status: u16, code: &str, message: &str) -> io::Result<()> {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} No\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
