//! How many times the floor each may take in the full test.

use anyhow::{Result, bail};

use super::contenders::{DEFAULT, NO_SYNC, NO_VERIFY, SKIP_HASH_CHECK, STATUS};
use super::table::Row;

/// Wall time to that of one openssl pass over the same file in the same round, median of rounds.
///
/// Loose on purpose: runners are shared, two cores have little left for a second thread when a
/// neighbour works too, and the file is so small that starting a program counts. What they catch
/// is work done twice or a loop gone quadratic; finer changes show in `cargo xtask bench`. A
/// disk's speed has no bound at all, hence the room for the default, which waits for it.
const LIMITS: &[(&str, f64)] =
    &[(NO_VERIFY, 6.0), (NO_SYNC, 10.0), (DEFAULT, 15.0), (SKIP_HASH_CHECK, 6.0), (STATUS, 4.0)];

pub fn check(rows: &[Row]) -> Result<()> {
    let ratios: Vec<(&str, f64)> =
        rows.iter().map(|row| (row.name.as_str(), row.wall_ratio.median)).collect();
    let over = LIMITS.iter().filter_map(|limit| beyond(&ratios, *limit));
    let over: Vec<String> = over.collect();
    if !over.is_empty() {
        bail!("too slow: {}", over.join("; "));
    }
    println!("each of {} limits kept", LIMITS.len());
    Ok(())
}

/// What was not measured counts as over its limit: a new name must not switch it off.
fn beyond(ratios: &[(&str, f64)], (name, limit): (&str, f64)) -> Option<String> {
    match ratios.iter().find(|(measured, _)| *measured == name) {
        None => Some(format!("{name} was not measured")),
        Some((_, ratio)) if *ratio > limit => {
            Some(format!("{name} takes {ratio:.1} times the floor, the limit is {limit}"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ratio_over_its_limit_is_told() {
        let ratios = [("a", 5.9), ("b", 6.1)];
        assert_eq!(beyond(&ratios, ("a", 6.0)), None);
        assert!(beyond(&ratios, ("b", 6.0)).unwrap().contains("6.1 times"));
        assert!(beyond(&ratios, ("c", 6.0)).unwrap().contains("not measured"));
    }
}
