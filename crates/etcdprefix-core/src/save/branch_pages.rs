//! Branch pages: how children are shared out among them, and their bytes.

use crate::error::Result;
use crate::format::branch::{ELEMENT_BYTES, encode_element};
use crate::format::page::{BRANCH, HEADER_BYTES, MAX_ELEMENTS, PageHeader};
use crate::save::buffer::PageOut;
use crate::units::{PageSize, Pgid};

/// Children that share a branch page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub children: usize,
    /// Pages that their keys and page ids take; more than one only where keys are long.
    pub pages: u64,
}

/// Shares out children with first keys of these sizes, in order: as many as fit a page, but at
/// least two, since bbolt merges a branch with a single child away.
pub fn groups(page_size: PageSize, key_bytes: &[u32]) -> Vec<Group> {
    let mut ends = greedy_ends(page_size, key_bytes);
    if let [.., before, start, end] = ends.as_mut_slice()
        && *end - *start == 1
    {
        if *start - *before > 2 {
            *start -= 1;
        } else {
            ends.remove(ends.len() - 2);
        }
    }
    let bounds = ends.windows(2);
    bounds
        .map(|bound| group(page_size, key_bytes.get(bound[0]..bound[1]).unwrap_or_default()))
        .collect()
}

/// 0 and the ends of full pages.
fn greedy_ends(page_size: PageSize, key_bytes: &[u32]) -> Vec<usize> {
    let mut ends = vec![0];
    let (mut used, mut children) = (HEADER_BYTES, 0);
    for (index, &bytes) in key_bytes.iter().enumerate() {
        let element = ELEMENT_BYTES + bytes as usize;
        let full = used + element > page_size.as_usize() || children >= MAX_ELEMENTS;
        if full && children >= 2 {
            ends.push(index);
            (used, children) = (HEADER_BYTES, 0);
        }
        used += element;
        children += 1;
    }
    ends.push(key_bytes.len());
    ends
}

fn group(page_size: PageSize, key_bytes: &[u32]) -> Group {
    let keys: u64 = key_bytes.iter().map(|&bytes| u64::from(bytes)).sum();
    let bytes = (HEADER_BYTES + key_bytes.len() * ELEMENT_BYTES) as u64 + keys;
    Group { children: key_bytes.len(), pages: page_size.pages_for(bytes) }
}

/// Renders the branch page of `group` at `pgid` over these children, given by first key and page.
pub fn render_branch<'k>(
    out: &mut impl PageOut,
    page_size: PageSize,
    pgid: Pgid,
    group: Group,
    children: impl Iterator<Item = (&'k [u8], Pgid)> + Clone,
) -> Result<()> {
    let overflow = (group.pages - 1) as u32;
    let count = group.children as u16;
    out.put(&PageHeader { id: pgid, flags: BRANCH, count, overflow }.encode())?;
    let mut data_at = HEADER_BYTES + group.children * ELEMENT_BYTES;
    for (index, (key, child)) in children.clone().enumerate() {
        let pos = data_at - (HEADER_BYTES + index * ELEMENT_BYTES);
        out.put(&encode_element(pos as u32, key.len() as u32, child))?;
        data_at += key.len();
    }
    for (key, _) in children {
        out.put(key)?;
    }
    out.put_zeros((group.pages * page_size.bytes()).saturating_sub(data_at as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(key_bytes: &[u32]) -> Vec<usize> {
        let groups = groups(PageSize::new(4096).unwrap(), key_bytes);
        groups.iter().map(|group| group.children).collect()
    }

    #[test]
    fn pages_are_full_and_none_has_one_child() {
        assert_eq!(shares(&[17; 123]), [123]);
        assert_eq!(shares(&[17; 125]), [123, 2]);
        assert_eq!(shares(&[17; 124]), [122, 2]);
        assert_eq!(shares(&[3000; 3]), [3]);
        assert_eq!(shares(&[3000; 4]), [2, 2]);
        assert_eq!(shares(&[17; 2]), [2]);
    }

    #[test]
    fn long_keys_overflow() {
        let groups = groups(PageSize::new(4096).unwrap(), &[30_000, 30_000]);
        assert_eq!(groups, [Group { children: 2, pages: 15 }]);
    }
}
