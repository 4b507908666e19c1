//! `migrate render kubernetes`: what it prints is judged by Kubernetes' schema, and its container runs as
//! the kubelet would run it.

mod kubelet;
mod schema;

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use etcdprefix_testkit::{Version, tools};
use serde_json::Value;

use super::{Client, Server, both};
use crate::support::{fixture, said};
use kubelet::Kubelet;
use schema::{Schema, documents};

const IMAGE: &str = "registry.example/etcdprefix@sha256:0123456789abcdef";
const SECRET: &str = "alibaba-addon-secret";

/// What is rendered, judged; ConfigMaps and Jobs by turns.
fn rendered(client: &Client, line: &str) -> Vec<Value> {
    let line = format!("migrate render kubernetes --image {IMAGE} {line}");
    let objects = documents(&client.run(&line).noted("Job")).unwrap();
    let list: Value =
        serde_json::from_str(&client.run(&format!("{line} -w json")).noted("Job")).unwrap();
    assert_eq!(list["items"], Value::from(objects.clone()));
    let version = if line.contains("--kubernetes 1.25") { "1.25.0" } else { "1.29.0" };
    let schema = Schema::of(version).unwrap();
    for object in &objects {
        assert_eq!(schema.faults(object), [""; 0]);
    }
    objects
}

/// Reached as the server is, with its key in a Secret.
fn reached(server: &Server) -> String {
    let [(_, endpoint), (_, region)] = server.reach(server.address());
    format!(
        "--store-endpoint {endpoint} --region {region} --store-path-style --credentials-secret {SECRET}"
    )
}

fn kubelet(server: &Server, objects: &[Value]) -> Kubelet {
    let mut kubelet = Kubelet::of(objects);
    let key = server.key();
    kubelet.secret(SECRET, &[("access-key-id", &key.id), ("access-key-secret", &key.secret)]);
    for name in ["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    {
        kubelet.variables.insert(name.into(), "http://127.0.0.1:9".into());
    }
    kubelet
}

/// Exit code, and the outcome of those that are done.
#[track_caller]
fn ended(kubelet: &Kubelet, job: &Value, index: usize) -> (i32, String) {
    let output = kubelet.run(job, index).unwrap();
    let text = said(&output);
    assert!(!text.contains("s3cr3t"), "{text}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let outcome = told["outcome"].as_str().map_or(text, str::to_owned);
    (output.status.code().unwrap(), outcome)
}

fn hopeless(job: &Value) -> HashSet<i64> {
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
    let values = rules[1]["onExitCodes"]["values"].as_array().unwrap();
    values.iter().map(|value| value.as_i64().unwrap()).collect()
}

/// It was rewritten, and nothing is wrong with it.
fn proved(client: &Client, source: &str, output: &str, dest: &str) {
    client.run(&format!("verify @{source} @{output} --dest-prefix {dest}")).succeeded();
    let bytes = client.fetch(output).unwrap();
    client.write("fetched.db", &bytes);
    tools::status(Version::JUDGE, &client.path("fetched.db"), Some("json")).unwrap();
}

/// Six snapshots: three sound ones, a damaged one, one that is done, and one whose place is taken.
fn six(client: &Client) -> String {
    let mut list = String::from("# which, where to, whose\n");
    for (index, name) in ["k8s120-3.4.23.db", "s-3.5.1.db", "s-3.4.23.db"].iter().enumerate() {
        client.send(&format!("in/{index}.db"), &fs::read(fixture(name)).unwrap());
    }
    let sound = client.take("k8s120-3.4.23.db");
    let mut damaged = sound.clone();
    damaged[sound.len() / 2] ^= 1;
    client.send("in/3.db", &damaged);
    client.send("in/4.db", &sound);
    client.run("change-prefix --db @in/4.db --dest-prefix /c4 --output @out/4.db").succeeded();
    client.send("in/5.db", &sound);
    client.run("change-prefix --db @in/5.db --dest-prefix /c6 --output @out/5.db").succeeded();
    for index in 0..6 {
        let [source, output] = ["in", "out"].map(|name| client.url(&format!("{name}/{index}.db")));
        list += &format!("{source} {output} c{index}\n\n");
    }
    client.write("list", list.as_bytes());
    list
}

#[test]
fn each_index_rewrites_its_snapshot_once() {
    both(|server: &Arc<Server>| {
        let client = Client::new(server, "jobs");
        six(&client);
        let line = format!("--list list --namespace etcd {} --parallelism 50", reached(server));
        let objects = rendered(&client, &line);
        assert_eq!(objects.len(), 2);
        let job = &objects[1];
        assert_eq!(
            (&job["spec"]["completions"], &job["spec"]["parallelism"]),
            (&6.into(), &6.into())
        );
        let (kubelet, hopeless) = (kubelet(server, &objects), hopeless(job));
        let taken = client.fetch("out/5.db").unwrap();
        let done = client.fetch("out/4.db").unwrap();
        for index in 0..3 {
            assert_eq!(ended(&kubelet, job, index), (0, "rewritten".into()));
            proved(
                &client,
                &format!("in/{index}.db"),
                &format!("out/{index}.db"),
                &format!("/c{index}"),
            );
        }
        let first = client.fetch("out/0.db").unwrap();
        // The pod was lost after its upload, and another one comes.
        assert_eq!(ended(&kubelet, job, 0), (0, "there already".into()));
        assert!(client.fetch("out/0.db").unwrap() == first);
        assert_eq!(ended(&kubelet, job, 4), (0, "there already".into()));
        assert!(client.fetch("out/4.db").unwrap() == done);
        for (index, code, words) in [(3, 3, "in/3.db"), (5, 5, "is no rewritten"), (6, 2, "has 6")]
        {
            let (exit, told) = ended(&kubelet, job, index);
            assert_eq!(exit, code, "{told}");
            assert!(told.contains(words) && hopeless.contains(&exit.into()), "{told}");
        }
        assert!(client.fetch("out/3.db").is_none(), "half an object");
        assert!(client.fetch("out/5.db").unwrap() == taken);
    });
}

#[test]
fn credentials_that_are_missing_or_wrong_leave_nothing() {
    let server = Server::own_oss();
    let client = Client::new(&server, "keyless");
    client.send("a.db", &client.take("s-3.5.1.db"));
    client.write("list", format!("{} {} c1\n", client.url("a.db"), client.url("b.db")).as_bytes());
    let objects = rendered(&client, &format!("--list list {}", reached(&server)));
    let mut kubelet = kubelet(&server, &objects);
    let hopeless = hopeless(&objects[1]);
    kubelet.secret(SECRET, &[]);
    // They may come: it is tried again.
    let (exit, told) = ended(&kubelet, &objects[1], 0);
    assert!(exit == 27 && !hopeless.contains(&27), "{told}");
    kubelet.secret(SECRET, &[("access-key-id", "LTAI"), ("access-key-secret", "s3cr3t-wrong")]);
    let (exit, told) = ended(&kubelet, &objects[1], 0);
    assert!(exit == 26 && hopeless.contains(&26), "{told}");
    let key = server.key();
    kubelet.secret(SECRET, &[("access-key-id", &key.id), ("access-key-secret", &key.secret)]);
    server.as_oss().allow(key, &["PutObject"]).unwrap();
    let (exit, told) = ended(&kubelet, &objects[1], 0);
    assert_eq!(exit, 26, "{told}");
    server.as_oss().allow(key, &[]).unwrap();
    assert!(client.fetch("b.db").is_none());
    assert_eq!(ended(&kubelet, &objects[1], 0), (0, "rewritten".into()));
}

/// What needs no rights of its own is given none.
#[test]
fn variables_of_a_secret_and_a_service_account_are_other_ways() {
    let server = Server::s3();
    let client = Client::new(&server, "variables");
    client.send("a.db", &client.take("s-3.5.1.db"));
    client.write("list", format!("{} {} c1\n", client.url("a.db"), client.url("b.db")).as_bytes());
    let objects = rendered(&client, "--list list --env-secret store --service-account rewriter");
    let pod = &objects[1]["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "rewriter");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let mut kubelet = kubelet(&server, &objects);
    let [(endpoint, url), (region, name)] = server.reach(server.address());
    let [id, secret, _] = server.names();
    let key = server.key();
    let data = [
        (endpoint, url.as_str()),
        (region, name.as_str()),
        (id, key.id.as_str()),
        (secret, key.secret.as_str()),
        ("ETCDPREFIX_STORE_ADDRESSING", "path"),
    ];
    kubelet.secret("store", &data);
    assert_eq!(ended(&kubelet, &objects[1], 0), (0, "rewritten".into()));
    proved(&client, "a.db", "b.db", "/c1");
}

#[test]
fn the_result_has_the_members_of_the_contract() {
    let contract = include_str!("../../../../../../docs/cli-contract.md");
    let (_, section) = contract.split_once("## `etcdprefix migrate rewrite`").unwrap();
    let example = section.split("```").nth(3).unwrap().trim_start_matches("json");
    let example: Value = serde_json::from_str(example).unwrap();
    let client = Client::new(&Server::s3(), "contract");
    client.send("a.db", &client.take("s-3.5.1.db"));
    client.write("list", format!("{} {} c1\n", client.url("a.db"), client.url("b.db")).as_bytes());
    let line = "migrate rewrite --list list --index 0";
    let made = client.run(&format!("{line} -w json")).json();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&example));
    assert_eq!(made["outcome"], example["outcome"]);
    assert!(client.run(line).succeeded().ends_with("under /c1: there already\n"));
}

#[test]
fn a_bucket_is_listed_with_what_metadata_says() {
    both(|server: &Arc<Server>| {
        let client = Client::new(server, "jobs-listed");
        client.take("s-3.5.1.db");
        for name in ["a.db", "deep/b.db"] {
            client.run(&format!("store put snap.db @in/{name} --cluster-id c7")).succeeded();
        }
        client.run("store check @in/").succeeded();
        let objects = rendered(&client, "--from @in/ --to @out/");
        let list = objects[0]["data"]["snapshots"].as_str().unwrap();
        let line = |name: &str| {
            format!(
                "{} {} /c7\n",
                client.url(&format!("in/{name}")),
                client.url(&format!("out/{name}"))
            )
        };
        assert_eq!(list, line("a.db") + &line("deep/b.db"));
        client.run("store put snap.db @in/c.db").succeeded();
        let line = format!("migrate render kubernetes --image {IMAGE} --from @in/ --to @out/");
        client.run(&line).refused(2, &[&client.url("in/c.db"), "which cluster", "--dest-prefix"]);
        let line = line.replace("@out/", "@in/new/");
        client.run(&line).refused(2, &[&client.url("in/new/"), "is under"]);
        let all = rendered(&client, "--from @in/ --to @out/ --dest-prefix /all");
        assert_eq!(all[1]["spec"]["completions"], 3);
    });
}

#[test]
fn long_lists_are_several_jobs() {
    let client = Client::new(&Server::s3(), "long");
    let lines: Vec<String> = (0..20_000)
        .map(|index| format!("oss://backups-of-all/in/{index:0>40} oss://backups-of-all/out/{index:0>40} /c{index}"))
        .collect();
    client.write("list", lines.join("\n").as_bytes());
    let objects = rendered(&client, "--list list --name all");
    let mut again = Vec::new();
    for (index, pair) in objects.chunks(2).enumerate() {
        let text = pair[0]["data"]["snapshots"].as_str().unwrap();
        assert!(pair[0].to_string().len() < 1 << 20);
        assert_eq!(pair[1]["metadata"]["name"], format!("all-{}", index + 1));
        assert_eq!(
            pair[1]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"],
            format!("all-{}", index + 1)
        );
        assert_eq!(pair[1]["spec"]["completions"], text.lines().count());
        again.extend(text.lines().map(str::to_owned));
    }
    assert!(objects.len() == 6 && again == lines);
}

#[test]
fn an_older_kubernetes_gets_what_it_knows() {
    let client = Client::new(&Server::s3(), "older");
    client.write("list", b"s3://bucket/a s3://bucket/b c1\ns3://bucket/c s3://bucket/d c2\n");
    let objects = rendered(&client, "--list list --kubernetes 1.25 --retries 2");
    assert_eq!(objects[1]["spec"]["backoffLimit"], 6);
    assert!(objects[1]["spec"]["podFailurePolicy"].is_null());
    let run = client.run(&format!(
        "migrate render kubernetes --image {IMAGE} --list list --kubernetes v1.23.1"
    ));
    run.refused(2, &["1.24 or later"]);
}

#[test]
fn hostile_words_stay_words() {
    let client = Client::new(&Server::s3(), "hostile");
    let odd = "s3://bucket/$(id)';\"#&*!|>%@`{}[],: s3://bucket/$$(X)\u{e9}\u{1f600} /$(JOB_COMPLETION_INDEX)\n";
    client.write("list", odd.as_bytes());
    let objects = rendered(&client, "--list list --src-prefix /$(JOB_COMPLETION_INDEX)$$");
    assert_eq!(objects[0]["data"]["snapshots"], odd);
    let mut kubelet = Kubelet::of(&objects);
    // Where nothing listens, so that all it can say is what it was asked for.
    kubelet.variables.insert("AWS_ENDPOINT_URL_S3".into(), "http://127.0.0.1:9".into());
    kubelet.variables.insert("AWS_ACCESS_KEY_ID".into(), "a".into());
    kubelet.variables.insert("AWS_SECRET_ACCESS_KEY".into(), "b".into());
    let args = objects[1]["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(args.contains("--src-prefix=/$$(JOB_COMPLETION_INDEX)$$$$"), "{args}");
    let (exit, told) = ended(&kubelet, &objects[1], 0);
    assert_eq!(exit, 23, "{told}");
    client.write("list", b"s3://bucket/a s3://bucket/b c1\n");
    for flags in [
        "--name Upper",
        "--name -x",
        "--name a\"b",
        "--namespace a.b",
        "--image a\nb",
        "--credentials-secret a/b",
        "--env-secret $(id)",
        "--service-account A",
        "--scratch 20Gi;",
        "--cpu 0",
        "--memory 1e3",
        "--memory 500m",
        "--memory 512",
        "--scratch 20m",
        "--store-endpoint http://a:b@host",
        "--kubernetes one",
        "--src-prefix /c1/",
        "--try-limit 1s",
    ] {
        let (flag, value) = flags.split_once(' ').unwrap();
        let mut command = client.command("migrate render kubernetes --list list");
        let image = format!("--image={IMAGE}");
        let given = format!("{flag}={value}");
        if flag != "--image" {
            command.arg(image);
        }
        let output = command.arg(&given).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{given}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
}
