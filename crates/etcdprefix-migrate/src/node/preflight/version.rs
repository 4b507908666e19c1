//! Versions of Kubernetes.

use super::Check;
use super::topic::Topic;

/// The first that the managed side takes.
const FIRST: Version = Version { major: 1, minor: 18 };

const TOPIC: Topic = Topic::new(
    "kubernetes_version",
    "the managed side takes over Kubernetes 1.18 or newer, in the same version as before",
);

/// Major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    pub(super) minor: u32,
}

impl Version {
    /// `v1.28.3-aliyun.1`; a build of one's own, which calls itself 0.0.0, is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?);
        let minor = minor.trim_end_matches('+').parse().ok()?;
        Some(Self { major, minor }).filter(|version| version.major > 0)
    }

    /// Whether its API server seals values of KMS v1 with their keys.
    pub(super) fn seals_kms_with_key(self) -> bool {
        self >= Self { major: 1, minor: 25 }
    }
}

/// The first of these that is a version: what the API says, what the image's tag says.
pub(super) fn told<'a>(texts: &[Option<&'a str>]) -> Option<&'a str> {
    texts.iter().flatten().copied().find(|text| Version::parse(text).is_some())
}

/// `None` has to be asked, not refused: a person knows, and the managed side would tell.
pub(super) fn check(version: Option<&str>) -> Check {
    let Some(text) = version else {
        return TOPIC.ask(
            "neither the API nor the image's tag tells the version",
            "kubectl version: it must be 1.18 or newer, and the managed side's must be the same",
        );
    };
    match Version::parse(text) {
        Some(version) if version >= FIRST => {
            TOPIC.ok(format!("{text}; it stays the same over the move, upgrades come after it"))
        }
        _ => TOPIC.fail(
            format!("{text}, which is older than 1.18"),
            "to upgrade the dedicated cluster to 1.18 or newer before the move",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn versions_are_read_and_judged() {
        for (text, standing) in [
            (Some("v1.18.8-aliyun.1"), Standing::Ok),
            (Some("v1.28.3"), Standing::Ok),
            (Some("1.22+"), Standing::Ok),
            (Some("v1.17.9"), Standing::Fail),
            (Some("v1.9.0"), Standing::Fail),
            (None, Standing::Ask),
        ] {
            assert_eq!(check(text).standing, standing, "{text:?}");
        }
        for text in ["v0.0.0-master+faecb", "latest", "", "v1", "vx.y"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        let texts = [Some("v0.0.0-master"), None, Some("v1.20.2")];
        assert_eq!(told(&texts), Some("v1.20.2"));
        assert!(Version::parse("v1.25.0").unwrap().seals_kms_with_key());
        assert!(!Version::parse("v1.24.9").unwrap().seals_kms_with_key());
    }
}
