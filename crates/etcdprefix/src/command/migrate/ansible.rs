//! `migrate render ansible`: a playbook.

use std::path::Path;

use etcdprefix_migrate::protocol::StoreAccess;
use etcdprefix_migrate::render::ansible::{self, Options, Program};
use serde_json::json;

use super::config::{seconds, store};
use crate::args::migrate::ansible::AnsibleArgs;
use crate::args::{Format, Global};
use crate::command::Answer;
use crate::failure::Failure;

/// The playbook as it is; as JSON it is one text.
pub fn render(args: &AnsibleArgs, global: Global) -> Result<Answer, Failure> {
    let playbook = options(args).and_then(|options| ansible::render(&options));
    let playbook = playbook.map_err(|error| Failure::migration(&error))?;
    Ok(match global.write_out {
        Format::Json => json!({"playbook": playbook}).to_string() + "\n",
        _ => playbook,
    }
    .into())
}

fn options(args: &AnsibleArgs) -> etcdprefix_migrate::Result<Options> {
    let sha256 = args.binary_sha256.clone();
    let program = match (&args.binary, &args.binary_url) {
        (Some(path), _) => Program::File { path: text(path), sha256 },
        (None, url) => Program::Url {
            url: url.clone().unwrap_or_default(),
            sha256: sha256.unwrap_or_default(),
        },
    };
    Ok(Options {
        cluster_id: args.cluster_id.parse()?,
        store: store(StoreAccess::default(), &args.store),
        group: args.group.clone(),
        program,
        serial: args.serial.clone(),
        max_fail_percentage: args.max_fail_percentage,
        wake_after_seconds: seconds(args.wake_after),
        presign_seconds: seconds(args.presign_lifetime),
        bundle: text(&args.bundle),
        recipients: args.recipient.clone(),
        becomes_root: args.becomes_root,
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
