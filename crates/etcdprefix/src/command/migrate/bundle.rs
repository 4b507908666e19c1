//! A bundle into a file, for `node bundle`; `migrate run` has its own in the library.

use std::path::Path;

use etcdprefix_core::progress::Silent;
use etcdprefix_migrate::Error;
use etcdprefix_migrate::journal::write_private;
use etcdprefix_migrate::protocol::Bundled;
use etcdprefix_store::{Recipients, encrypt};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::migrate::node::Where;

/// With mode 0600, whole or not at all.
pub fn write(
    file: &Path,
    bundled: &Bundled,
    recipients: Option<&Recipients>,
) -> Result<Where, Failure> {
    let mut json = bundled.bundle.to_json();
    if let Some(extra) = &bundled.extra {
        // Its members behind the template's.
        let extra = serde_json::to_string(extra).unwrap_or_default();
        let end = json.len().saturating_sub(1);
        json.truncate(end);
        json.push(',');
        json.push_str(extra.trim_start_matches('{'));
    }
    json.push('\n');
    let failed = |error: &Error| Failure::migration(error);
    let Some(recipients) = recipients else {
        write_private(file, json.as_bytes()).map_err(|error| failed(&error))?;
        return Ok(Where::File(file.into(), false));
    };
    let mut sealed = Vec::new();
    encrypt(&mut json.as_bytes(), &mut sealed, recipients, &Silent).map_err(|error| {
        Failure::new(Exit::Failed, format!("the bundle can't be encrypted: {error}"), None)
    })?;
    write_private(file, &sealed).map_err(|error| failed(&error))?;
    Ok(Where::File(file.into(), true))
}
