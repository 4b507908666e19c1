//! What OSS and S3 call by different names.

use std::time::Duration;

use serde::Serialize;

/// Which protocol a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Alibaba Cloud Object Storage Service.
    Oss,
    /// Amazon S3 and what is compatible with it.
    S3,
}

impl Kind {
    /// Of its locations.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Oss => "oss",
            Self::S3 => "s3",
        }
    }

    /// How long a presigned URL lives if nothing else is said: as in the template of the migration
    /// (OSS) and as with the AWS CLI (S3).
    pub fn presign_lifetime(self) -> Duration {
        match self {
            Self::Oss => Duration::from_secs(2400),
            Self::S3 => Duration::from_secs(3600),
        }
    }

    /// Where the environment says where the store is.
    pub(crate) fn endpoint_variables(self) -> &'static str {
        match self {
            Self::Oss => "OSS_ENDPOINT, OSS_REGION",
            Self::S3 => "AWS_ENDPOINT_URL, AWS_REGION",
        }
    }

    pub(crate) fn metadata_prefix(self) -> &'static str {
        match self {
            Self::Oss => "x-oss-meta-",
            Self::S3 => "x-amz-meta-",
        }
    }

    pub(crate) fn request_id_header(self) -> &'static str {
        match self {
            Self::Oss => "x-oss-request-id",
            Self::S3 => "x-amz-request-id",
        }
    }

    /// The header by which a write fails if there is an object already.
    pub(crate) fn if_absent_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Oss => ("x-oss-forbid-overwrite", "true"),
            Self::S3 => ("if-none-match", "*"),
        }
    }

    /// The header with a whole object's checksum; a part's on the way to S3.
    pub(crate) fn checksum_header(self) -> &'static str {
        match self {
            Self::Oss => "x-oss-hash-crc64ecma",
            Self::S3 => "x-amz-checksum-crc32",
        }
    }
}
