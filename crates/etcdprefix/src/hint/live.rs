//! What to try when members don't do what they should.

use etcdprefix_etcd::{Error, Failure};

use crate::hint::Asked;

/// The advice for `error`, met when doing what was `asked`, if there is any that helps.
pub fn live_hint(error: &Error, asked: &Asked) -> Option<String> {
    let saves = matches!(asked, Asked::Save(_));
    let advice = match error {
        Error::Member { failure, .. } => return failure_hint(failure, saves),
        Error::Usage(_) => "--help",
        Error::Endpoint { .. } => "host:port, http://host:port or https://host:port",
        Error::NoMember { failure: Some(failure), reasons, .. }
            if reasons.len() == 1 || failure.is_refusal() =>
        {
            return failure_hint(failure, saves);
        }
        Error::NoRevision { .. } => {
            "a --rev that no member has compacted and all have reached, or none for the latest"
        }
        Error::NoMember { .. } if saves => {
            "--endpoints of other members, or --from ENDPOINT to take one all the same"
        }
        Error::NoMember { .. } => "--endpoints of other members",
        Error::TwoClusters { .. } => "--endpoints of one cluster",
        Error::Unsound { .. } => "--from another member; this one's database is damaged",
        Error::Differs(_) => {
            "no snapshot of this cluster before it is known which member is right \
             (`etcdprefix endpoint hashkv --cluster`)"
        }
        Error::Lagging { .. } => "again with the leader among the --endpoints",
        Error::Overtaken { .. } => "again, while nobody compacts",
        Error::WatchBehind { .. } => "again when the cluster has a leader and rests a little",
        Error::OutOfTime(_) => "a longer --command-timeout, or none",
        _ => return None,
    };
    Some(advice.into())
}

fn failure_hint(failure: &Failure, saves: bool) -> Option<String> {
    let advice = match failure {
        Failure::Unreachable(_) => {
            "--endpoints of members that run; --dial-timeout if they are far"
        }
        // Other names can't be sent as the one that is meant.
        Failure::CommonNameOnly(name) if !name.chars().all(is_of_host) => {
            "--tls-pin with the SHA-256 of its certificate, if this is the server you mean"
        }
        Failure::CommonNameOnly(name) => {
            return Some(format!(
                "--tls-server-name {name} if this is the server you mean, or --tls-pin with its SHA-256"
            ));
        }
        Failure::NotAccepted(_) => {
            "--cert and --key of a certificate that an authority of this cluster has signed and \
             that has not expired"
        }
        Failure::Dated(_) => {
            "a new certificate for the member, or --tls-pin with the SHA-256 of this one"
        }
        Failure::NotPinned(_) => "--tls-pin with that SHA-256, if the member's owner confirms it",
        Failure::Tls(why) if why.contains("speak TLS") => "an http:// endpoint",
        Failure::Tls(_) => {
            "--cacert, --cert and --key of this cluster, --tls-server-name if it goes by another name"
        }
        Failure::Silent(_) => "another member, or a longer --command-timeout",
        Failure::Stalled { .. } => "another member (--from), or a longer --idle-timeout",
        Failure::Damaged { .. } => "more --retries, or another member (--from)",
        Failure::Learner(_) => "an endpoint of a member that votes",
        Failure::Broken(_) if !saves => "again, or another member; http:// and https:// differ",
        Failure::Broken(_) => {
            "another member (--from), or more --retries; http:// and https:// differ"
        }
        Failure::Unauthenticated(_) => {
            "--user with the right password (ETCDCTL_PASSWORD); snapshots and HashKV need the root role"
        }
        Failure::Denied(_) => "--user with the root role, which snapshots and HashKV need",
        Failure::Server(_) => return None,
    };
    Some(advice.into())
}

fn is_of_host(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._".contains(character)
}
