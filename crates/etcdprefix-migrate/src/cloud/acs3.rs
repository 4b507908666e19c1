//! The signature of Alibaba Cloud's API, version 3: ACS3-HMAC-SHA256.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// All but what RFC 3986 leaves as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is signed. Of headers exactly those that are given, so each must be sent as it stands here.
pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a [(String, String)],
    /// Names in lower case.
    pub headers: &'a [(&'static str, String)],
    /// [`hash`] of the body; also a header.
    pub payload_hash: &'a str,
}

impl Request<'_> {
    /// The value of `Authorization`.
    pub fn authorization(&self, key_id: &str, secret: &str) -> String {
        let names = self.names();
        let text = format!("{ALGORITHM}\n{}", hash(self.canonical(&names).as_bytes()));
        let signature = hex(&sign(secret.as_bytes(), text.as_bytes()));
        format!("{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}")
    }

    fn sorted(&self) -> Vec<&(&'static str, String)> {
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| *name);
        headers
    }

    fn names(&self) -> String {
        self.sorted().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    fn canonical(&self, names: &str) -> String {
        let mut query = self.query.to_vec();
        query.sort();
        let lines = self.sorted().iter().fold(String::new(), |lines, (name, value)| {
            format!("{lines}{name}:{}\n", value.trim())
        });
        let (method, path, query) = (self.method, self.path, form(&query));
        format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", self.payload_hash)
    }
}

/// Pairs as a query, or as a form.
pub(super) fn form(pairs: &[(String, String)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// SHA-256 in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "3156853299f313e23d1673dc12e1703d";

    fn headers(more: &[(&'static str, &str)], hash: &str) -> Vec<(&'static str, String)> {
        let usual = [
            ("x-acs-version", "2014-05-26"),
            ("x-acs-action", "DescribeInstances"),
            ("host", "ecs.cn-hangzhou.aliyuncs.com"),
            ("x-acs-date", "2026-11-23T11:00:00Z"),
            ("x-acs-signature-nonce", NONCE),
            ("x-acs-content-sha256", hash),
        ];
        let all = usual.iter().chain(more);
        all.map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn signed(
        method: &str,
        query: &[(&str, &str)],
        body: &str,
        more: &[(&'static str, &str)],
    ) -> String {
        let payload_hash = &hash(body.as_bytes());
        let (query, headers) = (&pairs(query)[..], &headers(more, payload_hash)[..]);
        let request = Request { method, path: "/", query, headers, payload_hash };
        request.authorization("LTAIkey", "s3cr3t")
    }

    // Recorded from `get_authorization` of alibabacloud_tea_openapi 0.4.6.

    const FORM: [(&str, &str); 3] = [
        ("accept", "application/json"),
        ("user-agent", "x"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];

    #[test]
    fn a_form_is_signed_as_the_official_sdk_does() {
        let body = form(&pairs(&[
            ("RegionId", "cn-hangzhou"),
            ("PageSize", "100"),
            ("InstanceIds", "[\"i-1\"]"),
            ("Tag.1.Value", "a b*c~\u{9e2d}"),
        ]));
        let signature =
            "Signature=ba6714256d527c033a2857e6b643aea758776a1ced2da5ee7ec2a0fbd2ff14cf";
        let signed = signed("POST", &[], &body, &FORM);
        assert!(signed.ends_with(signature), "{signed}");
        assert!(signed.starts_with(
            "ACS3-HMAC-SHA256 Credential=LTAIkey,SignedHeaders=accept;content-type;host;"
        ));
    }

    #[test]
    fn a_token_is_signed_as_the_official_sdk_does() {
        let token = [("x-acs-accesskey-id", "LTAIkey"), ("x-acs-security-token", "t0k3n")];
        let signature =
            "Signature=8c0346cd6cfea68d9c088ef37c41895097385e110d6bb5367646ebe1c11c98ac";
        let signed = signed("POST", &[], "", &[&FORM[..], &token].concat());
        assert!(signed.ends_with(signature), "{signed}");
    }

    #[test]
    fn a_query_is_signed_as_the_official_sdk_does() {
        let query = [
            ("RegionId", "cn-hangzhou"),
            ("B", "a b*c~\u{9e2d}"),
            ("A", ""),
            ("InstanceIds", "[\"i-1\"]"),
        ];
        let signature =
            "Signature=44af235bad3557fa93f3b33dbb3805423ad7de214da789eb1e2c169c6fec099f";
        let signed = signed("GET", &query, "", &[]);
        assert!(signed.ends_with(signature), "{signed}");
    }
}
