//! The little XML that both stores speak.

use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::Event;

/// Names of what is open and the text in it; deeper documents are none of a store's.
const MAX_DEPTH: usize = 16;

/// Calls `leaf` with the path of element names and the text of every element that has text, and
/// `end` with the name of every element that ends. False if it is no XML.
pub(crate) fn walk(
    xml: &str,
    mut leaf: impl FnMut(&[String], &str),
    mut end: impl FnMut(&str),
) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) if path.len() < MAX_DEPTH => {
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Ok(Event::Text(part)) => text.push_str(&part),
            Ok(Event::GeneralRef(name)) => {
                let name = format!("&{};", &*name);
                text.push_str(&unescape(&name).unwrap_or_default());
            }
            Ok(Event::CData(part)) => text.push_str(&part),
            Ok(Event::End(_)) => {
                if !text.is_empty() {
                    leaf(&path, &text);
                }
                text.clear();
                path.pop().inspect(|name| end(name));
            }
            Ok(Event::Eof) => return path.is_empty(),
            Ok(Event::Start(_)) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// The text of the first element of that name.
pub(crate) fn find(xml: &str, name: &str) -> Option<String> {
    let mut found = None;
    walk(
        xml,
        |path, text| {
            if found.is_none() && path.last().is_some_and(|last| last == name) {
                found = Some(text.to_owned());
            }
        },
        |_| {},
    );
    found
}

/// The name of the outermost element.
pub(crate) fn root(xml: &str) -> Option<String> {
    let mut root = None;
    walk(xml, |_, _| {}, |name| root = Some(name.to_owned()));
    root
}

/// For the inside of an element.
pub(crate) fn text(text: &str) -> String {
    escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_with_their_entities() {
        let xml =
            "<?xml version=\"1.0\"?><E xmlns=\"u\"><Code>A&amp;B</Code><D><Code>C</Code></D></E>";
        assert_eq!(find(xml, "Code").as_deref(), Some("A&B"));
        assert_eq!(find(xml, "D"), None);
        assert_eq!(text("a<b"), "a&lt;b");
    }

    #[test]
    fn what_is_no_xml_is_told() {
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        for xml in ["<a><b></a>", "<a>", deep.as_str()] {
            assert!(!walk(xml, |_, _| {}, |_| {}), "{xml}");
        }
    }
}
