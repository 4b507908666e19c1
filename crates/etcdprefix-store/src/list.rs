//! What is under a prefix.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::Method;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::client::Request;
use crate::error::{Cause, Error, Result};
use crate::object::{Head, head, unquoted};
use crate::store::Store;
use crate::xml;

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
    let mut token = String::new();
    loop {
        let page = page(store, prefix, &token).await?;
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

/// The same, each with what a HEAD says, if that may be asked; what was removed meanwhile is left
/// out.
///
/// # Errors
/// The store's and the network's; the first ends it.
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
    match head(store, &listed.key).await {
        Ok(head) => Ok(Some((listed, Some(head)))),
        Err(error) => match error.cause() {
            Some(Cause::NoObject) => Ok(None),
            Some(Cause::Denied) => Ok(Some((listed, None))),
            _ => Err(error),
        },
    }
}

#[derive(Default)]
struct Page {
    objects: Vec<Listed>,
    next: Option<String>,
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
    let unreadable = || Error::Unreachable {
        host: store.endpoint.to_string(),
        why: "the listing can't be read".into(),
    };
    parse(&answer.text()).ok_or_else(unreadable)
}

fn parse(text: &str) -> Option<Page> {
    let mut leaves: Vec<(Vec<String>, String)> = Vec::new();
    let whole = xml::walk(text, |path, text| leaves.push((path.to_vec(), text.into())), |_| {});
    let encoded = leaves.iter().any(|(path, _)| path.last().is_some_and(|n| n == "EncodingType"));
    let mut page = Page::default();
    for (path, text) in &leaves {
        let names: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
        page.take(&names, text, encoded);
    }
    whole.then_some(page)
}

impl Page {
    fn take(&mut self, names: &[&str], text: &str, encoded: bool) {
        if names == ["NextContinuationToken"] {
            self.next = Some(text.to_owned());
        }
        let ["Contents", name] = names else { return };
        if *name == "Key" {
            let key = if encoded { decoded(text) } else { text.to_owned() };
            self.objects.push(Listed { key, ..Listed::default() });
        }
        let Some(last) = self.objects.last_mut() else { return };
        match *name {
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
