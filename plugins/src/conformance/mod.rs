//! A plugin on trial: every method, in and out of order, with bad and huge input, twice and at once; and a report that
//! its author can act on.
//!
//! The trial makes networks and pools of its own (198.18.0.0/15, which RFC 2544 keeps for trials) and gives up all that
//! it was given.

mod abuse;
mod crowd;
mod examiner;
mod ipam;
mod network;
mod report;

pub use report::{Check, Report, Verdict};

use std::path::PathBuf;
use std::sync::Arc;

use trestle_core::Result;
use trestle_core::entropy::Entropy;
use trestle_core::kernel::Kernel;

use crate::client::{Address, Client, Limits};
use crate::wire::{IPAM_DRIVER, NETWORK_DRIVER};
use examiner::Examiner;

/// What a trial stands on.
#[derive(Clone)]
pub struct Trial {
    /// Where the plugin is.
    pub address: Address,
    /// What a call may take.
    pub limits: Limits,
    /// The namespace that endpoints are said to join. The trial does not look into it.
    pub sandbox: PathBuf,
    /// Sees whether the links that the plugin tells of are there; without, its word is taken for it.
    pub kernel: Option<Arc<dyn Kernel>>,
    /// Where ids come from.
    pub entropy: Arc<dyn Entropy>,
}

/// Puts a plugin on trial.
///
/// # Errors
/// `Invalid` when the address's files can't be used. Whatever the plugin does is in the report.
pub async fn examine(trial: Trial) -> Result<Report> {
    let client = Client::new(trial.address.clone(), trial.limits)?;
    let mut examiner = Examiner::new(client, trial);
    let implements = examiner.handshake().await;
    if implements.iter().any(|kind| kind == NETWORK_DRIVER) {
        examiner.try_network_driver().await;
        examiner.try_network_driver_out_of_order().await;
        examiner.try_network_driver_with_a_crowd().await;
    }
    if implements.iter().any(|kind| kind == IPAM_DRIVER) {
        examiner.try_ipam().await;
        examiner.try_ipam_out_of_order().await;
        examiner.try_ipam_with_a_crowd().await;
    }
    if !implements.is_empty() {
        examiner.try_abuse(&implements).await;
    }
    Ok(examiner.finish())
}
