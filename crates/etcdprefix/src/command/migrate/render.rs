//! `migrate render`: the migration for other engines.

use etcdprefix_migrate::render::oos::{self, Binary};

use super::{ansible, kubernetes};
use crate::args::Global;
use crate::args::migrate::render::{OosArgs, RenderCommand};
use crate::command::Answer;
use crate::failure::Failure;

/// Prints it.
pub fn run(command: &RenderCommand, global: Global) -> Result<Answer, Failure> {
    match command {
        RenderCommand::Ansible(args) => ansible::render(args, global),
        RenderCommand::Kubernetes(args) => kubernetes::render(args, global),
        RenderCommand::Oos(args) => oos(args),
    }
}

fn oos(args: &OosArgs) -> Result<Answer, Failure> {
    let binary = Binary { url: args.binary_url.clone(), sha256: args.binary_sha256.clone() };
    let text = oos::template(&binary).map_err(|error| Failure::migration(&error))?;
    Ok(text.into())
}
