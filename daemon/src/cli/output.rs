//! Tables for people, JSON for programs.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::failure::{Code, Failure, Outcome};

/// In which form an answer is shown: for people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "a comment on a variant would take four lines of every command's help")]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// How a list is shown.
#[derive(Clone, Copy, Debug, Args)]
pub struct Listing {
    /// Show ids alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Show ids at their full length
    #[arg(long)]
    pub no_trunc: bool,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl Listing {
    /// Shows a list: of each item its id and its columns behind it.
    pub fn show<T: Serialize, const N: usize>(
        self,
        header: [&str; N],
        items: &[T],
        id: impl Fn(&T) -> &str,
        row: impl Fn(&T, String) -> [String; N],
    ) -> Outcome {
        let shown = |item: &T| match self.no_trunc {
            true => id(item).to_owned(),
            false => id(item).chars().take(12).collect(),
        };
        match (self.format, self.quiet) {
            (Format::Json, _) => json(&items),
            (Format::Table, true) => lines(items.iter().map(shown)),
            (Format::Table, false) => table(header, items.iter().map(|item| row(item, shown(item)))),
        }
    }
}

/// Shows rows below a header, columns apart as docker's.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Outcome {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    lines(table.lines().map(|line| line.trim_end().to_owned()))
}

/// Shows JSON, indented.
pub fn json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value);
    line(text.map_err(|error| Failure::failed(format!("writing the answer: {error}")))?)
}

/// Shows a line.
pub fn line(line: impl AsRef<str>) -> Outcome {
    lines([line])
}

/// Shows lines.
pub fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Outcome {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    write(text.as_bytes())
}

/// Writes to the standard output. Whoever reads it may have enough: that is no failure to tell of.
pub fn write(bytes: &[u8]) -> Outcome {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure { code: Code::Failed, message: None }),
        Err(error) => Err(Failure::failed(format!("writing the answer: {error}"))),
    }
}

/// Does the same for each of several objects, and goes on over failures: the last one decides the exit code.
pub async fn each<T>(objects: &[String], mut act: impl AsyncFnMut(&str) -> Result<T, Failure>) -> (Vec<T>, Outcome) {
    let (mut done, mut outcome) = (Vec::new(), Ok(ExitCode::SUCCESS));
    for object in objects {
        match act(object).await {
            Ok(result) => done.push(result),
            Err(failure) => {
                if let Some(message) = failure.message {
                    eprintln!("trestle: {message}");
                }
                outcome = Err(Failure { code: failure.code, message: None });
            }
        }
    }
    (done, outcome)
}

/// What there is, or a dash.
pub fn or_dash(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut joined = String::new();
    for value in values {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value.as_ref());
    }
    if joined.is_empty() { "-".to_owned() } else { joined }
}
