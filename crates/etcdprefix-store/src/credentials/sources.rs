//! The places that each store's own tools look for credentials in.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqsign_aliyun_oss as oss;
use reqsign_aws_v4 as aws;
use reqsign_core::time::Timestamp;
use reqsign_core::{Context, ProvideCredential, Result};

use super::{CredentialOptions, Credentials, folder};
use crate::dialect::Kind;
use crate::secret::Secret;

type Load = Box<dyn Fn(Context) -> BoxFuture<'static, Result<Option<Credentials>>> + Send + Sync>;

/// One place.
pub(super) struct Source {
    pub name: &'static str,
    /// It answers only if somebody set it up, so its failure is a failure.
    pub is_chosen: bool,
    /// Variables that name its files; profiles have some.
    pub files: &'static [&'static str],
    /// Variables of a key's id and its secret, of each family that it takes.
    pairs: &'static [[&'static str; 2]],
    /// The variable that tells when temporary ones end, which the libraries do not read.
    ends: Option<&'static str>,
    load: Load,
}

impl Source {
    pub async fn load(&self, context: &Context) -> Result<Option<Credentials>> {
        let found = (self.load)(context.clone()).await?;
        Ok(found.map(|found| self.with_end(context, found)))
    }

    /// What was meant to be used and can't be; a script's empty variable is one that is not there.
    pub fn half_of_a_pair(&self, context: &Context) -> Option<String> {
        let is_set = |name: &&str| context.env_var(name).is_some();
        if self.pairs.iter().any(|pair| pair.iter().all(is_set)) {
            return None;
        }
        let half = self.pairs.iter().find(|pair| pair.iter().any(is_set))?;
        let [id, secret] = half;
        Some(match is_set(id) {
            true => format!("{id} is set without {secret}"),
            false => format!("{secret} is set without {id}"),
        })
    }

    fn with_end(&self, context: &Context, found: Credentials) -> Credentials {
        let told = self.ends.filter(|_| found.token.is_some());
        let told = told.and_then(|name| context.env_var(name)?.trim().parse::<Timestamp>().ok());
        let ends = found.ends.or(told.map(Timestamp::as_system_time));
        Credentials { ends, ..found }
    }

    fn folder(path: PathBuf) -> Self {
        let load: Load = Box::new(move |context| Box::pin(folder_of(context, path.clone())));
        Self { name: "the folder", is_chosen: true, files: &[], pairs: &[], ends: None, load }
    }

    fn profiles<P>(name: &'static str, files: &'static [&'static str], provider: P) -> Self
    where
        P: ProvideCredential,
        P::Credential: Into<Credentials>,
    {
        Self { files, ..Self::provided(name, true, provider) }
    }

    fn provided<P>(name: &'static str, is_chosen: bool, provider: P) -> Self
    where
        P: ProvideCredential,
        P::Credential: Into<Credentials>,
    {
        let provider = Arc::new(provider);
        let load: Load = Box::new(move |context| {
            let provider = Arc::clone(&provider);
            Box::pin(async move {
                let found: Option<Credentials> =
                    ProvideCredential::provide_credential(&*provider, &context)
                        .await?
                        .map(Into::into);
                Ok(found.map(|found| Credentials { origin: name, ..found }))
            })
        });
        Self { name, is_chosen, files: &[], pairs: &[], ends: None, load }
    }
}

async fn folder_of(context: Context, path: PathBuf) -> Result<Option<Credentials>> {
    folder::load(&context, path).await
}

/// In the order in which they are asked. OIDC stands before what is there without being asked for:
/// in a pod the node's own role would win otherwise. A profile that was asked for is in no other
/// place than the files of profiles.
pub(super) fn sources(kind: Kind, options: &CredentialOptions) -> Vec<Source> {
    let profile = options.profile.as_deref();
    let mut sources = match (&options.folder, kind) {
        (Some(path), _) => return vec![Source::folder(path.clone())],
        (None, Kind::Oss) => of_oss(profile),
        (None, Kind::S3) => of_s3(profile),
    };
    sources.retain(|source| profile.is_none() || !source.files.is_empty());
    sources
}

fn of_oss(profile: Option<&str>) -> Vec<Source> {
    let mut oss_profile = oss::OssProfileCredentialProvider::new();
    let mut file = oss::CredentialsFileCredentialProvider::new();
    let mut config = oss::ConfigFileCredentialProvider::new();
    if let Some(profile) = profile {
        oss_profile = oss_profile.with_profile(profile);
        file = file.with_profile(profile);
        config = config.with_profile(profile);
    }
    vec![
        Source {
            pairs: &[
                ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
                ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"],
            ],
            ..Source::provided("environment", true, oss::EnvCredentialProvider::new())
        },
        Source::provided("OIDC", true, oss::AssumeRoleWithOidcCredentialProvider::new()),
        Source::profiles("OSS profile", &["OSS_CREDENTIAL_PROFILES_FILE"], oss_profile),
        Source::profiles("credentials file", &["ALIBABA_CLOUD_CREDENTIALS_FILE"], file),
        Source::profiles("CLI configuration", &["ALIBABA_CLOUD_CONFIG_FILE"], config),
        Source::provided("credentials URI", true, oss::CredentialsUriCredentialProvider::new()),
        Source::provided("ECS RAM role", false, oss::EcsRamRoleCredentialProvider::new()),
    ]
}

fn of_s3(profile: Option<&str>) -> Vec<Source> {
    let mut files = aws::ProfileCredentialProvider::new();
    if let Some(profile) = profile {
        files = files.with_profile(profile);
    }
    vec![
        Source {
            pairs: &[["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]],
            ends: Some("AWS_CREDENTIAL_EXPIRATION"),
            ..Source::provided("environment", true, aws::EnvCredentialProvider::new())
        },
        Source::provided("OIDC", true, aws::AssumeRoleWithWebIdentityCredentialProvider::new()),
        Source::profiles("profile", &["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"], files),
        Source::provided("container role", true, aws::ECSCredentialProvider::new()),
        Source::provided("EC2 role", false, aws::IMDSv2CredentialProvider::new()),
    ]
}

impl From<oss::Credential> for Credentials {
    fn from(found: oss::Credential) -> Self {
        Self {
            key_id: Secret::new(found.access_key_id),
            secret: Secret::new(found.access_key_secret),
            token: found.security_token.filter(|token| !token.is_empty()).map(Secret::new),
            ends: found.expires_in.map(|ends| ends.as_system_time()),
            origin: "",
        }
    }
}

impl From<aws::Credential> for Credentials {
    fn from(found: aws::Credential) -> Self {
        Self {
            key_id: Secret::new(found.access_key_id),
            secret: Secret::new(found.secret_access_key),
            token: found.session_token.filter(|token| !token.is_empty()).map(Secret::new),
            ends: found.expires_in.map(|ends| ends.as_system_time()),
            origin: "",
        }
    }
}
