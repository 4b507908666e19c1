//! From what a request says to connections, and from the libraries' errors to a step's.

use std::collections::BTreeMap;
use std::future::Future;

use etcdprefix_etcd::{ClientOptions, Dialer, Endpoint, TlsOptions};
use etcdprefix_store::{
    Addressing, Cause, CredentialOptions, Environment, Location, ObjectLocation, Store,
    StoreOptions,
};

use crate::error::{NodeError, NodeErrorKind};
use crate::protocol::{EtcdAccess, StoreAccess};

/// Runs to the end of `work`. What it leaves behind, such as a watch, ends with it.
///
/// # Errors
/// Those of `work`, or if no threads can be had.
pub fn wait<T>(work: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
    // One thread waits for the disk while another hears of the network.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| {
        NodeError::new(NodeErrorKind::Failed, format!("cannot start threads: {source}"))
    })?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// Who to ask, and how. Several endpoints may stand between commas, as in `--etcd-servers`.
///
/// # Errors
/// [`NodeErrorKind::Usage`] for what is no endpoint or none at all, [`NodeErrorKind::Etcd`] for
/// certificates that can't be used.
pub fn etcd(access: &EtcdAccess) -> Result<(Dialer, Vec<Endpoint>), NodeError> {
    let tls = TlsOptions {
        ca: access.cacert.clone(),
        cert: access.cert.clone(),
        key: access.key.clone(),
        ..TlsOptions::default()
    };
    let dialer = Dialer::new(ClientOptions { tls, ..ClientOptions::default() })?;
    let texts = access.endpoints.iter().flat_map(|texts| texts.split(','));
    let texts = texts.map(str::trim).filter(|text| !text.is_empty());
    let endpoints = texts.map(str::parse).collect::<Result<Vec<Endpoint>, _>>()?;
    if endpoints.is_empty() {
        return Err(NodeError::new(NodeErrorKind::Usage, "no endpoint of etcd is given")
            .try_("etcd's client URLs, such as https://127.0.0.1:2379"));
    }
    Ok((dialer, endpoints))
}

/// The bucket, and the key or prefix in it that the URL names. `variables` go over the process's own.
///
/// # Errors
/// [`NodeErrorKind::Usage`] for what is no place in a store, or if endpoint or region can't be told.
pub fn store(
    access: &StoreAccess,
    variables: &BTreeMap<String, String>,
) -> Result<(Store, ObjectLocation), NodeError> {
    let location = location(&access.url)?;
    let store = Store::open(&location, &options(access), &environment(variables))?;
    Ok((store, location))
}

/// An object, or a prefix, in a bucket.
///
/// # Errors
/// [`NodeErrorKind::Usage`].
pub fn location(url: &str) -> Result<ObjectLocation, NodeError> {
    match url.parse()? {
        Location::Object(location) => Ok(location),
        Location::File(path) => {
            let message = format!("{} is no place in an object store", path.display());
            Err(NodeError::new(NodeErrorKind::Usage, message)
                .try_("oss://bucket/prefix or s3://bucket/prefix"))
        }
    }
}

/// The process's own variables with these over them, and the home folder.
pub fn environment(variables: &BTreeMap<String, String>) -> Environment {
    let mut environment = Environment::of_process();
    let given = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    environment.variables.extend(given);
    environment
}

fn options(access: &StoreAccess) -> StoreOptions {
    let (folder, profile) = (access.credentials.clone(), access.profile.clone());
    StoreOptions {
        endpoint: access.endpoint.clone(),
        presign_endpoint: access.presign_endpoint.clone(),
        region: access.region.clone(),
        internal: access.internal,
        addressing: access.path_style.then_some(Addressing::Path),
        ca_file: access.cacert.clone(),
        credentials: CredentialOptions { folder, profile },
        ..StoreOptions::default()
    }
}

impl From<etcdprefix_etcd::Error> for NodeError {
    fn from(error: etcdprefix_etcd::Error) -> Self {
        use etcdprefix_etcd::Error as E;
        let kind = match error {
            E::Core(error) => return error.into(),
            E::Usage(_) | E::Endpoint { .. } => NodeErrorKind::Usage,
            E::Interrupted => NodeErrorKind::Interrupted,
            _ => NodeErrorKind::Etcd,
        };
        let hint = etcd_hint(&error);
        Self { hint: hint.map(str::to_owned), ..Self::new(kind, error.to_string()) }
    }
}

fn etcd_hint(error: &etcdprefix_etcd::Error) -> Option<&'static str> {
    use etcdprefix_etcd::Error as E;
    Some(match error {
        E::Endpoint { .. } => "host:port, http://host:port or https://host:port",
        E::File { .. } => "certificate and key of etcd's client, in PEM, readable for root",
        E::Member { failure, .. } | E::NoMember { failure: Some(failure), .. } => {
            return failure_hint(failure);
        }
        E::NoMember { .. } => "endpoints of members that run and see a leader",
        E::TwoClusters { .. } => "endpoints of one cluster",
        E::Unsound { .. } => "another member: this one's database is damaged",
        E::Differs(_) => "no migration before it is known which member is right",
        E::Lagging { .. } | E::Overtaken { .. } | E::OutOfTime(_) | E::WatchBehind { .. } => {
            "again, when the cluster has a leader and rests a little"
        }
        _ => return None,
    })
}

fn failure_hint(failure: &etcdprefix_etcd::Failure) -> Option<&'static str> {
    use etcdprefix_etcd::Failure as F;
    Some(match failure {
        F::Unreachable(_) | F::Silent(_) => {
            "to see whether etcd runs on that host and listens there (crictl ps, ss -ltn)"
        }
        F::NotAccepted(_) => {
            "a client certificate that etcd's authority has signed and that has not expired"
        }
        F::Tls(_) | F::Dated(_) | F::CommonNameOnly(_) | F::NotPinned(_) => {
            "etcd's authority, and an endpoint by a name that its certificate has"
        }
        F::Unauthenticated(_) | F::Denied(_) => "a client certificate of a user with the role root",
        F::Learner(_) => "an endpoint of a member that votes",
        F::Broken(_) | F::Stalled { .. } | F::Damaged { .. } => "again, or another member",
        F::Server(_) => return None,
    })
}

impl From<etcdprefix_store::Error> for NodeError {
    fn from(error: etcdprefix_store::Error) -> Self {
        let hint = store_hint(&error);
        Self { hint: hint.map(str::to_owned), ..Self::new(store_kind(&error), error.to_string()) }
    }
}

fn store_kind(error: &etcdprefix_store::Error) -> NodeErrorKind {
    use etcdprefix_store::Error as E;
    match error {
        E::Usage(_) => NodeErrorKind::Usage,
        E::File { .. } => NodeErrorKind::Io,
        E::Interrupted => NodeErrorKind::Interrupted,
        E::NoCredentials { .. } | E::CredentialsEnd { .. } => NodeErrorKind::Credentials,
        E::Refused(refusal) => match refusal.cause {
            Cause::WrongSecret | Cause::UnknownKey | Cause::BadToken => NodeErrorKind::Credentials,
            _ => NodeErrorKind::Store,
        },
        E::Unproved { why, .. } | E::MaybeWritten { why, .. } | E::PartsLeft { why, .. } => {
            store_kind(why)
        }
        _ => NodeErrorKind::Store,
    }
}

pub(crate) fn store_hint(error: &etcdprefix_store::Error) -> Option<&'static str> {
    use etcdprefix_store::Error as E;
    Some(match error {
        E::Refused(refusal) => return cause_hint(&refusal.cause),
        E::Unproved { why, .. } | E::MaybeWritten { why, .. } => return store_hint(why),
        E::NoCredentials { .. } => {
            "credentials in the store's section or the environment, or a role for the instance"
        }
        E::CredentialsEnd { .. } => "credentials that last longer, or a shorter presign lifetime",
        E::Unreachable { .. } => {
            "endpoint, region and, where it has its own, authority of the store"
        }
        E::Exists(_) => "another prefix: nothing that exists is replaced",
        E::FileChanged { .. } | E::ObjectChanged { .. } | E::Differs { .. } => "again",
        _ => return None,
    })
}

fn cause_hint(cause: &Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::WrongSecret | Cause::UnknownKey => "other credentials",
        Cause::BadToken => "fresh temporary credentials",
        Cause::ClockSkew(_) => "to set the host's clock (chronyc makestep)",
        Cause::WrongRegion(_) => "the bucket's own region and endpoint",
        Cause::EndpointForbidden => "the region's internal endpoint",
        Cause::Expired => "a new URL",
        Cause::Referer => "to switch the bucket's hotlink protection (Referer) off",
        Cause::Denied => "a policy that allows it: `etcdprefix store policy`",
        Cause::NoBucket => "the bucket's name, region and endpoint",
        Cause::Damaged | Cause::Passing | Cause::Condition | Cause::NoUpload => "again",
        Cause::NoObject | Cause::Other => return None,
    })
}

impl From<etcdprefix_core::Error> for NodeError {
    fn from(error: etcdprefix_core::Error) -> Self {
        use etcdprefix_core::Error as E;
        let kind = match &error {
            E::Interrupted => NodeErrorKind::Interrupted,
            E::Io { .. } => NodeErrorKind::Io,
            _ => NodeErrorKind::Rewrite,
        };
        let message = match &error {
            E::Io { source, .. } => format!("{error}: {source}"),
            error => error.to_string(),
        };
        Self { hint: core_hint(&error).map(str::to_owned), ..Self::new(kind, message) }
    }
}

fn core_hint(error: &etcdprefix_core::Error) -> Option<&'static str> {
    use etcdprefix_core::{Error as E, Refusal as R};
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    Some(match error {
        E::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
            "a working folder on a file system with room for two copies of etcd's file"
        }
        E::Refused { refusal: R::NothingMatches { .. }, .. } => {
            "the source prefix that the API server has (--etcd-prefix)"
        }
        E::Refused { refusal: R::Undecryptable { .. }, .. } => {
            "to rewrite these objects under identity, aescbc or secretbox first, or to accept them"
        }
        E::Refused { refusal: R::OverQuota { .. }, .. } => {
            "to compact and defragment before, or a higher quota on the managed side"
        }
        E::Refused { refusal: R::NoSpace { .. }, .. } => {
            "a working folder on a file system with room for it"
        }
        E::Damaged { .. } | E::TrailerMissing { .. } | E::TrailerMismatch { .. } => {
            "another snapshot, from another member if it stays so"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_stand_between_commas_or_alone() {
        let endpoints = vec!["https://a:1,https://b:2".to_owned(), " c:3 ".to_owned()];
        let (_, read) = etcd(&EtcdAccess { endpoints, ..EtcdAccess::default() }).unwrap();
        let read: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["https://a:1", "https://b:2", "c:3"]);
        for endpoints in [vec![], vec![" ,".to_owned()], vec!["nowhere".to_owned()]] {
            let refused = etcd(&EtcdAccess { endpoints, ..EtcdAccess::default() });
            assert_eq!(refused.err().map(|error| error.kind), Some(NodeErrorKind::Usage));
        }
    }

    #[test]
    fn variables_of_the_call_go_before_those_of_the_process() {
        let variables = [("PATH".to_owned(), "other".to_owned())].into();
        let environment = environment(&variables);
        assert_eq!(environment.get("PATH"), Some("other"));
        assert_eq!(environment.home, std::env::home_dir());
    }

    #[test]
    fn a_place_must_be_in_a_store() {
        for url in ["/tmp/x", "file:///tmp/x", "https://h/k?sig=1"] {
            let error = location(url).unwrap_err();
            assert_eq!(error.kind, NodeErrorKind::Usage, "{url}");
            assert!(!error.message.contains("sig"), "{error}");
        }
        let access = StoreAccess { url: "oss://bucket/a/".into(), ..StoreAccess::default() };
        let access = StoreAccess { region: Some("cn-hangzhou".into()), internal: true, ..access };
        let (store, location) = store(&access, &BTreeMap::new()).unwrap();
        assert_eq!(location.key, "a/");
        let host = "https://oss-cn-hangzhou-internal.aliyuncs.com";
        assert_eq!(store.endpoint().to_string(), host);
    }

    #[test]
    fn kinds_and_advice_follow_the_libraries_errors() {
        let denied = |cause| etcdprefix_store::Refusal {
            operation: "PutObject",
            place: "b".into(),
            status: 403,
            code: String::new(),
            message: String::new(),
            request_id: String::new(),
            cause,
        };
        let refused = |cause| NodeError::from(etcdprefix_store::Error::from(denied(cause)));
        assert_eq!(refused(Cause::Denied).kind, NodeErrorKind::Store);
        assert!(refused(Cause::Referer).hint.is_some_and(|hint| hint.contains("hotlink")));
        assert_eq!(refused(Cause::BadToken).kind, NodeErrorKind::Credentials);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = NodeError::from(etcdprefix_core::Error::io("write", "/x")(full));
        assert_eq!(error.kind, NodeErrorKind::Io);
        assert!(error.message.contains("/x: ") && error.hint.is_some(), "{error:?}");
    }
}
