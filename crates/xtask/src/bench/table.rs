//! The result as a table, in markdown.

use super::measure::{Runs, Sample};
use super::stats::Spread;

/// A contender's line.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    wall: Spread,
    cpu: Spread,
    /// To the first contender.
    pub wall_ratio: Spread,
    cpu_ratio: Spread,
    anonymous_bytes: u64,
    output_bytes: Option<u64>,
}

/// The first contender is the floor of all.
pub fn rows(results: &[Runs<'_>]) -> Vec<Row> {
    let floor = results.first().map_or(&[][..], |floor| &floor.samples);
    results.iter().map(|runs| Row::new(&runs.contender.name, &runs.samples, floor)).collect()
}

impl Row {
    /// From samples that belong to the same rounds.
    pub fn new(name: &str, samples: &[Sample], floor: &[Sample]) -> Self {
        let walls = |of: &[Sample]| of.iter().map(|s| s.wall_seconds).collect::<Vec<_>>();
        let cpus = |of: &[Sample]| of.iter().map(|s| s.cpu_seconds).collect::<Vec<_>>();
        Self {
            name: name.into(),
            wall: Spread::of(walls(samples)),
            cpu: Spread::of(cpus(samples)),
            wall_ratio: Spread::of_ratios(&walls(samples), &walls(floor)),
            cpu_ratio: Spread::of_ratios(&cpus(samples), &cpus(floor)),
            anonymous_bytes: samples.iter().map(|s| s.anonymous_bytes).max().unwrap_or(0),
            output_bytes: samples.iter().find_map(|s| s.output_bytes),
        }
    }

    fn line(&self) -> String {
        let Self { name, wall, cpu, wall_ratio, cpu_ratio, .. } = self;
        let mib = self.anonymous_bytes as f64 / f64::from(1 << 20);
        let output = self.output_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        let cpu = cpu.median;
        format!(
            "| {name} | {wall:.3} | {cpu:.3} | {wall_ratio} | {cpu_ratio} | {mib:.1} | {output} |\n"
        )
    }
}

/// Each figure is a median, with the least and the greatest behind it where they are told. The
/// first row is named in the head as what the others are divided by.
pub fn render(rows: &[Row], first: &str) -> String {
    let head = format!(
        "| contender | wall s | CPU s | wall / {first} | CPU / {first} | peak anonymous MiB | output bytes |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    rows.iter().fold(head, |text, row| text + &row.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(walls: [f64; 3], output_bytes: Option<u64>) -> Vec<Sample> {
        let sample = |wall_seconds| Sample {
            wall_seconds,
            cpu_seconds: 2.0 * wall_seconds,
            anonymous_bytes: 3 << 19,
            output_bytes,
            stdout: String::new(),
        };
        walls.map(sample).to_vec()
    }

    #[test]
    fn a_line_tells_medians_spreads_and_ratios() {
        let floor = samples([1.0, 2.0, 1.0], None);
        let rows = [
            Row::new("floor", &floor, &floor),
            Row::new("ours", &samples([1.5, 3.0, 1.6], Some(4096)), &floor),
        ];
        let text = render(&rows, "floor");
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| floor | 1.000 [1.000-2.000] | 2.000 | 1.00 [1.00-1.00] | 1.00 [1.00-1.00] | 1.5 |  |",
                "| ours | 1.600 [1.500-3.000] | 3.200 | 1.50 [1.50-1.60] | 1.50 [1.50-1.60] | 1.5 | 4096 |",
            ]
        );
    }
}
