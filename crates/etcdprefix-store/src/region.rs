//! The region that a store is in, as far as anything tells.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::credentials::Environment;
use crate::dialect::Kind;
use crate::endpoint::Endpoint;
use crate::store::StoreOptions;

/// No file of profiles is longer.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Without an endpoint: the region that was asked for, or that of the environment.
pub(crate) fn told(
    kind: Kind,
    options: &StoreOptions,
    environment: &Environment,
) -> Option<String> {
    let asked = options.region.as_deref().map(|region| plain(kind, region));
    asked.or_else(|| of_environment(kind, options.credentials.profile.as_deref(), environment))
}

/// The region to sign for.
pub(crate) fn of(
    kind: Kind,
    options: &StoreOptions,
    environment: &Environment,
    endpoint: &Endpoint,
) -> Option<String> {
    let asked = options.region.as_deref().or(endpoint.region());
    let found =
        asked.map(|region| plain(kind, region)).or_else(|| told(kind, options, environment));
    found.or_else(|| (kind == Kind::S3).then(|| "us-east-1".to_owned()))
}

/// OSS's console shows `oss-cn-hangzhou`.
fn plain(kind: Kind, region: &str) -> String {
    let plain = region.strip_prefix("oss-").filter(|_| kind == Kind::Oss);
    plain.unwrap_or(region).to_owned()
}

fn of_environment(kind: Kind, profile: Option<&str>, environment: &Environment) -> Option<String> {
    match kind {
        Kind::Oss => environment.first(&["OSS_REGION"]).map(|it| plain(kind, it)),
        Kind::S3 => {
            let variable = environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
            let variable = variable.map(str::to_owned);
            variable.or_else(|| of_profile(profile, environment))
        }
    }
}

fn of_profile(profile: Option<&str>, environment: &Environment) -> Option<String> {
    let profile = profile.or_else(|| environment.get("AWS_PROFILE")).unwrap_or("default");
    let path = match environment.get("AWS_CONFIG_FILE") {
        Some(path) => PathBuf::from(path),
        None => environment.home.as_ref()?.join(".aws/config"),
    };
    find(&read(&path)?, profile)
}

/// What can't be read tells no region.
fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_CONFIG_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `[profile default]` goes before `[default]`, as in AWS's own tools. Indented lines belong to the
/// setting above them.
fn find(text: &str, profile: &str) -> Option<String> {
    let (mut region, mut bare, mut section) = (None, None, Section::Other);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = Section::of(name.split(']').next().unwrap_or_default(), profile);
        }
        match (&section, value(line)) {
            (Section::Named, Some(value)) => region = Some(value),
            (Section::Bare, Some(value)) => bare = Some(value),
            _ => {}
        }
    }
    region.or(bare).filter(|region: &&str| !region.is_empty()).map(str::to_owned)
}

enum Section {
    /// `[profile x]`.
    Named,
    /// `[default]`.
    Bare,
    Other,
}

impl Section {
    fn of(name: &str, profile: &str) -> Self {
        match name.trim().split_once(char::is_whitespace) {
            Some(("profile", name)) if name.trim() == profile => Self::Named,
            None if name.trim() == "default" && profile == "default" => Self::Bare,
            _ => Self::Other,
        }
    }
}

fn value(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    let comment = value.find(" #").or(value.find(" ;")).unwrap_or(value.len());
    (name.trim_end() == "region").then(|| value[..comment].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "# region = no\n[default]\nregion=eu-west-1\n[profile team]\n\
        s3 =\n  region = no\nregion = eu-north-1 # here\noutput = json\n[profile none]\n\
        ; region = no\nregion =\n[ profile  spaced ]\nregion\t=\tap-south-1\n[team2]\nregion=no\n";

    #[test]
    fn a_profile_tells_its_region() {
        for (profile, region) in [
            ("default", Some("eu-west-1")),
            ("team", Some("eu-north-1")),
            ("none", None),
            ("spaced", Some("ap-south-1")),
            ("team2", None),
            ("", None),
        ] {
            assert_eq!(find(CONFIG, profile).as_deref(), region, "{profile}");
        }
        let both = "[profile default]\nregion=a-1\n[default]\nregion=b-1\n";
        assert_eq!(find(both, "default").as_deref(), Some("a-1"));
        assert_eq!(find("[\n=\n]region=\n[profile]", "default"), None);
    }

    fn environment(pairs: &[(&str, &str)], home: Option<&Path>) -> Environment {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Environment { variables: pairs.collect(), home: home.map(Path::to_owned) }
    }

    #[test]
    fn the_nearer_source_wins() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/config"), CONFIG).unwrap();
        let other = home.path().join("other");
        std::fs::write(&other, "[default]\nregion=sa-east-1\n").unwrap();
        let file = ("AWS_CONFIG_FILE", other.to_str().unwrap());
        let team = ("AWS_PROFILE", "team");
        for (pairs, profile, expected) in [
            (&[] as &[_], None, Some("eu-west-1")),
            (&[team], None, Some("eu-north-1")),
            (&[team], Some("spaced"), Some("ap-south-1")),
            (&[team, file], None, None),
            (&[file], None, Some("sa-east-1")),
            (&[file, ("AWS_DEFAULT_REGION", "us-west-2")], None, Some("us-west-2")),
        ] {
            let found = of_environment(Kind::S3, profile, &environment(pairs, Some(home.path())));
            assert_eq!(found.as_deref(), expected, "{pairs:?} {profile:?}");
        }
        let oss = environment(&[team], Some(home.path()));
        assert_eq!(of_environment(Kind::Oss, None, &oss), None);
    }

    #[test]
    fn an_endpoint_that_names_its_region_goes_before_the_environment() {
        let environment = environment(&[("AWS_REGION", "us-west-2")], None);
        for (host, region) in
            [("s3.eu-west-1.amazonaws.com", "eu-west-1"), ("127.0.0.1:1", "us-west-2")]
        {
            let endpoint = Endpoint::parse(Kind::S3, host, None).unwrap();
            let found = of(Kind::S3, &StoreOptions::default(), &environment, &endpoint);
            assert_eq!(found.as_deref(), Some(region));
        }
        let endpoint = Endpoint::parse(Kind::S3, "127.0.0.1:1", None).unwrap();
        let nothing = Environment::default();
        let found = of(Kind::S3, &StoreOptions::default(), &nothing, &endpoint);
        assert_eq!(found.as_deref(), Some("us-east-1"));
    }
}
