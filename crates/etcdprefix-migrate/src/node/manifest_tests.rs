use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::error::NodeErrorKind;

const API_SERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  labels: {component: kube-apiserver, tier: control-plane}
spec:
  hostNetwork: true
  containers:
  - command:
    - kube-apiserver
    - --etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379
    - --etcd_prefix
    - /registry
    - --secure-port=6443
    - --empty=
    args: ["--tls-cert-file=/certs/api/tls.crt"]
    image: registry.k8s.io/kube-apiserver:v1.28.3
    name: kube-apiserver
    resources: {requests: {cpu: 250m}}
    volumeMounts:
    - {mountPath: /certs, name: pki, readOnly: true}
    - {mountPath: /certs/etcd, name: etcd, subPath: deep/../cert}
    - {mountPath: /certs/one.pem, name: one}
    - {mountPath: /token, name: token}
  volumes:
  - hostPath: {path: /etc/kubernetes/pki, type: DirectoryOrCreate}
    name: pki
  - {name: etcd, hostPath: {path: /var/lib/etcd}}
  - {name: one, hostPath: {path: /opt/one.pem, type: File}}
  - {name: token, projected: {sources: []}}
status: {}
"#;

fn parse(text: &str) -> StaticPod {
    StaticPod::parse(PathBuf::from("/m/some-file.yaml"), text.as_bytes())
}

#[test]
fn flags_are_found_however_they_are_written() {
    let pod = parse(API_SERVER);
    assert_eq!(pod.name, "kube-apiserver");
    let servers = "https://10.0.0.1:2379,https://10.0.0.2:2379";
    assert_eq!(pod.flag("etcd-servers"), Some(servers));
    assert_eq!(pod.flag("--etcd-prefix"), Some("/registry"));
    assert_eq!(pod.flag("tls-cert-file"), Some("/certs/api/tls.crt"));
    assert_eq!((pod.flag("empty"), pod.flag("etcd"), pod.flag("no")), (Some(""), None, None));
}

#[test]
fn files_of_a_container_are_found_on_the_host() {
    let pod = parse(API_SERVER);
    for (inside, host) in [
        ("/certs/api/tls.crt", "/etc/kubernetes/pki/api/tls.crt"),
        ("/certs", "/etc/kubernetes/pki"),
        ("/certs/etcd/ca.pem", "/var/lib/etcd/deep/cert/ca.pem"),
        ("/certs/one.pem", "/opt/one.pem"),
        ("/certsx/a", "/certsx/a"),
        ("/token/t", "/token/t"),
    ] {
        assert_eq!(pod.host_path(Path::new(inside)), Path::new(host), "{inside}");
    }
}

fn containers(containers: &str) -> StaticPod {
    parse(&format!(
        r#"{{"kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":[{containers}]}}}}"#
    ))
}

#[test]
fn a_component_is_known_by_name_program_or_image() {
    for written in [
        r#"{"name":"kube-apiserver","command":["/go-runner"]}"#,
        r#"{"name":"a","command":["/go-runner","--log-file=/l","/usr/bin/kube-apiserver","--x=y"]}"#,
        r#"{"name":"a","command":["tini","-s","--","kube-apiserver"]}"#,
        r#"{"name":"a","command":["sh","-c"],"args":["exec kube-apiserver --x=y 1>/l 2>&1"]}"#,
        r#"{"name":"a","image":"r.io:5000/k/kube-apiserver-amd64:v1.20.4@sha256:12"}"#,
        r#"{"name":"etcd","command":["etcd"]},{"name":"kube-apiserver"}"#,
    ] {
        assert!(containers(written).runs("kube-apiserver"), "{written}");
    }
    let flagged = r#"{"name":"a","command":["sh","-c","kube-apiserver --x=y"]}"#;
    assert_eq!(containers(flagged).flag("x"), Some("y"));
    for written in [
        r#"{"name":"kube-apiserver-proxy","command":["proxy","--to=kube-apiserver"]}"#,
        r#"{"name":"a","command":["probe","--of","/var/log/kube-apiserver"]}"#,
        r#"{"name":"a","image":"kube-apiserver:1","command":["sleep"]}"#,
    ] {
        assert!(!containers(written).runs("kube-apiserver"), "{written}");
    }
}

#[test]
fn the_first_pod_of_several_documents_counts() {
    let other = "kind: ConfigMap\nmetadata: {name: c}\n";
    let second = API_SERVER.replace("kube-apiserver", "second");
    let pod = parse(&format!("---\n{other}---{API_SERVER}---{second}"));
    assert_eq!(pod.name, "kube-apiserver");
    let twice = "kind: Pod\nmetadata: {name: a, name: b}\nspec: {containers: [{name: c}]}\n";
    assert_eq!(parse(twice).name, "b", "as the kubelet takes it");
    assert!(
        parse("{\n\t\"kind\": \"Pod\", \"spec\": {\"containers\": [{\"name\": \"c\"}]}}").is_pod()
    );
}

#[test]
fn what_is_no_pod_runs_nothing() {
    let bomb = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let doubling = (1..60).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    let aliases = format!("a0: &a0 [x]\n{}", doubling.collect::<String>());
    let list = "kind: Pod\nspec: [a, b]\n";
    let large = format!("{API_SERVER}#{}", "x".repeat(1 << 20));
    for text in ["", "\0\u{1}", "kind: [", "a: b", &bomb, &aliases, list, &large, "kind: Pod\n"] {
        let pod = parse(text);
        assert_eq!((pod.name.as_str(), pod.is_pod()), ("some-file", false));
        assert!(!pod.runs("some-file"));
    }
    let binary = StaticPod::parse("/m/x".into(), &[0xff, 0xfe, 0x00, 0xc3]);
    assert!(!binary.is_pod());
}

#[test]
fn a_folder_is_read_as_the_kubelet_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["b.yaml", "a.yaml.bak", ".hidden.yaml"] {
        fs::write(path(name), API_SERVER).unwrap();
    }
    fs::write(path("broken.yaml"), "kind: [").unwrap();
    fs::create_dir(path("folder.yaml")).unwrap();
    symlink("b.yaml", path("link.yaml")).unwrap();
    symlink("nowhere", path("dangling.yaml")).unwrap();
    let pods = StaticPod::read_all(folder.path()).unwrap();
    assert_eq!(names(&pods), ["a.yaml.bak", "b.yaml", "broken.yaml", "link.yaml"]);
    let running: Vec<bool> = pods.iter().map(|pod| pod.runs("kube-apiserver")).collect();
    assert_eq!(running, [true, true, false, true]);
    let missing = StaticPod::read_all(&path("none")).unwrap_err();
    assert_eq!(missing.kind, NodeErrorKind::Io);
}
