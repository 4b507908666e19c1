//! The program that steps and timers start: this test's own, told so by its arguments.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;

use anyhow::{Result, bail};
use etcdprefix_migrate::node::{Context, Launcher, Machine, run_timer, step, work};
use signal_hook::consts::SIGTERM;

/// `PROGRAM ROOT COMMAND --state DIR`. Its stdout has the word of the test runner, so it answers on
/// descriptor 3, which the shell makes of it.
pub fn launcher(root: &Path) -> Result<Launcher> {
    let program = std::env::current_exe()?;
    let (program, root) = (program.display(), root.display());
    let test = "--exact node::program::is_a_program_if_called_as_one --nocapture";
    let script = format!("exec '{program}' {test} -- '{root}' \"$@\" 3>&1 >/dev/null");
    Ok(Launcher { program: "/bin/sh".into(), args_before: vec!["-c".into(), script, "sh".into()] })
}

/// A host in a folder.
pub fn context(root: &Path, state: &Path) -> Result<Context> {
    let machine = Machine {
        proc: root.join("proc"),
        programs: vec![root.join("bin")],
        root: root.to_owned(),
    };
    Ok(Context {
        state: state.to_owned(),
        environment: BTreeMap::new(),
        interrupted: Arc::default(),
        manifests: None,
        launcher: launcher(root)?,
        machine,
    })
}

#[test]
fn is_a_program_if_called_as_one() {
    let words: Vec<String> = std::env::args().skip_while(|word| word != "--").skip(1).collect();
    if let [root, command, flag, state] = words.as_slice() {
        assert_eq!(flag, "--state");
        let done = run(Path::new(root), command, &PathBuf::from(state));
        exit(i32::from(done.is_err()));
    }
}

fn run(root: &Path, command: &str, state: &Path) -> Result<()> {
    let context = context(root, state)?;
    signal_hook::flag::register(SIGTERM, Arc::clone(&context.interrupted))?;
    let stdout = OpenOptions::new().write(true).open("/proc/self/fd/3")?;
    match command {
        "step" => step(&context, std::io::stdin(), stdout)?,
        "work" => work(&context, std::io::stdin(), stdout)?,
        "timer" => run_timer(state)?,
        _ => bail!("no command: {command}"),
    }
    Ok(())
}
