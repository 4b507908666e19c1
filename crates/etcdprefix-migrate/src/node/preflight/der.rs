//! As much of DER as it takes to see that keys belong together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// In an EC key: the public one.
const PUBLIC: u8 = 0xa1;

/// A block of a PEM file.
pub(super) struct Pem {
    /// `RSA PRIVATE KEY`.
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
}

impl Pem {
    pub(super) fn is_private_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY") && !self.label.starts_with("ENCRYPTED")
    }

    pub(super) fn is_public_key(&self) -> bool {
        self.label.ends_with("PUBLIC KEY")
    }

    pub(super) fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    /// Whether this private key is that of `public`, a public key or a certificate; `None` if it does
    /// not tell, as keys of some kinds don't.
    pub(super) fn belongs_to(&self, public: &Self) -> Option<bool> {
        let own = public_part(&self.der)?;
        Some(public.der.windows(own.len()).any(|window| window == own))
    }
}

/// All blocks that can be decoded. Lines with a colon are headers of an encrypted key.
pub(super) fn blocks(text: &str) -> Vec<Pem> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = begun.split_once("-----") else { break };
        let Some((body, after)) = body.split_once("-----END ") else { break };
        let lines = body.lines().map(str::trim).filter(|line| !line.contains(':'));
        let packed = Zeroizing::new(lines.collect::<String>());
        if let Ok(der) = STANDARD.decode(packed.as_bytes()) {
            blocks.push(Pem { label: label.to_owned(), der: Zeroizing::new(der) });
        }
        rest = after;
    }
    blocks
}

/// The bytes of a private key that its public key has too: RSA's modulus, or a curve's point.
fn public_part(der: &[u8]) -> Option<&[u8]> {
    let (key, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(key, INTEGER)?;
    if let Some((modulus, _)) = element(rest, INTEGER) {
        return Some(modulus);
    }
    if let Some((_, rest)) = element(rest, SEQUENCE) {
        // PKCS#8: the key as of old is inside.
        return public_part(element(rest, OCTET_STRING)?.0);
    }
    let (_, mut rest) = element(rest, OCTET_STRING)?;
    while let Some((tag, content, after)) = any(rest) {
        if tag == PUBLIC {
            return Some(content);
        }
        rest = after;
    }
    None
}

fn element(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content and what follows.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        _ if first < 0x80 => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIT_STRING: u8 = 0x03;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let length = match length {
            0..0x80 => vec![length.to_le_bytes()[0]],
            _ => [&[0x82][..], &length.swap_bytes().to_le_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    }

    fn pem(label: &str, der: &[u8]) -> Pem {
        let packed = STANDARD.encode(der);
        let text = format!("a note\n-----BEGIN {label}-----\n{packed}\n-----END {label}-----\n");
        blocks(&text).pop().unwrap()
    }

    /// The shapes of RSA keys; the numbers are none.
    fn rsa(modulus: u8) -> [Pem; 3] {
        let number = |number: u8, times: usize| wrap(INTEGER, &vec![number; times]);
        let public = wrap(SEQUENCE, &[number(modulus, 257), number(1, 3)].concat());
        let parts = [number(0, 1), number(modulus, 257), number(1, 3), number(9, 256)].concat();
        let old = wrap(SEQUENCE, &parts);
        let algorithm = wrap(SEQUENCE, &[6, 1, 42]);
        let new = [number(0, 1), algorithm.clone(), wrap(OCTET_STRING, &old)].concat();
        let bits = wrap(BIT_STRING, &[&[0][..], &public].concat());
        [
            pem("RSA PRIVATE KEY", &old),
            pem("PRIVATE KEY", &wrap(SEQUENCE, &new)),
            pem("PUBLIC KEY", &wrap(SEQUENCE, &[algorithm, bits].concat())),
        ]
    }

    #[test]
    fn keys_of_both_forms_belong_to_their_public_one() {
        let ([old, new, public], [_, _, other]) = (rsa(7), rsa(8));
        for private in [old, new] {
            assert!(private.is_private_key() && public.is_public_key());
            assert_eq!(private.belongs_to(&public), Some(true));
            assert_eq!(private.belongs_to(&other), Some(false));
        }
    }

    #[test]
    fn what_does_not_tell_is_not_judged() {
        let [_, _, public] = rsa(7);
        let curve = wrap(SEQUENCE, &[wrap(INTEGER, &[1]), wrap(OCTET_STRING, &[5; 32])].concat());
        for der in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 0x85, 1],
            &[SEQUENCE, 0x84, 255, 255, 255, 255],
            &curve,
        ] {
            let private = Pem { label: "PRIVATE KEY".into(), der: Zeroizing::new(der.to_vec()) };
            assert_eq!(private.belongs_to(&public), None, "{der:?}");
        }
        let cut = &public.der[..public.der.len() - 1];
        assert_eq!(pem("PRIVATE KEY", cut).belongs_to(&public), None);
    }

    #[test]
    fn blocks_are_found_in_any_text() {
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(!blocks(encrypted)[0].is_private_key());
        for text in
            ["", "-----BEGIN X", "-----BEGIN X-----\nAAAA", "-----BEGIN X-----\n!\n-----END X-----"]
        {
            assert!(blocks(text).is_empty(), "{text}");
        }
        let two = "-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\n-----BEGIN B-----\nProc-Type: 4\nAAAA\n-----END B-----";
        assert_eq!(blocks(two).len(), 2);
    }
}
