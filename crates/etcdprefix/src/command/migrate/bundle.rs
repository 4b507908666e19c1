//! A bundle into a file or onto stdout, for `node bundle`.

use std::path::Path;

use etcdprefix_migrate::bundle::{armored, written};
use etcdprefix_migrate::journal::write_private;
use etcdprefix_migrate::protocol::Bundled;
use etcdprefix_store::Recipients;

use crate::failure::Failure;
use crate::output::migrate::node::Where;

/// With mode 0600, whole or not at all.
pub fn write(
    file: &Path,
    bundled: &Bundled,
    recipients: Option<&Recipients>,
) -> Result<Where, Failure> {
    let bytes = written(&bundled.bundle, bundled.extra.as_ref(), recipients);
    let done = bytes.and_then(|bytes| write_private(file, &bytes));
    done.map_err(|error| Failure::migration(&error))?;
    Ok(Where::File(file.into(), recipients.is_some()))
}

/// As text for stdout: sealed if it is for somebody, as age's own program reads it.
pub fn print(bundled: &Bundled, recipients: Option<&Recipients>) -> Result<Where, Failure> {
    let Some(recipients) = recipients else { return Ok(Where::Here) };
    let bytes = written(&bundled.bundle, bundled.extra.as_ref(), Some(recipients));
    let bytes = bytes.map_err(|error| Failure::migration(&error))?;
    Ok(Where::Sealed(armored(&bytes)))
}
