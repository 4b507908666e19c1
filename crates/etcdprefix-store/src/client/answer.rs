//! A store's answer, and what it means if it is an error.

use std::borrow::Cow;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqsign_core::time::Timestamp;

use crate::dialect::Kind;
use crate::endpoint::Endpoint;
use crate::error::{Cause, Refusal};
use crate::secret::redacted_line;
use crate::xml;

/// The longest error that is read.
pub(crate) const MAX_ERROR_BYTES: usize = 64 << 10;
/// The longest listing: a thousand keys of the longest kind.
pub(crate) const MAX_BODY_BYTES: usize = 8 << 20;

/// A whole, short answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A status, headers and body that say no.
pub(crate) struct Denial<'a> {
    pub kind: Kind,
    pub operation: &'static str,
    pub place: String,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Denial<'_> {
    pub fn refusal(&self) -> Refusal {
        let body = self.body();
        let text = String::from_utf8_lossy(&body);
        let code = xml::find(&text, "Code").unwrap_or_default();
        let message = xml::find(&text, "Message").unwrap_or_default();
        let cause = self.cause(&code, &message, &text);
        let header = self.header(self.kind.request_id_header());
        let request_id = header.or_else(|| xml::find(&text, "RequestId")).unwrap_or_default();
        Refusal {
            operation: self.operation,
            place: self.place.clone(),
            status: self.status.as_u16(),
            // What it says of a wrong signature repeats the headers that were signed.
            message: match cause {
                Cause::WrongSecret => String::new(),
                _ => redacted_line(&message),
            },
            code: redacted_line(&code),
            request_id: redacted_line(&request_id),
            cause,
        }
    }

    /// After a HEAD, OSS sends it in a header.
    fn body(&self) -> Cow<'_, [u8]> {
        let told = self.headers.get("x-oss-err").filter(|_| self.body.is_empty());
        let told = told.and_then(|told| BASE64.decode(told.as_bytes()).ok());
        told.map_or(Cow::Borrowed(self.body), Cow::Owned)
    }

    fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    fn cause(&self, code: &str, message: &str, text: &str) -> Cause {
        match code {
            "SignatureDoesNotMatch" => Cause::WrongSecret,
            "InvalidAccessKeyId" => Cause::UnknownKey,
            "InvalidSecurityToken"
            | "SecurityTokenExpired"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired" => Cause::BadToken,
            "RequestTimeTooSkewed" => Cause::ClockSkew(date(self.headers)),
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException"
            | "InvalidRegion" => Cause::WrongRegion(self.region(text)),
            "PublicEndpointForbidden" => Cause::EndpointForbidden,
            "AccessDenied" if message.contains("expired") => Cause::Expired,
            "AccessDenied" if self.is_referer(message, text) => Cause::Referer,
            "AccessDenied" if self.is_second_level(message) => {
                Cause::WrongRegion(self.region(text))
            }
            "AccessDenied" | "Forbidden" | "AllAccessDisabled" => Cause::Denied,
            "NoSuchBucket" => Cause::NoBucket,
            "NoSuchKey" => Cause::NoObject,
            "NoSuchUpload" => Cause::NoUpload,
            "PreconditionFailed" | "FileAlreadyExists" => Cause::Condition,
            "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" => Cause::Damaged,
            // Another write is under way.
            "ConditionalRequestConflict" | "OperationAborted" => Cause::Passing,
            "RequestTimeout" | "SlowDown" | "InternalError" | "ServiceUnavailable" => {
                Cause::Passing
            }
            "InvalidArgument" if message.contains("region") => {
                Cause::WrongRegion(self.region(text))
            }
            "" if self.status == StatusCode::BAD_REQUEST && self.region("").is_some() => {
                Cause::WrongRegion(self.region(""))
            }
            _ => self.cause_of_status(),
        }
    }

    /// OSS's own numbers for a Referer that is missing, banned, or not among those allowed.
    fn is_referer(&self, message: &str, text: &str) -> bool {
        let number = xml::find(text, "EC").or_else(|| self.header("x-oss-ec")).unwrap_or_default();
        let known = ["0003-00000501", "0003-00000502", "0003-00000503"];
        known.contains(&number.as_str()) || message.to_lowercase().contains("referer")
    }

    /// What OSS says at the endpoint of another region.
    fn is_second_level(&self, message: &str) -> bool {
        message.contains("must be addressed using the specified endpoint")
    }

    /// All there is after a HEAD.
    fn cause_of_status(&self) -> Cause {
        match self.status.as_u16() {
            301 | 302 | 307 => Cause::WrongRegion(self.region("")),
            401 | 403 => Cause::Denied,
            404 => Cause::NoObject,
            409 | 412 => Cause::Condition,
            408 | 429 | 500..=599 => Cause::Passing,
            _ => Cause::Other,
        }
    }

    /// OSS tells an endpoint, whose name tells the region if it is one of a region.
    fn region(&self, text: &str) -> Option<String> {
        let told = self.header("x-amz-bucket-region").or_else(|| xml::find(text, "Region"));
        let of_endpoint = || {
            let endpoint = Endpoint::parse(self.kind, &xml::find(text, "Endpoint")?, None).ok()?;
            endpoint.region().map(str::to_owned)
        };
        told.or_else(of_endpoint).map(|region| redacted_line(&region))
    }
}

/// When the server answered, by its own clock.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get("date")?.to_str().ok()?;
    Some(Timestamp::parse_rfc2822(date).ok()?.as_system_time())
}

/// What a refused presigned URL was refused for. Which store it is of is known by its answer alone.
pub(crate) fn refusal_of_url(
    place: String,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Refusal {
    let oss = headers.contains_key(Kind::Oss.request_id_header());
    let kind = if oss { Kind::Oss } else { Kind::S3 };
    Denial { kind, operation: "GET of the presigned URL", place, status, headers, body }.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        refusal_of_url("https://h/k".into(), status, &HeaderMap::new(), body.as_bytes())
    }

    fn cause(status: u16, code: &str, message: &str) -> Cause {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        refusal(status, &body).cause
    }

    #[test]
    fn causes_are_told_apart() {
        for (status, code, message, expected) in [
            (403, "SignatureDoesNotMatch", "", Cause::WrongSecret),
            (403, "AccessDenied", "Request has expired.", Cause::Expired),
            (403, "AccessDenied", "You are denied by bucket referer policy.", Cause::Referer),
            (403, "AccessDenied", "You have no right.", Cause::Denied),
            (400, "ExpiredToken", "", Cause::BadToken),
            (404, "NoSuchBucket", "", Cause::NoBucket),
            (400, "InvalidDigest", "", Cause::Damaged),
            (409, "FileAlreadyExists", "", Cause::Condition),
            (403, "PublicEndpointForbidden", "", Cause::EndpointForbidden),
            (503, "SlowDown", "", Cause::Passing),
            (500, "", "", Cause::Passing),
            (301, "", "", Cause::WrongRegion(None)),
            (418, "Teapot", "", Cause::Other),
        ] {
            assert_eq!(cause(status, code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn referer_protection_is_known_by_its_number() {
        let body =
            "<Error><Code>AccessDenied</Code><Message>No.</Message><EC>0003-00000501</EC></Error>";
        assert_eq!(refusal(403, body).cause, Cause::Referer);
    }

    #[test]
    fn the_region_that_the_store_names_is_told() {
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        assert_eq!(refusal(400, body).cause, Cause::WrongRegion(Some("eu-west-1".into())));
    }

    fn refusal_of(status: u16, name: &str, value: &str, body: &str) -> Refusal {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        let status = StatusCode::from_u16(status).unwrap();
        refusal_of_url("https://h/k".into(), status, &headers, body.as_bytes())
    }

    #[test]
    fn a_region_is_read_from_an_endpoint_or_a_header() {
        for (endpoint, region) in [
            ("oss-cn-beijing.aliyuncs.com", Some("cn-beijing")),
            ("oss-accelerate.aliyuncs.com", None),
        ] {
            let body = format!(
                "<Error><Code>AccessDenied</Code><Message>The bucket you are attempting to access \
                 must be addressed using the specified endpoint.</Message>\
                 <Endpoint>{endpoint}</Endpoint></Error>"
            );
            let refusal = refusal_of(403, "x-oss-request-id", "1", &body);
            assert_eq!(refusal.cause, Cause::WrongRegion(region.map(str::to_owned)));
        }
        let headed = refusal_of(400, "x-amz-bucket-region", "eu-west-1", "");
        assert_eq!(headed.cause, Cause::WrongRegion(Some("eu-west-1".into())));
        assert_eq!(refusal_of(400, "date", "x", "").cause, Cause::Other);
    }

    #[test]
    fn what_was_signed_is_not_repeated() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>PUT x-oss-security-token:t0k3n\
                    </Message><StringToSign>t0k3n</StringToSign></Error>";
        let refusal = refusal(403, body);
        assert!(!format!("{refusal:?}{refusal}").contains("t0k3n"), "{refusal:?}");
    }

    #[test]
    fn the_error_of_a_head_is_read_from_its_header() {
        let told = |value: &str| {
            let headers =
                HeaderMap::from_iter([("x-oss-err".parse().unwrap(), value.parse().unwrap())]);
            refusal_of_url("https://h/k".into(), StatusCode::NOT_FOUND, &headers, b"").cause
        };
        let error = "<Error><Code>NoSuchBucket</Code></Error>";
        assert_eq!(told(&BASE64.encode(error)), Cause::NoBucket);
        assert_eq!(told("no base64"), Cause::NoObject);
    }

    #[test]
    fn an_answer_of_any_bytes_is_a_refusal() {
        for body in ["", "\u{0}<<<", "<html>gateway", "<Error><Code>"] {
            assert_eq!(refusal(502, body).cause, Cause::Passing);
        }
    }
}
