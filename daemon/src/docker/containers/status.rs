//! A container's state in words, as `docker ps` shows it.

use std::time::{Duration, SystemTime};

use trestle_engine::container::state::{Run, State};

/// `Up 5 minutes`, `Exited (0) 3 seconds ago`.
pub(super) fn status(state: &State, now: SystemTime) -> String {
    let since = |at: SystemTime| span(now.duration_since(at).unwrap_or_default());
    match state {
        State::Created { .. } => "Created".into(),
        State::Starting { before } => status(before, now),
        State::Running(Run { started_at, paused: true, .. }) => format!("Up {} (Paused)", since(*started_at)),
        State::Running(run) => format!("Up {}", since(run.started_at)),
        State::Ending(ended) => format!("Up {}", since(ended.started_at)),
        State::Exited(ended) => format!("Exited ({}) {} ago", ended.code, since(ended.finished_at)),
        State::Restarting(ended) => format!("Restarting ({}) {} ago", ended.code, since(ended.finished_at)),
        State::Removing { .. } => "Removal In Progress".into(),
    }
}

/// A length of time as Docker's clients know it.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let hours = (seconds + 1800) / 3600;
    match (seconds, seconds / 60, hours) {
        (0, _, _) => "Less than a second".into(),
        (1, _, _) => "1 second".into(),
        (2..60, _, _) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, minutes @ 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_docker_tells_them() {
        for (seconds, told) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (70 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), told, "{seconds}");
        }
    }
}
