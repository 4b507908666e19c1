use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use zeroize::Zeroizing;

use super::wait::Said;
use super::*;
use crate::node::relay::{Relayed, cut};

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ODD: [&str; 5] = ["it's", "$(reboot)", "a b\nc", "`id`;\"", "\\\\'!*?"];

fn work(stdin: &str, args: &[&str]) -> Work {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Work { args, stdin: Zeroizing::new(stdin.into()), limit: Duration::from_secs(1) }
}

fn run(script: &str) -> (Option<i64>, String) {
    let shell = Command::new("sh").args(["-c", script]).stderr(Stdio::inherit()).output().unwrap();
    (shell.status.code().map(i64::from), String::from_utf8(shell.stdout).unwrap())
}

/// What the shell hands to the program is what was meant, whatever is in it.
#[test]
fn words_arrive_as_they_are() {
    for odd in ODD {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{odd}-program")).display().to_string();
        let show = "#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\"; done; cat\n";
        std::fs::write(&path, show).unwrap();
        run(&format!("chmod 700 '{}'", path.replace('\'', "'\\''")));
        let ask = Ask { path: &path, state: odd, id: "an-id", page_bytes: 7 };
        let input = format!("{{\"a\":\"$(id) {} `id`\"}}", odd.replace('\n', " "));
        let script = script::run(&ask, "age1x", &["b".into()], &work(&input, &["step", odd]));
        let (code, said) = run(&script.unwrap());
        let expected = format!(
            "<node><relay><--state><{odd}><--id><an-id><--page-bytes><7><--recipient><age1x>\
             <--forget><b><--><step><{odd}>{input}\n"
        );
        assert_eq!((code, said), (Some(0), expected));
        let (_, said) = run(&script::page(&ask, 5).unwrap());
        assert!(said.ends_with("<--page-bytes><7><--offset><5>"), "{said}");
    }
}

fn binaries(url: &str, sha256: &str) -> Vec<(String, Fetched)> {
    let fetched = Fetched { url: url.into(), sha256: Some(sha256.into()) };
    vec![(std::env::consts::ARCH.into(), fetched)]
}

fn install(folder: &str, url: &str, sha256: &str) -> std::result::Result<Installed, String> {
    install_by(folder, url, sha256, |script| script)
}

fn install_by(
    folder: &str,
    url: &str,
    sha256: &str,
    change: impl Fn(String) -> String,
) -> std::result::Result<Installed, String> {
    let binaries = binaries(url, sha256);
    let (exit_code, output) = run(&change(script::install(folder, &binaries).unwrap()));
    let said = Said { exit_code, output: output.into_bytes(), dropped_bytes: 0 };
    script::installed(folder, &binaries, &said)
}

/// Fetched once, and only what was meant; curl knows `file` URLs.
#[test]
fn a_binary_is_put_there_once_and_never_another() {
    for odd in ODD {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, PROGRAM).unwrap();
        let sum = sha256_of(&program).unwrap();
        let url = format!("file://{}", program.display());
        let bin = folder.path().join(odd).join("bin").display().to_string();
        let why = install(&bin, &url, SUM).unwrap_err();
        assert!(why.contains(&format!("has SHA-256 {sum}, not {SUM}")), "{why}");
        let why = install(&bin, "file:///nowhere/$(reboot)'", &sum).unwrap_err();
        assert!(why.contains("can not be fetched"), "{why}");
        let first = install(&bin, &url, &sum).unwrap();
        assert!(first.copied && std::path::Path::new(&first.path).is_file());
        assert_eq!(first.path, format!("{bin}/etcdprefix-{}", &sum[..16]));
        // What has rotted is fetched again.
        assert!(!install(&bin, &url, &sum).unwrap().copied);
        std::fs::write(&first.path, "rotten").unwrap();
        assert!(install(&bin, &url, &sum).unwrap().copied);
        assert_eq!(std::fs::read_dir(&bin).unwrap().count(), 1);
    }
}

const PROGRAM: &str = "#!/bin/sh\n[ \"$1\" = --version ]\n";

/// Answers every request with the program, and returns its URL.
fn serve() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/etcdprefix", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let length = PROGRAM.len();
            let _ = write!(client, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{PROGRAM}");
        }
    });
    url
}

#[test]
fn where_there_is_no_curl_wget_does_it_and_without_both_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin").display().to_string();
    let program = folder.path().join("program");
    std::fs::write(&program, PROGRAM).unwrap();
    let (url, sum) = (serve(), sha256_of(&program).unwrap());
    let without = |name: &'static str| {
        move |script: String| script.replace(&format!("command -v {name}"), "command -v no-such")
    };
    let neither = |script| without("wget")(without("curl")(script));
    let why = install_by(&bin, &url, &sum, neither).unwrap_err();
    assert!(why.contains("neither curl nor wget"), "{why}");
    assert!(install_by(&bin, &url, &sum, without("curl")).unwrap().copied);
    let other = without_arch(&url, &sum);
    assert!(other.contains("no binary for") && other.contains("--binary-url"), "{other}");
}

/// For a host of another kind.
fn without_arch(url: &str, sum: &str) -> String {
    let change = |script: String| script.replace("uname -m", "echo mips");
    install_by("/nowhere", url, sum, change).unwrap_err()
}

#[test]
fn no_secret_is_sent_and_no_binary_data() {
    let with = |environment: &str| format!("{{\"id\":\"a\",\"environment\":{environment}}}");
    script::refuse_secrets(&work(&with("{}"), &[])).unwrap();
    script::refuse_secrets(&work("{\"id\":\"a\"}", &[])).unwrap();
    for environment in ["{\"OSS_ACCESS_KEY_SECRET\":\"s3cr3t\"}", "[\"s3cr3t\"]", "\"s3cr3t\""] {
        let refused = script::refuse_secrets(&work(&with(environment), &[])).unwrap_err();
        assert!(matches!(&refused, HostError::Refused(_)), "{refused}");
        assert!(!refused.to_string().contains("s3cr3t"));
    }
    let ask = Ask { path: "/p", state: "/s", id: "a", page_bytes: 1 };
    for input in ["a\0b", "a\nEND-a\nb"] {
        assert!(script::run(&ask, "age1x", &[], &work(input, &[])).is_err());
    }
    assert!(script::run(&ask, "age1x", &[], &work("", &["a\0b"])).is_err());
}

fn said(output: &str) -> Said {
    Said { exit_code: Some(0), output: output.as_bytes().into(), dropped_bytes: 0 }
}

fn page(id: &str, sealed: &[u8], offset: u64, bytes: usize) -> String {
    serde_json::to_string(&cut(id, sealed, offset, bytes)).unwrap()
}

#[test]
fn pages_are_taken_in_order_and_torn_ones_are_not() {
    let sealed: Vec<u8> = (0..100_u8).collect();
    let mut reply = Reply::of("a");
    let whole = page("a", &sealed, 0, 60);
    for torn in [
        &whole[..whole.len() - 9],
        "",
        "{",
        &whole.replace("AAEC", "AAED"),
        &page("b", &sealed, 0, 60),
    ] {
        assert_eq!(reply.take(&said(torn)).unwrap(), Taken::Torn, "{torn}");
    }
    let cut_off = Said { dropped_bytes: 1, ..said(&whole) };
    assert_eq!(reply.take(&cut_off).unwrap(), Taken::Torn);
    let noise = format!("a warning of the shell\n{whole}\n");
    assert_eq!(reply.take(&said(&noise)).unwrap(), Taken::Part);
    // The same page once more, or one too far.
    assert_eq!(reply.take(&said(&whole)).unwrap(), Taken::Torn);
    assert_eq!(reply.take(&said(&page("a", &sealed, 80, 60))).unwrap(), Taken::Torn);
    let failed = Said { exit_code: Some(127), ..said("sh: not found") };
    assert!(matches!(reply.take(&failed), Err(HostError::Binary(_))));
    assert_eq!(reply.take(&said(&page("a", b"another", 60, 60))).unwrap(), Taken::Gone);
    assert_eq!(reply.take(&said(&page("a", &sealed, 60, 60))).unwrap(), Taken::Whole);
    assert_eq!(reply.sealed, sealed);
    assert_eq!(reply.take(&said("{\"gone\":{\"id\":\"a\"}}")).unwrap(), Taken::Gone);
}

#[test]
fn only_the_own_key_opens_and_only_the_own_reply() {
    let key = RunKey::generate();
    let recipient: age::x25519::Recipient = key.recipient().parse().unwrap();
    let relayed =
        Relayed { id: "a".into(), code: Some(3), stdout: "aGk=".into(), stderr: "why".into() };
    let sealed = age::encrypt(&recipient, &serde_json::to_vec(&relayed).unwrap()).unwrap();
    let output = key.open("a", &sealed).unwrap();
    assert_eq!(
        (output.code, &**output.stdout, output.stderr.as_str()),
        (Some(3), &b"hi"[..], "why")
    );
    for (key, id, sealed, why) in [
        (&RunKey::generate(), "a", &sealed[..], "for another run"),
        (&key, "b", &sealed, "another command's"),
        (&key, "a", &sealed[..sealed.len() - 1], "damaged"),
        (&key, "a", b"plain", "not sealed"),
    ] {
        let error = key.open(id, sealed).map(drop).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn who_may_come_back_is_lost_and_others_are_refused() {
    for (code, is_lost) in [
        ("ClientNotRunning", true),
        ("ClientNotResponse", true),
        ("InstanceNotRunning", true),
        ("ExecutionInterrupted", true),
        ("ExecutionException", true),
        ("TaskConcurrencyLimit", true),
        ("InstanceNotExists", false),
        ("InstanceReleased", false),
    ] {
        let error = refusal::of_end(code, "why");
        assert_eq!(matches!(error, HostError::Unreachable(_)), is_lost, "{error}");
        assert_eq!(matches!(error, HostError::Refused(_)), !is_lost, "{error}");
        assert!(error.to_string().contains("; try: "), "{error}");
    }
    assert!(matches!(refusal::of_end("NobodyKnows", "why"), HostError::Unreachable(_)));
}

fn options(arch: &str, sha256: Option<&str>) -> AssistantConfig {
    let fetched = Fetched { url: "https://h/e".into(), sha256: sha256.map(str::to_owned) };
    AssistantConfig {
        region: "r".into(),
        binaries: [(arch.to_owned(), fetched)].into(),
        ..AssistantConfig::default()
    }
}

/// That of this program is known; that of another is not.
#[test]
fn hashes_of_hosts_of_another_kind_have_to_be_given() {
    let own = std::env::current_exe().unwrap();
    let (arch, other) = match std::env::consts::ARCH {
        "x86_64" => ("x86_64", "aarch64"),
        arch => (arch, "x86_64"),
    };
    let opened = Assistant::open(&options(arch, None), &own).unwrap();
    assert_eq!(opened.binaries[0].1.sha256, Some(sha256_of(&own).unwrap()));
    let error = Assistant::open(&options(other, None), &own).map(drop).unwrap_err();
    assert!(error.to_string().contains("--binary-sha256"), "{error}");
    Assistant::open(&options(other, Some(SUM)), &own).unwrap();
}

/// Before it is sent.
#[test]
fn a_command_that_is_too_long_is_refused() {
    let opened = Assistant::open(&options("x86_64", Some(SUM)), std::path::Path::new("/")).unwrap();
    let host = AssistantHost::new("i-1", Arc::new(opened), std::path::Path::new("/s"));
    let seen = Seen::default();
    let caller = host.caller(&seen);
    let seconds = |seconds| Duration::from_secs(seconds);
    let long = "x".repeat(crate::cloud::MAX_COMMAND_BYTES / 4 * 3);
    assert_eq!(caller.command("n", &long, seconds(3), "t").unwrap().timeout_seconds, 10);
    let refused = caller.command("n", &format!("{long}x"), seconds(60), "t").unwrap_err();
    assert!(matches!(&refused, HostError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("shorter paths"), "{refused}");
}
