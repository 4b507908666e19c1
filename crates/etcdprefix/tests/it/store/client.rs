use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use etcdprefix_testkit::stores::{Key, Sdk};
use serde_json::Value;
use tempfile::TempDir;

use super::Server;
use crate::support::{PROGRAM, fixture, said};

/// What every secret key of these tests holds, and no text may.
const SECRET_MARK: &str = "s3cr3t";
/// What every token holds; a presigned URL holds the token too.
pub const TOKEN_MARK: &str = "t0ken";
/// Nothing here takes so long, however busy the machine; `timeout` then ends the program with 124.
const HANG_SECONDS: &str = "150";

/// A user of a store: a folder to work in, keys under a prefix of its own, and nothing of this
/// process's environment.
pub struct Client {
    folder: TempDir,
    server: Arc<Server>,
    /// It takes seconds to start, so it runs as long as any test does.
    _s3: Arc<Server>,
    under: String,
    variables: BTreeMap<&'static str, String>,
}

/// What a run left.
pub struct Run(pub Output);

impl Client {
    /// With the key that may do everything.
    pub fn new(server: &Arc<Server>, under: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["work", "home", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (server, under) = (Arc::clone(server), format!("{under}/"));
        let (_s3, variables) = (Server::s3(), BTreeMap::new());
        let this = Self { folder, server, _s3, under, variables };
        // A log that somebody asks for must not say more.
        let this = this.set("RUST_LOG", "trace").set("RUST_BACKTRACE", "1").nowhere();
        let key = this.server.key().clone();
        let address = this.server.address().to_owned();
        this.at(&address).keyed(&key)
    }

    /// Credentials are nowhere, which is found out soon.
    fn nowhere(self) -> Self {
        self.set("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
            .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    }

    /// The store is reached here.
    pub fn at(mut self, address: &str) -> Self {
        self.variables.extend(self.server.reach(address));
        self
    }

    /// With this key in the environment, and no other.
    pub fn keyed(mut self, key: &Key) -> Self {
        let values = [Some(&key.id), Some(&key.secret), key.token.as_ref()];
        for (name, value) in self.server.names().into_iter().zip(values) {
            self.variables.remove(name);
            self.variables.extend(value.map(|value| (name, value.clone())));
        }
        self
    }

    /// With no key in the environment.
    pub fn keyless(mut self) -> Self {
        self.variables.retain(|name, _| !self.server.names().contains(name));
        self
    }

    /// Another store is known too.
    pub fn also(mut self, other: &Server) -> Self {
        self.variables.extend(other.reach(other.address()));
        let [id, secret, _] = other.names();
        self.variables.extend([(id, other.key().id.clone()), (secret, other.key().secret.clone())]);
        self
    }

    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn sdk(&self) -> Sdk {
        self.server.sdk()
    }

    /// Puts an object there, whatever this client may. The official SDK is the better judge of what
    /// is there, but takes a second.
    pub fn send(&self, name: &str, bytes: &[u8]) {
        let sender = self.another();
        sender.write("file", bytes);
        sender.run(&format!("store put file @{name} --no-check")).succeeded();
    }

    /// An object's bytes, `None` if it is not there.
    pub fn fetch(&self, name: &str) -> Option<Vec<u8>> {
        let fetcher = self.another();
        let run = fetcher.run(&format!("store get @{name} file --no-check"));
        if !run.0.status.success() {
            run.refused(26, &["there is no such object"]);
            return None;
        }
        Some(fetcher.read("file"))
    }

    /// At the same place with the key that may do everything.
    fn another(&self) -> Self {
        Self::new(&self.server, self.under.trim_end_matches('/'))
    }

    /// An object's key.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.under)
    }

    /// An object's place.
    pub fn url(&self, name: &str) -> String {
        format!("{}{}{name}", self.server.url(), self.under)
    }

    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// A snapshot of testdata as `snap.db`; its bytes are returned.
    pub fn take(&self, fixture_name: &str) -> Vec<u8> {
        let bytes = fs::read(fixture(fixture_name)).unwrap();
        self.write("snap.db", &bytes);
        bytes
    }

    /// The names in the folder that it works in, sorted.
    pub fn names(&self) -> Vec<String> {
        names(&self.path("."))
    }

    /// The program, `line` split at spaces, each `@` the place of this test in the store. It ends
    /// if it hangs.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", HANG_SECONDS, PROGRAM]);
        self.prepared(command, line)
    }

    /// As [`Self::command`], but signals reach the program itself.
    pub fn program(&self, line: &str) -> Command {
        self.prepared(Command::new(PROGRAM), line)
    }

    fn prepared(&self, mut command: Command, line: &str) -> Command {
        let words = line.split_whitespace().map(|word| word.replace('@', &self.url("")));
        command.args(words).current_dir(self.path(".")).stdin(Stdio::null());
        command.env_clear().envs(&self.variables);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home("")).env("TMPDIR", self.folder.path().join("tmp"));
        command
    }

    #[track_caller]
    pub fn run(&self, line: &str) -> Run {
        let output = self.command(line).output().unwrap();
        self.judged(output, line)
    }

    /// No secret is in it, nothing is in TMPDIR, and that folder is not spoken of.
    #[track_caller]
    pub fn judged(&self, output: Output, line: &str) -> Run {
        let (text, told) = (said(&output), String::from_utf8_lossy(&output.stderr).into_owned());
        let shown = if line.starts_with("store presign") { &told } else { &text };
        assert!(!text.contains(SECRET_MARK), "{line}: {text}");
        for secret in [TOKEN_MARK, "ignature=", "AGE-SECRET-KEY-1"] {
            assert!(!shown.contains(secret), "{line}: {text}");
        }
        let temporary = self.folder.path().join("tmp");
        assert!(!text.contains(temporary.to_str().unwrap()), "{line}: {text}");
        assert_eq!(names(&temporary), [""; 0], "{line}");
        Run(output)
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

impl Run {
    pub fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// Without progress, which is told every few seconds where something is slow.
    pub fn stderr(&self) -> String {
        let text = String::from_utf8(self.0.stderr.clone()).unwrap();
        let lines = text.split_inclusive('\n');
        lines.filter(|line| !line.trim_end().ends_with("/s")).collect()
    }

    /// It failed with that code, one line on stderr and nothing on stdout; the line is returned.
    #[track_caller]
    pub fn failed(&self, code: i32) -> String {
        assert_eq!(self.0.status.code(), Some(code), "{}", said(&self.0));
        assert_eq!(self.stdout(), "");
        let stderr = self.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr.trim_end().strip_prefix("etcdprefix: ").expect(&stderr).to_owned()
    }

    /// It failed with that code, says all these words, and what to try.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        let error = self.failed(code);
        for word in words.iter().chain(&["; try: "]) {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }

    /// It succeeded with nothing on stderr; what it said is returned.
    #[track_caller]
    pub fn succeeded(&self) -> String {
        assert!(self.0.status.success(), "{}", said(&self.0));
        assert_eq!(self.stderr(), "");
        self.stdout()
    }

    /// The same of JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.succeeded()).unwrap()
    }

    /// It succeeded with a note of these words on stderr; what it said is returned.
    #[track_caller]
    pub fn noted(&self, words: &str) -> String {
        assert!(self.0.status.success(), "{}", said(&self.0));
        let stderr = self.stderr();
        assert!(stderr.starts_with("etcdprefix: note: ") && stderr.contains(words), "{stderr}");
        self.stdout()
    }

    /// It succeeded with these words in a warning.
    #[track_caller]
    pub fn warned(&self, words: &[&str]) -> String {
        assert!(self.0.status.success(), "{}", said(&self.0));
        let stderr = self.stderr();
        assert!(stderr.starts_with("etcdprefix: warning: "), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
        }
        self.stdout()
    }
}
