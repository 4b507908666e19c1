//! Every parser of `format` on arbitrary bytes: no panic, and whatever it gives lies inside them.

use etcdprefix_core::format::branch::BranchView;
use etcdprefix_core::format::bucket::BucketHeader;
use etcdprefix_core::format::freelist;
use etcdprefix_core::format::leaf::{ELEMENT_BYTES, LeafView};
use etcdprefix_core::format::meta::{META_BYTES, Meta};
use etcdprefix_core::format::page::{HEADER_BYTES, PageHeader};
use etcdprefix_core::units::Pgid;

/// Takes the input as a page, whatever kind it says it is.
pub fn run(bytes: &[u8]) {
    meta(bytes);
    bucket(bytes);
    let Ok(header) = PageHeader::parse(bytes) else {
        assert!(bytes.len() < HEADER_BYTES, "enough bytes always are a header");
        return;
    };
    assert_eq!(header.encode(), bytes[..HEADER_BYTES], "a header is written as it was read");
    leaf(bytes, &header);
    branch(bytes, &header);
    if let Ok(entries) = freelist::entries(bytes, &header) {
        assert!(HEADER_BYTES + entries.count() * 8 <= bytes.len());
    }
}

fn meta(bytes: &[u8]) {
    if let Ok(meta) = Meta::parse(bytes) {
        let id = PageHeader::parse(bytes).map_or(Pgid(0), |header| header.id);
        let again = meta.encode(id);
        assert_eq!(again.len(), meta.page_size.as_usize());
        assert_eq!(again[HEADER_BYTES..META_BYTES], bytes[HEADER_BYTES..META_BYTES]);
    }
}

fn bucket(bytes: &[u8]) {
    if let Ok(header) = BucketHeader::parse(bytes) {
        assert_eq!(header.encode(), bytes[..header.encode().len()]);
    }
}

fn leaf(bytes: &[u8], header: &PageHeader) {
    let view = LeafView::new(bytes, header);
    for index in indices(bytes, view.count()) {
        let span = view.span(index);
        assert_eq!(span.is_ok(), view.element(index).is_ok());
        let (Ok(span), Ok(element)) = (span, view.element(index)) else {
            continue;
        };
        assert!(index < view.count(), "no element beyond the count");
        assert!(span.key.end <= bytes.len() && span.value.end <= bytes.len());
        assert_eq!(element.key, &bytes[span.key.clone()]);
        assert_eq!(element.value, &bytes[span.value.clone()]);
        assert_eq!(span.is_bucket(), element.is_bucket);
    }
}

fn branch(bytes: &[u8], header: &PageHeader) {
    let view = BranchView::new(bytes, header);
    for index in indices(bytes, view.count()) {
        let Ok(element) = view.element(index) else {
            continue;
        };
        assert!(index < view.count(), "no element beyond the count");
        assert!(is_part_of(element.key, bytes));
    }
}

/// Every element that could have room in the page, and the first beyond the count.
fn indices(bytes: &[u8], count: usize) -> impl Iterator<Item = usize> {
    (0..count.min(bytes.len() / ELEMENT_BYTES + 1)).chain([count])
}

fn is_part_of(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}
