//! From the errors of five libraries to what a person can act on.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;
use tonic::{Code, Status};

use crate::client::verifier::{CommonNameOnly, NotPinned};
use crate::error::Failure;

/// A connection could not be made.
pub fn of_connecting(error: &(dyn StdError + 'static)) -> Failure {
    own(error).unwrap_or_else(|| transport(error, Failure::Unreachable))
}

/// TLS could not be agreed on.
pub fn of_handshake(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why),
        Some(rustls::Error::InvalidMessage(_)) => {
            Failure::Tls("the member does not speak TLS; perhaps http:// is meant".into())
        }
        Some(error) => Failure::Tls(error.to_string()),
        None => Failure::Tls(format!("{error}; perhaps the member does not speak TLS")),
    }
}

fn of_certificate(why: &CertificateError) -> Failure {
    if let CertificateError::Other(other) = why {
        if let Some(CommonNameOnly(name)) = other.0.downcast_ref() {
            return Failure::CommonNameOnly(name.clone());
        }
        if let Some(not_pinned) = other.0.downcast_ref::<NotPinned>() {
            return Failure::Tls(not_pinned.to_string());
        }
    }
    Failure::Tls(match why {
        CertificateError::UnknownIssuer => {
            "the certificate is signed by an authority that is not in --cacert".into()
        }
        why => rustls::Error::from(why.clone()).to_string(),
    })
}

/// A request failed.
pub fn of_request(error: &etcd_client::Error) -> Failure {
    match error {
        etcd_client::Error::GRpcStatus(status) => of_status(status),
        error => own(error).unwrap_or_else(|| transport(error, Failure::Broken)),
    }
}

fn of_status(status: &Status) -> Failure {
    if let Some(failure) = own(status) {
        return failure;
    }
    let message = status.message().to_owned();
    // Wrong passwords and missing users are arguments to etcd, and the maintenance service does not
    // say what kind of error it is (`rpctypes/error.go`, `maintenance.go`, 3.4 and 3.5).
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let auth = matches!(status.code(), Code::InvalidArgument | Code::Unknown);
    match status.code() {
        Code::Unauthenticated => Failure::Unauthenticated(message),
        Code::PermissionDenied => Failure::Denied(message),
        _ if auth && says(&["authentication failed", "user name is empty", "invalid auth"]) => {
            Failure::Unauthenticated(message)
        }
        _ if auth && says(&["permission denied"]) => Failure::Denied(message),
        _ if says(&["rpc not supported for learner"]) => Failure::Learner(message),
        _ if status.source().is_some() => transport(status, Failure::Broken),
        _ => Failure::Server(message),
    }
}

/// The failure of our own that a chain of causes holds.
fn own(error: &(dyn StdError + 'static)) -> Option<Failure> {
    chain(error).find_map(|error| error.downcast_ref::<Failure>().cloned())
}

/// What a chain of causes says; alerts of TLS 1.3 come only after the handshake.
fn transport(error: &(dyn StdError + 'static), other: fn(String) -> Failure) -> Failure {
    let texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    let text = texts.last().cloned().unwrap_or_default();
    if texts.iter().any(|text| text.contains("fatal alert")) {
        let refused = ["CertificateRequired", "BadCertificate", "UnknownCA", "CertificateExpired"];
        return Failure::Tls(match refused.iter().find(|alert| text.contains(*alert)) {
            Some(alert) => format!("the member does not accept our certificate ({alert})"),
            None => text,
        });
    }
    other(text)
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
