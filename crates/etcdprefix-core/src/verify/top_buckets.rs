//! Top-level buckets by name, in a file that nothing is known of.

use std::cell::RefCell;

use crate::error::Result;
use crate::read::{Bucket, PageSet, Snapshot};
use crate::verify::pairs::Pairs;

/// The buckets among `names`, in the names' order. The root bucket's pages are entered into
/// `seen`, so the work is bounded by the file whatever its pages say.
///
/// # Errors
/// Damaged if the root bucket does not read up to its end; I/O.
pub fn top_buckets<const N: usize>(
    snapshot: &Snapshot,
    names: [&str; N],
    seen: &RefCell<PageSet>,
) -> Result<[Option<Bucket>; N]> {
    let mut found = [const { None }; N];
    let mut root = Pairs::whole(snapshot, &snapshot.root_bucket(), Some(seen));
    while let Some(pair) = root.peek()? {
        let wanted = names.iter().position(|name| name.as_bytes() == pair.key);
        if let Some(slot) = wanted.filter(|_| pair.is_bucket).and_then(|at| found.get_mut(at)) {
            *slot = Some(Bucket::from_element(snapshot, pair.key, pair.value)?);
        }
        root.skip();
    }
    Ok(found)
}
