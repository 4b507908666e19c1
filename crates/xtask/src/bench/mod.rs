//! `cargo xtask bench`: whole runs of this tool beside others on the same snapshot.
//!
//! snapshot -> contenders -> measure -> stats, table -> record; docs/performance.md says why it
//! measures as it does.

mod contenders;
mod limits;
mod live;
mod measure;
mod output;
mod phases;
mod record;
mod sdk;
mod servers;
mod snapshot;
mod stats;
mod store;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{paths, provision};
use contenders::Field;
use record::Facts;
use snapshot::Source;

/// What to measure on, and how often.
#[derive(clap::Args)]
pub struct Args {
    /// Writes that make the snapshot, about as many as its records.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = at_least_one())]
    records: u64,
    /// Mean size of a value.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_one())]
    value_bytes: u64,
    /// A cluster's resources, config maps all of one size, or few resources with long histories.
    #[arg(long, default_value = "kubernetes", value_parser = ["kubernetes", "large", "updates"])]
    mix: String,
    /// Measured rounds; one more goes before them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one())]
    rounds: u64,
    /// Measure on this snapshot instead of making one.
    #[arg(long, conflicts_with_all = ["records", "value_bytes", "mix"])]
    file: Option<PathBuf>,
    /// Save from a member that serves the snapshot, beside etcdctl, instead of changing it.
    #[arg(long, conflicts_with = "record")]
    live: bool,
    /// Upload the snapshot to object stores and download it, beside their SDKs.
    #[arg(long, conflicts_with = "live")]
    store: bool,
    /// Also write the result to benches/runs/.
    #[arg(long)]
    record: bool,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// Measures every contender and prints the result.
pub fn run(args: &Args) -> Result<()> {
    provision::provision()?;
    let root = paths::repository();
    if args.live {
        return run_live(&root, args);
    }
    if args.store {
        return store::run(&root, args);
    }
    let bench = Bench::prepare(&root, args, Field::Full)?;
    // Asked before the long work, so that no result is lost to a name that is taken.
    let place = args.record.then(|| record::free_place(&root, &bench.source.name)).transpose()?;
    let text = bench.measure(&root, args.rounds)?.1;
    record::publish(&root, &text, place.as_deref())
}

fn run_live(root: &Path, args: &Args) -> Result<()> {
    let folder = paths::target(root).join("bench");
    fs::create_dir_all(&folder)?;
    let source = snapshot::prepare(root, &folder, args)?;
    let member = live::Member::start(&source, &folder)?;
    let contenders = live::line_up(root, &member, &folder.join("saved.db"))?;
    let load = record::load_average()?;
    let results = measure::rounds(&contenders, args.rounds)?;
    let rows = table::rows(&results);
    let table = table::render(&rows, "etcdctl");
    println!("\n{table}\n- rounds: {}; load average before: {load}", args.rounds);
    println!("- snapshot: {}, {} bytes", source.name, source.bytes);
    Ok(())
}

/// A small bench of what matters most, which fails where a limit is passed.
pub fn quick(root: &Path) -> Result<()> {
    let args = Args {
        records: 100_000,
        value_bytes: 1_000,
        mix: "kubernetes".into(),
        rounds: 3,
        file: None,
        live: false,
        store: false,
        record: false,
    };
    let (rows, text) = Bench::prepare(root, &args, Field::Essential)?.measure(root, args.rounds)?;
    println!("\n{text}");
    limits::check(&rows)
}

/// All that is ready before the first run.
struct Bench {
    source: Source,
    contenders: Vec<contenders::Contender>,
}

impl Bench {
    fn prepare(root: &Path, args: &Args, field: Field) -> Result<Self> {
        let folder = paths::target(root).join("bench");
        fs::create_dir_all(&folder)?;
        let source = snapshot::prepare(root, &folder, args)?;
        let contenders = contenders::line_up(root, &source, &folder.join("output.db"), field)?;
        Ok(Self { source, contenders })
    }

    fn measure(&self, root: &Path, rounds: u64) -> Result<(Vec<table::Row>, String)> {
        let load = record::load_average()?;
        let results = measure::rounds(&self.contenders, rounds)?;
        let rows = table::rows(&results);
        let programs = record::programs(root)?;
        let facts = Facts { root, source: &self.source, results: &results, rounds, load, programs };
        let text = format!("{}\n{}", table::render(&rows, "floor"), facts.text()?);
        Ok((rows, text))
    }
}
