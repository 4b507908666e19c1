//! Where the time of `change-prefix` goes, by its own report.

use anyhow::{Context, Result};
use serde_json::Value;

use super::measure::Runs;
use super::stats::Spread;

/// The report of a run, `None` if the program makes none.
pub fn report(stdout: &str) -> Option<Value> {
    serde_json::from_str(stdout).ok().filter(|report: &Value| report["phases"].is_array())
}

/// A line for each contender that reports: `name: plan 0.1, write 0.8` in median seconds.
pub fn lines(results: &[Runs<'_>]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for runs in results {
        let reports = runs.samples.iter().filter_map(|sample| report(&sample.stdout));
        let reports: Vec<Value> = reports.collect();
        if !reports.is_empty() {
            lines.push(format!("{}: {}", runs.contender.name, medians(&reports)?));
        }
    }
    Ok(lines)
}

fn medians(reports: &[Value]) -> Result<String> {
    let first = reports.first().and_then(|report| report["phases"].as_array());
    let names = first.into_iter().flatten().filter_map(|phase| phase["phase"].as_str());
    let parts: Result<Vec<String>> = names
        .map(|name| {
            let seconds: Option<Vec<f64>> = reports.iter().map(|r| seconds(r, name)).collect();
            let seconds = seconds.with_context(|| format!("a run reports no phase {name}"))?;
            Ok(format!("{name} {:.3}", Spread::of(seconds).median))
        })
        .collect();
    Ok(parts?.join(", "))
}

fn seconds(report: &Value, name: &str) -> Option<f64> {
    let phases = report["phases"].as_array()?;
    phases.iter().find(|phase| phase["phase"] == name)?["seconds"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(plan: f64, write: f64) -> Value {
        let phase =
            |name: &str, seconds: f64| format!(r#"{{"phase":"{name}","seconds":{seconds}}}"#);
        let phases = format!("{},{}", phase("plan", plan), phase("write", write));
        report(&format!(r#"{{"phases":[{phases}]}}"#)).unwrap()
    }

    #[test]
    fn each_phase_has_its_own_median() {
        let reports = [reported(1.0, 9.0), reported(3.0, 7.0), reported(2.0, 8.0)];
        assert_eq!(medians(&reports).unwrap(), "plan 2.000, write 8.000");
    }

    #[test]
    fn other_output_is_no_report() {
        assert_eq!(report("SHA2-256(snap.db)= 00"), None);
        assert_eq!(report(r#"{"hash":1}"#), None);
    }
}
