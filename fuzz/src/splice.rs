//! The splice: what etcd reads of a record before and after, and the bytes that stay.

use arbitrary::{Arbitrary, Unstructured};
use etcdprefix_core::Unmatched;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::rewrite::key_bucket::{Judged, Record, judge};
use etcdprefix_core::rewrite::rule::Verdict;

use super::gogo;

/// A rule and a record.
#[derive(Arbitrary, Debug)]
pub struct Input {
    src: Prefix,
    dst: Prefix,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Prefix {
    Registry,
    Root,
    Short,
    Long,
    Any(String),
}

/// A value as bytes, or made of fields so that it often decodes.
#[derive(Arbitrary, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Fields(Vec<Field>),
}

#[derive(Arbitrary, Debug)]
enum Field {
    /// A key under the source prefix.
    Key {
        long_tag: u8,
        long_length: u8,
        rest: Vec<u8>,
    },
    OtherKey {
        long_length: u8,
        key: Vec<u8>,
    },
    Number {
        tag: u8,
        number: u64,
    },
    Value(Vec<u8>),
    Unknown {
        number: u16,
        content: Unknown,
    },
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Unknown {
    Varint(u64),
    Eight([u8; 8]),
    Bytes(Vec<u8>),
    Four([u8; 4]),
    Group(Vec<Unknown>),
}

/// Judges the input's record and holds the result against what etcd would read.
pub fn run(input: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else {
        return;
    };
    let Ok(rule) = PrefixRule::new(input.src.text(), input.dst.text(), Unmatched::Keep) else {
        return;
    };
    let value = input.value.encode(rule.src());
    let before = gogo::unmarshal(&value);
    // Refusing what etcd reads is safe; reading what etcd refuses, or another key, is not.
    let Ok(judged) = judge(&rule, &value) else {
        return;
    };
    let before = before.expect("etcd reads what the scan accepts");
    assert_eq!(value[judged.key.clone()], before.key, "the key is the one etcd sees");
    check(&rule, &value, &judged, &before);
}

fn check(rule: &PrefixRule, value: &[u8], judged: &Judged, before: &gogo::KeyValue) {
    let matches = rule.verdict(&before.key) == Verdict::Replace;
    let Record::Matched { splice, canonical, .. } = &judged.record else {
        assert!(!matches, "a key that the rule replaces is matched");
        return;
    };
    assert!(matches, "only a key that the rule replaces is matched");
    let (head, tail) = (&value[..splice.cut.start], &value[splice.cut.end..]);
    let after = [head, &splice.head(), rule.dst().as_bytes(), tail].concat();
    assert_eq!(after.len() as u64, splice.value_bytes(rule, value.len()), "the size is as planned");
    let seen = gogo::unmarshal(&after).expect("etcd reads the result");
    let expected = gogo::KeyValue { key: rule.image(&before.key), ..before.clone() };
    assert_eq!(seen, expected, "only the key differs");
    assert!(!canonical || splice.cut.start == 0, "a canonical key field comes first");
}

impl Prefix {
    fn text(&self) -> &str {
        match self {
            Self::Registry => "/registry",
            Self::Root => "",
            Self::Short => "/c",
            Self::Long => {
                "/c0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef\
                0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
            }
            Self::Any(text) => text,
        }
    }
}

impl Value {
    fn encode(&self, src: &str) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Fields(fields) => {
                let mut out = Vec::new();
                fields.iter().for_each(|field| field.put(&mut out, src));
                out
            }
        }
    }
}

impl Field {
    fn put(&self, out: &mut Vec<u8>, src: &str) {
        match self {
            Self::Key { long_tag, long_length, rest } => {
                let key = [src.as_bytes(), b"/", rest].concat();
                put_varint(out, 0x0A, long_tag % 10);
                put_bytes(out, &key, long_length % 10);
            }
            Self::OtherKey { long_length, key } => {
                out.push(0x0A);
                put_bytes(out, key, long_length % 10);
            }
            Self::Number { tag, number } => {
                out.push([0x10, 0x18, 0x20, 0x30][usize::from(tag % 4)]);
                put_varint(out, *number, 0);
            }
            Self::Value(value) => {
                out.push(0x2A);
                put_bytes(out, value, 0);
            }
            Self::Unknown { number, content } => content.put(out, u64::from(*number) + 7),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
}

impl Unknown {
    fn put(&self, out: &mut Vec<u8>, number: u64) {
        let tag = |wire: u64| (number << 3) | wire;
        match self {
            Self::Varint(value) => {
                put_varint(out, tag(0), 0);
                put_varint(out, *value, 0);
            }
            Self::Eight(bytes) => {
                put_varint(out, tag(1), 0);
                out.extend(bytes);
            }
            Self::Bytes(bytes) => {
                put_varint(out, tag(2), 0);
                put_bytes(out, bytes, 0);
            }
            Self::Four(bytes) => {
                put_varint(out, tag(5), 0);
                out.extend(bytes);
            }
            Self::Group(fields) => {
                put_varint(out, tag(3), 0);
                fields.iter().for_each(|field| field.put(out, number + 1));
                put_varint(out, tag(4), 0);
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], padding: u8) {
    put_varint(out, bytes.len() as u64, padding);
    out.extend_from_slice(bytes);
}

/// A varint with `padding` bytes more than it needs.
fn put_varint(out: &mut Vec<u8>, mut number: u64, padding: u8) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    let Some(last) = padding.checked_sub(1) else {
        return out.push(number as u8);
    };
    out.push(number as u8 | 0x80);
    out.extend(std::iter::repeat_n(0x80, usize::from(last)));
    out.push(0);
}
