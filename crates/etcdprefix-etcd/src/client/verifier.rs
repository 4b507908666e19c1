//! Whether a member's certificate is believed.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::{rfc4519, rfc5280};

/// What makes a certificate good.
pub enum Trust {
    /// Nothing: every certificate is.
    Blind,
    /// One of these is the SHA-256 of it, whoever signed it, whatever its names and dates.
    Pinned(Vec<[u8; 32]>),
    /// A chain to one of these authorities and the name that was dialled or asked for.
    Chain {
        /// The authorities.
        roots: RootCertStore,
        /// Their certificates, if the user named them. A member may show one of these itself, as with a
        /// self-signed certificate that stands for its own authority.
        certificates: Vec<CertificateDer<'static>>,
        /// A name given by the user: it may also be a common name, where there is no other name.
        given_name: Option<String>,
    },
}

/// A certificate without any subject alternative name, and its common name. Go accepted it up to
/// 1.14, so servers of that age have such.
#[derive(Debug, thiserror::Error)]
#[error("no subject alternative name, only the common name {0:?}")]
pub struct CommonNameOnly(pub String);

/// A certificate that is not the pinned one: the SHA-256 of what came.
#[derive(Debug, thiserror::Error)]
#[error("not a pinned certificate: {0}")]
pub struct NotPinned(pub String);

/// rustls' verifier with the exceptions that old servers need.
pub struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider }
    }

    fn chain(
        &self,
        (roots, own): (&RootCertStore, &[CertificateDer<'static>]),
        given: Option<&str>,
        presented: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let (der, intermediates) = presented;
        let certificate = ParsedCertificate::try_from(der)?;
        if own.contains(der) {
            in_time(der, now)?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        let named = verify_server_name(&certificate, name);
        match common_name_only(der) {
            Some(common) if given == Some(common.as_str()) => Ok(()),
            Some(common) => named.map_err(|_| other(CommonNameOnly(common))),
            None => named,
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// The dates of a certificate that is believed by itself.
fn in_time(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let certificate = Certificate::from_der(der);
    let validity = certificate.map_err(|_| CertificateError::BadEncoding)?.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The common name of a certificate that has no other name.
fn common_name_only(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
    let mut extensions = certificate.extensions.iter().flatten();
    if extensions.any(|extension| extension.extn_id == rfc5280::ID_CE_SUBJECT_ALT_NAME) {
        return None;
    }
    let mut attributes = certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let common = attributes.find(|attribute| attribute.oid == rfc4519::CN)?;
    let value = &common.value;
    let text = value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
    let text = text
        .or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.to_string()))
        .or_else(|_| value.decode_as::<TeletexStringRef<'_>>().map(|text| text.to_string()));
    text.ok()
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Blind => {}
            Trust::Pinned(pins) => {
                let digest: [u8; 32] = Sha256::digest(end_entity).into();
                if !pins.contains(&digest) {
                    return Err(other(NotPinned(hex(&digest))));
                }
            }
            Trust::Chain { roots, certificates, given_name } => {
                let (presented, trusted) =
                    ((end_entity, intermediates), (roots, &certificates[..]));
                self.chain(trusted, given_name.as_deref(), presented, server_name, now)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn hex(digest: &[u8; 32]) -> String {
    etcdprefix_core::format::trailer::hex(digest)
}

#[cfg(test)]
mod tests;
