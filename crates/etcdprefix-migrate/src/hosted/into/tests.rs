use serde_json::json;

use super::*;
use crate::bundle::Sensitive;
use crate::hosted::keys::Key;

const MANIFESTS: &str = "\
# rendered
---
apiVersion: v1
kind: Namespace
metadata: {name: clusters}   # as it is
---
apiVersion: hypershift.openshift.io/v1beta1
kind: HostedCluster
metadata:
  name: new
  namespace: clusters
spec:
  # of us
  dns:
    baseDomain: example.com
  etcd:  # ours
    managed:
      # not small
      storage:
        persistentVolume:
          size: 16Gi   # large
          storageClassName: gp3
        type: PersistentVolume
    managementType: Managed

  # what follows
  networking:
    clusterNetwork:
    - cidr: 10.132.0.0/14
  secretEncryption:
    aescbc:
      activeKey:
        name: new-etcd-encryption-key
    type: aescbc
status: {}
---
apiVersion: hypershift.openshift.io/v1beta1
kind: NodePool
metadata:
  name: new
spec:
  etcd: no HostedCluster's
";

fn aescbc() -> Keys {
    let data = Sensitive::new("MDEyMzQ1Njc4OWFiY2RlZg==".into());
    Keys::Aescbc { active: Key { name: "old-key".into(), data }, backup: None }
}

fn source() -> Name {
    "clusters/mine".parse().unwrap()
}

fn into_text(text: &str, keys: &Keys) -> Result<(String, Vec<String>), String> {
    merged(
        text,
        &Wanted { url: "https://s/o?sig=1", volume: "4Gi", keys, name: None, source: &source() },
    )
}

#[test]
fn only_etcd_changes_and_the_key_is_added() {
    let (text, notes) = into_text(MANIFESTS, &aescbc()).unwrap();
    let (head, rest) = MANIFESTS.split_once("    managed:\n").unwrap();
    let (_, tail) = rest.split_once("    managementType: Managed\n").unwrap();
    let new = "      # not small
    managed:
      storage:
        persistentVolume:
          size: \"16Gi\"
          storageClassName: \"gp3\"
        restoreSnapshotURL:
        - \"https://s/o?sig=1\"
        type: PersistentVolume
    managementType: Managed
";
    let secret = "---
apiVersion: v1
kind: Secret
metadata:
  name: \"new-etcd-encryption-key\"
  namespace: \"clusters\"
type: Opaque
data:
  key: MDEyMzQ1Njc4OWFiY2RlZg==
";
    assert_eq!(text, format!("{head}{new}{tail}{secret}"));
    assert!(notes.is_empty());
    // Again: the key is there, the URL is replaced.
    let (again, notes) = into_text(&text, &aescbc()).unwrap();
    assert_eq!(again.matches("kind: Secret").count(), 1);
    assert_eq!(again, text);
    assert!(notes[0].contains("replaced"), "{notes:?}");
}

#[test]
fn other_ways_to_write_it_are_done_or_refused_whole() {
    let none = Keys::None;
    let head = "apiVersion: hypershift.openshift.io/v1beta1\nkind: HostedCluster\n";
    let crlf = format!(
        "{head}spec:\n    a: |\n        etcd:\n          b\n    etcd:\n        managed: {{}}"
    );
    let (text, _) = into_text(&crlf.replace('\n', "\r\n"), &none).unwrap();
    assert!(text.contains("    etcd:\r\n      managed:\r\n") && text.contains("        etcd:\r\n"));
    let (text, _) = into_text(&format!("{head}spec:\n  a: b"), &none).unwrap();
    assert!(text.contains("spec:\n  etcd:\n    managed:"), "{text}");
    for (bad, why) in [
        (format!("{head}spec: {{a: b}}\n"), "lines of its own"),
        (format!("{head}spec:\n  etcd: {{}}\n  a: b\n"), "line by line"),
        (format!("{head}spec:\n  etcd: &e\n    a: b\n  f: *e\n"), "line by line"),
        (format!("{head}spec:\n"), "nothing in it"),
        ("kind: Secret\n".into(), "no HostedCluster"),
        (format!("{head}spec:\n  a: 1\n---\n{head}spec:\n  a: 2\n"), "2 HostedClusters"),
        ("a: [s3cr3t\n".into(), "document 1 is no YAML"),
    ] {
        let refused = into_text(&bad, &none).unwrap_err();
        assert!(refused.contains(why) && !refused.contains("s3cr3t"), "{why}: {refused}");
    }
}

#[test]
fn a_cluster_that_could_not_read_its_secrets_is_refused() {
    let secret = |key: &str| {
        let name = "metadata: {name: new-etcd-encryption-key, namespace: clusters}";
        format!("{MANIFESTS}---\nkind: Secret\n{name}\ndata: {{key: {key}}}\n")
    };
    let same = secret("MDEyMzQ1Njc4OWFiY2RlZg==");
    // What hcp renders has a fresh key.
    let (text, notes) = into_text(&secret("b3RoZXI="), &aescbc()).unwrap();
    assert_eq!(text, into_text(&same, &aescbc()).unwrap().0);
    assert!(notes[0].contains("is replaced by the source's"), "{notes:?}");
    assert_eq!(into_text(&same, &aescbc()).unwrap().0.matches("kind: Secret").count(), 1);
    let kms = Keys::Kms(json!({"provider": "AWS"}));
    assert!(into_text(MANIFESTS, &kms).unwrap_err().contains("encrypted with kms"));
    let unnamed = MANIFESTS.replace("type: aescbc", "type: other");
    assert!(into_text(&unnamed, &aescbc()).unwrap_err().contains("secretEncryption other"));
    let data = || Sensitive::new("a2V5".into());
    let two = Keys::Aescbc {
        active: Key { name: "a".into(), data: data() },
        backup: Some(Key { name: "b".into(), data: data() }),
    };
    assert!(into_text(MANIFESTS, &two).unwrap_err().contains("backupKey"));
}

#[test]
fn one_of_several_is_named() {
    let head = "apiVersion: hypershift.openshift.io/v1beta1\nkind: HostedCluster\n";
    let one = |name: &str| format!("{head}metadata:\n  name: {name}\nspec:\n  a: b\n");
    let text = format!("{}---\n{}", one("first"), one("other"));
    let source = source();
    let (keys, source) = (&Keys::None, &source);
    let wanted = |name| Wanted { url: "u", volume: "1Gi", keys, name: Some(name), source };
    let (merged_text, _) = merged(&text, &wanted("other")).unwrap();
    assert!(merged_text.starts_with(&format!("{}---\n", one("first"))), "{merged_text}");
    assert!(merged(&text, &wanted("none")).unwrap_err().contains("no HostedCluster none"));
}

#[test]
fn one_that_is_there_is_refused_and_what_goes_is_named() {
    let none = Keys::None;
    for (old, new, why) in [
        ("  name: new\n  namespace", "  name: new\n  uid: 1-2\n  namespace", "there already"),
        ("status: {}", "status: {version: {}}", "there already"),
        ("managementType: Managed", "managementType: Unmanaged", "does not manage"),
    ] {
        let refused = into_text(&MANIFESTS.replacen(old, new, 1), &none).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let same = MANIFESTS.replacen("  name: new\n", "  name: mine\n", 1);
    let notes = into_text(&same, &none).unwrap().1;
    assert!(notes[0].contains("NAMED AS THE SOURCE, clusters/mine"), "{notes:?}");
    let more =
        MANIFESTS.replacen("          size: 16Gi", "          mode: x\n          size: 16Gi", 1);
    let notes = into_text(&more, &none).unwrap().1;
    assert!(notes[0].ends_with("spec.etcd.managed.storage.persistentVolume.mode"), "{notes:?}");
}
