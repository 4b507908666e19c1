//! TLS as the options want it.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::client::verifier::{Trust, Verifier};
use crate::error::{Error, Result};

/// Certificates and what is believed of a member's; paths are of PEM files. Nothing set means TLS
/// only for `https://`, against the system's authorities.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Authorities that may sign a member's certificate; none: the system's.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and what leads from it to its authority.
    pub cert: Option<PathBuf>,
    /// The client's private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: Option<PathBuf>,
    /// Believes any certificate, so anybody in between can read and change everything; not if there
    /// are pins.
    pub skip_verify: bool,
    /// The name to look for in certificates instead of the endpoint's host.
    pub server_name: Option<String>,
    /// Certificates that are believed whoever signed them; no other ones are then.
    pub pins: Vec<Pin>,
}

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl FromStr for Pin {
    type Err = Error;

    /// Hexadecimal, with or without colons, as `openssl x509 -fingerprint -sha256` prints it.
    fn from_str(text: &str) -> Result<Self> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let wrong = || Error::Usage(format!("{text:?} is no SHA-256 of 64 hexadecimal digits"));
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut pin = [0; 32];
        for (index, byte) in pin.iter_mut().enumerate() {
            let digits = digits.get(index * 2..index * 2 + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(pin))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&etcdprefix_core::format::trailer::hex(&self.0))
    }
}

impl TlsOptions {
    /// Whether anything is set, which makes an endpoint without scheme a TLS one, as with etcdctl.
    pub fn is_any(&self) -> bool {
        self.ca.is_some()
            || self.cert.is_some()
            || self.key.is_some()
            || self.skip_verify
            || self.server_name.is_some()
            || !self.pins.is_empty()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::File`] for one that can't be read or used, [`Error::Usage`] for a certificate without
    /// key or the other way round.
    pub fn config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(self.trust()?, provider.clone());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Usage(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|error| pair_error(cert, key, &error))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::Usage("--cert and --key belong together".into())),
        };
        // etcd speaks gRPC and JSON on one port and tells them apart by this.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn trust(&self) -> Result<Trust> {
        // First: an old script's variable must not undo what was asked for by name.
        if !self.pins.is_empty() {
            return Ok(Trust::Pinned(self.pins.iter().map(|pin| pin.0).collect()));
        }
        if self.skip_verify {
            return Ok(Trust::Blind);
        }
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        match &self.ca {
            Some(path) => {
                named = certificates(path)?;
                for certificate in &named {
                    let added = roots.add(certificate.clone());
                    added
                        .map_err(|why| Error::File { path: path.clone(), why: why.to_string() })?;
                }
            }
            // What can't be read of them is told where a certificate is not believed.
            None => {
                let system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(system.certs);
            }
        }
        Ok(Trust::Chain { roots, certificates: named, given_name: self.server_name.clone() })
    }
}

fn pair_error(cert: &Path, key: &Path, error: &rustls::Error) -> Error {
    let why = match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("it is not the key of the certificate in {}", cert.display())
        }
        error => error.to_string(),
    };
    Error::File { path: key.into(), why }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let file = BufReader::new(File::open(path).map_err(Error::file(path))?);
    let unusable = |why: String| Error::File { path: path.into(), why };
    let read: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(file).collect();
    let read = read.map_err(|error| unusable(error.to_string()))?;
    if read.is_empty() { Err(unusable("no PEM certificate in it".into())) } else { Ok(read) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let file = BufReader::new(File::open(path).map_err(Error::file(path))?);
    PrivateKeyDer::from_pem_reader(file).map_err(|error| {
        let why = match error {
            rustls::pki_types::pem::Error::NoItemsFound => "no unencrypted PEM key in it".into(),
            error => error.to_string(),
        };
        Error::File { path: path.into(), why }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_openssl_prints_them() {
        let digits = "0123456789abcdef".repeat(4);
        let colons: Vec<&str> = (0..32).map(|byte| &digits[byte * 2..byte * 2 + 2]).collect();
        let pin: Pin = digits.parse().unwrap();
        assert_eq!(colons.join(":").to_uppercase().parse::<Pin>().unwrap(), pin);
        assert_eq!(format!("{pin:?}"), digits);
        for wrong in ["", "12", &"g".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_can_not_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let options = TlsOptions { ca: Some(path.clone()), ..TlsOptions::default() };
        let missing = options.config().unwrap_err().to_string();
        assert!(missing.contains("ca.pem: No such file"), "{missing}");
        std::fs::write(&path, "nothing").unwrap();
        let empty = options.config().unwrap_err().to_string();
        assert!(empty.contains("no PEM certificate"), "{empty}");
        let alone = TlsOptions { cert: Some(path), ..TlsOptions::default() };
        assert!(alone.config().unwrap_err().to_string().contains("belong together"));
    }
}
