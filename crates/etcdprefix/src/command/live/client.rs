//! From flags to connections.

use etcdprefix_etcd::members::Survey;
use etcdprefix_etcd::{ClientOptions, Dialer, Endpoint, Result, TlsOptions};

use crate::args::Global;
use crate::args::client::ClientArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Who to ask, and how.
pub struct Members {
    pub dialer: Dialer,
    pub endpoints: Vec<Endpoint>,
}

impl Members {
    /// Reads certificates, and the password from the terminal if there is none.
    pub fn new(args: &ClientArgs) -> Result<Self, Failure> {
        let user = user(args)?;
        let known = || -> Result<Self> {
            let options = ClientOptions { user, ..options(args)? };
            let endpoints = args.endpoints.iter().map(|endpoints| several(endpoints));
            let endpoints: Vec<Vec<_>> = endpoints.collect::<Result<_>>()?;
            Ok(Self { endpoints: endpoints.concat(), dialer: Dialer::new(options)? })
        };
        known().map_err(|error| Failure::live(&error))
    }

    /// Warns before a password leaves in clear.
    pub fn warn(&self, global: Global) {
        let plain = self.endpoints.iter().find(|endpoint| self.dialer.is_plain(endpoint));
        let plain = plain.filter(|_| self.dialer.options().user.is_some() && !global.quiet);
        if let Some(endpoint) = plain {
            output::diagnose(&format!("warning: the password goes to {endpoint} in clear: no TLS"));
        }
    }

    /// Asks all endpoints, or all members that they tell of.
    pub async fn survey(&self, cluster: bool) -> Result<Survey> {
        let survey = Survey::take(&self.dialer, &self.endpoints).await?;
        if !cluster {
            return Ok(survey);
        }
        Survey::take(&self.dialer, &survey.cluster_endpoints(&self.dialer)?).await
    }
}

/// Endpoints between commas. A password in a URL may have a comma, so that is looked for first.
fn several(endpoints: &str) -> Result<Vec<Endpoint>> {
    if endpoints.contains('@') {
        return endpoints.parse().map(|endpoint| vec![endpoint]);
    }
    endpoints.split(',').map(|endpoint| endpoint.parse()).collect()
}

fn options(args: &ClientArgs) -> Result<ClientOptions> {
    let given = |path: &Option<std::path::PathBuf>| {
        // An unset variable of a script is no file.
        path.clone().filter(|path| !path.as_os_str().is_empty())
    };
    let pins = args.tls_pin.iter().map(|pin| pin.parse());
    let tls = TlsOptions {
        ca: given(&args.cacert),
        cert: given(&args.cert),
        key: given(&args.key),
        skip_verify: args.insecure_skip_tls_verify,
        server_name: args.tls_server_name.clone(),
        pins: pins.collect::<Result<_>>()?,
    };
    let defaults = ClientOptions::default();
    Ok(ClientOptions {
        tls,
        dial_timeout: args.dial_timeout.0,
        request_timeout: args.command_timeout.map_or(defaults.request_timeout, |time| time.0),
        keepalive_time: args.keepalive_time.0,
        keepalive_timeout: args.keepalive_timeout.0,
        ..defaults
    })
}

/// `--user name:password`, or the name there and the password elsewhere, as etcdctl has it.
fn user(args: &ClientArgs) -> Result<Option<(String, String)>, Failure> {
    let Some(user) = args.user.as_deref().filter(|user| !user.is_empty()) else { return Ok(None) };
    let (name, password) = match (&args.password, user.split_once(':')) {
        (Some(password), _) => (user, password.clone()),
        (None, Some((name, password))) => (name, password.to_owned()),
        (None, None) => (user, asked_for(user)?),
    };
    Ok(Some((name.into(), password)))
}

fn asked_for(user: &str) -> Result<String, Failure> {
    rpassword::prompt_password(format!("Password of {user}: ")).map_err(|source| {
        let message = format!("cannot ask for the password of {user}: {source}");
        Failure::new(Exit::Usage, message, Some("ETCDCTL_PASSWORD".into()))
    })
}

/// That some of those who were asked gave no answer.
pub fn silent(reasons: &[String]) -> Option<Failure> {
    let first = reasons.first()?;
    let more = match reasons.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(Failure::new(Exit::NoMember, format!("no answer from {first}{more}"), None))
}
