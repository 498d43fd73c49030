//! Numbers as Kubernetes writes them: `resource.Quantity` in its canonical form, decimal suffixes.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`, the comment of `Quantity`: no precision is lost, there are no fractional
//! digits, and the exponent is as large as possible.

/// Suffixes of thousands, from one on.
const THOUSANDS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
/// The largest that reads without loss in Kubernetes, where a quantity is a signed number of 64 bits.
const MOST: u64 = i64::MAX as u64;

/// A whole number.
pub fn whole(number: u64) -> String {
    let mut number = number.min(MOST);
    let mut suffix = 0;
    while number != 0 && number.is_multiple_of(1000) && suffix + 1 < THOUSANDS.len() {
        number /= 1000;
        suffix += 1;
    }
    format!("{number}{}", THOUSANDS[suffix])
}

/// A number of thousandths.
pub fn thousandths(number: u64) -> String {
    if number.is_multiple_of(1000) {
        whole(number / 1000)
    } else {
        format!("{}m", number.min(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_as_large_as_possible_and_nothing_is_lost() {
        for (number, text) in [
            (0, "0"),
            (1, "1"),
            (999, "999"),
            (1000, "1k"),
            (1500, "1500"),
            (10_000, "10k"),
            (1_000_000, "1M"),
            (1_000_001, "1000001"),
            (2_500_000_000, "2500M"),
            (1_000_000_000_000_000_000, "1E"),
            (u64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(whole(number), text);
        }
    }

    #[test]
    fn thousandths_are_written_only_where_there_are_any() {
        for (number, text) in [
            (0, "0"),
            (1, "1m"),
            (999, "999m"),
            (1000, "1"),
            (66_667, "66667m"),
            (80_000, "80"),
            (1_000_000, "1k"),
            (u64::MAX, "9223372036854775807m"),
        ] {
            assert_eq!(thousandths(number), text);
        }
    }
}
