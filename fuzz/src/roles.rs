//! Roles, of arbitrary bytes and of arbitrary ranges: whatever becomes of one is proved, or refused.

use std::fs;

use arbitrary::{Arbitrary, Unstructured};
use etcdprefix_core::progress::Silent;
use etcdprefix_core::{ChangePrefix, Error, Target, change_prefix};
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};

const RULES: [(&str, &str); 7] = [
    ("/r", "/d"),
    ("/d", "/r"),
    ("/r", "/r/d"),
    ("/r/d", "/r"),
    ("/", "/d"),
    ("/d", "/"),
    ("/r", "/d1"),
];

/// Keys around those prefixes, to make ranges of.
const KEYS: [&str; 20] = [
    "", "\0", "/", "/c", "/d", "/d\0", "/d.", "/d/", "/d/a", "/d0", "/d1/", "/e", "/r", "/r\0",
    "/r-x", "/r/", "/r/a", "/r/d/a", "/r0", "/s",
];

#[derive(Arbitrary, Debug)]
struct Input {
    rule: u8,
    unmapped: bool,
    /// A key that is there besides `/r/a`.
    other: u8,
    /// Kind, key and end of each permission.
    grants: Vec<(u8, u8, u8)>,
    /// What follows the permissions.
    tail: Vec<u8>,
}

/// Changes the prefix of a store with the input's role.
pub fn run(input: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder for two files");
    let (db, output) = (folder.path().join("in.db"), folder.path().join("out.db"));
    fs::write(&db, input.source().encode()).expect("room for the source");
    let (src, dst) = RULES[usize::from(input.rule) % RULES.len()];
    let options = ChangePrefix {
        db,
        target: Target::File(output),
        src_prefix: src.into(),
        dest_prefix: dst.into(),
        allow_empty: true,
        allow_unmapped_roles: input.unmapped,
        sync: false,
        threads: 1,
        ..ChangePrefix::default()
    };
    if let Err(error) = change_prefix(&options, &Silent) {
        let expected = matches!(error, Error::Refused { .. } | Error::Damaged { .. });
        assert!(expected, "what becomes of a role is proved: {error}");
    }
}

impl Input {
    fn source(&self) -> Source {
        let keys = ["/r/a", key(self.other)];
        let record = |(at, key): (i64, &&str)| {
            let value = record_rest(at, at, 1, b"value", 0);
            (record_key(at, 0, false), record_value(KeyForm::Canonical, key.as_bytes(), &value))
        };
        let mut source = Source::with_records((2..).zip(&keys).map(record).collect());
        source.bucket_mut("authRoles").pairs.push((b"role".to_vec(), self.role()));
        source.bucket_mut("authRoles").inline = false;
        source
    }

    /// An encoded `authpb.Role`; the tail may be anything.
    fn role(&self) -> Vec<u8> {
        let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
        let grant = |&(kind, from, end): &(u8, u8, u8)| {
            let range = [field(0x12, key(from).as_bytes()), field(0x1A, key(end).as_bytes())];
            field(0x12, &[vec![8, kind % 4], range.concat()].concat())
        };
        let mut role = field(0x0A, b"role");
        role.extend(self.grants.iter().flat_map(grant));
        role.extend_from_slice(&self.tail);
        role
    }
}

fn key(number: u8) -> &'static str {
    KEYS[usize::from(number) % KEYS.len()]
}
