//! Certificates as clusters have them, good and bad, in PEM files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A certificate authority of its own, with a folder of all that it has issued.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificate: PathBuf,
    issued: AtomicU32,
    folder: Arc<TempDir>,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    sha256: String,
    // It may outlive its authority.
    _folder: Arc<TempDir>,
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The common name; with etcd's auth on, the user of a client that gives no other.
    pub common_name: &'a str,
    /// Subject alternative names, addresses included. With none the extension is left out.
    pub names: &'a [&'a str],
    /// Valid in the year 2000 only.
    pub expired: bool,
}

impl Subject<'static> {
    /// A server by any of its names on loopback.
    pub const SERVER: Self =
        Self { common_name: "etcd", names: &["127.0.0.1", "::1", "localhost"], expired: false };

    /// A server that only its common name tells, as cfssl issued them when it was given no hosts.
    /// X.509 v3 all the same; most clients refuse it.
    pub const NAMELESS_SERVER: Self = Self { names: &[], ..Self::SERVER };
}

impl<'a> Subject<'a> {
    /// A client.
    pub const fn client(common_name: &'a str) -> Self {
        Self { common_name, names: &[], expired: false }
    }

    /// The same, but it has run out.
    pub const fn expired(self) -> Self {
        Self { expired: true, ..self }
    }
}

impl Authority {
    /// Two authorities never trust each other's certificates, though they have one name.
    pub fn new() -> Result<Self> {
        let folder = Arc::new(TempDir::new()?);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let certificate = folder.path().join("ca.crt");
        fs::write(&certificate, issuer.pem())?;
        Ok(Self { issuer, certificate, issued: AtomicU32::new(0), folder })
    }

    /// The authority's own certificate: what its clients and servers trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The authority's own key, in PEM (PKCS #8).
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate of a new key; good for servers and clients alike, since etcd's gateway is a client of
    /// its own server with the server's certificate.
    pub fn issue(&self, subject: Subject<'_>) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params(subject)?.signed_by(&key, &self.issuer)?;
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let path = |ending| self.folder.path().join(format!("{number}.{ending}"));
        let identity = Identity {
            certificate: path("crt"),
            key: path("key"),
            sha256: hex(&Sha256::digest(certificate.der())),
            _folder: Arc::clone(&self.folder),
        };
        fs::write(&identity.certificate, certificate.pem())?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&identity.key)?.write_all(key.serialize_pem().as_bytes())?;
        Ok(identity)
    }
}

impl Identity {
    /// PEM, readable by anybody.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// PEM (PKCS #8), readable by its owner only.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// SHA-256 of the certificate's DER in lower-case hex, which is what a pin holds.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn params(subject: Subject<'_>) -> Result<CertificateParams> {
    let names: Vec<String> = subject.names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, subject.common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    if subject.expired {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    Ok(params)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
