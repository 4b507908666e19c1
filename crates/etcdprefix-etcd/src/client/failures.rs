//! From the errors of five libraries to what a person can act on.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

use crate::client::verifier::{CommonNameOnly, NotPinned};
use crate::error::Failure;

/// A connection could not be made.
pub fn of_connecting(error: &(dyn StdError + 'static)) -> Failure {
    own(error).unwrap_or_else(|| transport(error, Failure::Unreachable))
}

/// TLS could not be agreed on; `certified` is whether we showed a certificate.
pub fn of_handshake(error: &io::Error, certified: bool) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why),
        Some(rustls::Error::InvalidMessage(_)) => {
            Failure::Tls("the member does not speak TLS; an http:// endpoint would fit".into())
        }
        Some(rustls::Error::AlertReceived(alert)) => of_alert(*alert, certified),
        Some(error) => Failure::Tls(error.to_string()),
        None => Failure::Tls(format!(
            "{error}; perhaps it does not speak TLS, and an http:// endpoint would fit"
        )),
    }
}

/// The member ended the connection right after the handshake.
pub fn of_first_word(error: &io::Error, certified: bool) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(_) => of_handshake(error, certified),
        None => Failure::Broken(format!("right after TLS was agreed on: {error}")),
    }
}

/// Go says `BadCertificate` for most of what it has against a client's certificate, with TLS 1.2 also
/// for none.
fn of_alert(alert: AlertDescription, certified: bool) -> Failure {
    use AlertDescription as Alert;
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::CertificateRequired
        | Alert::UnknownCA
        | Alert::AccessDenied => Failure::NotAccepted(match certified {
            true => format!("our certificate ({alert:?})"),
            false => format!("a client without a certificate ({alert:?})"),
        }),
        alert => Failure::Tls(rustls::Error::AlertReceived(alert).to_string()),
    }
}

fn of_certificate(why: &CertificateError) -> Failure {
    use CertificateError as Why;
    if let Why::Other(other) = why {
        if let Some(CommonNameOnly(name)) = other.0.downcast_ref() {
            return Failure::CommonNameOnly(name.clone());
        }
        if let Some(NotPinned(sha256)) = other.0.downcast_ref() {
            return Failure::NotPinned(sha256.clone());
        }
    }
    match why {
        // Another authority of the same name, as most clusters' have, signs what does not verify.
        Why::UnknownIssuer | Why::BadSignature => Failure::Tls(
            "the certificate is signed by an authority that --cacert, or else this system, \
             does not know"
                .into(),
        ),
        Why::Expired | Why::ExpiredContext { .. } => Failure::Dated(dated("has expired", why)),
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            Failure::Dated(dated("is not valid yet", why))
        }
        why => Failure::Tls(rustls::Error::from(why.clone()).to_string()),
    }
}

fn dated(what: &str, why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { time, not_after: limit }
        | CertificateError::NotValidYetContext { time, not_before: limit } => {
            let days = time.as_secs().abs_diff(limit.as_secs()) / 86_400;
            format!("{what}: by {days} days")
        }
        _ => what.into(),
    }
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

/// What a chain of causes says.
fn transport(error: &(dyn StdError + 'static), other: fn(String) -> Failure) -> Failure {
    other(chain(error).last().map(ToString::to_string).unwrap_or_default())
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
