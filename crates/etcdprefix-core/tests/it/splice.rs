//! The splice against decoders that share no code with it: prost, protobuf, and etcd's own, whose
//! control flow the fuzz targets keep as their ruler.

use etcdprefix_core::Unmatched;
use etcdprefix_core::rewrite::PrefixRule;
use etcdprefix_core::rewrite::key_bucket::{Record, judge};
use etcdprefix_core::rewrite::rule::Verdict;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use protobuf::rt::read_unknown_or_skip_group;
use protobuf::{CodedInputStream, UnknownFields};

use crate::fuzzed::targets::gogo;

/// etcd's `mvccpb.KeyValue` as prost reads it.
#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int64, tag = "2")]
    create_revision: i64,
    #[prost(int64, tag = "3")]
    mod_revision: i64,
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
    #[prost(int64, tag = "6")]
    lease: i64,
}

/// The same by protobuf, as its generated code would read it, with the fields that prost drops.
fn by_protobuf(bytes: &[u8]) -> protobuf::Result<(KeyValue, UnknownFields)> {
    let mut stream = CodedInputStream::from_bytes(bytes);
    let (mut record, mut unknown) = (KeyValue::default(), UnknownFields::new());
    while let Some(tag) = stream.read_raw_tag_or_eof()? {
        match tag {
            10 => record.key = stream.read_bytes()?,
            16 => record.create_revision = stream.read_int64()?,
            24 => record.mod_revision = stream.read_int64()?,
            32 => record.version = stream.read_int64()?,
            42 => record.value = stream.read_bytes()?,
            48 => record.lease = stream.read_int64()?,
            tag => read_unknown_or_skip_group(tag, &mut stream, &mut unknown)?,
        }
    }
    Ok((record, unknown))
}

/// An encoded field. What it is made of does not matter later, only what decoders make of it.
#[derive(Clone, Debug)]
struct Field {
    bytes: Vec<u8>,
    /// Tags and lengths of more than five bytes are too much for protobuf.
    protobuf_reads: bool,
}

/// A varint with `padding` bytes more than it needs, ten at most.
fn varint(mut number: u64, padding: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    let padded = (bytes.len() + padding).min(10);
    while bytes.len() < padded {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn delimited(tag: u64, padding: [usize; 2], content: &[u8]) -> Field {
    let (tag, length) = (varint(tag, padding[0]), varint(content.len() as u64, padding[1]));
    let protobuf_reads = tag.len().max(length.len()) <= 5;
    Field { bytes: [&tag, &length, content].concat(), protobuf_reads }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let path = vec(any::<u8>(), 0..150);
    prop_oneof![
        6 => path.clone().prop_map(|rest| [b"/registry/", rest.as_slice()].concat()),
        1 => Just(b"/registry".to_vec()),
        1 => path.clone().prop_map(|rest| [b"/registry", rest.as_slice()].concat()),
        1 => Just(b"compact_rev_key".to_vec()),
        1 => path,
    ]
}

fn padding() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0), 1 => 1..3_usize, 1 => 3..10_usize]
}

fn key_field() -> impl Strategy<Value = Field> {
    (key(), padding(), padding()).prop_map(|(key, tag, length)| delimited(10, [tag, length], &key))
}

fn other_field() -> impl Strategy<Value = Field> {
    let number = prop_oneof![any::<u64>(), 0..300_u64];
    let tag = prop::sample::select(&[16_u64, 24, 32, 48][..]);
    let numbers = (tag, padding(), number, padding()).prop_map(|(tag, long_tag, number, long)| {
        let tag = varint(tag, long_tag);
        let protobuf_reads = tag.len() <= 5;
        Field { bytes: [tag, varint(number, long)].concat(), protobuf_reads }
    });
    let value = (vec(any::<u8>(), 0..300), padding())
        .prop_map(|(value, long)| delimited(42, [0, long], &value));
    prop_oneof![3 => numbers, 1 => value, 2 => unknown_field()]
}

fn unknown_field() -> impl Strategy<Value = Field> {
    let number = prop_oneof![7..40_u64, 7..(1_u64 << 29)];
    let content = prop_oneof![
        any::<u64>().prop_map(|number| (0, varint(number, 0))),
        any::<[u8; 8]>().prop_map(|bytes| (1, bytes.to_vec())),
        vec(any::<u8>(), 0..200)
            .prop_map(|bytes| (2, [varint(bytes.len() as u64, 0), bytes].concat())),
        any::<[u8; 4]>().prop_map(|bytes| (5, bytes.to_vec())),
    ];
    let plain = (number.clone(), content).prop_map(|(number, (wire, content))| {
        let bytes = [varint((number << 3) | wire, 0), content].concat();
        Field { bytes, protobuf_reads: true }
    });
    plain.prop_recursive(4, 12, 3, move |inner| {
        (number.clone(), vec(inner, 0..3)).prop_map(|(number, fields)| group(number, &fields))
    })
}

fn group(number: u64, fields: &[Field]) -> Field {
    let inner: Vec<u8> = fields.iter().flat_map(|field| field.bytes.clone()).collect();
    let bytes = [varint((number << 3) | 3, 0), inner, varint((number << 3) | 4, 0)].concat();
    Field { bytes, protobuf_reads: true }
}

/// Fields in any order and number; a key is mostly among them, sometimes more than one.
fn record() -> impl Strategy<Value = Vec<Field>> {
    let fields = prop_oneof![1 => key_field().boxed(), 3 => other_field().boxed()];
    (prop::option::weighted(0.7, key_field()), vec(fields, 0..8))
        .prop_map(|(first, rest)| first.into_iter().chain(rest).collect())
}

fn rule(dst: &str) -> PrefixRule {
    PrefixRule::new("/registry", dst, Unmatched::Keep).unwrap()
}

/// The value under the rule, `None` if it stays; fails where the scan does.
fn spliced(rule: &PrefixRule, value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let Record::Matched { splice, .. } = judge(rule, value)?.record else {
        return Ok(None);
    };
    let (head, tail) = (&value[..splice.cut.start], &value[splice.cut.end..]);
    Ok(Some([head, &splice.head(), rule.dst().as_bytes(), tail].concat()))
}

const DESTINATIONS: [&str; 3] = ["", "/c", "/c0123456789abcdef0123456789abcdef/0123456789abcdef"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_decoder_sees_the_image_and_nothing_else_new(
        fields in record(),
        dst in prop::sample::select(&DESTINATIONS[..]),
    ) {
        let rule = rule(dst);
        let value: Vec<u8> = fields.iter().flat_map(|field| field.bytes.clone()).collect();
        let before = KeyValue::decode(value.as_slice()).unwrap();
        let matches = rule.verdict(&before.key) == Verdict::Replace;
        let after = spliced(&rule, &value).unwrap();
        prop_assert_eq!(after.is_some(), matches);
        let Some(after) = after else { return Ok(()) };

        let expected = KeyValue { key: rule.image(&before.key), ..before.clone() };
        prop_assert_eq!(KeyValue::decode(after.as_slice()).unwrap(), expected.clone());
        let [seen, now] = [&value, &after].map(|bytes| gogo::unmarshal(bytes).unwrap());
        prop_assert_eq!(&seen.key, &before.key);
        prop_assert_eq!(&now.key, &expected.key);
        prop_assert_eq!(now.unknown, seen.unknown);
        if fields.iter().all(|field| field.protobuf_reads) {
            let (before_too, unknown) = by_protobuf(&value).unwrap();
            prop_assert_eq!(before_too, before);
            prop_assert_eq!(by_protobuf(&after).unwrap(), (expected, unknown));
        }
    }

    #[test]
    fn damage_is_refused_or_read_as_etcd_does(
        fields in record(),
        cut in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        dst in prop::sample::select(&DESTINATIONS[..]),
    ) {
        let rule = rule(dst);
        let mut value: Vec<u8> = fields.iter().flat_map(|field| field.bytes.clone()).collect();
        value.truncate(value.len() - cut.index(value.len() + 1) / 4);
        for (at, byte) in changes {
            if !value.is_empty() {
                let at = at.index(value.len());
                value[at] = byte;
            }
        }
        let (etcd, prost) = (gogo::unmarshal(&value), KeyValue::decode(value.as_slice()));
        let ours = spliced(&rule, &value);
        if let Ok(prost) = &prost {
            prop_assert_eq!(&etcd.clone().unwrap().key, &prost.key, "etcd reads what prost reads");
            prop_assert!(ours.is_ok(), "and so do we");
        }
        if let Ok(Some(after)) = ours {
            let etcd = etcd.unwrap();
            let expected = gogo::KeyValue { key: rule.image(&etcd.key), ..etcd };
            prop_assert_eq!(gogo::unmarshal(&after), Some(expected));
        }
    }
}

/// Who reads a record that matches: etcd, the scan, prost, protobuf.
fn readers(value: &[u8]) -> [bool; 4] {
    let matched = matches!(spliced(&rule("/c"), value), Ok(Some(_)));
    [
        gogo::unmarshal(value).is_some_and(|record| record.key == b"/registry/a"),
        matched,
        KeyValue::decode(value).is_ok_and(|record| record.key == b"/registry/a"),
        by_protobuf(value).is_ok_and(|(record, _)| record.key == b"/registry/a"),
    ]
}

const KEY: &[u8] = b"\x0a\x0b/registry/a";

fn with(field: &[u8]) -> Vec<u8> {
    [KEY, field].concat()
}

/// Where decoders differ, the scan reads no more than etcd: what it refuses ends the command with
/// nothing written.
#[test]
fn decoders_differ_here() {
    const NINE: [u8; 9] = [0xFF; 9];
    let long_varint = [&[0x10], NINE.as_slice(), &[0x7F]].concat();
    let deep = [vec![0x43; 33], vec![0x44; 33]].concat();
    let number_wraps = [&varint((1 << 35) | 10, 0), &KEY[1..]].concat();
    for (what, value, expected) in [
        ("as etcd writes it", KEY.to_vec(), [true, true, true, true]),
        ("a tenth byte with bits that are lost", with(&long_varint), [true, true, false, false]),
        ("a group's end with another number", with(b"\x43\x4c"), [true, false, false, true]),
        ("field number 0 in a group", with(b"\x43\x00\x01\x44"), [true, false, false, false]),
        ("groups in groups", with(b"\x43\x4b\x4c\x44"), [true, true, true, true]),
        ("33 groups in one another", with(&deep), [true, false, true, true]),
        ("a field number that is 1 modulo 2^32", number_wraps, [true, false, false, false]),
        ("a known field in another wire type", with(b"\x12\x01x"), [false, false, false, true]),
    ] {
        assert_eq!(readers(&value), expected, "{what}: etcd, scan, prost, protobuf");
    }
}
