//! Tables for people, JSON for programs.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::failure::{Code, Failure, Outcome};
use super::filter::{Facet, Filters};

/// In which form an answer is shown: for people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "a comment on a variant would take four lines of every command's help")]
pub enum Format {
    #[default]
    Table,
    Json,
}

/// What is inspected, and how it is shown.
#[derive(Clone, Debug, Args)]
pub struct Inspection {
    /// Which; may be several
    #[arg(required = true, value_name = "NAME")]
    objects: Vec<String>,
    /// In which form: all of it as JSON, or a line for each thing that there is to say
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

impl Inspection {
    /// Shows those that are found, and goes on over failures.
    pub async fn show<T: Serialize>(self, inspect: impl AsyncFnMut(&str) -> Result<T, Failure>) -> Outcome {
        let (found, outcome) = each(&self.objects, inspect).await;
        match self.format {
            Format::Json => json(&found)?,
            Format::Table => sheets(&found)?,
        };
        outcome
    }
}

/// How a list is shown.
#[derive(Clone, Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    filter: Filters,
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
    /// See [`Filters::select`].
    pub fn select<T>(
        &self,
        items: Vec<T>,
        known: &[&str],
        facet: impl for<'a> Fn(&'a T, &str) -> Facet<'a>,
    ) -> Result<Vec<T>, Failure> {
        self.filter.select(items, known, facet)
    }

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

/// Shows objects for people, an empty line between two.
fn sheets(objects: &[impl Serialize]) -> Outcome {
    let mut sheets = Vec::new();
    for object in objects {
        let value = serde_json::to_value(object).map_err(|error| Failure::failed(format!("writing: {error}")))?;
        let mut sheet = Vec::new();
        write_fields(&value, 0, &mut sheet);
        sheets.push(sheet.join("\n"));
    }
    match sheets.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => line(sheets.join("\n\n")),
    }
}

/// A line for each field; what has fields itself follows further in, its parts apart by a dash.
fn write_fields(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let mut fields: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    // By the alphabet they come, and what a thing is called comes first.
    fields.sort_by_key(|(key, _)| !["id", "name"].contains(&key.as_str()));
    for (key, value) in fields {
        let key = key.replace('_', " ");
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                lines.push(format!("{indent}{key}:"));
                for item in items {
                    let start = lines.len();
                    write_fields(item, depth + 2, lines);
                    if let Some(first) = lines.get_mut(start) {
                        first.replace_range(depth * 2 + 2..depth * 2 + 3, "-");
                    }
                }
            }
            Value::Object(fields) if !fields.is_empty() => {
                lines.push(format!("{indent}{key}:"));
                write_fields(value, depth + 1, lines);
            }
            Value::Array(items) => lines.push(format!("{indent}{key}: {}", or_dash(items.iter().map(plain)))),
            value => lines.push(format!("{indent}{key}: {}", or_dash([plain(value)]))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Asks a person whether it is meant; whoever says nothing does not mean it.
pub fn is_meant(what: &str) -> Result<bool, Failure> {
    let failed = |error| Failure::failed(format!("asking: {error}"));
    let mut error_output = std::io::stderr().lock();
    write!(error_output, "{what} Go on? [y/N] ").and_then(|()| error_output.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sheet_has_a_line_for_each_thing_that_there_is_to_say() {
        let object = json!({
            "name": "front", "gateway_v4": null, "internal": false, "labels": {}, "options": {"mtu": "1400"},
            "exposed": ["80/tcp", "81/tcp"], "ports": [], "pools": [{"range": null, "subnet": "10.1.0.0/24"}, {"subnet": "x"}],
        });
        let mut lines = Vec::new();
        write_fields(&object, 0, &mut lines);
        lines.sort();
        let mut expected = [
            "name: front",
            "gateway v4: -",
            "internal: no",
            "labels: -",
            "options:",
            "  mtu: 1400",
            "exposed: 80/tcp, 81/tcp",
            "ports: -",
            "pools:",
            "  - range: -",
            "    subnet: 10.1.0.0/24",
            "  - subnet: x",
        ];
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }
}
