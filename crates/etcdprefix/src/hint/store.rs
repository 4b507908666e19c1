//! What to try when an object store doesn't do what it should.

use etcdprefix_store::{Cause, Error, Refusal};

/// The advice for `error`, if there is any that helps.
pub fn store_hint(error: &Error) -> Option<String> {
    let advice = match error {
        Error::Refused(refusal) => return refusal_hint(refusal),
        Error::Unproved { why, .. } => {
            let advice = store_hint(why)?;
            return Some(format!("{advice}; `etcdprefix store verify` once that is mended"));
        }
        Error::MaybeWritten { .. } => "`etcdprefix store verify` of it, or the same again",
        Error::PartsLeft { .. } => return None,
        Error::Usage(_) => "--help",
        Error::NoCredentials { .. } => {
            "--credentials DIR, OSS_ACCESS_KEY_ID or AWS_ACCESS_KEY_ID and their secrets in the \
             environment, or a profile; `etcdprefix store --help` has all places"
        }
        Error::CredentialsEnd { .. } => {
            "a shorter --expires, --shorter-ok, or credentials that last longer"
        }
        Error::File { .. } => "the path of an existing file that you may read",
        Error::FileChanged { .. } => "again when nothing writes to it",
        Error::ObjectChanged { .. } => "again when nobody replaces it",
        Error::Unreachable { .. } => {
            "endpoint and region of the bucket (OSS_ENDPOINT, AWS_ENDPOINT_URL, --endpoint); \
             ETCDPREFIX_STORE_CACERT or --cacert if its certificate is of an authority of its own"
        }
        Error::Exists(_) => "another key; nothing that exists is replaced here",
        Error::Differs { .. } => "again; if it stays so, another way to the store",
        Error::Unsound { .. } => "another copy, or to send it again",
        Error::Encrypted => "--identity FILE (ETCDPREFIX_IDENTITY)",
        Error::NoIdentity => "--identity with the identity of one of its recipients",
        Error::Undecryptable => "another copy, or to send it again",
        Error::Encryption { .. } => "TMPDIR on a file system with room that you may write to",
        Error::Write(_) | Error::Interrupted => return None,
    };
    Some(advice.into())
}

fn refusal_hint(refusal: &Refusal) -> Option<String> {
    let advice = match &refusal.cause {
        Cause::WrongSecret | Cause::UnknownKey => {
            "other credentials; `etcdprefix store --help` has the places where they are looked for"
        }
        Cause::BadToken => "fresh temporary credentials",
        Cause::ClockSkew(_) => "to set this machine's clock (chronyc, ntpd)",
        Cause::WrongRegion(Some(region)) => {
            return Some(format!("--region {region} (OSS_REGION, AWS_REGION)"));
        }
        Cause::WrongRegion(None) => {
            "region and endpoint of the bucket (OSS_REGION, OSS_ENDPOINT, AWS_REGION, AWS_ENDPOINT_URL)"
        }
        Cause::EndpointForbidden => {
            "the region's internal endpoint (--internal, OSS_ENDPOINT), from inside Alibaba Cloud"
        }
        Cause::Expired => "a new URL",
        Cause::Referer => {
            "to allow requests without Referer in the bucket's hotlink protection, or another bucket"
        }
        // A HEAD is allowed by GetObject, which its name does not tell.
        Cause::Denied
            if ["GET of the presigned URL", "GetObject", "HeadObject"]
                .contains(&refusal.operation) =>
        {
            "a policy that allows GetObject (`etcdprefix store policy --for upload-presign`)"
        }
        Cause::Denied => {
            "a policy that allows it (`etcdprefix store policy`, `etcdprefix store check`)"
        }
        Cause::NoBucket => "the bucket's name, region and endpoint",
        Cause::NoObject => "`etcdprefix store ls` of its prefix",
        Cause::NoUpload => "again; something ended the upload meanwhile",
        Cause::Condition => "again, or another key",
        Cause::Damaged => "again; if it stays so, another way to the store",
        Cause::Passing => "again later, or more --retries",
        Cause::Other => return None,
    };
    Some(advice.into())
}
