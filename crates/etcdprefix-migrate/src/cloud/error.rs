//! Why a call to the cloud ends without its result.
//!
//! No text here holds a secret, a signature or a command: of a refusal code and one line are kept,
//! and of a wrong signature only the code, since its line repeats what was signed.

use etcdprefix_store::Lack;

use crate::error::Error;

/// Why a call ends without its result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// What was asked for makes no sense, so nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// No source has credentials.
    #[error("{0}")]
    NoCredentials(String),
    /// Nobody answered, or the answer was of no use, after all tries. Whether it was done is unknown.
    #[error("{0}")]
    Unreachable(String),
    /// Too many calls, after all tries; nothing was done.
    #[error("{0}")]
    Throttled(String),
    /// The cloud says no.
    #[error("{action}: {code}{} (HTTP {status}, request {request_id})", said(message))]
    Refused {
        /// The call.
        action: &'static str,
        /// The cloud's own code, such as `InvalidInstance.NotFound`.
        code: String,
        /// One line of the cloud's, or nothing.
        message: String,
        /// Of HTTP.
        status: u16,
        /// By which the cloud's support finds it.
        request_id: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl ApiError {
    /// The cloud's code, if it refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What to try.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Usage(_) => None,
            Self::NoCredentials(_) => Some(
                "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, a profile, or an \
                 instance with a RAM role",
            ),
            Self::Unreachable(_) => Some("the endpoint and the network from here; then again"),
            Self::Throttled(_) => Some("again in a minute, with fewer hosts at once"),
            Self::Refused { code, .. } => of_code(code),
        }
    }

    /// Credentials that were good once may be again after they were loaded anew.
    pub(super) fn is_about_token(&self) -> bool {
        let is_token = |code: &str| {
            code.starts_with("InvalidSecurityToken")
                || code == "SecurityTokenExpired"
                || code == "MissingSecurityToken"
                || is_unknown_key(code)
        };
        self.code().is_some_and(is_token)
    }

    pub(super) fn lack(lack: &Lack) -> Self {
        Self::NoCredentials(format!("no credentials: {}", lack.tried.join("; ")))
    }
}

fn is_unknown_key(code: &str) -> bool {
    code.starts_with("InvalidAccessKeyId")
}

fn of_code(code: &str) -> Option<&'static str> {
    match code {
        "SignatureDoesNotMatch" | "IncompleteSignature" => {
            Some("the secret: it is not the one of this access key")
        }
        "InvalidTimeStamp.Expired" | "IllegalTimestamp" => {
            Some("this machine's clock, which is more than 15 minutes off")
        }
        code if is_unknown_key(code) => {
            Some("another access key: this one does not exist, or is switched off")
        }
        code if code.starts_with("InvalidSecurityToken") || code == "SecurityTokenExpired" => {
            Some("credentials that have not ended")
        }
        "NoPermission" => Some(RIGHTS),
        code if code.starts_with("Forbidden") => Some(RIGHTS),
        "InvalidInstance.NotFound" | "InvalidRegionId.NotFound" => {
            Some("the region: instances are known in their own one alone")
        }
        "EntityNotExists.Template" => {
            Some("`etcdprefix migrate oos create`, with the same region and name")
        }
        "EntityNotExists.Execution" => Some("another region, or another execution's id"),
        "IdempotentParameterMismatch" => Some("a new token: this one was used for something else"),
        _ => None,
    }
}

const RIGHTS: &str =
    "the least rights that `etcdprefix migrate policy` prints, for this RAM user or role";

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Usage(what) => Self::Usage(what),
            error => Self::Cloud(match error.advice() {
                Some(advice) => format!("{error}; try: {advice}"),
                None => error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> ApiError {
        let (code, message) = (code.to_owned(), "no".to_owned());
        ApiError::Refused {
            action: "RunCommand",
            code,
            message,
            status: 403,
            request_id: "R1".into(),
        }
    }

    #[test]
    fn advice_names_no_flags_since_every_command_has_its_own() {
        let codes =
            ["InvalidInstance.NotFound", "InvalidRegionId.NotFound", "EntityNotExists.Template"];
        let more = ["EntityNotExists.Execution", "InvalidSecurityToken.Expired", "Forbidden.RAM"];
        let refused = codes.iter().chain(&more).map(|code| refused(code));
        let others = [
            ApiError::NoCredentials(String::new()),
            ApiError::Unreachable(String::new()),
            ApiError::Throttled(String::new()),
        ];
        for error in refused.chain(others) {
            let advice = error.advice().unwrap();
            assert!(!advice.contains("--"), "{advice}");
        }
    }

    #[test]
    fn what_people_run_into_has_advice() {
        for (code, advice) in [
            ("SignatureDoesNotMatch", "secret"),
            ("InvalidAccessKeyId.NotFound", "another access key"),
            ("InvalidAccessKeyId.Inactive", "another access key"),
            ("Forbidden.RAM", "migrate policy"),
            ("NoPermission", "migrate policy"),
            ("InvalidTimeStamp.Expired", "clock"),
            ("IllegalTimestamp", "clock"),
            ("InvalidSecurityToken.Expired", "credentials"),
            ("EntityNotExists.Template", "oos create"),
        ] {
            let told = Error::from(refused(code)).to_string();
            assert!(told.contains(code) && told.contains(advice), "{told}");
        }
        let plain = Error::from(refused("Whatever")).to_string();
        assert_eq!(plain, "RunCommand: Whatever: no (HTTP 403, request R1)");
    }
}
