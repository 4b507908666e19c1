//! Where a member is reached: what `--endpoints` takes.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A member's client URL, as etcdctl takes it: `host:port` or a URL of scheme `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: String,
    host: String,
    port: u16,
    security: Security,
}

/// What the scheme says about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// `http://`: never, whatever TLS options are given, as etcdctl has it.
    Plain,
    /// `https://`: always.
    Tls,
    /// No scheme: if there is any TLS option.
    Unsaid,
}

impl Endpoint {
    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What its scheme says about TLS.
    pub fn security(&self) -> Security {
        self.security
    }

    /// The same place, reached over TLS only.
    pub fn over_tls(&self) -> Self {
        let text = format!("https://{}", self.authority());
        Self { text, security: Security::Tls, ..self.clone() }
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// As it was given.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// # Errors
    /// [`Error::Endpoint`] if it is none: another scheme, no host, no port.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let wrong = |why: &str| Error::Endpoint { text: text.into(), why: why.into() };
        if text.contains('@') {
            // It may have a password, which is not repeated.
            let why = "an endpoint has no user in it; --user and ETCDCTL_PASSWORD are for that";
            return Err(Error::Usage(why.into()));
        }
        let (security, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Security::Plain, rest),
            Some(("https", rest)) => (Security::Tls, rest),
            Some((scheme, _)) => return Err(wrong(&format!("has the unknown scheme {scheme:?}"))),
            None => (Security::Unsaid, text),
        };
        // etcd itself advertises URLs with a slash at the end.
        let authority = rest.trim_end_matches('/');
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("has more than host and port"));
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').ok_or_else(|| wrong("has no closing bracket"))?,
            None if host.contains(':') => return Err(wrong("needs brackets: [address]:port")),
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| wrong("has no port"))?;
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        Ok(Self { text: text.into(), host: host.into(), port, security })
    }
}

impl serde::Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Security) {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.to_string(), text.trim());
        (endpoint.authority(), endpoint.security())
    }

    #[test]
    fn endpoints_are_what_etcdctl_takes() {
        assert_eq!(parsed("127.0.0.1:2379"), ("127.0.0.1:2379".into(), Security::Unsaid));
        assert_eq!(parsed("http://etcd-0:2379"), ("etcd-0:2379".into(), Security::Plain));
        assert_eq!(parsed("https://[::1]:2379/"), ("[::1]:2379".into(), Security::Tls));
        assert_eq!(parsed(" [fe80::1]:1 "), ("[fe80::1]:1".into(), Security::Unsaid));
    }

    #[test]
    fn what_is_no_endpoint_is_named_with_the_reason() {
        for (text, why) in [
            ("", "has no port"),
            ("etcd-0", "has no port"),
            ("etcd-0:x", "has no port"),
            ("etcd-0:0", "has no port"),
            (":2379", "has no host"),
            ("::1:2379", "brackets"),
            ("[::1:2379", "closing bracket"),
            ("unix://x:1", "unknown scheme \"unix\""),
            ("https://etcd-0:2379/v3", "more than host and port"),
            ("https://root:pw@etcd-0:2379", "no user in it"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
