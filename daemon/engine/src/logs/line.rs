//! One line of a log as conmon writes it: `TIME stdout|stderr F|P text`, where `P` is a part that goes on.
//!
//! Source: <https://github.com/containers/conmon>, `src/ctr_logging.c`, the format `k8s-file`.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where something was printed. The numbers are those of Docker's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The output.
    Out = 1,
    /// The errors.
    Err = 2,
}

/// A line, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was printed, as it was written.
    pub time: &'a str,
    /// Where.
    pub stream: Stream,
    /// Whether it goes on.
    pub partial: bool,
    /// What.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads one, without its newline; `None` for what is none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut parts = bytes.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Out,
            b"stderr" => Stream::Err,
            _ => return None,
        };
        let partial = match parts.next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self { time, stream, partial, text: parts.next()? })
    }

    /// When it was printed.
    pub fn at(&self) -> Option<SystemTime> {
        OffsetDateTime::parse(self.time, &Rfc3339).ok().map(SystemTime::from)
    }

    /// As Docker sends it.
    pub fn told(&self, timestamps: bool) -> Vec<u8> {
        let mut told = Vec::with_capacity(self.text.len() + 40);
        if timestamps {
            let utc = self.at().map(crate::container::config::go::time);
            told.extend_from_slice(utc.as_deref().unwrap_or(self.time).as_bytes());
            told.push(b' ');
        }
        told.extend_from_slice(self.text);
        if !self.partial {
            told.push(b'\n');
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts_are_told_as_docker_tells_them() {
        let line = Line::read(b"2026-11-28T14:48:08.319800826+01:00 stderr F two  words ").unwrap();
        assert_eq!((line.stream, line.partial), (Stream::Err, false));
        assert_eq!(line.told(false), b"two  words \n");
        assert_eq!(line.told(true), b"2026-11-28T13:48:08.319800826Z two  words \n");
        let part = Line::read(b"2026-11-28T14:48:08.319800826+01:00 stdout P ").unwrap();
        assert_eq!(part.told(false), b"");
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        for wrong in ["", "x", "t stdout", "t stdout F", "t out F x", "t stdout X x"] {
            assert_eq!(Line::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
