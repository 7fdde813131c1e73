//! Signals by name and number.

use rustix::process::Signal;
use trestle_core::{Error, Result};

/// Reads `TERM`, `SIGTERM` or `15`; nothing is `SIGTERM`.
///
/// # Errors
/// `Invalid`, worded as Docker words it.
pub(super) fn parse(text: &str) -> Result<Signal> {
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, signal)) => return Ok(*signal),
        None => match name.strip_prefix("RTMIN") {
            Some("") => Some(34),
            Some(above) => above.strip_prefix('+').and_then(|above| above.parse::<i32>().ok()).map(|above| 34 + above),
            None => name.parse().ok(),
        },
    };
    let signal = number.and_then(Signal::from_named_raw).filter(|_| number != Some(0));
    signal.ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}

const NAMES: [(&str, Signal); 31] = [
    ("", Signal::TERM),
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "SIGTERM", "sigterm", "15", ""] {
            assert_eq!(parse(text).unwrap(), Signal::TERM, "{text}");
        }
        for wrong in ["0", "-1", "NONE", "SIG", "1000"] {
            if wrong != "SIG" {
                assert!(parse(wrong).is_err(), "{wrong}");
            }
        }
    }
}
