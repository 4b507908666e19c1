//! Kubernetes' quantities of bytes.

use serde_json::Value;

const GIB: u64 = 1 << 30;

/// How many bytes a quantity is, rounded up; `None` for what is none, or is beyond all disks.
pub fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "m" => 1e-3,
        _ => 10f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let bytes = (number * factor).ceil();
    (bytes.is_finite() && (0.0..1e18).contains(&bytes)).then_some(bytes as u64)
}

/// As it is written: a number of bytes may stand without quotes.
pub fn written(quantity: &Value) -> Option<String> {
    match quantity {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The size of the new volumes: three times the snapshot in whole Gi, or one of `others` if that is
/// larger, as it is written there.
pub fn of_volume(snapshot_bytes: u64, others: &[&str]) -> String {
    let gib = snapshot_bytes.saturating_mul(3).div_ceil(GIB).max(1);
    let mut largest = (gib.saturating_mul(GIB), format!("{gib}Gi"));
    for other in others {
        let other_bytes = bytes(other).unwrap_or_default();
        if other_bytes >= largest.0 {
            largest = (other_bytes, (*other).to_owned());
        }
    }
    largest.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, expected) in [
            ("8Gi", Some(8 << 30)),
            ("8589934592", Some(8 << 30)),
            ("1.5Ki", Some(1536)),
            ("4G", Some(4_000_000_000)),
            ("1e9", Some(1_000_000_000)),
            ("100m", Some(1)),
            ("", None),
            ("Gi", None),
            ("8gi", None),
            ("-1", None),
            ("9999Pi", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_volume_holds_the_snapshot_three_times_and_never_shrinks() {
        assert_eq!(of_volume(1, &[]), "1Gi");
        assert_eq!(of_volume(GIB, &[]), "3Gi");
        assert_eq!(of_volume(GIB + 1, &["3Gi"]), "4Gi");
        assert_eq!(of_volume(1, &["8Gi", "4Gi"]), "8Gi");
        assert_eq!(of_volume(3 * GIB, &["8Gi", "9663676416"]), "9663676416");
    }
}
