//! `spec.etcd` of a new HostedCluster, as a value and as lines.

use serde_json::{Value, json};

/// What a new cluster's etcd begins with.
pub struct Fragment<'a> {
    /// By which the snapshot is fetched. Secret.
    pub url: &'a str,
    /// A quantity.
    pub volume: &'a str,
    /// Of the volumes, if it is said.
    pub storage_class: Option<&'a str>,
}

impl Fragment<'_> {
    /// What the lines say.
    pub fn value(&self) -> Value {
        let mut volume = json!({"size": self.volume});
        if let Some(class) = self.storage_class {
            volume["storageClassName"] = class.into();
        }
        json!({
            "managed": {
                "storage": {
                    "persistentVolume": volume,
                    "restoreSnapshotURL": [self.url],
                    "type": "PersistentVolume",
                },
            },
            "managementType": "Managed",
        })
    }

    /// What stands below `etcd:`, each line indented by so much.
    pub fn lines(&self, indent: usize) -> Vec<String> {
        // A string of JSON is one of YAML, whatever is in it.
        let quoted = |text: &str| Value::from(text).to_string();
        let mut lines = vec![
            "managed:".to_owned(),
            "  storage:".into(),
            "    persistentVolume:".into(),
            format!("      size: {}", quoted(self.volume)),
        ];
        lines.extend(
            self.storage_class.map(|class| format!("      storageClassName: {}", quoted(class))),
        );
        lines.push("    restoreSnapshotURL:".into());
        lines.push(format!("    - {}", quoted(self.url)));
        lines.push("    type: PersistentVolume".into());
        lines.push("managementType: Managed".into());
        lines.iter().map(|line| format!("{:indent$}{line}", "")).collect()
    }

    /// A document to be merged into a HostedCluster's.
    pub fn document(&self) -> String {
        format!("spec:\n  etcd:\n{}\n", self.lines(4).join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_the_value_is() {
        for storage_class in [None, Some("gp3: \"odd\"")] {
            let fragment = Fragment { url: "https://a/b?c=%22&d", volume: "8Gi", storage_class };
            let read: Value = serde_saphyr::from_str(&fragment.document()).unwrap();
            assert_eq!(read, json!({"spec": {"etcd": fragment.value()}}));
        }
    }
}
