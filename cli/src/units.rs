//! Sizes, ranges, shares, times and digests in the form in which people write and read them.

use crate::status::{Failure, Res};
use std::ops::Range;
use std::time::Duration;

/// Names of units in lower case, each with its number of bytes. A letter alone means the binary unit: `k` is
/// 1,024.
const UNITS: [(&str, u64); 24] = [
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
    ("p", 1 << 50),
    ("pb", 1_000_000_000_000_000),
    ("pib", 1 << 50),
    ("byte", 1),
    ("bytes", 1),
    ("kbyte", 1_000),
    ("mbyte", 1_000_000),
    ("gbyte", 1_000_000_000),
    ("tbyte", 1_000_000_000_000),
    ("e", 1 << 60),
    ("eib", 1 << 60),
];

/// Parses a number of bytes: `4096`, `64K`, `1MiB`, `1.5GB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 4096, 64K, 1MiB or 1.5GB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = match unit.as_str() {
        "" => 1,
        _ => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
    };
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err(wrong());
    }
    let too_large = || format!("'{text}' is more than 2^64 bytes");
    let whole: u128 = whole.parse().map_err(|_| wrong())?;
    let mut bytes = whole.checked_mul(unit.into()).ok_or_else(too_large)?;
    if !fraction.is_empty() {
        let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
        let part: u128 = fraction.parse().map_err(|_| wrong())?;
        bytes += part * u128::from(unit) / scale;
    }
    u64::try_from(bytes).map_err(|_| too_large())
}

/// A range of bytes as the user wrote it. Its ends may count from the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeText {
    text: String,
    start: Edge,
    end: Edge,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Edge {
    At(u64),
    /// The edge lies this number of bytes before the end of the file.
    BeforeEnd(u64),
    /// The end of the range lies this number of bytes after its start.
    Behind(u64),
    End,
}

impl std::str::FromStr for RangeText {
    type Err = String;

    fn from_str(text: &str) -> Result<RangeText, String> {
        // `ranges_from_end` put a space before a minus sign, so that it does not begin an option.
        let text = text.trim_start();
        let wrong = |why: &str| {
            format!("'{text}' is not a range such as 4096+8192, 1MiB..2MiB, -64KiB.. or ..4096{why}")
        };
        let edge = |text: &str| {
            match text.strip_prefix('-') {
                Some(rest) => parse_size(rest).map(Edge::BeforeEnd),
                None => parse_size(text).map(Edge::At),
            }
            .map_err(|why| wrong(&format!(": {why}")))
        };
        let (start, end) = if let Some((start, end)) = text.split_once("..") {
            let start = if start.is_empty() { Edge::At(0) } else { edge(start)? };
            (start, if end.is_empty() { Edge::End } else { edge(end)? })
        } else if let Some((start, len)) = text.split_once('+') {
            let len = parse_size(len).map_err(|why| wrong(&format!(": {why}")))?;
            (edge(start)?, Edge::Behind(len))
        } else {
            return Err(wrong(""));
        };
        Ok(RangeText { text: text.to_owned(), start, end })
    }
}

impl RangeText {
    /// Returns the range as offsets in a file of `size` bytes. Fails if it reaches outside of the file.
    pub(crate) fn resolve(&self, size: u64) -> Res<Range<u64>> {
        let outside = || {
            Failure::usage(format!(
                "the range {} is outside the available {size} bytes ({})",
                self.text,
                human(size)
            ))
        };
        let at = |edge: &Edge, start: u64| match edge {
            Edge::At(at) => Some(*at),
            Edge::BeforeEnd(back) => size.checked_sub(*back),
            Edge::Behind(len) => start.checked_add(*len),
            Edge::End => Some(size),
        };
        let start = at(&self.start, 0).ok_or_else(outside)?;
        let end = at(&self.end, start).ok_or_else(outside)?;
        if start > end {
            return Err(Failure::usage(format!(
                "the range {} ends before it begins: write START..END or START+LENGTH",
                self.text
            )));
        }
        if end > size {
            return Err(outside());
        }
        Ok(start..end)
    }
}

/// Parses a share such as `10%` or `6.25%`, and returns it in hundredths of a percent, 1 to 10,000.
pub(crate) fn parse_share(text: &str) -> Result<u32, String> {
    let wrong = || format!("'{text}' is not a share such as 10% or 6.25%, from 0.01% to 100%");
    let number: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().map_err(|_| wrong())?;
    // A fraction such as 0.1 is ambiguous: it could mean 10% or 0.1%.
    if number > 0.0 && number < 1.0 && !text.ends_with('%') {
        return Err(format!(
            "'{text}' is ambiguous: write 10% for a tenth, or {text}% for less than a hundredth"
        ));
    }
    let share = (number * 100.0).round();
    if !(1.0..=10_000.0).contains(&share) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(share as u32)
}

/// Parses a duration such as `90s`, `15m`, `3h` or `2d`; a number alone is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time such as 90s, 15m, 3h or 2d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

/// Formats a number of bytes for people: exactly below 1,024, else with three digits and a binary unit.
pub(crate) fn human(bytes: u64) -> String {
    const NAMES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1_024.0;
    let mut name = 0;
    while value >= 999.5 && name + 1 < NAMES.len() {
        value /= 1_024.0;
        name += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {}", NAMES[name])
}

/// Formats a number of bytes for people like `human`. From 1,024 on, the exact number follows in parentheses.
pub(crate) fn exact(bytes: u64) -> String {
    if bytes < 1_024 { human(bytes) } else { format!("{} ({bytes} bytes)", human(bytes)) }
}

/// Formats a duration in seconds for people, such as `2 h 5 min`.
pub(crate) fn human_time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Formats a number and a noun, in the plural unless the number is 1: `1 tile`, `2 tiles`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Formats nanoseconds since 1970 as `2026-01-31 12:00:00 UTC`.
pub(crate) fn date(nanoseconds: i64) -> String {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Converts a count of days to a date, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month_now) =
        (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month_now <= 2);
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year:04}-{month_now:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// Returns the hexadecimal digits of a digest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the 32 bytes that 64 hexadecimal digits represent.
pub(crate) fn parse_digest(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    let wrong = || format!("'{text}' is not a root, which has 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, wanted) in [
            ("0", 0),
            ("4096", 4_096),
            ("1_000", 1_000),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("64kb", 64_000),
            ("1.5MiB", 1_572_864),
            ("0.5K", 512),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(wanted), "{text}");
        }
        for text in ["", "K", "-1", "1x", "1..2", "1.2.3K", ".5K", "16E", "1e9", "18446744073709551616"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_read() {
        let range = |text: &str, size| {
            let range: RangeText = text.parse().map_err(|error: String| error)?;
            range.resolve(size).map_err(|failure| failure.message)
        };
        for (text, wanted) in [
            ("4096+8192", 4_096..12_288),
            ("1K..2K", 1_024..2_048),
            (" -1KiB..", 18_976..20_000),
            ("-1KiB..", 18_976..20_000),
            ("-1KiB..-512", 18_976..19_488),
            ("-2K+1K", 17_952..18_976),
            ("..", 0..20_000),
            ("..10", 0..10),
            ("20000+0", 20_000..20_000),
        ] {
            assert_eq!(range(text, 20_000), Ok(wanted), "{text}");
        }
        for text in [
            "10",
            "5..4",
            "20001..",
            "0+20001",
            "-20001..",
            "..20001",
            "a..b",
            "1+",
            "18446744073709551615+2",
        ] {
            assert!(range(text, 20_000).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_and_times_are_read() {
        assert_eq!(parse_share("10%"), Ok(1_000));
        assert_eq!(parse_share("6.25"), Ok(625));
        assert_eq!(parse_share("100%"), Ok(10_000));
        assert_eq!(parse_share("0.1%"), Ok(10));
        assert!(parse_share("0.1").is_err_and(|why| why.contains("write 10% for a tenth")));
        for text in ["0%", "0", "101%", "x", "", "nan", "-5%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("3h"), Ok(Duration::from_secs(10_800)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("3 weeks").is_err());
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (bytes, wanted) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (16_384, "16 KiB"),
            (1_048_575, "1 MiB"),
            (123_456_789, "118 MiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human(bytes), wanted);
        }
        assert_eq!((human_time(59), human_time(61)), ("59 s".to_owned(), "1 min 1 s".to_owned()));
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_827_696_000_000_000), "2000-02-29 12:34:56 UTC");
        assert_eq!(date(-1), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn digests_are_read_and_written() {
        let text = "00ff".repeat(16);
        assert_eq!(parse_digest(&text).map(|digest| hex(&digest)), Ok(text));
        assert!(parse_digest(&"é".repeat(32)).is_err() && parse_digest(&"0g".repeat(32)).is_err());
    }
}
