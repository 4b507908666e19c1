//! The host of a store, and where in a URL the bucket stands.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::dialect::Kind;
use crate::error::{Error, Result};

/// What signatures of both stores leave as it is.
pub(crate) const UNRESERVED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where in a URL the bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://bucket.host/key`.
    VirtualHost,
    /// `https://host/bucket/key`.
    Path,
}

/// A store's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    /// With its port, if there is one.
    authority: String,
    /// The region that its name tells.
    region: Option<String>,
    addressing: Addressing,
}

impl Endpoint {
    /// Reads `host`, `host:port` or a URL with nothing after it; without a scheme it is https.
    ///
    /// Without `addressing`: the bucket is part of the host's name at Alibaba Cloud and AWS, and of
    /// the path at hosts that are an address, and at other S3 stores.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(kind: Kind, text: &str, addressing: Option<Addressing>) -> Result<Self> {
        let (scheme, authority) = split(text)?;
        let authority = authority.to_ascii_lowercase();
        let host = host_of(&authority);
        let addressing = addressing.unwrap_or_else(|| usual_addressing(kind, host));
        if addressing == Addressing::VirtualHost && is_address(host) {
            return Err(Error::Usage(format!("a bucket can't be part of the address {host}")));
        }
        let region = region_of(kind, host);
        Ok(Self { scheme, authority, region, addressing })
    }

    /// The usual one of a region.
    ///
    /// # Errors
    /// [`Error::Usage`] if there can't be such a region, or `internal` is asked of S3.
    pub fn of_region(
        kind: Kind,
        region: &str,
        internal: bool,
        addressing: Option<Addressing>,
    ) -> Result<Self> {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if region.is_empty() || !region.chars().all(part) {
            return Err(Error::Usage(format!("{region:?} can't be a region")));
        }
        let host = match (kind, internal) {
            (Kind::Oss, false) => format!("oss-{region}.aliyuncs.com"),
            (Kind::Oss, true) => format!("oss-{region}-internal.aliyuncs.com"),
            (Kind::S3, true) => {
                return Err(Error::Usage("S3 has no internal endpoints".into()));
            }
            (Kind::S3, false) if region.starts_with("cn-") => {
                format!("s3.{region}.amazonaws.com.cn")
            }
            (Kind::S3, false) => format!("s3.{region}.amazonaws.com"),
        };
        Self::parse(kind, &host, addressing)
    }

    /// The region that the host's name tells.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Where in a URL the bucket stands.
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// The bucket as part of the path if it can't be part of a name that a certificate holds.
    pub(crate) fn for_bucket(mut self, bucket: &str) -> Self {
        if bucket.contains('.') && self.scheme == "https" {
            self.addressing = Addressing::Path;
        }
        self
    }

    /// The URL of a key, or of the bucket, without a query.
    pub(crate) fn url(&self, bucket: &str, key: &str) -> String {
        let key = encode_path(key);
        let Self { scheme, authority, .. } = self;
        match self.addressing {
            Addressing::VirtualHost => format!("{scheme}://{bucket}.{authority}/{key}"),
            Addressing::Path => format!("{scheme}://{authority}/{bucket}/{key}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, &UNRESERVED).to_string()
}

fn encode_path(key: &str) -> String {
    key.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn split(text: &str) -> Result<(&'static str, &str)> {
    let (scheme, authority) = match text.split_once("://") {
        Some(("https", rest)) => ("https", rest),
        Some(("http", rest)) => ("http", rest),
        Some(_) => return Err(Error::Usage("an endpoint is http or https".into())),
        None => ("https", text),
    };
    let authority = authority.trim_end_matches('/');
    let part = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    // What is refused may hold a password or a signature, so it is not repeated.
    if host_of(authority).is_empty() || !authority.chars().all(part) {
        return Err(Error::Usage("an endpoint is a host, with a port if need be".into()));
    }
    Ok((scheme, authority))
}

fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split(']').next().unwrap_or_default().trim_start_matches('[');
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || host == "localhost"
}

fn usual_addressing(kind: Kind, host: &str) -> Addressing {
    let aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    match kind {
        Kind::Oss if !is_address(host) => Addressing::VirtualHost,
        Kind::S3 if aws => Addressing::VirtualHost,
        Kind::Oss | Kind::S3 => Addressing::Path,
    }
}

fn region_of(kind: Kind, host: &str) -> Option<String> {
    let region = match kind {
        Kind::Oss => {
            let name = host.strip_suffix(".aliyuncs.com")?;
            // `cn-hangzhou.oss` is the form with both IPv4 and IPv6.
            match name.strip_suffix(".oss") {
                Some(region) => region,
                None => name.strip_prefix("oss-")?.trim_end_matches("-internal"),
            }
        }
        Kind::S3 => {
            let name = host.trim_end_matches(".cn").strip_suffix(".amazonaws.com")?;
            name.strip_prefix("s3.")?.trim_start_matches("dualstack.")
        }
    };
    // `oss-accelerate` serves all regions.
    let names_one = region.contains('-') && !region.contains('.') && !region.starts_with("accel");
    names_one.then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_the_hosts_name() {
        for (kind, host, region) in [
            (Kind::Oss, "oss-cn-hangzhou.aliyuncs.com", Some("cn-hangzhou")),
            (
                Kind::Oss,
                "https://oss-ap-southeast-1-internal.aliyuncs.com/",
                Some("ap-southeast-1"),
            ),
            (Kind::Oss, "OSS-cn-Hangzhou.AliyunCS.com", Some("cn-hangzhou")),
            (Kind::Oss, "cn-beijing.oss.aliyuncs.com", Some("cn-beijing")),
            (Kind::Oss, "oss-accelerate.aliyuncs.com", None),
            (Kind::Oss, "oss-accelerate-overseas.aliyuncs.com", None),
            (Kind::Oss, "127.0.0.1:80", None),
            (Kind::S3, "s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            (Kind::S3, "s3.dualstack.eu-west-1.amazonaws.com", Some("eu-west-1")),
            (Kind::S3, "s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            (Kind::S3, "s3.amazonaws.com", None),
        ] {
            let endpoint = Endpoint::parse(kind, host, None).unwrap();
            assert_eq!(endpoint.region(), region, "{host}");
        }
    }

    #[test]
    fn urls_have_the_bucket_where_it_belongs() {
        let url = |kind, host, bucket: &str| {
            Endpoint::parse(kind, host, None).unwrap().for_bucket(bucket).url(bucket, "a b/c+d")
        };
        assert_eq!(
            url(Kind::Oss, "oss-cn-hangzhou.aliyuncs.com", "bucket"),
            "https://bucket.oss-cn-hangzhou.aliyuncs.com/a%20b/c%2Bd"
        );
        assert_eq!(
            url(Kind::Oss, "http://[::1]:80", "bucket"),
            "http://[::1]:80/bucket/a%20b/c%2Bd"
        );
        assert_eq!(
            url(Kind::S3, "s3.us-east-1.amazonaws.com", "my.bucket"),
            "https://s3.us-east-1.amazonaws.com/my.bucket/a%20b/c%2Bd"
        );
        assert_eq!(url(Kind::S3, "minio:9000", "bucket"), "https://minio:9000/bucket/a%20b/c%2Bd");
    }

    #[test]
    fn regions_have_their_endpoints() {
        let host = |kind, internal| {
            let made = Endpoint::of_region(kind, "cn-north-1", internal, None);
            made.map(|endpoint| endpoint.to_string())
        };
        assert_eq!(host(Kind::Oss, true).unwrap(), "https://oss-cn-north-1-internal.aliyuncs.com");
        assert_eq!(host(Kind::Oss, false).unwrap(), "https://oss-cn-north-1.aliyuncs.com");
        assert_eq!(host(Kind::S3, false).unwrap(), "https://s3.cn-north-1.amazonaws.com.cn");
        assert!(host(Kind::S3, true).is_err());
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_not_repeated() {
        for text in ["", "ftp://h", "https://user:s3cr3t@h", "https://h/p?s3cr3t=1", "h/x"] {
            let error = Endpoint::parse(Kind::S3, text, None).unwrap_err();
            assert!(!error.to_string().contains("s3cr3t"), "{text}");
        }
        let named = Some(Addressing::VirtualHost);
        assert!(Endpoint::parse(Kind::S3, "http://127.0.0.1:1", named).is_err());
    }
}
