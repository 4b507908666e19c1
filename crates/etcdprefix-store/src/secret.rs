//! Values that must not be shown.

use std::fmt;

use zeroize::Zeroizing;

/// What is repeated of a message of somebody else's.
const LINE_CHARS: usize = 200;

/// A key or token. It has no `Display`, its `Debug` says only that there is one, and its memory is
/// wiped when it goes (copies that other libraries make of it are theirs).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value over.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself: to sign with, never to show.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with the value struck out wherever it stands.
    pub(crate) fn strike(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(self.expose(), "[redacted]") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A presigned URL: who has it can fetch the object until it ends.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// Takes the URL over.
    pub fn new(url: String) -> Self {
        Self(Secret::new(url))
    }

    /// The whole URL, for whoever is to fetch it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The URL without its query, which is the secret part; also without user and password.
    pub fn redacted(&self) -> String {
        redacted(self.expose())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

/// A URL with everything taken out that may be secret.
pub(crate) fn redacted(url: &str) -> String {
    let (place, query) = match url.split_once(['?', '#']) {
        Some((place, _)) => (place, "?[redacted]"),
        None => (url, ""),
    };
    match place.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}{query}")
        }
        None => format!("{place}{query}"),
    }
}

/// One line of somebody else's message: URLs in it, and paths with a query, lose their query, and no
/// character acts on a terminal.
pub fn redacted_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let has_query = |word: &str| word.split_once('?').is_some_and(|(_, query)| !query.is_empty());
    let words = line.split(' ').map(|word| match word.contains("://") || has_query(word) {
        true => redacted(word),
        false => word.to_owned(),
    });
    escaped(&words.collect::<Vec<_>>().join(" ")).chars().take(LINE_CHARS).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c.is_control() {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_redaction_shows_the_secret() {
        let secret = Secret::new("s3cr3t".into());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.strike("token=s3cr3t."), "token=[redacted].");
        let url = SecretUrl::new("https://me:s3cr3t@b.host:1/a/b?sig=s3cr3t#x".into());
        assert_eq!(format!("{url:?}"), "https://b.host:1/a/b?[redacted]");
        assert_eq!(redacted("https://host/a"), "https://host/a");
    }

    #[test]
    fn a_line_of_somebody_elses_is_harmless() {
        for (text, line) in [
            ("see /a/b?sig=s3cr3t now", "see /a/b?[redacted] now"),
            ("at https://me:s3cr3t@h/a?x#y.", "at https://h/a?[redacted]"),
            ("what? \u{1b}[31mred\r\tend\nmore", "what? \\u{1b}[31mred\\r\\tend"),
        ] {
            assert_eq!(redacted_line(text), line);
        }
    }
}
