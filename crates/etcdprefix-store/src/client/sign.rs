//! Signatures, by the reqsign libraries.

use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;
use reqsign_aliyun_oss as oss;
use reqsign_aws_v4 as aws;
use reqsign_core::{Context, SignRequest};

use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Signs requests to one bucket.
pub(crate) enum Signer {
    Oss(oss::RequestSigner),
    S3(aws::RequestSigner),
}

impl Signer {
    /// In the headers, or with a lifetime in the query.
    pub async fn sign(
        &self,
        parts: &mut Parts,
        credentials: &Credentials,
        lifetime: Option<Duration>,
    ) -> Result<()> {
        let context = Context::new();
        let signed = match self {
            Self::Oss(signer) => {
                let credential = of_oss(credentials);
                signer.sign_request(&context, parts, Some(&credential), lifetime).await
            }
            Self::S3(signer) => {
                let credential = of_s3(credentials);
                signer.sign_request(&context, parts, Some(&credential), lifetime).await
            }
        };
        signed.map_err(|error| Error::Usage(format!("cannot sign: {}", error.kind())))?;
        as_the_official_sdk(parts);
        Ok(())
    }
}

/// reqsign writes `AdditionalHeaders=,` where there are none and Alibaba's own SDKs leave it out.
/// The signature does not cover it.
fn as_the_official_sdk(parts: &mut Parts) {
    let Some(value) = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let Some(rest) = value.strip_prefix("OSS4-HMAC-SHA256 ") else { return };
    let fields = rest.split(',').map(str::trim).filter(|field| *field != "AdditionalHeaders=");
    let plain = format!("OSS4-HMAC-SHA256 {}", fields.collect::<Vec<_>>().join(","));
    if let Ok(mut plain) = HeaderValue::from_str(&plain) {
        plain.set_sensitive(true);
        parts.headers.insert(AUTHORIZATION, plain);
    }
}

// Their end is ours to judge, so the libraries are told of none: they would refuse a URL that is
// to end with its credentials.

fn of_oss(credentials: &Credentials) -> oss::Credential {
    oss::Credential {
        access_key_id: credentials.key_id.expose().to_owned(),
        access_key_secret: credentials.secret.expose().to_owned(),
        security_token: token(credentials),
        expires_in: None,
    }
}

fn of_s3(credentials: &Credentials) -> aws::Credential {
    aws::Credential {
        access_key_id: credentials.key_id.expose().to_owned(),
        secret_access_key: credentials.secret.expose().to_owned(),
        session_token: token(credentials),
        expires_in: None,
    }
}

fn token(credentials: &Credentials) -> Option<String> {
    credentials.token.as_ref().map(Secret::expose).map(str::to_owned)
}
