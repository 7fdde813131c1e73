//! Times as Docker's clients write them: seconds since 1970, a date, or how long ago.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::Refusal;

/// Reads `1136073600.000000001`, `2006-01-02T15:04:05Z` and shorter, or `1h30m`, which is so long before `now`.
///
/// # Errors
/// 400 for anything else, naming the parameter.
pub fn read(name: &str, text: &str, now: SystemTime) -> Result<SystemTime, Refusal> {
    let found = seconds(text).or_else(|| date(text)).or_else(|| now.checked_sub(duration(text)?));
    found.ok_or_else(|| {
        Refusal::invalid(format!(
            "{name}: {text:?} is no time: seconds since 1970, 2006-01-02T15:04:05Z and how long ago, as in 1h30m, are"
        ))
    })
}

/// A time as Docker's answers write it: RFC 3339 with as many digits as there are.
pub fn written(at: SystemTime) -> String {
    // Years behind 9999 have no RFC 3339.
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_else(|_| "9999-12-31T23:59:59Z".to_owned())
}

fn seconds(text: &str) -> Option<SystemTime> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{part:0<9}").parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(whole.parse().ok()?, nanoseconds))
}

/// A date, with what is missing of it being zero, and the zone UTC.
fn date(text: &str) -> Option<SystemTime> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        13 => format!("{text}:00:00Z"),
        16 => format!("{text}:00Z"),
        _ if text.len() > 16 && !text.ends_with('Z') && !text[16..].contains(['+', '-']) => format!("{text}Z"),
        _ => text.to_owned(),
    };
    OffsetDateTime::parse(&whole, &Rfc3339).ok().map(SystemTime::from)
}

/// A length of time as Go writes it: `1h30m`, `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let behind = &rest[number..];
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let seconds = match &behind[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let count: f64 = rest[..number].parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(count * seconds).ok()?)?;
        rest = &behind[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_of_docker_s_ways() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (text, written_so) in [
            ("1136073600", "2006-01-01T00:00:00Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
            ("1136073600.000000001", "2006-01-01T00:00:00.000000001Z"),
            ("2006-01-02T15:04:05Z", "2006-01-02T15:04:05Z"),
            ("2006-01-02T15:04:05.25+01:00", "2006-01-02T14:04:05.25Z"),
            ("2006-01-02T15:04:05", "2006-01-02T15:04:05Z"),
            ("2006-01-02T15:04", "2006-01-02T15:04:00Z"),
            ("2006-01-02T15", "2006-01-02T15:00:00Z"),
            ("2006-01-02", "2006-01-02T00:00:00Z"),
            ("1h30m", "2001-09-09T00:16:40Z"),
            ("0.5s", "2001-09-09T01:46:39.5Z"),
        ] {
            assert_eq!(written(read("since", text, now).unwrap()), written_so, "{text}");
        }
        for wrong in ["", "x", "1x", "h", "1h30", "-1", "1.", "2006-13-01", "99999999999999999999", "1e400s"] {
            assert!(read("since", wrong, now).is_err(), "{wrong}");
        }
    }
}
