use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Folder, PROGRAM};

/// The texts are files here; `UPDATE_HELP=1 cargo test` writes them anew.
#[test]
fn help_is_as_recorded() {
    let folder = named();
    for (line, name) in [
        ("etcdprefix --help", "etcdprefix"),
        ("etcdprefix change-prefix --help", "change-prefix"),
        ("etcdprefix check --help", "check"),
        ("etcdprefix hashkv --help", "hashkv"),
        ("etcdprefix snapshot status --help", "snapshot-status"),
        ("etcdprefix snapshot save --help", "snapshot-save"),
        ("etcdprefix endpoint status --help", "endpoint-status"),
        ("etcdprefix endpoint hashkv --help", "endpoint-hashkv"),
        ("etcdprefix endpoint quiet --help", "endpoint-quiet"),
        ("etcdprefix verify --help", "verify"),
        ("etcdprefix store --help", "store"),
        ("etcdprefix store put --help", "store-put"),
        ("etcdprefix store get --help", "store-get"),
        ("etcdprefix store ls --help", "store-ls"),
        ("etcdprefix store presign --help", "store-presign"),
        ("etcdprefix store verify --help", "store-verify"),
        ("etcdprefix store check --help", "store-check"),
        ("etcdprefix store policy --help", "store-policy"),
        ("etcdprefix migrate --help", "migrate"),
        ("etcdprefix migrate rehearse --help", "migrate-rehearse"),
        ("etcdprefix migrate run --help", "migrate-run"),
        ("etcdprefix migrate rollback --help", "migrate-rollback"),
        ("etcdprefix migrate resume --help", "migrate-resume"),
        ("etcdprefix migrate status --help", "migrate-status"),
        ("etcdprefix migrate finish --help", "migrate-finish"),
        ("etcdprefix migrate presign --help", "migrate-presign"),
        ("etcdprefix migrate aftercare --help", "migrate-aftercare"),
        ("etcdprefix migrate render --help", "migrate-render"),
        ("etcdprefix migrate render kubernetes --help", "migrate-render-kubernetes"),
        ("etcdprefix migrate render ansible --help", "migrate-render-ansible"),
        ("etcdprefix migrate rewrite --help", "migrate-rewrite"),
        ("etcdprefix migrate policy --help", "migrate-policy"),
        ("etcdprefix migrate oos --help", "migrate-oos"),
        ("etcdprefix migrate oos create --help", "migrate-oos-create"),
        ("etcdprefix migrate oos start --help", "migrate-oos-start"),
        ("etcdprefix migrate oos watch --help", "migrate-oos-watch"),
        ("etcdprefix migrate oos cancel --help", "migrate-oos-cancel"),
        ("etcdprefix migrate render oos --help", "migrate-render-oos"),
        ("etcdprefix migrate hosted --help", "migrate-hosted"),
        ("etcdprefix migrate hosted run --help", "migrate-hosted-run"),
        ("etcdprefix migrate hosted rollback --help", "migrate-hosted-rollback"),
        ("etcdprefix migrate hosted status --help", "migrate-hosted-status"),
        ("etcdprefix node --help", "node"),
        ("etcdprefix node preflight --help", "node-preflight"),
        ("etcdprefix node sleep --help", "node-sleep"),
        ("etcdprefix node wake --help", "node-wake"),
        ("etcdprefix node snapshot --help", "node-snapshot"),
        ("etcdprefix node bundle --help", "node-bundle"),
        ("etcdprefix node leader --help", "node-leader"),
        ("etcdprefix node fence --help", "node-fence"),
        ("etcdprefix node unpublish --help", "node-unpublish"),
        ("etcdprefix node presign --help", "node-presign"),
        ("etcdprefix node status --help", "node-status"),
        ("modify-prefix-v2 change-prefix --help", "modify-prefix-v2"),
        ("modify-prefix modify-prefix --help", "modify-prefix"),
    ] {
        let run = folder.run(line);
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cli/help")
            .join(name)
            .with_extension("txt");
        if std::env::var_os("UPDATE_HELP").is_some() {
            fs::write(&file, run.succeeded()).unwrap();
        }
        assert_eq!(run.succeeded(), fs::read_to_string(&file).unwrap(), "{line}");
    }
}

#[test]
fn help_and_version_work_under_every_name() {
    let folder = named();
    for line in ["etcdprefix", "modify-prefix-v2", "modify-prefix"] {
        assert!(folder.run(&format!("{line} --help")).succeeded().contains("Exit codes:"));
        assert!(
            folder.run(&format!("{line} help")).succeeded().contains(&format!("Usage: {line}"))
        );
        let version = folder.run(&format!("{line} --version"));
        assert_eq!(version.succeeded(), format!("{line} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn completions_come_for_every_shell() {
    let folder = Folder::of(b"");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = folder.run(&format!("etcdprefix completion {shell}"));
        assert!(run.succeeded().contains("skip-hash-check"), "{shell}");
    }
    folder.run("etcdprefix completion tcsh").failed(2);
}

fn named() -> Folder {
    let folder = Folder::of(b"");
    for name in ["modify-prefix-v2", "modify-prefix"] {
        symlink(PROGRAM, folder.path(name)).unwrap();
    }
    folder
}
