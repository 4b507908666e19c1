//! The program that is run.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Relayed;
use crate::error::{NodeError, NodeErrorKind};
use crate::node::step_variables;

/// A reply is a few kilobytes.
const STDOUT_LIMIT_BYTES: u64 = 8 << 20;
/// Enough for a message.
const STDERR_LIMIT_BYTES: usize = 4096;

/// Runs it to its end; what it says is nowhere but in the result.
pub(super) fn run(
    id: &str,
    program: &Path,
    words: &[String],
    input: &[u8],
) -> Result<Relayed, NodeError> {
    let failed = |error: io::Error| {
        let why = format!("cannot run {}: {error}", program.display());
        NodeError::new(NodeErrorKind::Failed, why)
    };
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(step_variables());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let (stdout, stderr) = exchange(&mut child, input).map_err(failed)?;
    let code = child.wait().map_err(failed)?.code();
    Ok(Relayed { id: id.into(), code, stdout: STANDARD.encode(&*stdout), stderr })
}

/// All at once: each alone could block the others.
fn exchange(child: &mut Child, input: &[u8]) -> io::Result<(Zeroizing<Vec<u8>>, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let telling = scope.spawn(|| stderr.map(end_of).unwrap_or_default());
        scope.spawn(|| {
            // A program that ends without reading says why by its exit code.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let mut out = Zeroizing::new(Vec::new());
        if let Some(stdout) = stdout {
            stdout.take(STDOUT_LIMIT_BYTES + 1).read_to_end(&mut out)?;
        }
        if out.len() as u64 > STDOUT_LIMIT_BYTES {
            let why = format!("it answers over {STDOUT_LIMIT_BYTES} bytes");
            return Err(io::Error::other(why));
        }
        Ok((out, telling.join().unwrap_or_default()))
    })
}

/// All is read, so that nobody is blocked; the last part is kept.
fn end_of(mut stderr: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(STDERR_LIMIT_BYTES);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
