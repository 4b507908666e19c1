//! Values that kube-apiserver encrypted (`k8s.io/apiserver` `pkg/server/options/encryptionconfig`).
//!
//! Its AES-GCM providers pass the etcd key, prefix included, as additional authenticated data, so
//! such a value can't be decrypted under another key. `aescbc` and `secretbox` ignore the key.

use serde::Serialize;

/// The provider that encrypted a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// `aesgcm`: bound to its key.
    Aesgcm,
    /// `kms` v1 and v2: bound to its key. What v1 wrote before Kubernetes 1.25 is not, but looks the
    /// same, so it is counted too.
    Kms,
    /// One that is not known here, taken for bound to its key.
    Other,
    /// `aescbc`: readable under any key.
    Aescbc,
    /// `secretbox`: readable under any key.
    Secretbox,
}

impl Provider {
    /// Every provider, in the order of its number.
    pub const ALL: [Self; 5] =
        [Self::Aesgcm, Self::Kms, Self::Other, Self::Aescbc, Self::Secretbox];

    /// The provider of `value`, if it is encrypted.
    pub fn of(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(b"k8s:enc:")?;
        let end = rest.iter().position(|&byte| byte == b':')?;
        Some(match rest.get(..end).unwrap_or_default() {
            b"aesgcm" => Self::Aesgcm,
            b"kms" => Self::Kms,
            b"aescbc" => Self::Aescbc,
            b"secretbox" => Self::Secretbox,
            _ => Self::Other,
        })
    }

    /// Whether a value can't be decrypted under another key.
    pub fn binds_to_key(self) -> bool {
        matches!(self, Self::Aesgcm | Self::Kms | Self::Other)
    }

    /// Its name as Kubernetes spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aesgcm => "aesgcm",
            Self::Kms => "kms",
            Self::Other => "other",
            Self::Aescbc => "aescbc",
            Self::Secretbox => "secretbox",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_provider() {
        assert_eq!(Provider::of(b"k8s:enc:aesgcm:v1:k1:\0"), Some(Provider::Aesgcm));
        assert_eq!(Provider::of(b"k8s:enc:kms:v2:k1:"), Some(Provider::Kms));
        assert_eq!(Provider::of(b"k8s:enc:aescbc:v1:k1:"), Some(Provider::Aescbc));
        assert_eq!(Provider::of(b"k8s:enc:secretbox:v1:k1:"), Some(Provider::Secretbox));
        assert_eq!(Provider::of(b"k8s:enc:rot13:v1:"), Some(Provider::Other));
        assert_eq!(Provider::of(b"k8s:enc:"), None);
        assert_eq!(Provider::of(b"k8s\0\n"), None);
        assert!(Provider::ALL.iter().enumerate().all(|(at, provider)| *provider as usize == at));
    }
}
