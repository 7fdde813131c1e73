//! Changes to what containers of an image run, in the words of a Dockerfile: `docker import --change`, `docker commit`.
//!
//! Reference: <https://docs.docker.com/reference/dockerfile/>; Docker takes CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK,
//! LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR here.

use trestle_core::error::{Error, Result};

use super::configuration::{Empty, Healthcheck, RunConfig};

/// What runs a line that is no list.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Makes changes, one after another.
///
/// # Errors
/// `Invalid`, with the line that can't be done.
pub(super) fn apply(config: &mut RunConfig, changes: &[String]) -> Result<()> {
    let lines = changes.iter().flat_map(|change| change.lines()).map(str::trim).filter(|line| !line.is_empty());
    lines.into_iter().try_for_each(|line| {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let fault = |told: String| Error::invalid(format!("the change {line:?}: {told}"));
        apply_one(config, &word.to_uppercase(), rest.trim()).map_err(fault)
    })
}

fn apply_one(config: &mut RunConfig, word: &str, rest: &str) -> Result<(), String> {
    if rest.is_empty() {
        return Err(match word {
            "CMD" | "ENTRYPOINT" | "ENV" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "ONBUILD" | "STOPSIGNAL" | "USER"
            | "VOLUME" | "WORKDIR" => format!("{word} requires an argument"),
            _ => unknown(word),
        });
    }
    match word {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => pairs(rest)?.into_iter().for_each(|(name, value)| set_variable(&mut config.env, &name, &value)),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                config.exposed_ports.insert(exposed(port)?, Empty {});
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        "LABEL" => config.labels.extend(pairs(rest)?),
        "ONBUILD" => config.on_build.push(rest.into()),
        "STOPSIGNAL" => config.stop_signal = rest.into(),
        "USER" => config.user = rest.into(),
        "VOLUME" => {
            let paths = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "WORKDIR" if rest.starts_with('/') => config.working_dir = rest.into(),
        "WORKDIR" => config.working_dir = format!("{}/{rest}", config.working_dir.trim_end_matches('/')),
        _ => return Err(unknown(word)),
    }
    Ok(())
}

fn unknown(word: &str) -> String {
    format!("{word} is not a valid change command")
}

fn command(config: &RunConfig, rest: &str) -> Vec<String> {
    list(rest).unwrap_or_else(|| {
        let shell: Vec<String> = match config.shell.is_empty() {
            true => SHELL.map(str::to_owned).to_vec(),
            false => config.shell.clone(),
        };
        shell.into_iter().chain([rest.to_owned()]).collect()
    })
}

/// A list as JSON writes it.
fn list(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

fn exposed(port: &str) -> Result<String, String> {
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let is_number = |number: &str| number.parse::<u16>().is_ok_and(|number| number > 0);
    let well_formed = numbers.split('-').all(is_number) && numbers.split('-').count() <= 2;
    match well_formed && matches!(protocol, "tcp" | "udp" | "sctp") {
        true => Ok(format!("{numbers}/{protocol}")),
        false => Err(format!("invalid port {port:?}")),
    }
}

fn healthcheck(rest: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    let mut rest = rest;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').ok_or_else(|| format!("--{flag} has no value"))?;
        match name {
            "interval" => check.interval = nanoseconds(value)?,
            "timeout" => check.timeout = nanoseconds(value)?,
            "start-period" => check.start_period = nanoseconds(value)?,
            "start-interval" => check.start_interval = nanoseconds(value)?,
            "retries" => check.retries = value.parse().map_err(|_| format!("{value:?} is no number"))?,
            _ => return Err(format!("unknown flag --{name}")),
        }
        rest = after.trim();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (word.to_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".into()],
        ("CMD", command) if !command.is_empty() => match list(command) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None => vec!["CMD-SHELL".into(), command.into()],
        },
        _ => return Err("NONE, or CMD and a command is expected".into()),
    };
    Ok(check)
}

/// A length of time as Go writes it: `1m30s`, `500ms`.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let malformed = || format!("{text:?} is no length of time: 1m30s would be one");
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(malformed)?;
        let number: i64 = rest[..digits].parse().map_err(|_| malformed())?;
        let unit_length = rest[digits..].find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + unit_length] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(malformed()),
        };
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(malformed)?;
        rest = &rest[digits + unit_length..];
    }
    Ok(total)
}

fn set_variable(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    let same = |known: &&mut String| known.split_once('=').is_some_and(|(known, _)| known == name);
    match env.iter_mut().find(same) {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

/// `NAME=value NAME="a value"`, or the older `NAME a value`.
fn pairs(rest: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(rest)?;
    if words.first().is_some_and(|first| !first.contains('=')) {
        let (name, value) = rest.split_once(char::is_whitespace).ok_or_else(|| format!("{rest} has no value"))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not NAME=value")),
    };
    words.into_iter().map(pair).collect()
}

/// Words as a shell parts them.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed".into()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<RunConfig> {
        let mut config = RunConfig::default();
        let changes: Vec<_> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply(&mut config, &changes)?;
        Ok(config)
    }

    #[test]
    fn lists_are_taken_as_they_are_and_lines_go_to_a_shell() {
        let config = changed(&[r#"CMD ["a", "b c"]"#, "entrypoint run it"]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
    }

    #[test]
    fn variables_and_labels_are_read_in_both_forms() {
        let config =
            changed(&["ENV A=1 B=\"two words\" C='x'", "ENV A changed it", "LABEL k=v", "LABEL l m n"]).unwrap();
        assert_eq!(config.env, ["A=changed it", "B=two words", "C=x"]);
        assert_eq!((config.labels["k"].as_str(), config.labels["l"].as_str()), ("v", "m n"));
    }

    #[test]
    fn the_rest_of_what_docker_takes_is_taken() {
        let config = changed(&[
            "EXPOSE 80 53/udp",
            "VOLUME /data /logs",
            "WORKDIR /srv",
            "WORKDIR app",
            "USER nobody",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD true",
        ]);
        let config = config.unwrap();
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/data", "/logs"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/app", "nobody"));
        let check = config.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries), (90_000_000_000, 3));
        assert_eq!(check.test, ["CMD-SHELL", "true"]);
    }

    #[test]
    fn what_can_t_be_done_is_refused_with_its_line() {
        for wrong in [
            "RUN x",
            "CMD",
            "EXPOSE x",
            "ENV A",
            "ENV =1",
            "LABEL a=\"b",
            "HEALTHCHECK --x=1 CMD y",
            "HEALTHCHECK --interval=5 CMD y",
        ] {
            let error = changed(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
