use std::fs;

use anyhow::Result;

use super::{Folder, one, status_hash};
use crate::support::{change, stdout};

const DEST: &str = "/c1";

/// What is saved and rewritten at once is what the saved file becomes when it is rewritten later.
#[test]
fn a_saved_file_is_rewritten_as_it_would_be_later() -> Result<()> {
    let (cluster, folder) = (one()?, Folder::new()?);
    let endpoint = cluster.endpoint(0);
    let alone = folder.save(endpoint, "--change-prefix /c1").saved();
    super::whole_and_alone(&folder)?;
    assert_eq!(alone["file"], serde_json::Value::Null);
    fs::remove_file(folder.path("snap.db"))?;

    let kept = folder.save(endpoint, "--change-prefix /c1 --keep-saved kept.db").saved();
    assert_eq!(folder.names(), ["kept.db", "snap.db"]);
    assert_eq!(kept["file"], "kept.db");
    let (saved, changed) = (folder.path("kept.db"), folder.path("snap.db"));
    assert_eq!(kept["status_hash"], status_hash(&saved)?);
    assert_eq!(kept["change_prefix"]["status_hash_after"], status_hash(&changed)?);
    assert_eq!(alone["change_prefix"]["status_hash_after"], status_hash(&changed)?);
    let later = folder.path("later.db");
    change(&saved, &later, ["/registry", DEST], &[])?;
    assert_eq!(status_hash(&later)?, status_hash(&changed)?);
    let files = [saved.to_str().unwrap(), changed.to_str().unwrap()];
    stdout(["verify", files[0], files[1], "--dest-prefix", DEST])?;
    Ok(())
}

/// What is wrong is told before anybody is asked, and nothing is left of what was received.
#[test]
fn a_change_that_cannot_be_made_leaves_nothing() -> Result<()> {
    let (cluster, folder) = (one()?, Folder::new()?);
    let (endpoint, nobody) = (cluster.endpoint(0), "127.0.0.1:1");
    let line = "--change-prefix /c1 --src-prefix /nothing";
    folder.save(endpoint, line).refused(10, &["/nothing", "--src-prefix", "--allow-empty"]);
    let quota = "--change-prefix /c1 --target-quota 100000 --keep-saved kept.db";
    folder.save(endpoint, quota).refused(18, &["--target-quota"]);
    assert_eq!(folder.names(), [""; 0]);
    for (line, words) in [
        ("--change-prefix /registry", "another --change-prefix or --src-prefix"),
        ("--change-prefix /c1 --keep-saved ./snap.db", "snap.db cannot be both the saved file"),
        ("--keep-saved kept.db", "--change-prefix"),
        ("--unmatched drop", "--change-prefix"),
        ("--src-prefix /a", "--change-prefix"),
        ("--allow-empty --target-quota 5", "--change-prefix"),
    ] {
        folder.save(nobody, line).refused(2, &[words]);
    }
    for existing in ["file", "folder", "link"] {
        let target = folder.path("snap.db");
        match existing {
            "file" => fs::write(&target, "precious")?,
            "folder" => fs::create_dir(&target)?,
            _ => std::os::unix::fs::symlink("nowhere", &target)?,
        }
        let run = folder.save(nobody, "--change-prefix /c1");
        run.refused(5, &["snap.db exists already", "another FILE"]);
        assert_eq!(folder.names(), ["snap.db"]);
        if existing == "folder" { fs::remove_dir(target)? } else { fs::remove_file(target)? }
    }
    Ok(())
}
