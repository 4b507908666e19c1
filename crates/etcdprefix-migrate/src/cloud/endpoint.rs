//! Where the cloud's services are. That an answer is theirs, and nobody else reads what they are told,
//! rests on TLS alone: plain http is for what runs on this very machine.

use std::net::IpAddr;

use crate::error::{Error, Result};

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    scheme: &'static str,
    /// With the port, if it is another than the scheme's.
    pub host: String,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("https", rest),
            Some(("http", rest)) => ("http", rest),
            None => ("https", text),
            Some((scheme, _)) => return Err(Error::Usage(format!("no endpoint has {scheme}://"))),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".:-[]".contains(c);
        if host.is_empty() || !host.chars().all(is_part) {
            return Err(Error::Usage("an endpoint is a host, or https:// and a host".into()));
        }
        if scheme == "http" && !is_this_machine(&host) {
            return Err(Error::Usage(format!(
                "http://{host} would send credentials and commands in the clear; try: https://"
            )));
        }
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(usual).unwrap_or(&host).to_owned();
        Ok(Self { scheme, host })
    }

    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.host)
    }
}

/// Whether it is an address that never leaves this machine. A name may be answered with any address.
fn is_this_machine(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(address, _)| address),
    };
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_leave_this_machine_over_tls_alone() {
        for text in [
            "http://ecs.cn-hangzhou.aliyuncs.com",
            "http://10.0.0.1:7100",
            "http://169.254.169.254",
            "http://localhost:7100",
            "http://127.0.0.1.evil.example",
            "http://[fd00::1]:80",
            "http://[::1",
            "http://1::1",
        ] {
            let told = Endpoint::parse(text).unwrap_err().to_string();
            assert!(told.contains("https://"), "{text}: {told}");
        }
    }

    #[test]
    fn endpoints_are_hosts_or_urls() {
        for (text, url) in [
            ("ecs.cn-hangzhou.aliyuncs.com", "https://ecs.cn-hangzhou.aliyuncs.com/"),
            ("https://Ecs.example:443/", "https://ecs.example/"),
            ("http://127.0.0.1:7100", "http://127.0.0.1:7100/"),
            ("http://[::1]:80", "http://[::1]/"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().url(), url);
        }
        for text in ["", "ftp://h", "https://me:s3cr3t@h", "https://h/path", "h?x", "https://"] {
            let told = Endpoint::parse(text).unwrap_err().to_string();
            assert!(!told.contains("s3cr3t"), "{told}");
        }
    }
}
