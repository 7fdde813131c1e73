//! `trestle connect` and `trestle disconnect`. The order of their arguments is docker's.

use std::process::ExitCode;

use clap::Args;

use super::client::{Client, part};
use super::endpoint::{Wishes, described};
use super::failure::Outcome;
use super::network::show_plan;
use super::output::{self, Format};
use crate::api::model::endpoint::Endpoint;
use crate::api::model::sandbox::DisconnectFrom;

/// Attach a sandbox to a network.
#[derive(Debug, Args)]
pub struct Connect {
    /// The network
    network: String,
    /// The sandbox
    sandbox: String,
    #[command(flatten)]
    wishes: Wishes,
    /// Change nothing, and show what would be done as the commands a person would type
    #[arg(long)]
    dry_run: bool,
    /// Show nothing
    #[arg(short, long)]
    quiet: bool,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Connect {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        let path = format!("/sandboxes/{}/connect", part(&self.sandbox));
        let body = self.wishes.body(self.network)?;
        if self.dry_run {
            return show_plan(&client.post(&format!("{path}?dry_run=true"), &body).await?, self.format);
        }
        let endpoint: Endpoint = client.post(&path, &body).await?;
        match (self.quiet, self.format) {
            (true, _) => Ok(ExitCode::SUCCESS),
            (false, Format::Json) => output::json(&endpoint),
            (false, Format::Table) => output::line(described(&endpoint)),
        }
    }
}

/// Cut a sandbox off from a network.
#[derive(Debug, Args)]
pub struct Disconnect {
    /// The network
    network: String,
    /// The sandbox
    sandbox: String,
}

impl Disconnect {
    /// Does it.
    pub async fn run(self, client: &Client) -> Outcome {
        let path = format!("/sandboxes/{}/disconnect", part(&self.sandbox));
        client.post_quietly(&path, &DisconnectFrom { network: self.network }).await?;
        Ok(ExitCode::SUCCESS)
    }
}
