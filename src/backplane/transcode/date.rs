//! Dates, which msgpack has as extensions and JSON as text.

/// The farthest date from 1970 that JavaScript has, in milliseconds (ECMA-262, "Time Values and
/// Time Range").
const FARTHEST: f64 = 8.64e15;
const MILLISECONDS_A_DAY: i64 = 86_400_000;

/// Milliseconds since 1970 of a timestamp, in any of its three lengths (msgpack specification,
/// "Timestamp extension type"). A fraction of a millisecond is kept, as by `notepack.io`.
pub(super) fn timestamp(data: &[u8]) -> Option<f64> {
    if let Ok(seconds) = data.try_into().map(u32::from_be_bytes) {
        return Some(f64::from(seconds) * 1e3);
    }
    let (seconds, nanoseconds) = match data.try_into().map(u64::from_be_bytes) {
        // 30 bits of nanoseconds, 34 bits of seconds.
        Ok(both) => ((both & 0x3_ffff_ffff) as f64, (both >> 34) as f64),
        Err(_) => {
            let (nanoseconds, seconds) = data.split_first_chunk()?;
            let seconds = i64::from_be_bytes(seconds.try_into().ok()?);
            (seconds as f64, f64::from(u32::from_be_bytes(*nanoseconds)))
        }
    };
    Some(seconds * 1e3 + nanoseconds / 1e6)
}

/// The text that `Date.prototype.toISOString` makes. `None` for what is no date to JavaScript.
pub(super) fn iso(milliseconds: f64) -> Option<String> {
    if milliseconds.is_nan() || milliseconds.abs() > FARTHEST {
        return None;
    }
    // Towards zero, as JavaScript does it.
    let milliseconds = milliseconds as i64;
    let (year, month, day) = civil(milliseconds.div_euclid(MILLISECONDS_A_DAY));
    let rest = milliseconds.rem_euclid(MILLISECONDS_A_DAY);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// Year, month and day of a number of days since 1970.
///
/// Years are counted from March, so that the leap day is the last of a year, and the days before a
/// month follow from its number: five months have 153 days, twice the same pattern.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    /// From the first of March of the year 0 to 1970.
    const DAYS_BEFORE_1970: i64 = 719_468;

    let days = days + DAYS_BEFORE_1970;
    let (cycle, day) = (days.div_euclid(DAYS_IN_400_YEARS), days.rem_euclid(DAYS_IN_400_YEARS));
    // The leap days of 4, 100 and 400 years taken out, all years have 365 days.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_javascript() {
        // new Date(milliseconds).toISOString()
        for (milliseconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1_577_934_245_678.0, "2020-01-02T03:04:05.678Z"),
            (1_577_934_245_678.9, "2020-01-02T03:04:05.678Z"),
            (-1.0, "1969-12-31T23:59:59.999Z"),
            (-0.9, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000.0, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999.0, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000.0, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999.0, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000.0, "+010000-01-01T00:00:00.000Z"),
            (-62_162_078_400_000.0, "0000-02-29T12:00:00.000Z"),
            (-62_167_219_200_001.0, "-000001-12-31T23:59:59.999Z"),
            (FARTHEST, "+275760-09-13T00:00:00.000Z"),
            (-FARTHEST, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(milliseconds).as_deref(), Some(text), "{milliseconds}");
        }
        for none in [FARTHEST + 1.0, -FARTHEST - 1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(iso(none), None, "{none}");
        }
    }

    #[test]
    fn no_day_is_skipped_and_none_comes_twice() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), (year, month, day), "{days}");
            let last = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn timestamps_have_three_lengths() {
        assert_eq!(timestamp(&[0, 0, 0, 2]), Some(2000.0));
        assert_eq!(timestamp(&(500_000_000_u64 << 34 | 3).to_be_bytes()), Some(3500.0));
        let long = [500_000_000_u32.to_be_bytes().as_slice(), &(-1_i64).to_be_bytes()].concat();
        assert_eq!(timestamp(&long), Some(-500.0));
        for length in [0, 1, 3, 5, 11, 13, 16] {
            assert_eq!(timestamp(&vec![0; length]), None, "{length}");
        }
    }
}
