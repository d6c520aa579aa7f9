//! Numbers, durations, bytes and times as people read them. Missing is `–`, never 0.

use crate::measured::Measured;
use std::time::Duration;

/// What stands where a value could not be had.
pub const MISSING: &str = "–";

/// A count with thousands separators: `12,345`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate per second: `1,234/s`, below 10 with one decimal.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{}/s", count(per_second.round() as u64))
    }
}

/// Milliseconds, with as many digits as matter: `0.42 ms`, `12.3 ms`, `1.25 s`.
#[must_use]
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1_000.0),
    }
}

/// Bytes in binary units: `512 B`, `1.5 KiB`, `3.2 GiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// Bytes that may have become fewer: `-1.5 KiB`.
#[must_use]
pub fn signed_bytes(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", bytes(value.unsigned_abs()))
}

/// A share between 0 and 1 as per cent: `12.3 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value != 0.0 && value.abs() < 0.1 { format!("{value:.3} %") } else { format!("{value:.1} %") }
}

/// An instant as people read it, to the second; what is none stays as it is.
#[must_use]
pub fn instant(text: &str) -> String {
    text.parse::<jiff::Timestamp>()
        .map_or_else(|_| text.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A duration in its two largest units: `4s`, `3m 20s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit} {small}{small_unit}")
    }
}

/// A text with a capital at its start, as a sentence begins.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A measured value, or [`MISSING`].
#[must_use]
pub fn measured<T: Copy>(value: &Measured<T>, show: impl FnOnce(T) -> String) -> String {
    or_missing(value.value(), show)
}

/// A measured value, or in words that there is none, and why.
#[must_use]
pub fn measured_in_words<T: Copy>(value: &Measured<T>, show: impl FnOnce(T) -> String) -> String {
    match value {
        Measured::Value(value) => show(*value),
        Measured::Missing(why) => format!("not measured: {why}"),
        Measured::NotApplicable(why) => format!("does not apply: {why}"),
    }
}

/// An optional value, or [`MISSING`].
#[must_use]
pub fn or_missing<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| MISSING.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn durations_show_two_units_at_most() {
        assert_eq!(duration(Duration::from_millis(40)), "40ms");
        assert_eq!(duration(Duration::from_secs(200)), "3m 20s");
        assert_eq!(duration(Duration::from_secs(7_500)), "2h 5m");
    }

    #[test]
    fn missing_is_never_zero() {
        assert_eq!(or_missing(None, count), MISSING);
    }

    #[test]
    fn bytes_use_binary_units() {
        assert_eq!([512, 1_536, 3_435_973_837].map(bytes), ["512 B", "1.5 KiB", "3.2 GiB"]);
    }
}
