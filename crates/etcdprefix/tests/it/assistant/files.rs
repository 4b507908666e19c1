//! A server with one file, for whoever asks.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

/// It ends with the process.
pub struct Files {
    address: String,
}

impl Files {
    /// `/etcdprefix` is that file, `/slow` never comes; all else is 404.
    pub fn start_at(host: Ipv4Addr, file: &Path) -> Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?.to_string();
        let bytes = Arc::new(fs::read(file)?);
        // It owns nothing but its socket.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes);
                // A client that goes away is the client's affair.
                std::thread::spawn(move || drop(answer(&client, &bytes)));
            }
        });
        Ok(Self { address })
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

fn answer(mut client: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    match line.split(' ').nth(1) {
        Some("/etcdprefix") => {
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            client.write_all(bytes)
        }
        Some("/slow") => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        _ => write!(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }
}
