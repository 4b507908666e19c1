use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcdprefix_store::{CredentialOptions, Environment, Error, Kind, Store, StoreOptions, list};
use etcdprefix_testkit::stores::{Key, OssServer};
use tempfile::TempDir;

use crate::support::{Server, both, clean, location, run};

/// The metadata of an ECS or EC2 instance with a role, and the STS of both clouds.
pub struct Metadata {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    role: Arc<Mutex<(Key, SystemTime)>>,
    failing: Arc<AtomicUsize>,
}

impl Metadata {
    /// The thread ends with the process: it owns nothing but its socket.
    pub fn start(key: &Key, ends: SystemTime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, role) = (Arc::default(), Arc::new(Mutex::new((key.clone(), ends))));
        let failing = Arc::new(AtomicUsize::new(0));
        let its = (Arc::clone(&asked), Arc::clone(&role), Arc::clone(&failing));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let less = |left: usize| left.checked_sub(1);
                let fails = its.2.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
                // A client that goes away is the client's affair.
                let _ = answer(&client, &its.0, &its.1, fails);
            }
        });
        Self { address, asked, role, failing }
    }

    /// So many of the next requests are answered with a 503.
    pub fn fail(&self, times: usize) {
        self.failing.store(times, Ordering::SeqCst);
    }

    /// From now on the role has another key.
    pub fn renew(&self, key: &Key, ends: SystemTime) {
        *self.role.lock().unwrap() = (key.clone(), ends);
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn environment(&self) -> Environment {
        let url = format!("http://{}", self.address);
        environment(&[
            ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &url),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
        ])
    }
}

fn answer(
    client: &TcpStream,
    asked: &Mutex<Vec<String>>,
    role: &Mutex<(Key, SystemTime)>,
    fails: bool,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let token = headers.iter().any(|line| line.to_lowercase().contains("token: v2-token"));
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(path.split('?').next().unwrap_or_default().to_owned());
    let (key, ends) = role.lock().unwrap().clone();
    let (status, body) = match path.as_str() {
        _ if fails => (503, String::new()),
        "/latest/api/token" if line.starts_with("PUT ") => (200, "v2-token".to_owned()),
        _ if path.starts_with("/?") => (200, sts(&key, ends)),
        _ if !token => (403, "a token is needed".into()),
        "/latest/meta-data/ram/security-credentials/"
        | "/latest/meta-data/iam/security-credentials/" => (200, "the-role".into()),
        "/latest/meta-data/ram/security-credentials/the-role"
        | "/latest/meta-data/iam/security-credentials/the-role" => (200, of_role(&key, ends)),
        _ => (404, String::new()),
    };
    let length = body.len();
    write!(
        &*client,
        "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn of_role(key: &Key, ends: SystemTime) -> String {
    let (token, ends) = (key.token.clone().unwrap_or_default(), stamp(ends));
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{}","AccessKeySecret":"{}","SecretAccessKey":"{}",
            "SecurityToken":"{token}","Token":"{token}","Expiration":"{ends}"}}"#,
        key.id, key.secret, key.secret
    )
}

fn sts(key: &Key, ends: SystemTime) -> String {
    format!(r#"{{"Credentials":{}}}"#, of_role(key, ends))
}

pub fn environment(variables: &[(&str, &str)]) -> Environment {
    let set = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment { variables: HashMap::from_iter(set), home: None }
}

pub fn store_of(server: &Server, environment: Environment) -> Store {
    store_with(server, CredentialOptions::default(), environment)
}

fn store_with(server: &Server, credentials: CredentialOptions, environment: Environment) -> Store {
    let options = StoreOptions { credentials, ..server.options(server.address()) };
    Store::open(&location(server.kind()), &options, &environment).unwrap()
}

/// Where no instance's metadata is.
fn nowhere() -> Environment {
    environment(&[
        ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ])
}

fn secret_folder(key: &Key) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("access-key-id"), format!("{}\n", key.id)).unwrap();
    fs::write(folder.path().join("access-key-secret"), &key.secret).unwrap();
    if let Some(token) = &key.token {
        fs::write(folder.path().join("security-token"), token).unwrap();
    }
    folder
}

fn of_folder(folder: &Path) -> CredentialOptions {
    CredentialOptions { folder: Some(folder.into()), profile: None }
}

#[test]
fn a_mounted_secret_has_them() {
    both(async |server| {
        let folder = secret_folder(server.key());
        // What else there is does not count.
        let others = crate::support::environment(server.kind(), &Key::new("other", "s3cr3t"));
        let store = store_with(&server, of_folder(folder.path()), others);
        assert_eq!(store.credentials().await.unwrap().origin, "the folder");
        list(&store, "none/", 1).await.unwrap();

        fs::remove_file(folder.path().join("access-key-secret")).unwrap();
        let store = store_with(&server, of_folder(folder.path()), nowhere());
        let error = list(&store, "", 1).await.unwrap_err();
        clean(&error);
        assert!(error.to_string().contains("access-key-secret"), "{error}");
    });
}

#[test]
fn a_secret_that_is_replaced_under_way_is_read_again() {
    both(async |server| {
        let folder = secret_folder(&Key::new("old", "old-s3cr3t"));
        let store = store_with(&server, of_folder(folder.path()), nowhere());
        store.credentials().await.unwrap();
        let fresh = secret_folder(server.key());
        for name in ["access-key-id", "access-key-secret"] {
            fs::copy(fresh.path().join(name), folder.path().join(name)).unwrap();
        }
        list(&store, "none/", 1).await.unwrap();
    });
}

#[test]
fn profile_files_have_them() {
    both(async |server| {
        let (home, key) = (TempDir::new().unwrap(), server.key());
        let (id, secret) = (&key.id, &key.secret);
        fs::create_dir(home.path().join(".aws")).unwrap();
        let aws = format!("[team]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
        fs::write(home.path().join(".aws/credentials"), aws).unwrap();
        fs::create_dir(home.path().join(".aliyun")).unwrap();
        let aliyun = format!(
            r#"{{"current":"other","profiles":[{{"name":"team","mode":"AK",
                "access_key_id":"{id}","access_key_secret":"{secret}"}}]}}"#
        );
        fs::write(home.path().join(".aliyun/config.json"), aliyun).unwrap();
        let mut environment = Environment { home: Some(home.path().into()), ..nowhere() };
        list(&store_with(&server, of_profile("team"), environment.clone()), "none/", 1)
            .await
            .unwrap();
        // One that was asked for goes before all that the environment says.
        let others = crate::support::environment(server.kind(), &Key::new("other", "s3cr3t"));
        environment.variables.extend(others.variables);
        for name in ["OSS_PROFILE", "ALIBABA_CLOUD_PROFILE", "AWS_PROFILE"] {
            environment.variables.insert(name.into(), "other".into());
        }
        list(&store_with(&server, of_profile("team"), environment.clone()), "none/", 1)
            .await
            .unwrap();
        let store = store_with(&server, of_profile("nobody"), environment);
        let error = store.credentials().await.unwrap_err();
        assert!(error.to_string().contains("\"nobody\""), "{error}");
    });
}

fn of_profile(profile: &str) -> CredentialOptions {
    CredentialOptions { folder: None, profile: Some(profile.to_owned()) }
}

#[test]
fn a_profile_file_that_is_named_and_not_there_ends_the_search() {
    both(async |server| {
        let ends = SystemTime::now() + Duration::from_secs(3000);
        let mut environment = Metadata::start(server.key(), ends).environment();
        for name in ["AWS_CONFIG_FILE", "ALIBABA_CLOUD_CONFIG_FILE"] {
            environment.variables.insert(name.into(), "/no/such/file".into());
        }
        let error = store_of(&server, environment).credentials().await.unwrap_err();
        let Error::NoCredentials { tried } = &error else { panic!("{error:?}") };
        assert!(tried.last().unwrap().contains("cannot read /no/such/file"), "{tried:?}");
    });
}

#[test]
fn variables_that_are_empty_are_not_set() {
    both(async |server| {
        let key = with_token(&server);
        let metadata = Metadata::start(&key, SystemTime::now() + Duration::from_secs(3000));
        let mut environment = metadata.environment();
        let empty = crate::support::environment(server.kind(), &Key::new("", "").with_token(""));
        environment.variables.extend(empty.variables);
        environment.variables.insert("AWS_PROFILE".into(), String::new());
        let found = store_of(&server, environment).credentials().await.unwrap();
        assert!(found.origin.ends_with("role"), "{found:?}");
    });
}

/// The instance's role may do more, or other things.
#[test]
fn half_a_pair_of_variables_does_not_hand_over_to_a_role() {
    both(async |server| {
        let metadata = Metadata::start(server.key(), SystemTime::now() + Duration::from_secs(3000));
        let mut environment = metadata.environment();
        let half = crate::support::environment(server.kind(), &Key::new("id", ""));
        environment.variables.extend(half.variables);
        let error = store_of(&server, environment).credentials().await.unwrap_err().to_string();
        assert!(error.contains("is set without") && error.contains("SECRET"), "{error}");
    });
}

#[test]
fn credentials_that_can_not_be_replaced_yet_do_until_they_end() {
    both(async |server| {
        let key = with_token(&server);
        let metadata = Metadata::start(&key, SystemTime::now() + Duration::from_secs(100));
        let store = store_of(&server, metadata.environment());
        // Without any, whoever has them is asked again.
        metadata.fail(2);
        list(&store, "none/", 1).await.unwrap();
        metadata.fail(1000);
        list(&store, "none/", 1).await.unwrap();
        let fresh = store_of(&server, metadata.environment());
        let error = list(&fresh, "none/", 1).await.unwrap_err();
        assert!(matches!(error, Error::NoCredentials { .. }), "{error:?}");
    });
}

/// Neither server knows a token of a key that lasts: one takes any, the other none.
pub fn with_token(server: &Server) -> Key {
    match server.kind() {
        Kind::Oss => server.key().clone().with_token("any-s3cr3t"),
        Kind::S3 => server.key().clone().with_token(""),
    }
}

#[test]
fn the_metadata_of_an_instance_has_them_and_when_they_end() {
    both(async |server| {
        let key = with_token(&server);
        let ends = SystemTime::now() + Duration::from_secs(3000);
        let metadata = Metadata::start(&key, ends);
        let store = store_of(&server, metadata.environment());
        let credentials = store.credentials().await.unwrap();
        let left = credentials.left().unwrap().as_secs();
        assert!((2900..=3000).contains(&left), "{left}");
        list(&store, "none/", 1).await.unwrap();
        list(&store, "none/", 1).await.unwrap();
        let asked = metadata.asked();
        assert_eq!((asked.len(), asked[0].as_str()), (3, "/latest/api/token"), "{asked:?}");
    });
}

#[test]
fn credentials_that_end_under_way_are_replaced() {
    let server = OssServer::start().unwrap();
    let old = Key::new("STS.old", "old-s3cr3t").with_token("old-s3cr3t-token");
    let new = Key::new("STS.new", "new-s3cr3t").with_token("new-s3cr3t-token");
    server.allow(&old, &[]).unwrap();
    let ends = |seconds| SystemTime::now() + Duration::from_secs(seconds);
    let metadata = Metadata::start(&old, ends(3000));
    let wrapped = Server::Oss(server);
    let Server::Oss(server) = &wrapped else { unreachable!() };
    run(async {
        let store = store_of(&wrapped, metadata.environment());
        list(&store, "", 1).await.unwrap();
        // The store ends them before their time, and the instance has fresh ones.
        server.allow(&new, &[]).unwrap();
        server.allow(&Key { token: Some("revoked".into()), ..old.clone() }, &[]).unwrap();
        metadata.renew(&new, ends(60));
        list(&store, "", 1).await.unwrap();
        // Those end soon, so they are asked for anew each time.
        let before = metadata.asked().len();
        list(&store, "", 1).await.unwrap();
        assert!(metadata.asked().len() > before);
    });
}

#[test]
fn a_pods_own_role_comes_before_that_of_its_node() {
    let server = OssServer::start().unwrap();
    let key = Key::new("STS.pod", "pod-s3cr3t").with_token("pod-s3cr3t-token");
    server.allow(&key, &[]).unwrap();
    let server = Server::Oss(server);
    let metadata = Metadata::start(&key, SystemTime::now() + Duration::from_secs(900));
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "oidc-s3cr3t").unwrap();
    let mut environment = metadata.environment();
    let url = environment.variables["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"].clone();
    for (name, value) in [
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/pod"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap()),
        ("ALIBABA_CLOUD_STS_ENDPOINT", &url),
    ] {
        environment.variables.insert(name.into(), value.into());
    }
    run(async {
        let store = store_of(&server, environment.clone());
        assert_eq!(store.credentials().await.unwrap().origin, "OIDC");
        list(&store, "", 1).await.unwrap();
        assert_eq!(metadata.asked(), ["/"]);
        // Without its token it fails, rather than go on as the node.
        fs::remove_file(&token).unwrap();
        let error = store_of(&server, environment).credentials().await.unwrap_err();
        let Error::NoCredentials { tried } = &error else { panic!("{error:?}") };
        assert!(tried.last().unwrap().starts_with("OIDC: cannot read "), "{tried:?}");
    });
}

#[test]
fn without_any_each_place_is_named() {
    both(async |server| {
        let error = store_of(&server, nowhere()).credentials().await.unwrap_err();
        let Error::NoCredentials { tried } = &error else { panic!("{error:?}") };
        for place in ["environment", "OIDC", "role"] {
            assert!(tried.iter().any(|tried| tried.contains(place)), "{place}: {tried:?}");
        }
    });
}
