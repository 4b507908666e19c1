use std::path::Path;
use std::sync::Arc;

use etcdprefix_store::{
    Description, Error, Metadata, Result, Store, UploadOptions, Verified, verify,
};
use etcdprefix_testkit::stores::{Act, Front, Rule};

use crate::crypt::Pair;
use crate::support::{Counted, both, bytes, clean, file, silent, upload};

/// Of a real etcd, with its trailer.
fn snapshot() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/snapshots");
    std::fs::read(folder.join("k8s-3.5.1.db")).unwrap()
}

fn trailer(snapshot: &[u8]) -> String {
    snapshot[snapshot.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn described(sha256: String) -> Description {
    Description {
        revision: Some(42),
        sha256: Some(sha256),
        prefix: Some("/registry/\u{952e} x".into()),
        ..Description::default()
    }
}

async fn put(store: &Store, key: &str, bytes: &[u8], metadata: Metadata) {
    let (_folder, path) = file(bytes);
    let options = UploadOptions { metadata, ..UploadOptions::default() };
    upload(store, &path, key, &options, silent()).await.unwrap();
}

/// What is said of an object with these bytes.
async fn judged(store: &Store, bytes: &[u8], metadata: Metadata) -> Result<Verified> {
    put(store, "verify/judged", bytes, metadata).await;
    verify(store, "verify/judged", None, silent()).await.inspect_err(clean)
}

#[test]
fn a_whole_snapshot_is_known_by_its_trailer_and_what_is_said_of_it() {
    both(async |server| {
        let (store, snapshot) = (server.store(), snapshot());
        let description = described(trailer(&snapshot));
        let found = judged(&store, &snapshot, description.metadata().unwrap()).await.unwrap();
        assert_eq!((found.bytes, found.snapshot_bytes), (340_000, 340_000));
        assert_eq!((&found.sha256, &found.description), (&trailer(&snapshot), &description));
        assert!(found.checked && found.described && !found.encrypted, "{found:?}");

        let found = judged(&store, &snapshot, Metadata::default()).await.unwrap();
        assert!(!found.described && found.description == Description::default());
    });
}

#[test]
fn an_encrypted_snapshot_is_decrypted_on_the_way() {
    let (pair, other) = (Pair::new(), Pair::new());
    both(async |server| {
        let (store, snapshot, key) = (server.store(), snapshot(), "verify/encrypted");
        let encryption = Some("age".to_owned());
        let description = Description { encryption, ..described(trailer(&snapshot)) };
        let encrypted = pair.encrypt(&snapshot);
        put(&store, key, &encrypted, description.metadata().unwrap()).await;
        let identities = Some(pair.identities.clone());
        let found = verify(&store, key, identities.clone(), silent()).await.unwrap();
        assert_eq!(found.bytes, encrypted.len() as u64);
        assert_eq!((found.snapshot_bytes, &found.sha256), (340_000, &trailer(&snapshot)));
        assert!(found.encrypted && found.described && found.checked, "{found:?}");
        assert_eq!(found.description, description);

        let none = verify(&store, key, None, silent()).await.unwrap_err();
        assert!(matches!(none, Error::Encrypted), "{none:?}");
        let wrong = verify(&store, key, Some(other.identities.clone()), silent()).await;
        assert!(matches!(wrong, Err(Error::NoIdentity)), "{wrong:?}");
        for end in [encrypted.len() - 1, encrypted.len() - 40_000, 100] {
            put(&store, key, &encrypted[..end], Metadata::default()).await;
            let cut = verify(&store, key, identities.clone(), silent()).await.unwrap_err();
            assert!(matches!(cut, Error::Undecryptable), "{end}: {cut:?}");
            clean(&cut);
        }
    });
}

#[test]
fn what_is_no_whole_snapshot_is_told_and_why() {
    both(async |server| {
        let (store, snapshot) = (server.store(), snapshot());
        let changed = |at: usize| {
            let mut changed = snapshot.clone();
            changed[at] ^= 1;
            changed
        };
        let cut = |end: usize| snapshot[..end].to_vec();
        let end = snapshot.len();
        for (bytes, expected) in [
            (changed(0), "it is damaged"),
            (changed(end - 1), "it is damaged"),
            (cut(end - 32), "does not end as a snapshot"),
            (cut(end - 1), "does not end as a snapshot"),
            (cut(end - 4096), "it is damaged"),
            (cut(0), "does not end as a snapshot"),
        ] {
            let error = judged(&store, &bytes, Metadata::default()).await.unwrap_err();
            let Error::Unsound { location, what } = &error else { panic!("{error:?}") };
            assert!(location.key == "verify/judged" && what.contains(expected), "{error}");
        }
        let other = described("0a".repeat(32)).metadata().unwrap();
        let error = judged(&store, &snapshot, other).await.unwrap_err();
        let Error::Unsound { what, .. } = &error else { panic!("{error:?}") };
        assert!(what.contains("another snapshot"), "{what}");
        let none = verify(&store, "verify/none", None, silent()).await.unwrap_err();
        assert!(none.refusal().is_some(), "{none:?}");
    });
}

#[test]
fn a_connection_that_breaks_does_not_make_it_another_snapshot() {
    let pair = Pair::new();
    both(async |server| {
        let (snapshot, key) = (snapshot(), "verify/broken");
        put(&server.store(), key, &pair.encrypt(&snapshot), Metadata::default()).await;
        let front = Front::start(server.address()).unwrap();
        let act = Act::CutAnswer { after: 100_000 };
        front.rule(Rule { method: "GET", holds: "", skip: 0, times: 2, act });
        let store = server.store_at(&front.address());
        let found = verify(&store, key, Some(pair.identities.clone()), silent()).await.unwrap();
        assert_eq!((found.resumed, found.sha256), (2, trailer(&snapshot)));
    });
}

#[test]
fn a_verification_ends_if_it_is_asked_to() {
    let pair = Pair::new();
    both(async |server| {
        let (store, key) = (server.store(), "verify/stopped");
        put(&store, key, &pair.encrypt(&bytes(8 << 20)), Metadata::default()).await;
        let progress = Arc::new(Counted { stop_after: Some(1 << 20), ..Counted::default() });
        let front = Front::start(server.address()).unwrap();
        // Nothing more comes after that.
        let act = Act::CutAnswer { after: 2 << 20 };
        front.rule(Rule { method: "GET", holds: "", skip: 0, times: 1, act });
        front.rule(Rule { method: "GET", holds: "", skip: 0, times: 1, act: Act::Stall });
        let store = server.store_at(&front.address());
        let stopped = verify(&store, key, Some(pair.identities.clone()), progress).await;
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    });
}
