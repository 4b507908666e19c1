//! One call: JSON in, JSON out. What must not be broken off runs in a process of its own.

use std::io::{self, Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{NodeError, NodeErrorKind};
use crate::node::{Context, detach, perform};
use crate::protocol::{Call, Reply, Request};

/// No call is larger.
const CALL_LIMIT_BYTES: u64 = 4 << 20;
/// A longer limit is a mistake.
const LONGEST_SECONDS: u64 = 24 * 60 * 60;

/// Reads a call, does what it asks for, and writes the reply as one line. What goes wrong with the step
/// is in the reply.
///
/// # Errors
/// If the reply can't be written.
pub fn step(context: &Context, stdin: impl Read, mut stdout: impl Write) -> io::Result<()> {
    let reply = match read(stdin) {
        Ok(call) => answer(call, context),
        Err(error) => Reply::Failed(error),
    };
    let line = Zeroizing::new(serde_json::to_vec(&reply)?);
    stdout.write_all(&line)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// A call, whole and with an id that is safe as a file name.
pub(crate) fn read(stdin: impl Read) -> Result<Call, NodeError> {
    let usage = |why: String| NodeError::new(NodeErrorKind::Usage, why);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = stdin.take(CALL_LIMIT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| usage(format!("cannot read the call: {error}")))?;
    if bytes.len() as u64 > CALL_LIMIT_BYTES {
        return Err(usage("the call is too long".into()));
    }
    // serde's message would quote what it doesn't understand, and that may be a secret.
    let call: Call = serde_json::from_slice(&bytes).map_err(|error| {
        usage(format!("this is no call: line {}, column {}", error.line(), error.column()))
    })?;
    check(call)
}

fn check(call: Call) -> Result<Call, NodeError> {
    let usage = |why: String| Err(NodeError::new(NodeErrorKind::Usage, why));
    if !is_id(&call.id) {
        return usage(format!("{:?} is no id of a step", call.id));
    }
    if let Request::Cancel { id } = &call.request
        && !is_id(id)
    {
        return usage(format!("{id:?} is no id of a step"));
    }
    match call.limit_seconds {
        0 | LONGEST_SECONDS.. => usage(format!("a limit of {} s is no limit", call.limit_seconds)),
        _ => Ok(call),
    }
}

/// Letters, digits, `-` and `.`, which does not stand in front.
pub(crate) fn is_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (1..=100).contains(&id.len()) && !id.starts_with('.') && id.chars().all(is_plain)
}

fn answer(call: Call, context: &Context) -> Reply {
    match &call.request {
        Request::Sleep(_) | Request::Wake(_) | Request::Snapshot(_) => {
            detach::run(&call, context).unwrap_or_else(Reply::Failed)
        }
        _ => within_limit(call, context),
    }
}

/// In a thread that ends with the process if it takes too long; its programs have limits of their own.
pub(crate) fn within_limit(call: Call, context: &Context) -> Reply {
    let mut context = context.clone();
    let Call { request, environment, limit_seconds, .. } = call;
    context.environment = environment;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let _ = sender.send(perform(&request, &context));
    });
    match receiver.recv_timeout(Duration::from_secs(limit_seconds)) {
        Ok(result) => result.map_or_else(Reply::Failed, |done| Reply::Done(Box::new(done))),
        Err(error) => Reply::Failed(unanswered(error, limit_seconds)),
    }
}

fn unanswered(error: std::sync::mpsc::RecvTimeoutError, limit_seconds: u64) -> NodeError {
    use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
    match error {
        Timeout => {
            let why = format!("the step was ended at its limit of {limit_seconds} s");
            NodeError::new(NodeErrorKind::OutOfTime, why)
        }
        // Nothing of a panic's message is passed on: it may hold anything.
        Disconnected => NodeError::new(NodeErrorKind::Failed, "the step broke off: this is a bug"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names_and_nothing_else() {
        let longest = "a".repeat(100);
        for good in ["a", "run-1.sleep", "A9", longest.as_str()] {
            assert!(is_id(good), "{good}");
        }
        let longer = "a".repeat(101);
        for bad in ["", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "a_b", "é", &longer] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    fn refused(text: &[u8]) -> NodeError {
        read(text).map(|_| ()).unwrap_err()
    }

    #[test]
    fn only_whole_calls_are_taken_and_nothing_of_others_is_quoted() {
        let good = r#"{"id":"a","limit_seconds":5,"request":"status"}"#;
        assert!(read(good.as_bytes()).is_ok());
        for bad in [
            "",
            "s3cr3t",
            &good[..good.len() - 1],
            r#"{"id":"a","limit_seconds":5,"request":"s3cr3t"}"#,
            r#"{"id":"a","limit_seconds":0,"request":"status"}"#,
            r#"{"id":"../s","limit_seconds":5,"request":"status"}"#,
            r#"{"id":"a","limit_seconds":5,"request":{"cancel":{"id":"../s"}}}"#,
            r#"{"id":"a","limit_seconds":5,"request":"status","environment":{"K":["s3cr3t"]}}"#,
        ] {
            let error = refused(bad.as_bytes());
            assert_eq!(error.kind, NodeErrorKind::Usage, "{bad}");
            assert!(!error.message.contains("s3cr3t"), "{error}");
        }
        let long = vec![b' '; CALL_LIMIT_BYTES as usize + 1];
        assert!(refused(&long).message.contains("too long"));
    }
}
