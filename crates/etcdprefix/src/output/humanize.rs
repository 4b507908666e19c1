//! Sizes as etcdutl prints them.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Go's `humanize.Bytes` (dustin/go-humanize v1.0.1, the version of etcd 3.5 to 3.7): powers of
/// 1000; one decimal below 10. It rounds twice, to a decimal and then to even, and so do we.
pub fn bytes(size: u64) -> String {
    if size < 10 {
        return format!("{size} B");
    }
    let exponent = size.ilog(1000);
    let scaled = size as f64 / 1000f64.powi(exponent as i32);
    let value = (scaled * 10.0 + 0.5).floor() / 10.0;
    let decimals = usize::from(value < 10.0);
    format!("{value:.decimals$} {}", UNITS[exponent as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_gos() {
        // The rows of go-humanize's own bytes_test.go at v1.0.1 ...
        for (size, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (803, "803 B"),
            (999, "999 B"),
            (1024, "1.0 kB"),
            (9999, "10 kB"),
            (999_999, "1000 kB"),
            (1024 * 1024, "1.0 MB"),
            (999_999_000, "1000 MB"),
            (1_000_000_000, "1.0 GB"),
            (999_999_000_000, "1000 GB"),
            (9_999_000, "10 MB"),
            (1_000_000_000_000, "1.0 TB"),
            (999_000_000_000_000, "999 TB"),
            (1_000_000_000_000_000, "1.0 PB"),
            (999_000_000_000_000_000, "999 PB"),
            (1_000_000_000_000_000_000, "1.0 EB"),
            (5_500_000_000, "5.5 GB"),
            (82_854_982, "83 MB"),
            // ... and its arithmetic worked out: 9.95 is 10.0, 36.5 is even, 37.5 goes up.
            (9, "9 B"),
            (10, "10 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (9949, "9.9 kB"),
            (9950, "10 kB"),
            (32_768, "33 kB"),
            (36_499, "36 kB"),
            (36_550, "37 kB"),
            (36_864, "37 kB"),
            (37_450, "38 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }
}
