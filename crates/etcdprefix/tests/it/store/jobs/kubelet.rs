//! Runs a Job's container as the kubelet does: its own root, read-only but for its volumes, its user, its
//! variables, and its arguments with variables put in.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PROGRAM;

/// A new root of which only volumes can be written, and the command in it as another user.
const ENTER: &str = r#"
set -eu
root=$1 program=$2 volumes=$3 user=$4; shift 4
mount -t tmpfs -o mode=755 none "$root"
for name in bin lib lib64 usr etc proc dev; do
    if [ -L "/$name" ]; then cp -a "/$name" "$root/$name"
    elif [ -d "/$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; fi
done
mkdir "$root/image"
touch "$root/image/etcdprefix"
mount --bind "$program" "$root/image/etcdprefix"
while read -r here there mode; do
    mkdir -p "$root$there"
    mount --bind "$here" "$root$there"
    [ "$mode" = rw ] || mount -o remount,bind,ro "$root$there"
done < "$volumes"
mount -o remount,ro "$root"
exec chroot --userspec="$user" --groups="${user#*:}" "$root" "$@"
"#;

/// The node: its objects, and what its pods see.
pub struct Kubelet {
    /// ConfigMaps and Secrets, by kind and name.
    objects: BTreeMap<(&'static str, String), BTreeMap<String, String>>,
    /// What every container sees besides, as from a metadata service.
    pub variables: BTreeMap<String, String>,
}

impl Kubelet {
    /// Knows the ConfigMaps among these objects.
    pub fn of(objects: &[Value]) -> Self {
        let mut this = Self { objects: BTreeMap::new(), variables: BTreeMap::new() };
        for object in objects.iter().filter(|object| object["kind"] == "ConfigMap") {
            let data = object["data"].as_object().unwrap().iter();
            let data = data.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()));
            let name = object["metadata"]["name"].as_str().unwrap();
            this.objects.insert(("configMap", name.to_owned()), data.collect());
        }
        this
    }

    /// A Secret appears, or is replaced.
    pub fn secret(&mut self, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.objects.insert(("secret", name.into()), data.collect());
    }

    /// One pod of an index, to its end.
    pub fn run(&self, job: &Value, index: usize) -> Result<Output> {
        let (pod, node) = (&job["spec"]["template"]["spec"], TempDir::new()?);
        fs::set_permissions(node.path(), Permissions::from_mode(0o755))?;
        let container = &pod["containers"][0];
        let context = &pod["securityContext"];
        let [user, group] = ["runAsUser", "runAsGroup"].map(|name| context[name].to_string());
        let table = node.path().join("volumes");
        fs::write(&table, self.volumes(pod, node.path())?)?;
        let (root, script) = (node.path().join("root"), node.path().join("enter.sh"));
        fs::create_dir(&root)?;
        fs::write(&script, ENTER)?;
        let variables = self.environment(container, index);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh"]).arg(&script);
        command.arg(&root).arg(PROGRAM).arg(&table).arg(format!("{user}:{group}"));
        command.args(["/usr/bin/env", "-i", "PATH=/image"]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        for word in ["command", "args"].map(|name| &container[name]) {
            let words = word.as_array().context("words")?.iter();
            command.args(words.map(|word| expand(word.as_str().unwrap(), &variables)));
        }
        Ok(command
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()?)
    }

    /// As lines of folder here, folder there, and whether it may be written.
    fn volumes(&self, pod: &Value, node: &Path) -> Result<String> {
        let mut lines = String::new();
        let group = pod["securityContext"]["fsGroup"].as_u64().map(|group| group as u32);
        for mount in pod["containers"][0]["volumeMounts"].as_array().context("mounts")? {
            let name = mount["name"].as_str().context("a name")?;
            let volumes = pod["volumes"].as_array().context("volumes")?;
            let volume = volumes.iter().find(|volume| volume["name"] == name);
            let volume = volume.with_context(|| format!("there is no volume {name}"))?;
            let folder = node.join(name);
            fs::create_dir(&folder)?;
            chown(&folder, None, group)?;
            fs::set_permissions(&folder, Permissions::from_mode(0o2775))?;
            self.fill(volume, &folder, group)?;
            let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
            let there = mount["mountPath"].as_str().context("a path")?;
            lines += &format!("{} {there} {mode}\n", folder.display());
        }
        Ok(lines)
    }

    /// Files are links to those of a folder that is exchanged as a whole.
    fn fill(&self, volume: &Value, folder: &Path, group: Option<u32>) -> Result<()> {
        let sources = [("configMap", "name"), ("secret", "secretName")];
        let Some((kind, name)) = sources.into_iter().find(|(kind, _)| volume[kind].is_object())
        else {
            assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{volume}");
            return Ok(());
        };
        let name = volume[kind][name].as_str().context("a name")?;
        let data = self.objects.get(&(kind, name.to_owned()));
        let data = data.with_context(|| format!("the pod waits for {kind} {name}"))?;
        let mode = volume[kind]["defaultMode"].as_u64().unwrap_or(0o644) as u32;
        let version = folder.join("..2026_11_23");
        fs::create_dir(&version)?;
        for (file, text) in data {
            fs::write(version.join(file), text)?;
            chown(version.join(file), None, group)?;
            fs::set_permissions(version.join(file), Permissions::from_mode(mode))?;
            symlink(format!("..data/{file}"), folder.join(file))?;
        }
        Ok(symlink("..2026_11_23", folder.join("..data"))?)
    }

    fn environment(&self, container: &Value, index: usize) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let name = source["secretRef"]["name"].as_str().unwrap();
            let data = self.objects.get(&("secret", name.to_owned())).expect("the Secret");
            variables.extend(data.clone());
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let [name, value] = ["name", "value"].map(|member| variable[member].as_str().unwrap());
            let value = expand(value, &variables);
            variables.insert(name.to_owned(), value);
        }
        // The Job's controller adds it behind the others.
        variables.insert("JOB_COMPLETION_INDEX".into(), index.to_string());
        variables
    }
}

/// `$(NAME)` of what is known, and `$$` for one dollar.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        done += before;
        let name = after.strip_prefix('(').and_then(|named| named.split_once(')'));
        match name {
            _ if after.starts_with('$') => {
                done.push('$');
                rest = &after[1..];
            }
            Some((name, behind)) if variables.contains_key(name) => {
                done += &variables[name];
                rest = behind;
            }
            _ => {
                done.push('$');
                rest = after;
            }
        }
    }
    done + rest
}

#[test]
fn words_are_expanded_as_the_kubelet_does() {
    let known = BTreeMap::from([("A".to_owned(), "x".to_owned())]);
    for (text, expanded) in [
        ("--index=$(A)", "--index=x"),
        ("$$(A) $(B) $A $", "$(A) $(B) $A $"),
        ("$$$$(A)$(A)", "$$(A)x"),
    ] {
        assert_eq!(expand(text, &known), expanded);
    }
}
