//! From flags to a bucket.

use std::path::{Path, PathBuf};

use etcdprefix_store::{
    Addressing, CredentialOptions, Environment, Identities, Location, ObjectLocation, Recipients,
    Retry, Signature, Store, StoreOptions,
};

use crate::args::reach::{AddressingArg, ReachArgs, SignatureArg};
use crate::args::transfer::OpenArgs;
use crate::command::is_url;
use crate::exit::Exit;
use crate::failure::Failure;

/// A bucket or a prefix in it.
pub fn place(url: &str) -> Result<ObjectLocation, Failure> {
    match url.parse::<Location>().map_err(super::failed)? {
        Location::Object(location) => Ok(location),
        Location::File(path) => {
            let message = format!("{} is no place in an object store", path.display());
            let hint = "oss://bucket/key or s3://bucket/key";
            Err(Failure::new(Exit::Usage, message, Some(hint.into())))
        }
    }
}

/// One object.
pub fn object(url: &str) -> Result<ObjectLocation, Failure> {
    let location = place(url)?;
    location.object_key().map_err(super::failed)?;
    Ok(location)
}

/// A file of this machine, which may be given by its URL.
pub fn local(file: &Path) -> Result<PathBuf, Failure> {
    let Some(url) = file.to_str().filter(|name| is_url(name)) else { return Ok(file.into()) };
    match url.parse::<Location>().map_err(super::failed)? {
        Location::File(path) => Ok(path),
        Location::Object(object) => {
            let message = format!("{object} is no file of this machine");
            let hint = "`etcdprefix store get` and `put`, one after the other";
            Err(Failure::new(Exit::Usage, message, Some(hint.into())))
        }
    }
}

/// The bucket, reached as the flags say.
pub fn open(location: &ObjectLocation, reach: &ReachArgs) -> Result<Store, Failure> {
    open_for(location, reach, None)
}

/// The same; presigned URLs are to have another host.
pub fn open_for(
    location: &ObjectLocation,
    reach: &ReachArgs,
    presign_endpoint: Option<&String>,
) -> Result<Store, Failure> {
    let options = StoreOptions { presign_endpoint: presign_endpoint.cloned(), ..options(reach) };
    let store = Store::open(location, &options, &Environment::of_process());
    store.map_err(super::failed)
}

/// The bucket, reached as the environment says.
pub fn open_unflagged(location: &ObjectLocation) -> Result<Store, Failure> {
    let reach = ReachArgs::of_environment().map_err(|error| {
        crate::args::usage::answer(&error)
            .err()
            .unwrap_or_else(|| Failure::new(Exit::Usage, "the environment can't be read", None))
    })?;
    open(location, &reach)
}

fn options(reach: &ReachArgs) -> StoreOptions {
    let ReachArgs { endpoint, region, internal, .. } = reach.clone();
    let (folder, profile) = (reach.credentials.clone(), reach.profile.clone());
    StoreOptions {
        endpoint: given(endpoint),
        presign_endpoint: None,
        region: given(region),
        internal,
        addressing: reach.addressing.map(Into::into),
        ca_file: reach.cacert.clone(),
        signature: reach.signature.into(),
        credentials: CredentialOptions { folder, profile },
        retry: Retry { times: reach.retries, ..Retry::default() },
        idle_timeout: reach.idle_timeout.0,
    }
}

/// An unset variable of a script is no endpoint.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// For whom an object is encrypted.
pub fn recipients(texts: &[String]) -> Result<Option<Recipients>, Failure> {
    if texts.is_empty() {
        return Ok(None);
    }
    let texts = texts.iter().flat_map(|texts| texts.split(',')).map(str::to_owned);
    Recipients::parse(&texts.collect::<Vec<_>>()).map(Some).map_err(super::failed)
}

/// With what an object is decrypted.
pub fn identities(open: &OpenArgs) -> Result<Option<Identities>, Failure> {
    let read = open.identity.as_deref().map(Identities::read).transpose();
    read.map_err(super::failed)
}

impl From<AddressingArg> for Addressing {
    fn from(arg: AddressingArg) -> Self {
        match arg {
            AddressingArg::Path => Self::Path,
            AddressingArg::VirtualHost => Self::VirtualHost,
        }
    }
}

impl From<SignatureArg> for Signature {
    fn from(arg: SignatureArg) -> Self {
        match arg {
            SignatureArg::V4 => Self::V4,
            SignatureArg::V1 => Self::V1,
        }
    }
}
