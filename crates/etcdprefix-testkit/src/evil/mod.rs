//! Hand-made evil files, one for each thing that a file can do wrong (and some odd ones that are
//! right), laid out page by page without the encoder of [`crate::source`], which can't do wrong.

mod branches;
mod buckets;
mod elements;
mod metas;
mod records;
mod space;
mod store;

use sha2::{Digest, Sha256};

use crate::bolt::fnv1a_64;
use crate::source::{KeyForm, record_key, record_rest, record_value};

const HEADER: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const FREELIST: u16 = 0x10;
const BUCKET: u32 = 1;
const NO_FREELIST: u64 = u64::MAX;

/// Page 2 of a draft: the leaf of the root bucket.
const ROOT: u64 = 2;
/// Page 3: the freelist, empty.
const FREE: u64 = 3;
/// Page 4: the branch page of bucket `key`.
const KEYS: u64 = 4;
/// Pages 5, 6 and 7: its leaves, of three records each.
const FIRST: u64 = 5;
const SECOND: u64 = 6;
const THIRD: u64 = 7;
/// The first page that a draft leaves free to use.
const NEXT: u64 = 8;

/// A file and what it is called.
pub struct Evil {
    /// What is wrong with it.
    pub name: &'static str,
    /// All of it, with a trailer that is right unless that is what is wrong.
    pub bytes: Vec<u8>,
}

/// Every evil file.
pub fn files() -> Vec<Evil> {
    let parts = [
        metas::files(),
        space::files(),
        branches::files(),
        elements::files(),
        buckets::files(),
        records::files(),
        store::files(),
    ];
    let files = parts.into_iter().flatten();
    files.map(|(name, draft)| Evil { name, bytes: draft.finish() }).collect()
}

type Named = (&'static str, Draft);

/// A meta page as it is going to be.
#[derive(Clone)]
struct Meta {
    magic: u32,
    version: u32,
    page_size: u32,
    root: u64,
    freelist: u64,
    /// `None`: as many as there are.
    high_water: Option<u64>,
    txid: u64,
    /// Added to the checksum.
    off: u64,
}

/// A file being made: small, sound and compact as long as nothing is done to it.
#[derive(Clone)]
struct Draft {
    page_size: usize,
    pages: Vec<u8>,
    metas: [Meta; 2],
    /// What follows the pages instead of their SHA-256.
    seal: Option<Vec<u8>>,
    /// Cut to so many bytes in the end.
    cut: Option<usize>,
}

impl Draft {
    fn new() -> Self {
        Self::of_page_size(4096)
    }

    fn of_page_size(page_size: usize) -> Self {
        let meta = |txid| Meta {
            magic: 0xED0C_DAED,
            version: 2,
            page_size: page_size as u32,
            root: ROOT,
            freelist: FREE,
            high_water: None,
            txid,
            off: 0,
        };
        let metas = [meta(8), meta(9)];
        let draft = Self { page_size, pages: Vec::new(), metas, seal: None, cut: None };
        draft
            .page(ROOT, LEAF, &top(&[]))
            .page(FREE, FREELIST, &numbers(0, &[]))
            .page(KEYS, BRANCH, &branch(&[(2, FIRST), (5, SECOND), (8, THIRD)]))
            .page(FIRST, LEAF, &leaf(&records(2..5)))
            .page(SECOND, LEAF, &leaf(&records(5..8)))
            .page(THIRD, LEAF, &leaf(&records(8..11)))
    }

    /// Puts a page, or a run of them, in its place; the body says how many elements there are.
    fn page(self, id: u64, flags: u16, body: &Body) -> Self {
        let overflow = (HEADER + body.bytes.len()).div_ceil(self.page_size) - 1;
        self.run(id, flags, body, overflow as u32)
    }

    fn run(mut self, id: u64, flags: u16, body: &Body, overflow: u32) -> Self {
        let start = id as usize * self.page_size;
        let page = [header(id, flags, body.count, overflow), body.bytes.clone()].concat();
        let end = start + page.len().next_multiple_of(self.page_size);
        self.pages.resize(self.pages.len().max(end), 0);
        self.pages[start..end].fill(0);
        self.pages[start..start + page.len()].copy_from_slice(&page);
        self
    }

    /// Changes bytes of a page.
    fn patch(mut self, id: u64, at: usize, bytes: &[u8]) -> Self {
        let start = id as usize * self.page_size + at;
        self.pages[start..start + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Puts the root of bucket `key` elsewhere.
    fn rerooted(self, root: u64) -> Self {
        let given = [b"key".as_slice(), &rooted(KEYS)].concat();
        let start = ROOT as usize * self.page_size;
        let page = &self.pages[start..start + self.page_size];
        let at = page.windows(given.len()).position(|window| window == given);
        self.patch(ROOT, at.expect("bucket key") + 3, &rooted(root))
    }

    fn meta(mut self, change: impl Fn(&mut Meta)) -> Self {
        self.metas.iter_mut().for_each(change);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let pages = (self.pages.len() / self.page_size) as u64;
        for (id, meta) in self.metas.iter().enumerate() {
            let page = [header(id as u64, META, 0, 0), meta.encode(pages)].concat();
            let start = id * self.page_size;
            self.pages[start..start + page.len()].copy_from_slice(&page);
        }
        let digest = || Sha256::digest(&self.pages).to_vec();
        let seal = self.seal.clone().unwrap_or_else(digest);
        self.pages.extend(seal);
        self.pages.truncate(self.cut.unwrap_or(usize::MAX));
        self.pages
    }
}

impl Meta {
    fn encode(&self, pages: u64) -> Vec<u8> {
        let mut out = [self.magic, self.version, self.page_size, 0].map(u32::to_le_bytes).concat();
        let high_water = self.high_water.unwrap_or(pages);
        for field in [self.root, 0, self.freelist, high_water, self.txid] {
            out.extend(field.to_le_bytes());
        }
        let checksum = fnv1a_64(&out).wrapping_add(self.off);
        out.extend(checksum.to_le_bytes());
        out
    }
}

/// What follows a page's header.
#[derive(Clone)]
struct Body {
    count: u16,
    bytes: Vec<u8>,
}

fn header(id: u64, flags: u16, count: u16, overflow: u32) -> Vec<u8> {
    let mut header = id.to_le_bytes().to_vec();
    header.extend([flags, count].map(u16::to_le_bytes).concat());
    header.extend(overflow.to_le_bytes());
    header
}

/// Flags, key, value.
type Pair = (u32, Vec<u8>, Vec<u8>);

fn leaf(pairs: &[Pair]) -> Body {
    let (mut heads, mut data) = (Vec::new(), Vec::new());
    for (index, (flags, key, value)) in pairs.iter().enumerate() {
        let pos = (pairs.len() - index) * 16 + data.len();
        for field in [*flags, pos as u32, key.len() as u32, value.len() as u32] {
            heads.extend(field.to_le_bytes());
        }
        data.extend_from_slice(key);
        data.extend_from_slice(value);
    }
    Body { count: pairs.len() as u16, bytes: [heads, data].concat() }
}

/// A branch page over children whose first records have these revisions.
fn branch(children: &[(i64, u64)]) -> Body {
    let named: Vec<_> = children.iter().map(|(at, id)| (record_key(*at, 0, false), *id)).collect();
    branch_of(&named)
}

fn branch_of(children: &[(Vec<u8>, u64)]) -> Body {
    let (mut heads, mut data) = (Vec::new(), Vec::new());
    for (index, (key, id)) in children.iter().enumerate() {
        let pos = (children.len() - index) * 16 + data.len();
        heads.extend([pos as u32, key.len() as u32].map(u32::to_le_bytes).concat());
        heads.extend(id.to_le_bytes());
        data.extend_from_slice(key);
    }
    Body { count: children.len() as u16, bytes: [heads, data].concat() }
}

/// A freelist's body.
fn numbers(count: u16, numbers: &[u64]) -> Body {
    Body { count, bytes: numbers.iter().flat_map(|number| number.to_le_bytes()).collect() }
}

/// The buckets of every etcd but `key`.
const USUAL: [&[u8]; 7] =
    [b"auth", b"authRoles", b"authUsers", b"lease", b"members", b"members_removed", b"meta"];

/// Bucket `key` and others in the root bucket's leaf, with the usual ones empty.
fn top(others: &[Pair]) -> Body {
    let mut pairs = vec![(BUCKET, b"key".to_vec(), rooted(KEYS))];
    pairs.extend_from_slice(others);
    let given = |name: &[u8]| others.iter().any(|(_, key, _)| key == name);
    for name in USUAL.into_iter().filter(|name| !given(name)) {
        pairs.push((BUCKET, name.to_vec(), inline(LEAF, &leaf(&[]))));
    }
    pairs.sort_by(|one, other| one.1.cmp(&other.1));
    leaf(&pairs)
}

/// A bucket's value: its root page and counter.
fn rooted(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// The value of a bucket that stands in its parent's leaf.
fn inline(flags: u16, body: &Body) -> Vec<u8> {
    [rooted(0), header(0, flags, body.count, 0), body.bytes.clone()].concat()
}

fn records(revisions: std::ops::Range<i64>) -> Vec<Pair> {
    revisions.map(|at| (0, record_key(at, 0, false), value(at, 200))).collect()
}

fn value(at: i64, bytes: usize) -> Vec<u8> {
    let rest = record_rest(at, at, 1, &vec![7; bytes], 0);
    record_value(KeyForm::Canonical, b"/registry/pods/default/a", &rest)
}
