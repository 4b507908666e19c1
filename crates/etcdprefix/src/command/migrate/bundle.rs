//! A bundle into a file, for `node bundle`.

use std::path::Path;

use etcdprefix_migrate::bundle::written;
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
