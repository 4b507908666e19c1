use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::node::state::LockFile;
use crate::protocol::Owner;

struct Bench {
    folder: tempfile::TempDir,
    identity: age::x25519::Identity,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, identity: age::x25519::Identity::generate() }
    }

    fn held() -> Self {
        let this = Self::new();
        let owner =
            Owner { run: "r".into(), cluster: "c1".parse().unwrap(), by: "a test".to_owned() };
        let seen = crate::node::clock::Moment::now();
        State::at(this.dir()).write(Kept::Lock, &LockFile { owner, taken_ms: 1, seen }).unwrap();
        this
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn ask(&self, id: &str, script: &str) -> RelayAsk {
        let what = RelayWhat::Run {
            recipient: self.identity.to_public().to_string(),
            program: "/bin/sh".into(),
            words: vec!["-c".into(), script.into(), "sh".into()],
        };
        RelayAsk { id: id.into(), page_bytes: 1000, forget: Vec::new(), what }
    }

    fn page(&self, ask: &RelayAsk, input: &[u8]) -> Page {
        match self.answer(ask, input) {
            Answer::Page(page) => page,
            gone => panic!("{gone:?}"),
        }
    }

    fn answer(&self, ask: &RelayAsk, input: &[u8]) -> Answer {
        let mut said = Vec::new();
        relay(self.dir(), ask, input, &mut said).unwrap();
        Answer::find(&said).unwrap()
    }

    /// All pages from the first on.
    fn whole(&self, ask: &RelayAsk, first: Page) -> Relayed {
        let mut sealed = first.bytes().unwrap();
        while (sealed.len() as u64) < first.total_bytes {
            let what = RelayWhat::Page { offset: sealed.len() as u64 };
            let next = self.page(&RelayAsk { what, ..ask.clone() }, b"");
            assert_eq!((next.offset, &next.sha256), (sealed.len() as u64, &first.sha256));
            assert!(next.bytes().unwrap().len() <= ask.page_bytes);
            sealed.extend(next.bytes().unwrap());
        }
        assert_eq!(disk::sha256(&sealed), first.sha256);
        let plain = age::decrypt(&self.identity, &sealed).unwrap();
        serde_json::from_slice(&plain).unwrap()
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir().join("relay")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn results_of_any_size_come_whole_and_sealed() {
    let bench = Bench::held();
    for size in [0, 1, 999, 1000, 70_000, 300_000] {
        let id = format!("size-{size}");
        let ask = bench.ask(&id, "cat; echo s3cr3t-err >&2; exit 7");
        let input = vec![b'x'; size];
        let first = bench.page(&ask, &input);
        let relayed = bench.whole(&ask, first);
        assert_eq!(relayed.stdout, STANDARD.encode(&input));
        assert_eq!((relayed.code, relayed.stderr.as_str()), (Some(7), "s3cr3t-err"));
        assert_eq!(relayed.id, id);
        let kept = bench.dir().join("relay").join(format!("{id}.reply"));
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&kept).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cr3t"));
    }
}

#[test]
fn a_signal_is_no_exit_code() {
    let bench = Bench::new();
    let ask = bench.ask("a", "kill -KILL $$");
    let first = bench.page(&ask, b"");
    assert_eq!(bench.whole(&ask, first).code, None);
}

#[test]
fn the_same_id_does_not_run_twice() {
    let bench = Bench::held();
    let count = bench.dir().join("count");
    let script = format!("echo run >> {}; sleep 0.2", count.display());
    let ask = bench.ask("a", &script);
    let both = Arc::new(Barrier::new(2));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (both, ask, bench) = (Arc::clone(&both), &ask, &bench);
            scope.spawn(move || {
                both.wait();
                bench.page(ask, b"");
            });
        }
    });
    bench.page(&ask, b"");
    assert_eq!(fs::read_to_string(count).unwrap(), "run\n");
}

#[test]
fn one_that_was_killed_in_between_runs_again() {
    let bench = Bench::held();
    fs::create_dir(bench.dir().join("relay")).unwrap();
    fs::write(bench.dir().join("relay/a.lock"), "its holder is dead").unwrap();
    let ask = bench.ask("a", "echo done");
    let first = bench.page(&ask, b"");
    assert_eq!(bench.whole(&ask, first).stdout, STANDARD.encode("done\n"));
    assert_eq!(bench.left(), ["a.reply"]);
}

#[test]
fn replies_go_when_the_next_is_asked_for_or_the_lock_is_given_back() {
    let bench = Bench::held();
    for id in ["a", "b"] {
        bench.page(&bench.ask(id, "true"), b"");
    }
    let forget = vec!["a".to_owned()];
    bench.page(&RelayAsk { forget, ..bench.ask("c", "true") }, b"");
    let mut left = bench.left();
    left.sort();
    assert_eq!(left, ["b.reply", "c.reply"]);
    let what = RelayWhat::Page { offset: 0 };
    let gone = bench.answer(&RelayAsk { what, ..bench.ask("a", "") }, b"");
    assert!(matches!(gone, Answer::Gone { .. }), "{gone:?}");
    forget_all(&bench);
    assert!(!bench.dir().join("relay").exists());
}

fn forget_all(bench: &Bench) {
    super::forget(&State::at(bench.dir()));
}

#[test]
fn where_nobody_migrates_nothing_is_left() {
    let bench = Bench::new();
    bench.page(&bench.ask("a", "echo short"), b"");
    assert!(!bench.dir().join("relay").exists());
    // What is longer than a page is fetched first.
    let ask = bench.ask("b", "head -c 5000 /dev/zero");
    let first = bench.page(&ask, b"");
    assert_eq!(bench.left(), ["b.reply"]);
    bench.whole(&ask, first);
}

#[test]
fn ids_and_recipients_that_are_none_are_refused() {
    let bench = Bench::new();
    let good = bench.ask("a", "true");
    let RelayWhat::Run { program, words, .. } = good.what.clone() else { panic!() };
    let recipient = "age1none".to_owned();
    let other = RelayWhat::Run { recipient, program, words };
    for bad in [
        RelayAsk { id: "../a".into(), ..good.clone() },
        RelayAsk { forget: vec!["../../etc/passwd".into()], ..good.clone() },
        RelayAsk { page_bytes: 0, ..good.clone() },
        RelayAsk { what: other, ..good },
    ] {
        let refused = relay(bench.dir(), &bad, &b""[..], Vec::new()).unwrap_err();
        assert_eq!(refused.kind, NodeErrorKind::Usage, "{refused}");
    }
    assert!(bench.left().is_empty());
}
