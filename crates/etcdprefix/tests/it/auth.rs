use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{
    Client, Error, GetOptions, Permission, PutOptions, RoleRevokePermissionOptions, Txn, TxnOp,
};
use etcdprefix_testkit::{EtcdServer, PrefixMap, Version, block_on, save};
use tempfile::TempDir;

use crate::support::{change, run, said};

const DEST: &str = "/c123";

/// Keys under the prefix, beside it, under a neighbour of the destination.
const KEYS: [&str; 12] = [
    "/registry",
    "/registry/pods/a",
    "/registry/pods/b",
    "/registry/podsx",
    "/registry/secrets/s",
    "/registry-gardener/x",
    "/registryx",
    "/other/x",
    "/c1234/x",
    "/c1234",
    "/c12",
    "plain",
];

/// A user, whose role has the same name and these permissions.
struct User {
    name: &'static str,
    grants: Vec<Permission>,
}

fn users() -> Vec<User> {
    let user = |name, grants: &[Permission]| User { name, grants: grants.to_vec() };
    let all = Permission::read_write;
    vec![
        user("exact", &[Permission::read("/registry/pods/a")]),
        user("root-key", &[all("/registry")]),
        user("pods", &[all("/registry/pods/").with_prefix()]),
        user("slash", &[all("/registry/").with_prefix()]),
        user("loose", &[all("/registry").with_prefix()]),
        user("everything", &[all("").with_all_keys()]),
        user("from-zero", &[Permission::read("\0").with_from_key()]),
        user(
            "between",
            &[Permission::write("/registry/pods/a").with_range_end("/registry/pods/b")],
        ),
        user("gardener", &[all("/registry-gardener/").with_prefix()]),
        user("neighbour", &[all("/c1234/").with_prefix(), all("/c1234")]),
        user(
            "mixed",
            &[
                Permission::write("/registry/secrets/").with_prefix(),
                Permission::read("plain"),
                Permission::read("/registry/").with_prefix(),
                Permission::read("/c12"),
            ],
        ),
    ]
}

/// What a user may do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    read: bool,
    write: bool,
    read_below: bool,
}

const PASSWORD: &str = "correct horse";

/// A store with these users and auth enabled.
fn store(version: Version, users: &[User], to: &Path) -> Result<EtcdServer> {
    let server = EtcdServer::start(version, &["--bcrypt-cost", "4"])?;
    block_on(async {
        let mut client = server.client().await?;
        for key in KEYS {
            client.put(key, "value", None).await?;
        }
        for user in users {
            client.role_add(user.name).await?;
            for grant in &user.grants {
                client.role_grant_permission(user.name, grant.clone()).await?;
            }
            client.user_add(user.name, PASSWORD, None).await?;
            client.user_grant_role(user.name, user.name).await?;
        }
        client.user_add("root", PASSWORD, None).await?;
        client.role_add("root").await?;
        client.user_grant_role("root", "root").await?;
        client.auth_enable().await?;
        save::stream(&mut server.client_as("root", PASSWORD).await?, to).await?;
        anyhow::Ok(())
    })?;
    Ok(server)
}

async fn may(client: &mut Client, key: &str) -> Result<May> {
    let read = permitted(client.get(key, None).await)?;
    // Permissions of both branches are checked, and only the empty one is taken.
    let put = TxnOp::put(key, "x", Some(PutOptions::new()));
    let write = permitted(client.txn(Txn::new().or_else([put])).await)?;
    let below = GetOptions::new().with_prefix();
    let read_below = permitted(client.get(format!("{key}/"), Some(below)).await)?;
    Ok(May { read, write, read_below })
}

fn permitted<T>(result: Result<T, Error>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::GRpcStatus(status)) if status.message().contains("permission denied") => {
            Ok(false)
        }
        Err(error) => bail!("neither permitted nor denied: {error}"),
    }
}

type Rights = BTreeMap<String, May>;

fn rights(server: &EtcdServer, user: &str, keys: &[String]) -> Result<Rights> {
    block_on(async {
        let mut client = server.client_as(user, PASSWORD).await?;
        let mut rights = Rights::new();
        for key in keys {
            rights.insert(key.clone(), may(&mut client, key).await?);
        }
        Ok(rights)
    })
}

fn mapped(key: &str) -> String {
    let map = PrefixMap::new("/registry", DEST);
    String::from_utf8(map.map(key.as_bytes())).expect("the keys are text")
}

fn same_rights(before: &EtcdServer, after: &EtcdServer, user: &User) -> Result<()> {
    let keys: Vec<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
    let could = rights(before, user.name, &keys)?;
    let images: Vec<String> = keys.iter().map(|key| mapped(key)).collect();
    let can = rights(after, user.name, &images)?;
    for key in &keys {
        let image = mapped(key);
        // What `--prefix /registry` opened beside the prefix is closed; the report says so.
        let beside = user.name == "loose" && *key == image && key.starts_with("/registry");
        let expected =
            if beside { May { read: false, write: false, read_below: false } } else { could[key] };
        ensure!(
            can[&image] == expected,
            "{}: {key} {expected:?}, {image} {:?}",
            user.name,
            can[&image]
        );
    }
    Ok(())
}

/// Nobody but who may do everything gets at the old names.
fn old_names_are_closed(after: &EtcdServer, user: &User) -> Result<()> {
    let old: Vec<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
    let old: Vec<String> = old.into_iter().filter(|key| *key != mapped(key)).collect();
    for (key, may) in rights(after, user.name, &old)? {
        let open = may.read || may.write || may.read_below;
        let everything = ["everything", "from-zero"].contains(&user.name);
        ensure!(open == everything, "{}: {key} {may:?}", user.name);
    }
    Ok(())
}

/// Every permission is found by etcd's own search: changed, revoked and granted again.
fn permissions_can_be_managed(after: &EtcdServer, user: &User) -> Result<()> {
    block_on(async {
        let mut root = after.client_as("root", PASSWORD).await?;
        let stored = root.role_get(user.name).await?.permissions();
        for permission in &stored {
            let (key, end) = (permission.key().to_vec(), permission.range_end().to_vec());
            let readable = Permission::read(key.clone()).with_range_end(end.clone());
            root.role_grant_permission(user.name, readable).await?;
            let now = root.role_get(user.name).await?.permissions();
            ensure!(now.len() == stored.len(), "{}: granted beside, not over: {now:?}", user.name);
            let options = RoleRevokePermissionOptions::new().with_range_end(end);
            root.role_revoke_permission(user.name, key, Some(options)).await?;
            let now = root.role_get(user.name).await?.permissions();
            ensure!(now.len() == stored.len() - 1, "{}: not revoked: {now:?}", user.name);
            root.role_grant_permission(user.name, permission.clone()).await?;
        }
        let now = root.role_get(user.name).await?.permissions();
        ensure!(now.len() == stored.len(), "{}: {now:?}", user.name);
        Ok(())
    })
}

#[test]
fn users_may_do_the_same_under_the_new_prefix_and_nothing_else() -> Result<()> {
    for version in Version::ALL {
        let folder = TempDir::new()?;
        let (source, output) = (folder.path().join("source.db"), folder.path().join("output.db"));
        let before = store(version, &users(), &source)?;
        let result = change(&source, &output, ["/registry", DEST], &[])?;
        let auth = &result["auth"];
        let expected = (users().len() as u64 + 1, 7, 1);
        let number = |field: &str| auth[field].as_u64().unwrap_or_default();
        assert_eq!((number("roles"), number("moved"), number("narrowed")), expected, "{result}");
        let after = EtcdServer::restored(version, &output)?;
        for user in &users() {
            same_rights(&before, &after, user)
                .and_then(|()| old_names_are_closed(&after, user))
                .and_then(|()| permissions_can_be_managed(&after, user))
                .and_then(|()| same_rights(&before, &after, user))
                .with_context(|| format!("etcd {version}, user {}", user.name))?;
        }
    }
    Ok(())
}

#[test]
fn ranges_without_an_equivalent_are_refused_by_name() -> Result<()> {
    let open = Permission::read_write("/registry/").with_from_key();
    let straddles = Permission::read("/registr").with_range_end("/registry/pods/b");
    let inside = Permission::read("/c123/").with_prefix();
    for (name, grant, code, flag_helps) in [
        ("open", open, 15, true),
        ("straddles", straddles, 15, true),
        ("escalates", inside, 19, false),
    ] {
        let folder = TempDir::new()?;
        let source = folder.path().join("source.db");
        drop(store(Version::V3_5_16, &[User { name, grants: vec![grant] }], &source)?);
        let db = source.to_str().context("the path is UTF-8")?;
        let line = ["change-prefix", "--db", db, "--dest-prefix", DEST];
        let refused = run(line)?;
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
        assert!(said(&refused).contains(&format!("role {name}")), "{}", said(&refused));
        let allowed = run(line.iter().chain(&["--allow-unmapped-roles"]))?;
        assert_eq!(allowed.status.success(), flag_helps, "{}", said(&allowed));
    }
    Ok(())
}
