//! What an answer that is none of success means.

use etcdprefix_store::{Credentials, redacted_line};
use serde_json::Value;

use super::client::Call;
use super::error::ApiError;

/// What one try ended with.
pub(super) enum Trouble {
    /// Nothing was done.
    Refused(ApiError),
    /// Nothing was done, and it may go well later.
    Passing(ApiError),
    /// Nobody knows whether it was done.
    Unseen(ApiError),
}

/// Of a status and a body, which is `null` if it was no JSON.
pub(super) fn trouble(
    call: &Call,
    status: u16,
    answer: &Value,
    credentials: &Credentials,
) -> Trouble {
    let action = call.action;
    let text = |name: &str| {
        let told = credentials.strike(answer[name].as_str().unwrap_or_default());
        redacted_line(&call.strike(&told))
    };
    let (code, message, request_id) = (text("Code"), text("Message"), text("RequestId"));
    let code = if code.is_empty() { "no code".to_owned() } else { code };
    let request_id = if request_id.is_empty() { "unknown".to_owned() } else { request_id };
    let told = format!("{action}: {code} (HTTP {status}, request {request_id})");
    if is_throttling(&code) || status == 429 {
        return Trouble::Passing(ApiError::Throttled(told));
    }
    if status == 503 || code.starts_with("ServiceUnavailable") || code == "IdempotentProcessing" {
        return Trouble::Passing(ApiError::Unreachable(told));
    }
    // Each try has a nonce of its own, so this one came twice: somebody on the way repeated it.
    if status >= 500 || code == "SignatureNonceUsed" {
        return Trouble::Unseen(ApiError::Unreachable(told));
    }
    // What it says of a wrong signature repeats what was signed.
    let message = if code.contains("Signature") { String::new() } else { message };
    Trouble::Refused(ApiError::Refused { action, code, message, status, request_id })
}

fn is_throttling(code: &str) -> bool {
    code.starts_with("Throttling") || code.contains("FlowControl") || code == "TooManyRequests"
}

#[cfg(test)]
mod tests {
    use super::super::client::Service;
    use super::*;

    #[test]
    fn what_came_twice_may_have_been_done() {
        let credentials = Credentials {
            key_id: etcdprefix_store::Secret::new("LTAI".into()),
            secret: etcdprefix_store::Secret::new("s3cr3t".into()),
            token: None,
            ends: None,
            origin: "test",
        };
        let answer = serde_json::json!({"Code": "SignatureNonceUsed", "Message": "used"});
        let call = Call::new(Service::Oos, "UpdateTemplate").once();
        let trouble = trouble(&call, 400, &answer, &credentials);
        assert!(matches!(trouble, Trouble::Unseen(ApiError::Unreachable(_))));
    }

    #[test]
    fn what_was_signed_and_secrets_are_not_repeated() {
        use etcdprefix_store::Secret;
        let secret = |text: &str| Secret::new(text.into());
        let credentials = Credentials {
            key_id: secret("LTAI"),
            secret: secret("s3cr3t"),
            token: Some(secret("t0k3n")),
            ends: None,
            origin: "test",
        };
        let answer = |code: &str| {
            let message = "StringToSign: x-acs-security-token:t0k3n s3cr3t c0mmand";
            serde_json::json!({"Code": code, "Message": message, "RequestId": "R"})
        };
        let call = Call::new(Service::Ecs, "RunCommand").with("CommandContent", "c0mmand");
        for code in ["SignatureDoesNotMatch", "Other"] {
            let Trouble::Refused(error) = trouble(&call, 400, &answer(code), &credentials) else {
                panic!("it is final")
            };
            let told = format!("{error} {error:?}");
            for secret in ["s3cr3t", "t0k3n", "c0mmand"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}
