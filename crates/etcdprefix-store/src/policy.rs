//! What to grant, as a policy to paste.

use serde_json::{Value, json};

use crate::dialect::Kind;
use crate::error::{Error, Result};
use crate::location::{check_bucket, check_key};

/// What somebody is to be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The masters of an ACK dedicated cluster, to hand over their snapshot on its way to Pro.
    AckMaster,
    /// To upload a snapshot with this crate.
    Upload,
    /// The same, and to presign URLs of it.
    UploadPresign,
    /// ACK's backup center, to keep its backups in the bucket.
    BackupCenter,
}

/// A policy, and what is to be known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// A whole policy; for [`Purpose::AckMaster`] one statement.
    pub document: Value,
    /// For people.
    pub notes: Vec<String>,
}

/// The policy for a purpose, limited to a bucket, and, for uploads, to keys that begin with `prefix`
/// (empty for all).
///
/// # Errors
/// [`Error::Usage`] for a purpose of OSS's at S3 or with a prefix, for what can't be a bucket or begin a key, and for
/// a prefix with characters that mean something else in a policy.
pub fn policy(purpose: Purpose, kind: Kind, bucket: &str, prefix: &str) -> Result<Policy> {
    check_bucket(kind, bucket).map_err(Error::Usage)?;
    check_prefix(prefix)?;
    if !prefix.is_empty() && matches!(purpose, Purpose::AckMaster | Purpose::BackupCenter) {
        return Err(Error::Usage("ACK chooses its keys itself: the policy takes no prefix".into()));
    }
    match (purpose, kind) {
        (Purpose::Upload, _) => Ok(upload(kind, bucket, prefix)),
        (Purpose::UploadPresign, _) => Ok(upload_presign(kind, bucket, prefix)),
        (Purpose::AckMaster, Kind::Oss) => Ok(ack_master(bucket)),
        (Purpose::BackupCenter, Kind::Oss) => Ok(backup_center(bucket)),
        (Purpose::AckMaster | Purpose::BackupCenter, Kind::S3) => {
            Err(Error::Usage("ACK keeps its snapshots and backups in OSS, not in S3".into()))
        }
    }
}

fn check_prefix(prefix: &str) -> Result<()> {
    check_key(prefix).map_err(Error::Usage)?;
    if ["*", "?", "${"].iter().any(|special| prefix.contains(special)) {
        let why = format!("the prefix {prefix:?} would mean something else in a policy");
        return Err(Error::Usage(why));
    }
    Ok(())
}

fn ack_master(bucket: &str) -> Policy {
    let document = json!({
        "Action": ["oss:PutObject", "oss:GetObject"],
        "Effect": "Allow",
        "Resource": [format!("acs:oss:*:*:{bucket}/*")],
    });
    let note = "This is one statement: add it to the list Statement of the policy whose name begins \
                with k8sMasterRolePolicy.";
    Policy { document, notes: vec![note.into()] }
}

fn backup_center(bucket: &str) -> Policy {
    let document = json!({"Version": "1", "Statement": [{
        "Action": [
            "oss:PutObject",
            "oss:GetObject",
            "oss:DeleteObject",
            "oss:GetBucket",
            "oss:ListObjects",
            "oss:ListBuckets",
            "oss:GetBucketStat",
        ],
        "Resource": [format!("acs:oss:*:*:{bucket}"), format!("acs:oss:*:*:{bucket}/*")],
        "Effect": "Allow",
    }]});
    let note = "These are the rights at OSS alone. The backup center also needs actions of ECS \
                snapshots (ecs:) and of Cloud Backup (hbr:), which its own documentation lists.";
    Policy { document, notes: vec![note.into()] }
}

fn upload(kind: Kind, bucket: &str, prefix: &str) -> Policy {
    let (service, version, root) = match kind {
        Kind::Oss => ("oss", "1", "acs:oss:*:*:"),
        Kind::S3 => ("s3", "2012-10-17", "arn:aws:s3:::"),
    };
    let actions = ["PutObject", "AbortMultipartUpload", "GetObject"];
    let document = json!({"Version": version, "Statement": [{
        "Action": actions.map(|action| format!("{service}:{action}")),
        "Effect": "Allow",
        "Resource": [format!("{root}{bucket}/{prefix}*")],
    }]});
    let mut notes = vec![format!(
        "{service}:GetObject is needed to prove an upload by a HEAD, and \
         {service}:AbortMultipartUpload to remove the parts of one that failed."
    )];
    if kind == Kind::S3 {
        notes.push("In AWS's regions in China the resource begins with arn:aws-cn.".into());
    }
    Policy { document, notes }
}

fn upload_presign(kind: Kind, bucket: &str, prefix: &str) -> Policy {
    let mut policy = upload(kind, bucket, prefix);
    let note = "A presigned URL has the rights of whoever signs it, and signing asks the store for \
                nothing: the GetObject of the upload is all that it needs.";
    policy.notes.push(note.into());
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(purpose: Purpose, kind: Kind, prefix: &str) -> String {
        policy(purpose, kind, "mybackups", prefix).unwrap().document.to_string()
    }

    /// As Alibaba's documentation has them, in its order.
    #[test]
    fn those_of_ack_are_those_of_its_documentation() {
        assert_eq!(
            text(Purpose::AckMaster, Kind::Oss, ""),
            r#"{"Action":["oss:PutObject","oss:GetObject"],"Effect":"Allow","#.to_owned()
                + r#""Resource":["acs:oss:*:*:mybackups/*"]}"#
        );
        assert_eq!(
            text(Purpose::BackupCenter, Kind::Oss, ""),
            r#"{"Version":"1","Statement":[{"Action":["oss:PutObject","oss:GetObject","#.to_owned()
                + r#""oss:DeleteObject","oss:GetBucket","oss:ListObjects","oss:ListBuckets","#
                + r#""oss:GetBucketStat"],"Resource":["acs:oss:*:*:mybackups","#
                + r#""acs:oss:*:*:mybackups/*"],"Effect":"Allow"}]}"#
        );
    }

    #[test]
    fn an_upload_gets_what_it_needs_and_nothing_else() {
        for purpose in [Purpose::Upload, Purpose::UploadPresign] {
            assert_eq!(
                text(purpose, Kind::Oss, "etcd/"),
                r#"{"Version":"1","Statement":[{"Action":["oss:PutObject","#.to_owned()
                    + r#""oss:AbortMultipartUpload","oss:GetObject"],"Effect":"Allow","#
                    + r#""Resource":["acs:oss:*:*:mybackups/etcd/*"]}]}"#
            );
            assert_eq!(
                text(purpose, Kind::S3, ""),
                r#"{"Version":"2012-10-17","Statement":[{"Action":["s3:PutObject","#.to_owned()
                    + r#""s3:AbortMultipartUpload","s3:GetObject"],"Effect":"Allow","#
                    + r#""Resource":["arn:aws:s3:::mybackups/*"]}]}"#
            );
        }
    }

    #[test]
    fn what_would_grant_something_else_is_refused() {
        for purpose in [Purpose::AckMaster, Purpose::BackupCenter] {
            assert!(matches!(policy(purpose, Kind::S3, "mybackups", ""), Err(Error::Usage(_))));
            let limited = policy(purpose, Kind::Oss, "mybackups", "etcd/");
            assert!(matches!(limited, Err(Error::Usage(_))));
        }
        for (bucket, prefix) in
            [("*", ""), ("my*", ""), ("My", ""), ("mine", "*"), ("mine", "a?"), ("mine", "${a}")]
        {
            let refused = policy(Purpose::Upload, Kind::Oss, bucket, prefix);
            assert!(matches!(refused, Err(Error::Usage(_))), "{bucket} {prefix}");
        }
    }
}
