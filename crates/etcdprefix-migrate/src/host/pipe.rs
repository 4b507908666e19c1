//! What goes in and comes out of a process, both at once: either alone could block the other.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::HostError;

/// A reply is a few kilobytes; a host that sends more is not ours.
const STDOUT_BYTES_MAX: u64 = 16 << 20;
/// Enough for a message; what is more is cut off.
const STDERR_BYTES_MAX: usize = 4096;

/// Writes `input` and reads until both outputs end.
pub async fn exchange(
    stdin: Option<impl AsyncWrite + Unpin>,
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
    input: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, String), HostError> {
    let writing = async {
        if let Some(mut stdin) = stdin {
            // A process that ends without reading says why by its exit code.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let ((), out, error) = tokio::join!(writing, whole(stdout), end_of(stderr));
    Ok((out?, error))
}

async fn whole(stdout: Option<impl AsyncRead + Unpin>) -> Result<Zeroizing<Vec<u8>>, HostError> {
    let mut out = Zeroizing::new(Vec::new());
    if let Some(stdout) = stdout {
        let mut limited = stdout.take(STDOUT_BYTES_MAX + 1);
        let read = limited.read_to_end(&mut out).await;
        read.map_err(|error| HostError::Unreachable(format!("its answer broke off: {error}")))?;
    }
    if out.len() as u64 > STDOUT_BYTES_MAX {
        return Err(HostError::Binary(format!("it answered over {STDOUT_BYTES_MAX} bytes")));
    }
    Ok(out)
}

/// All is read, so that nobody is blocked; the last part is kept.
async fn end_of(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    let Some(mut stderr) = stderr else { return String::new() };
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
