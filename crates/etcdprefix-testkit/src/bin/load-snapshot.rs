//! Fills a real etcd and saves its snapshot: `load-snapshot --records 1000000 --out big.db`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use etcdprefix_testkit::Version;
use etcdprefix_testkit::load::{Load, Mix, load};

#[derive(Parser)]
#[command(about = "Fills a real etcd with a fixed seed and saves its snapshot")]
struct Args {
    /// Writes to make, updates and deletes included; about as many records.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Mean size of a value.
    #[arg(long, default_value_t = 1_000)]
    value_bytes: usize,
    /// Where the snapshot goes.
    #[arg(long)]
    out: PathBuf,
    /// A provisioned version of etcd.
    #[arg(long, default_value = "3.5.1", value_parser = version)]
    version: Version,
    /// The same seed gives the same records.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value_t = MixName::Kubernetes)]
    mix: MixName,
}

#[derive(Clone, Copy, ValueEnum)]
enum MixName {
    /// A cluster's resources; sizes vary; updates, deletes and leases.
    Kubernetes,
    /// Config maps of exactly the size asked for.
    Large,
    /// A cluster's resources, each updated hundreds of times; 30,000 records or more.
    Updates,
}

fn version(number: &str) -> Result<Version, String> {
    Version::from_number(number).map_err(|error| error.to_string())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mix = match args.mix {
        MixName::Kubernetes => Mix::Kubernetes,
        MixName::Large => Mix::Large,
        MixName::Updates => Mix::Updates,
    };
    let Args { records, value_bytes, seed, .. } = args;
    let start = Instant::now();
    let bytes = load(args.version, &Load { records, value_bytes, mix, seed }, &args.out)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{}: {bytes} bytes in {seconds:.0} s", args.out.display());
    Ok(())
}
