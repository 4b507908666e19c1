//! `huge-source`: plans and emits a snapshot that does not exist, of any size, and tells how much
//! memory that took. Its pages are computed when they are read, its output is forgotten.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use etcdprefix_benches::{Discard, options, rule};
use etcdprefix_core::ChangePrefix;
use etcdprefix_core::options::default_threads;
use etcdprefix_core::read::Snapshot;
use etcdprefix_core::save::emit::emit;
use etcdprefix_core::save::plan::{Plan, plan};
use etcdprefix_core::save::render::Source;

#[path = "huge/memory.rs"]
mod memory;
#[path = "huge/synthetic.rs"]
mod synthetic;

use memory::{Lines, Watch};
use synthetic::{Shape, Synthetic};

#[derive(Parser)]
#[command(about = "Measures the memory of a prefix change on a synthetic source of any size")]
struct Args {
    /// Size of the source, in bytes or with kB, MB, GB, TB.
    #[arg(long, default_value = "100GB", value_parser = parse_bytes)]
    bytes: u64,
    /// Size of a record, key and value together; 100 makes many tiny ones.
    #[arg(long, default_value_t = 1_330)]
    record_bytes: usize,
    /// How many keys the records share; as many as records if 0.
    #[arg(long, default_value_t = 0)]
    distinct_keys: u64,
    /// Threads that size and render.
    #[arg(long, default_value_t = default_threads())]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let shape = Shape::new(args.bytes, args.record_bytes, args.distinct_keys)?;
    println!(
        "source: {} bytes, {} records, {} keys, {} leaves, {} branch levels",
        shape.file_bytes(),
        shape.records(),
        shape.distinct_keys(),
        shape.leaves(),
        shape.levels()
    );
    let source = Box::new(Synthetic::new(shape.clone()));
    let snapshot = Snapshot::from_storage(source, Path::new("synthetic.db"))?;
    let options = ChangePrefix { threads: args.threads, ..options() };
    let watch = Watch::start();
    let plan = measured("plan", &watch, || run_plan(&snapshot, &options))?;
    let found = plan.counts.census().records;
    if found != shape.records() || plan.keys.distinct != shape.distinct_keys() {
        bail!("{found} records of {} keys were found", plan.keys.distinct);
    }
    measured("emit", &watch, || run_emit(&snapshot, &options, &plan))?;
    println!("{}: peak RssAnon {} MiB", shape.file_bytes(), watch.peak_bytes() >> 20);
    Ok(())
}

fn run_plan(snapshot: &Snapshot, options: &ChangePrefix) -> Result<Plan> {
    let lines = Lines::new("plan", snapshot.pages_bytes());
    Ok(plan(snapshot, &rule(), options, &lines)?)
}

fn run_emit(snapshot: &Snapshot, options: &ChangePrefix, plan: &Plan) -> Result<()> {
    let rule = rule();
    let source = Source { snapshot, rule: &rule };
    let lines = Lines::new("emit", plan.high_water_mark.0 * snapshot.page_size().bytes());
    emit(source, plan, options, &Discard, Path::new("discarded"), &lines)?;
    Ok(())
}

fn measured<T>(phase: &str, watch: &Watch, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    watch.reset();
    let result = work()?;
    // The watch looks every so often; what is held at the end is seen by then.
    std::thread::sleep(2 * Duration::from_millis(memory::EVERY_MS));
    let (seconds, peak) = (started.elapsed().as_secs_f64(), watch.phase_bytes() >> 20);
    println!("{phase}: {seconds:.1} s, peak RssAnon {peak} MiB");
    Ok(result)
}

fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().with_context(|| format!("no number in {text:?}"))?;
    let factor: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        unit => bail!("unknown unit {unit:?}"),
    };
    number.checked_mul(factor).context("more than 2^64 bytes")
}
