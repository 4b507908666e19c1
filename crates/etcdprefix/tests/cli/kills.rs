//! The program is killed, stopped, or loses its input at any moment: the target is the old file or
//! the new one, whole, and what is left the next run removes. `cargo xtask kills` makes hundreds.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use etcdprefix_testkit::random::Random;
use etcdprefix_testkit::source::{KeyForm, Source, record_key, record_rest, record_value};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::Folder;

const IN_PLACE: &str = "etcdprefix change-prefix --quiet --db snap.db --dest-prefix /c123";
const BESIDE: &str =
    "etcdprefix change-prefix --quiet --db snap.db --dest-prefix /c123 --output new.db";

/// Runs until one is hit as it has to be: on a busy machine most may be done before.
const TRIES: u32 = 240;

/// Some megabytes: a run takes long enough to be hit anywhere.
fn old() -> &'static [u8] {
    static OLD: OnceLock<Vec<u8>> = OnceLock::new();
    OLD.get_or_init(|| {
        let record = |number: i64| {
            let key = format!("/registry/pods/default/pod-{}", number % 500);
            let rest = record_rest(number, number, 1, &[number as u8; 2000], 0);
            let value = record_value(KeyForm::Canonical, key.as_bytes(), &rest);
            (record_key(number, 0, false), value)
        };
        Source::with_records((2..2_000).map(record).collect()).encode()
    })
}

/// What the old file becomes, and how long that takes.
fn new() -> &'static (Vec<u8>, Duration) {
    static NEW: OnceLock<(Vec<u8>, Duration)> = OnceLock::new();
    NEW.get_or_init(|| {
        let folder = Folder::of(old());
        let started = Instant::now();
        folder.run(IN_PLACE).succeeded();
        (folder.read("snap.db"), started.elapsed())
    })
}

/// Starts the program and lets it run for `part` of the time it needs.
fn started(folder: &Folder, line: &str, part: f64) -> Child {
    let (_, takes) = new();
    let mut command = folder.command(line);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(takes.mul_f64(part));
    child
}

fn signal(child: &Child, signal: Signal) {
    // It may have ended by itself.
    kill_process(Pid::from_child(child), signal).ok();
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

/// Whether the target is the new file; it must be that or the old one, whole.
fn is_new(folder: &Folder, beside: bool) -> bool {
    let (new, _) = new();
    if beside {
        assert!(folder.read("snap.db") == old(), "the source is never touched");
        let there = folder.names().contains(&"new.db".to_owned());
        assert!(!there || folder.read("new.db") == *new, "new.db is torn");
        return there;
    }
    let now = folder.read("snap.db");
    assert!(now == old() || now == *new, "snap.db is torn");
    now == *new
}

/// What is in the folder besides the source and the target.
fn others(folder: &Folder) -> Vec<String> {
    let mut names = folder.names();
    names.retain(|name| name != "snap.db" && name != "new.db");
    names
}

fn runs() -> u32 {
    std::env::var("ETCDPREFIX_KILLS").map_or(30, |runs| runs.parse().unwrap())
}

#[test]
fn a_killed_run_leaves_the_old_file_or_the_new_one() {
    let mut random = Random::new(runs().into());
    let (mut killed, mut done, mut left) = (0, 0, 0);
    for run in 0..runs() {
        let (line, beside) = if run % 2 == 0 { (IN_PLACE, false) } else { (BESIDE, true) };
        let folder = Folder::of(old());
        let mut child = started(&folder, line, random.below(1_200) as f64 / 1_000.0);
        child.kill().unwrap();
        let status = ended(child).status;
        assert!(status.signal() == Some(9) || status.success(), "{status}");
        killed += u32::from(!status.success());
        let orphans = others(&folder);
        left += orphans.len();
        assert!(orphans.iter().all(|name| name.starts_with(".")), "{orphans:?}");
        if is_new(&folder, beside) {
            done += 1;
            assert!(orphans.is_empty(), "{orphans:?}");
        } else {
            folder.run(line).succeeded();
            assert!(is_new(&folder, beside));
        }
        assert!(others(&folder).is_empty(), "the next run removes what was left");
    }
    println!("{} runs: {killed} killed, {done} had published, {left} files left", runs());
    assert!(killed > 0, "none of {} was killed", runs());
}

/// A signal says so, with the target as it was; before it is asked for, it ends the process.
#[test]
fn a_stopped_run_says_so_and_leaves_nothing() {
    let mut stopped = 0;
    for (attempt, line) in (0..TRIES).zip([IN_PLACE, BESIDE].into_iter().cycle()) {
        if attempt >= 24 && stopped > 0 {
            return;
        }
        let (folder, moment) = (Folder::of(old()), attempt % 24);
        let asked = if moment % 3 == 0 { Signal::INT } else { Signal::TERM };
        let child = started(&folder, line, f64::from(moment) / 22.0);
        signal(&child, asked);
        let output = ended(child);
        let new = is_new(&folder, line == BESIDE);
        assert!(others(&folder).is_empty());
        match output.status.code() {
            Some(0) => assert!(new),
            Some(130) => {
                let what =
                    if line == BESIDE { "new.db was not written" } else { "snap.db is as it was" };
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(said, format!("etcdprefix: interrupted; {what}\n"));
                assert!(!new);
                stopped += 1;
            }
            _ => assert!(output.status.signal() == Some(asked.as_raw()) && !new, "{output:?}"),
        }
    }
    panic!("not one of {TRIES} was stopped");
}

/// The source is cut short while it is mapped, which the system answers with SIGBUS.
#[test]
fn a_source_cut_short_meanwhile_is_an_error() {
    let mut faults = 0;
    for (attempt, extra) in (0..TRIES).zip(["", " --no-mmap"].into_iter().cycle()) {
        if attempt >= 12 && faults > 0 {
            return;
        }
        let (folder, moment) = (Folder::of(old()), 1 + attempt % 12);
        let child = started(&folder, &format!("{BESIDE}{extra}"), f64::from(moment) / 20.0);
        let source = File::options().write(true).open(folder.path("snap.db")).unwrap();
        source.set_len(8192).unwrap();
        let output = ended(child);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            assert!(folder.read("new.db") == new().0, "it was done before");
            continue;
        }
        assert_eq!(folder.names(), ["snap.db"], "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        match output.status.code() {
            // Before it was opened; after everything was read.
            Some(3 | 8 | 9) => {}
            Some(4) if extra.is_empty() => {
                assert_eq!(
                    said,
                    "etcdprefix: cannot read snap.db: it was cut short meanwhile, or its disk \
                     failed; new.db was not written; try: again when nothing writes to it, or \
                     --no-mmap to be told which\n"
                );
                faults += 1;
            }
            _ => panic!("{}: {said}", output.status),
        }
    }
    panic!("not one of {TRIES} met the missing pages");
}

#[test]
fn a_source_overwritten_meanwhile_is_refused() {
    let folder = Folder::of(old());
    for part in [0.1, 0.3, 0.5] {
        fs::write(folder.path("snap.db"), old()).unwrap();
        let child = started(&folder, BESIDE, part);
        fs::write(folder.path("snap.db"), new().0.as_slice()).unwrap();
        let output = ended(child);
        assert!(folder.read("snap.db") == new().0);
        if output.status.success() {
            assert!(folder.read("new.db") == new().0, "it was done before");
            fs::remove_file(folder.path("new.db")).unwrap();
            continue;
        }
        // Rewritten through the same name it is cut short first, which a map may meet; opened only
        // after that it is a file that has been rewritten already.
        assert!(matches!(output.status.code(), Some(3 | 4 | 8 | 9 | 11)), "{output:?}");
        assert_eq!(folder.names(), ["snap.db"]);
    }
}
