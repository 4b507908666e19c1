//! The metadata of an ECS or EC2 instance with a role, played.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Key;
use crate::process::LOOPBACK;

/// A running service; it ends with the process.
pub struct Metadata {
    address: String,
}

impl Metadata {
    /// Of an instance whose role has this key for so long.
    pub fn start(key: &Key, left: Duration) -> Result<Self> {
        Self::start_at((LOOPBACK, 0).into(), key, left)
    }

    /// The same at an address of this machine, such as the one that test hosts reach.
    pub fn start_at(at: SocketAddr, key: &Key, left: Duration) -> Result<Self> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?.to_string();
        let role = Arc::new(role(key, left)?);
        // It owns nothing but its socket.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes away is the client's affair.
                let _ = answer(&client, &role);
            }
        });
        Ok(Self { address })
    }

    /// What leads the vendors' tools to it.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let url = format!("http://{}", self.address);
        [
            ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", url.clone()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url),
        ]
    }
}

fn role(key: &Key, left: Duration) -> Result<Value> {
    let ends = stamp(SystemTime::now() + left)?;
    let token = key.token.clone().unwrap_or_default();
    Ok(json!({
        "Code": "Success", "AccessKeyId": key.id, "AccessKeySecret": key.secret,
        "SecretAccessKey": key.secret, "SecurityToken": token, "Token": token, "Expiration": ends,
    }))
}

fn stamp(time: SystemTime) -> Result<String> {
    let seconds = time.duration_since(UNIX_EPOCH)?.as_secs();
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .context("cannot start date")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// As both clouds have it in version 2: nothing without a token of the service.
fn answer(mut client: &TcpStream, role: &Value) -> io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let token = headers.iter().any(|line| line.to_lowercase().contains("token: v2-token"));
    let path = line.split(' ').nth(1).unwrap_or_default();
    let listed = path.strip_prefix("/latest/meta-data/");
    let (status, body) = match listed.and_then(|path| path.split_once("/security-credentials/")) {
        _ if path == "/latest/api/token" => (200, "v2-token".to_owned()),
        Some(("ram" | "iam", _)) if !token => (403, "a token is needed".into()),
        Some(("ram" | "iam", "")) => (200, "the-role".into()),
        Some(("ram" | "iam", "the-role")) => (200, role.to_string()),
        _ => (404, String::new()),
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
