//! Credentials of the store, from this process's environment to the steps on the hosts.

use std::collections::BTreeMap;

use etcdprefix_migrate::protocol::StoreAccess;
use etcdprefix_store::Environment;

use crate::exit::Exit;
use crate::failure::Failure;

/// The variables of a pair: id, secret, and what belongs to it.
struct Family {
    id: &'static str,
    secret: &'static str,
    rest: &'static [&'static str],
}

const OSS: &[Family] = &[
    Family {
        id: "ALIBABA_CLOUD_ACCESS_KEY_ID",
        secret: "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        rest: &["ALIBABA_CLOUD_SECURITY_TOKEN"],
    },
    Family {
        id: "OSS_ACCESS_KEY_ID",
        secret: "OSS_ACCESS_KEY_SECRET",
        rest: &["OSS_SESSION_TOKEN"],
    },
];

const S3: &[Family] = &[Family {
    id: "AWS_ACCESS_KEY_ID",
    secret: "AWS_SECRET_ACCESS_KEY",
    rest: &["AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"],
}];

/// What the hosts are given: the first pair of the store's vendor, if they are not to use their own.
pub fn for_hosts(
    store: &StoreAccess,
    environment: &Environment,
) -> Result<BTreeMap<String, String>, Failure> {
    // Where the host's own are named, nothing else is looked for there.
    if store.credentials.is_some() || store.profile.is_some() {
        return Ok(BTreeMap::new());
    }
    let families = if store.url.starts_with("s3://") { S3 } else { OSS };
    let is_set = |name| environment.get(name).is_some();
    for family in families {
        match (is_set(family.id), is_set(family.secret)) {
            (true, true) => return Ok(family.of(environment)),
            (true, false) => return Err(half(family.id, family.secret)),
            (false, true) => return Err(half(family.secret, family.id)),
            (false, false) => {}
        }
    }
    Ok(BTreeMap::new())
}

impl Family {
    fn of(&self, environment: &Environment) -> BTreeMap<String, String> {
        let names = [self.id, self.secret].into_iter().chain(self.rest.iter().copied());
        names
            .filter_map(|name| Some((name.to_owned(), environment.get(name)?.to_owned())))
            .collect()
    }
}

fn half(set: &str, unset: &str) -> Failure {
    let message = format!("{set} is set without {unset}");
    let hint = "both, or --host-credentials to use the hosts' own";
    Failure::new(Exit::NoCredentials, message, Some(hint.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(url: &str) -> StoreAccess {
        StoreAccess { url: url.into(), ..StoreAccess::default() }
    }

    fn environment(set: &[&str]) -> Environment {
        let set = set.iter().map(|name| ((*name).to_owned(), format!("full-s3cr3t-{name}")));
        Environment { variables: set.collect(), home: None }
    }

    fn given(url: &str, set: &[&str]) -> Result<Vec<String>, String> {
        let given = for_hosts(&store(url), &environment(set));
        given.map(|given| given.into_keys().collect()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn hosts_get_the_pair_of_their_store_and_no_other() {
        let all = [
            "OSS_ACCESS_KEY_ID",
            "OSS_ACCESS_KEY_SECRET",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "HOME",
        ];
        let oss = ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"];
        assert_eq!(given("oss://b/", &all).unwrap(), oss);
        let aws = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        assert_eq!(given("s3://b/", &all).unwrap(), aws);
        assert!(given("oss://b/", &all[2..]).unwrap().is_empty());
    }

    #[test]
    fn half_a_pair_is_told_by_name_alone() {
        let why = given("oss://b/", &["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]).unwrap_err();
        assert!(why.contains("ALIBABA_CLOUD_ACCESS_KEY_ID") && !why.contains("s3cr3t"), "{why}");
        assert!(given("s3://b/", &["AWS_ACCESS_KEY_ID"]).is_err());
    }

    #[test]
    fn hosts_whose_own_are_named_get_none() {
        let set = environment(&["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"]);
        let named = StoreAccess { profile: Some("own".into()), ..store("oss://b/") };
        assert!(for_hosts(&named, &set).unwrap().is_empty());
    }
}
