//! The commands about everything: events, verify, repair, drivers, version.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use http_body_util::BodyExt;
use serde::Serialize;

use super::client::{Client, part};
use super::failure::{Code, Failure, Outcome};
use super::output::{self, Format};
use crate::api::model::event::Line;
use crate::api::model::plan::Drifts;
use crate::api::model::system;

/// Show what happens.
#[derive(Debug, Args)]
pub struct Events {
    /// Only events of a kind of thing: network, endpoint or sandbox
    #[arg(long, value_parser = ["network", "endpoint", "sandbox"])]
    subject: Option<String>,
    /// Only events of a kind
    #[arg(long, value_parser = ["create", "connect", "disconnect", "publish", "repair", "destroy"])]
    action: Option<String>,
    /// Only events of a thing, by name, id, or beginning of its id
    #[arg(long, value_name = "NAME")]
    object: Option<String>,
    /// In which form; json is a line for each event
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Events {
    /// Does it, until the daemon stops or the person has enough.
    pub async fn run(self, client: &Client) -> Outcome {
        let filters = [("subject", &self.subject), ("action", &self.action), ("object", &self.object)];
        let filters = filters.iter().filter_map(|(key, value)| Some(format!("{key}={}", part(value.as_ref()?))));
        let query = filters.collect::<Vec<_>>().join("&");
        let mut body = client.ask(Method::GET, &format!("/events?{query}"), None).await?.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Failure::new(Code::Unreachable, format!("the daemon broke off: {error}")))?;
            pending.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.show(&line)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, line: &[u8]) -> Outcome {
        if self.format == Format::Json {
            return output::write(line);
        }
        let line = serde_json::from_slice(line);
        match line.map_err(|error| Failure::failed(format!("reading an event: {error}")))? {
            Line::Lost { lost } => output::line(format!("({lost} events were lost: they came too fast)")),
            Line::Event(event) => {
                let attributes = event.attributes.iter().map(|(key, value)| format!("{key}={value}"));
                let attributes = attributes.collect::<Vec<_>>().join(", ");
                let (at, subject, action, name, id) = (event.at, event.subject, event.action, event.name, event.id);
                let id: String = id.chars().take(12).collect();
                output::line(format!("{at} {subject} {action} {name} {id} ({attributes})"))
            }
        }
    }
}

/// Compare the kernel with what should be there.
#[derive(Debug, Args)]
pub struct Verify {
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Verify {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        show_drifts(&client.get("/verify").await?, self.format)
    }
}

/// Make the kernel as it should be.
#[derive(Debug, Args)]
pub struct Repair {
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Repair {
    /// Does it. What was amiss is mended: that is no failure.
    pub async fn run(self, client: &Client) -> Outcome {
        let drifts: Drifts = client.post("/repair", &serde_json::json!({})).await?;
        match show_drifts(&drifts, self.format) {
            Err(Failure { code: Code::Amiss, .. }) => Ok(ExitCode::SUCCESS),
            other => other,
        }
    }
}

/// Shows what is amiss, and ends with [`Code::Amiss`] if anything is.
pub(super) fn show_drifts(drifts: &Drifts, format: Format) -> Outcome {
    let drifts = &drifts.drifts;
    match (format, drifts.is_empty()) {
        (Format::Json, _) => output::json(drifts)?,
        (Format::Table, true) => output::line("everything is as it should be")?,
        (Format::Table, false) => {
            let row = |drift: &crate::api::model::plan::Drift| {
                [drift.resource.clone(), drift.deviation.clone(), drift.detail.clone()]
            };
            output::table(["RESOURCE", "DEVIATION", "DETAIL"], drifts.iter().map(row))?
        }
    };
    match drifts.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Failure { code: Code::Amiss, message: None }),
    }
}

/// Show drivers and options.
#[derive(Debug, Args)]
pub struct Drivers {
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Drivers {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        let drivers: Vec<system::Driver> = client.get("/drivers").await?;
        if self.format == Format::Json {
            return output::json(&drivers);
        }
        let rows = drivers.iter().flat_map(|driver| {
            let options = driver.options.iter().map(|option| {
                let supported = if option.supported { "" } else { " (not yet)" };
                [
                    driver.name.clone(),
                    format!("{}{supported}", option.key),
                    option.values.clone(),
                    option.default.clone(),
                    option.meaning.clone(),
                ]
            });
            let none = driver.options.is_empty().then(|| [driver.name.as_str(), "-", "", "", ""].map(str::to_owned));
            options.chain(none)
        });
        output::table(["DRIVER", "OPTION", "VALUES", "DEFAULT", "MEANING"], rows)
    }
}

/// Show versions.
#[derive(Debug, Args)]
pub struct Version {
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    daemon: Option<system::Version>,
}

impl Version {
    /// Does it. This command's own version is told even if no daemon answers.
    pub async fn run(self, client: &Client) -> Outcome {
        let answer = client.get::<system::Version>("/version").await;
        let own = env!("CARGO_PKG_VERSION");
        if self.format == Format::Json {
            output::json(&Versions { client: own, daemon: answer.as_ref().ok().cloned() })?;
        } else {
            output::line(format!("trestle  {own}"))?;
            if let Ok(daemon) = &answer {
                output::line(format!(
                    "trestled {} (API {}, Linux {} {}, process {}, --data-root {}, --exec-root {})",
                    daemon.version,
                    daemon.api,
                    daemon.kernel,
                    daemon.architecture,
                    daemon.pid,
                    daemon.data_root,
                    daemon.exec_root
                ))?;
            }
        }
        answer.map(|_| ExitCode::SUCCESS)
    }
}
