//! The static program at a URL, as a company would serve it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

/// A file that is served to whoever asks, until the test's process ends.
pub struct Program {
    pub url: String,
    pub sha256: String,
}

impl Program {
    pub fn serve(file: &Path, at: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((at, 0))?;
        let url = format!("http://{}/etcdprefix", listener.local_addr()?);
        let output = Command::new("sha256sum").arg(file).output()?;
        let sha256 = String::from_utf8(output.stdout)?.get(..64).context("no hash")?.to_owned();
        let bytes = Arc::new(fs::read(file)?);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes);
                // A client that goes away is the client's affair.
                std::thread::spawn(move || drop(answer(&client, &bytes)));
            }
        });
        Ok(Self { url, sha256 })
    }
}

fn answer(mut client: &TcpStream, bytes: &[u8]) -> Result<()> {
    let lines = BufReader::new(client).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", bytes.len());
    client.write_all(head.as_bytes())?;
    client.write_all(b"Connection: close\r\n\r\n")?;
    Ok(client.write_all(bytes)?)
}
