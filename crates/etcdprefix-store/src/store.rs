//! One bucket: where it is, who asks, and how requests are sent to it.

mod send;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqsign_aliyun_oss as oss;
use reqsign_aws_v4 as aws;

use crate::client::{Clients, Retry, Signer};
use crate::credentials::{CredentialOptions, Credentials, Environment, Keychain};
use crate::dialect::Kind;
use crate::endpoint::{Addressing, Endpoint};
use crate::error::{Error, Result};
use crate::location::ObjectLocation;
use crate::region;

pub(crate) use send::Sending;

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// Version 4; needs the region.
    #[default]
    V4,
    /// OSS's version 1, which it refuses for new accounts and buckets.
    V1,
}

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Host or URL; `None` for what the environment says (`OSS_ENDPOINT`; `AWS_ENDPOINT_URL_S3`,
    /// `AWS_ENDPOINT_URL`), or the region's own.
    pub endpoint: Option<String>,
    /// The host of presigned URLs, where whoever fetches them reaches the store by another name.
    pub presign_endpoint: Option<String>,
    /// `None` for what the endpoint's name tells, or the environment (`OSS_REGION`; `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, then the profile in `~/.aws/config` or `AWS_CONFIG_FILE`). S3 stores
    /// other than AWS's are taken to be in `us-east-1`.
    pub region: Option<String>,
    /// OSS: the region's endpoint inside Alibaba Cloud's network, if `endpoint` names none; whatever
    /// the environment names.
    pub internal: bool,
    /// Where in URLs the bucket stands; `None` for what is usual at the endpoint.
    pub addressing: Option<Addressing>,
    /// PEM of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How requests are signed.
    pub signature: Signature,
    /// Where to look for credentials.
    pub credentials: CredentialOptions,
    /// How often a request is repeated.
    pub retry: Retry,
    /// The longest time in which nothing is sent or received; ten times that for the answer to an
    /// object or part of which all was sent.
    pub idle_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            presign_endpoint: None,
            region: None,
            internal: false,
            addressing: None,
            ca_file: None,
            signature: Signature::V4,
            credentials: CredentialOptions::default(),
            retry: Retry::default(),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// A bucket to talk to.
pub struct Store {
    pub(crate) kind: Kind,
    pub(crate) bucket: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) presign_endpoint: Endpoint,
    pub(crate) signer: Signer,
    pub(crate) clients: Clients,
    pub(crate) keychain: Keychain,
    pub(crate) idle_timeout: Duration,
    retry: Retry,
    /// Whether anything ever answered.
    was_reached: AtomicBool,
}

impl Store {
    /// The bucket of a location. Nothing is sent yet, and no credentials are looked for.
    ///
    /// # Errors
    /// [`Error::Usage`] if no endpoint or region can be told; [`Error::File`] for `ca_file`.
    pub fn open(
        location: &ObjectLocation,
        options: &StoreOptions,
        environment: &Environment,
    ) -> Result<Self> {
        let (kind, bucket) = (location.kind, location.bucket.clone());
        if options.idle_timeout.is_zero() {
            return Err(Error::Usage("without any time to wait, nothing can be sent".into()));
        }
        let placed = |endpoint: Endpoint| match options.addressing {
            Some(_) => endpoint,
            None => endpoint.for_bucket(&bucket),
        };
        let endpoint = placed(endpoint(kind, options, environment)?);
        let presign_endpoint = match &options.presign_endpoint {
            Some(text) => placed(Endpoint::parse(kind, text, options.addressing)?),
            None => endpoint.clone(),
        };
        let clients = Clients::new(options.ca_file.as_deref())?;
        Ok(Self {
            kind,
            signer: signer(
                kind,
                &bucket,
                options,
                region::of(kind, options, environment, &endpoint),
            )?,
            keychain: Keychain::new(kind, &options.credentials, environment, &clients),
            idle_timeout: options.idle_timeout,
            retry: options.retry,
            was_reached: AtomicBool::new(false),
            bucket,
            endpoint,
            presign_endpoint,
            clients,
        })
    }

    /// The protocol.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A key of the bucket, to be named.
    pub fn location(&self, key: &str) -> ObjectLocation {
        ObjectLocation { kind: self.kind, bucket: self.bucket.clone(), key: key.to_owned() }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The credentials that the next request will be signed with.
    ///
    /// # Errors
    /// [`Error::NoCredentials`].
    pub async fn credentials(&self) -> Result<Credentials> {
        Ok(self.keychain.get().await?)
    }
}

fn endpoint(kind: Kind, options: &StoreOptions, environment: &Environment) -> Result<Endpoint> {
    let names: &[&str] = match kind {
        Kind::Oss => &["OSS_ENDPOINT"],
        Kind::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    };
    let parse = |text: &str| Endpoint::parse(kind, text, options.addressing);
    let usual = environment.first(names);
    if let Some(text) = options.endpoint.as_deref().or(usual.filter(|_| !options.internal)) {
        return parse(text);
    }
    let of_usual = || usual.and_then(|text| parse(text).ok()?.region().map(str::to_owned));
    match region::told(kind, options, environment).or_else(of_usual) {
        Some(region) => Endpoint::of_region(kind, &region, options.internal, options.addressing),
        None => Err(Error::Usage(format!(
            "neither endpoint nor region of the bucket is known ({})",
            kind.endpoint_variables()
        ))),
    }
}

fn signer(
    kind: Kind,
    bucket: &str,
    options: &StoreOptions,
    region: Option<String>,
) -> Result<Signer> {
    let missing = || Error::Usage("the endpoint does not tell the region: give it".into());
    match (kind, options.signature) {
        (Kind::Oss, Signature::V1) => Ok(Signer::Oss(oss::RequestSigner::new(bucket))),
        (Kind::Oss, Signature::V4) => {
            let signer = oss::RequestSigner::new(bucket).with_region(region.ok_or_else(missing)?);
            Ok(Signer::Oss(signer.with_signing_version(oss::SigningVersion::V4)))
        }
        (Kind::S3, Signature::V4) => {
            let signer = aws::RequestSigner::new("s3", &region.ok_or_else(missing)?);
            Ok(Signer::S3(signer.with_standard_session_token()))
        }
        (Kind::S3, Signature::V1) => Err(Error::Usage("version 1 is a signature of OSS".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::send::UNREACHED_TIMES;
    use super::*;

    fn open(options: &StoreOptions) -> Result<Store> {
        let (bucket, key) = ("bucket".to_owned(), String::new());
        let location = ObjectLocation { kind: Kind::S3, bucket, key };
        let region = Some("eu-west-1".to_owned());
        let options = StoreOptions { region, ..options.clone() };
        Store::open(&location, &options, &Environment::default())
    }

    #[test]
    fn a_store_that_was_reached_once_is_tried_as_often_as_any() {
        let store = open(&StoreOptions::default()).unwrap();
        assert_eq!(store.unreached_times(), UNREACHED_TIMES);
        store.was_reached.store(true, Ordering::Relaxed);
        assert_eq!(store.unreached_times(), Retry::default().times);
    }

    fn url(bucket: &str, options: &StoreOptions, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let environment = Environment { variables: variables.collect(), home: None };
        let (bucket, key) = (bucket.to_owned(), String::new());
        let kind = if options.internal { Kind::Oss } else { Kind::S3 };
        let location = ObjectLocation { kind, bucket, key };
        let store = Store::open(&location, options, &environment).unwrap();
        store.endpoint.url(&store.bucket, "k")
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_usual() {
        let region = |region: &str| Some(region.to_owned());
        let dotted = StoreOptions { region: region("eu-west-1"), ..StoreOptions::default() };
        let path = "https://s3.eu-west-1.amazonaws.com/my.bucket/k";
        assert_eq!(url("my.bucket", &dotted, &[]), path);
        let named = StoreOptions { addressing: Some(Addressing::VirtualHost), ..dotted };
        let host = "https://my.bucket.s3.eu-west-1.amazonaws.com/k";
        assert_eq!(url("my.bucket", &named, &[]), host);

        let public = ("OSS_ENDPOINT", "oss-cn-beijing.aliyuncs.com");
        let inside = |region| StoreOptions { region, internal: true, ..StoreOptions::default() };
        for (asked, expected) in [
            (None, "cn-beijing"),
            (region("cn-hangzhou"), "cn-hangzhou"),
            (region("oss-cn-hangzhou"), "cn-hangzhou"),
        ] {
            let expected = format!("https://bucket.oss-{expected}-internal.aliyuncs.com/k");
            assert_eq!(url("bucket", &inside(asked), &[public]), expected);
        }
    }

    #[test]
    fn no_time_at_all_is_refused() {
        let options = StoreOptions { idle_timeout: Duration::ZERO, ..StoreOptions::default() };
        assert!(matches!(open(&options), Err(Error::Usage(_))));
    }
}
