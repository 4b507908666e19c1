//! What is under a prefix.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::Method;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::client::Request;
use crate::error::{Cause, Result};
use crate::location::check_key;
use crate::object::{Head, head, unquoted};
use crate::store::Store;
use crate::xml;

/// After so many pages without an object, there is none to come: a store that forgets where it was
/// would go on for ever.
const EMPTY_PAGES: u32 = 100;
/// How many objects are asked about at once.
const PARALLEL: usize = 8;

/// An object of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// When it was written, as the store writes it.
    pub modified: String,
}

/// The objects whose keys begin with `prefix`, in the order of their keys, and whether there are
/// more than `limit`.
///
/// # Errors
/// The store's and the network's.
pub async fn list(store: &Store, prefix: &str, limit: usize) -> Result<(Vec<Listed>, bool)> {
    let mut found: Vec<Listed> = Vec::new();
    let (mut token, mut empty) = (String::new(), 0);
    loop {
        let page = page(store, prefix, &token).await?;
        empty = if page.objects.is_empty() { empty + 1 } else { 0 };
        if empty > EMPTY_PAGES {
            return Err(store.unreachable("the listing does not end".into()));
        }
        found.extend(page.objects);
        if found.len() > limit {
            found.truncate(limit);
            return Ok((found, true));
        }
        match page.next {
            Some(next) if next != token => token = next,
            _ => return Ok((found, false)),
        }
    }
}

/// The same, each with what a HEAD says; `None` if that can't be asked or is refused. What was
/// removed meanwhile is left out.
///
/// # Errors
/// The store's for the listing, and the network's; the first ends it.
pub async fn list_described(
    store: &Store,
    prefix: &str,
    limit: usize,
) -> Result<(Vec<(Listed, Option<Head>)>, bool)> {
    let (found, more) = list(store, prefix, limit).await?;
    let described = stream::iter(found.into_iter().map(|listed| describe(store, listed)));
    let described: Vec<_> = described.buffered(PARALLEL).try_collect().await?;
    Ok((described.into_iter().flatten().collect(), more))
}

async fn describe(store: &Store, listed: Listed) -> Result<Option<(Listed, Option<Head>)>> {
    // Others may use keys that can't be signed here.
    if check_key(&listed.key).is_err() {
        return Ok(Some((listed, None)));
    }
    match head(store, &listed.key).await {
        Ok(head) => Ok(Some((listed, Some(head)))),
        Err(error) => match error.refusal() {
            Some(refusal) if refusal.cause == Cause::NoObject => Ok(None),
            Some(refusal) if matches!(refusal.cause, Cause::Denied | Cause::Other) => {
                Ok(Some((listed, None)))
            }
            _ => Err(error),
        },
    }
}

#[derive(Default)]
struct Page {
    objects: Vec<Listed>,
    next: Option<String>,
    is_encoded: bool,
}

async fn page(store: &Store, prefix: &str, token: &str) -> Result<Page> {
    let mut request = Request::new("ListObjectsV2", Method::GET, "")
        .query("list-type", "2")
        // Keys may hold what XML can't.
        .query("encoding-type", "url")
        .query("max-keys", "1000");
    if !prefix.is_empty() {
        request = request.query("prefix", prefix);
    }
    if !token.is_empty() {
        request = request.query("continuation-token", token);
    }
    let answer = store.send(&request).await?;
    parse(&answer.text()).ok_or_else(|| store.unreachable("the listing can't be read".into()))
}

fn parse(text: &str) -> Option<Page> {
    let mut page = Page::default();
    let whole = xml::walk(text, |path, text| page.take(path, text), |_| {});
    if page.is_encoded {
        page.objects.iter_mut().for_each(|object| object.key = decoded(&object.key));
    }
    whole.then_some(page)
}

impl Page {
    fn take(&mut self, path: &[String], text: &str) {
        match path {
            [_, name] if name == "NextContinuationToken" => self.next = Some(text.to_owned()),
            [_, name] if name == "EncodingType" => self.is_encoded = true,
            [_, contents, name] if contents == "Contents" => self.describe(name, text),
            _ => {}
        }
    }

    /// The key comes first.
    fn describe(&mut self, name: &str, text: &str) {
        if name == "Key" {
            self.objects.push(Listed { key: text.to_owned(), ..Listed::default() });
        }
        let Some(last) = self.objects.last_mut() else { return };
        match name {
            "Size" => last.bytes = text.parse().unwrap_or_default(),
            "ETag" => last.etag = unquoted(text),
            "LastModified" => last.modified = text.to_owned(),
            _ => {}
        }
    }
}

/// As in a form: a space may be a plus.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', "%20")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><Prefix>a</Prefix>\
            <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>t=</NextContinuationToken>\
            <Contents><Key>a%2Fb+c%2Bd</Key><LastModified>now</LastModified>\
            <ETag>&quot;E&quot;</ETag><Size>7</Size><Owner><ID>0</ID></Owner></Contents>\
            <Contents><Key>b</Key><Size>0</Size></Contents></ListBucketResult>";
        let page = parse(text).unwrap();
        assert_eq!(page.next.as_deref(), Some("t="));
        let first = &page.objects[0];
        assert_eq!((first.key.as_str(), first.etag.as_str(), first.bytes), ("a/b c+d", "E", 7));
        assert_eq!(page.objects[1].key, "b");
        assert!(parse("<html>").is_none());
    }
}
