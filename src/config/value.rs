//! Values that are written as text: durations, sizes, rates, names.

use std::{fmt, time::Duration};

use crate::source::is_name;
pub(super) use crate::suggest::{list, near};

/// How many may happen in a span of time: `100/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many; from 1 to a million.
    pub count: u32,
    /// In which time; a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// How many in one second.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

pub(super) const DURATION: &str = "a time with its unit, such as \"1500ms\", \"30s\" or \"30d\"";
pub(super) const SIZE: &str = "a number of bytes, or a text such as \"64KiB\", \"1MiB\" or \"10GiB\"";
pub(super) const RATE: &str = "how many a second, minute or hour, such as \"100/s\", \"60/m\" or \"10/h\"";

/// `1500ms`, `30d`, `1h 30m`; `0` is no time at all.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// `1MiB`, `10 GB`, `4096`, in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `100/s`, `60/m`, `10/h`.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    // More than a million a second is no limit.
    let count = count.trim().parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
    Some(Rate { count, per: Duration::from_secs(seconds) })
}

/// A source's name.
pub(super) fn name(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

/// What a route's name looks like.
pub(super) const ROUTE_NAME: &str = "up to 128 of the characters A-Z a-z 0-9 . _ - : *";

/// A route's name. It may look like those that the library gives (`cafe:stock.*`): a data folder can pass from one to
/// the other.
pub(super) fn route_name(text: &str) -> Option<String> {
    let fits = (1..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '*'));
    fits.then(|| text.to_owned())
}

/// Bytes as a person writes them: `10GiB`.
pub(super) fn show_size(bytes: u64) -> String {
    [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|&(shift, _)| bytes >= 1 << shift && bytes.trailing_zeros() >= shift)
        .map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A time as the file has it, in at most two units: `30d`, `1h 30m`, `1500ms`.
pub(super) fn show_duration(time: Duration) -> String {
    if time < Duration::from_secs(60) && time.subsec_nanos() > 0 {
        return format!("{}ms", time.as_millis());
    }
    let mut rest = time.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= seconds && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86400)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for wrong in ["", "30", "-1s", "soon", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in ["0", "1500ms", "1s", "30s", "5m", "1h 30m", "6h", "30d", "90d", "400d"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
        assert_eq!(show_duration(Duration::from_secs(188_284)), "2d 4h");
        assert!(!show_duration(Duration::MAX).is_empty());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("17B", 17),
            ("1kB", 1000),
            ("1 KiB", 1024),
            ("1MiB", 1 << 20),
            ("10GiB", 10 << 30),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "MiB", "1 mib", "-1", "1.5GiB", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        assert_eq!(show_size(10 << 30), "10GiB");
        assert_eq!(show_size(1500), "1500 bytes");
    }

    #[test]
    fn rates() {
        assert!((rate("100/s").unwrap().per_second() - 100.0).abs() < 1e-9);
        assert!((rate("60/m").unwrap().per_second() - 1.0).abs() < 1e-9);
        for wrong in ["", "100", "0/s", "1/day", "-1/s"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names() {
        for fine in ["cafe", "stock-to-erp", "a.b_c-1", "9"] {
            assert!(name(fine).is_some(), "{fine}");
        }
        for wrong in ["", "-a", "a b", "кафе", "a/b", "a:b", &"x".repeat(65)] {
            assert!(name(wrong).is_none(), "{wrong}");
        }
    }
}
