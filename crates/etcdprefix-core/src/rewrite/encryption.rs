//! Values that kube-apiserver encrypted (`k8s.io/apiserver` `pkg/server/options/encryptionconfig`).
//!
//! Its AES-GCM providers pass the etcd key, prefix included, as additional authenticated data, so
//! such a value can't be decrypted under another key. `aescbc` and `secretbox` ignore the key.

/// A provider whose values are bound to their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// `aesgcm`.
    AesGcm,
    /// `kms` v1 and v2. What v1 wrote before Kubernetes 1.25 is not bound to its key, but looks
    /// the same, so it is counted too.
    Kms,
}

/// The provider that encrypted `value`, if it is bound to its key.
pub fn provider(value: &[u8]) -> Option<Provider> {
    let rest = value.strip_prefix(b"k8s:enc:")?;
    if rest.starts_with(b"aesgcm:") {
        Some(Provider::AesGcm)
    } else if rest.starts_with(b"kms:") {
        Some(Provider::Kms)
    } else {
        None
    }
}
