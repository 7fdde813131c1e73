//! What every handler has at hand, and how it gets work done.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{RwLock, watch};

use trestle_core::controller::Controller;
use trestle_core::controller::request::NetworkRequest;
use trestle_core::port::Protocol;
use trestle_core::{Error, ErrorKind, Plan, Result};

use super::error::Refusal;
use super::model;
use super::unending::{Broken, Unending};
use crate::metrics::{Metrics, Operation};
use crate::names::Names;

/// What a handler has at hand. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Who does what is asked.
    pub controller: Controller,
    /// What the daemon tells about itself, and what its networks are like when they don't say.
    pub about: Arc<About>,
    /// Who is called what.
    pub names: Arc<Names>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Turns true when the daemon stops: streams end then.
    pub stopping: watch::Receiver<bool>,
    /// Held for reading by all work that is under way.
    pub work: Arc<RwLock<()>>,
}

/// What the daemon tells about itself, and its settings that handlers need.
#[derive(Clone, Debug)]
pub struct About {
    /// As `version` tells it.
    pub version: model::system::Version,
    /// For networks that don't say.
    pub mtu: Option<u32>,
    /// Writes a plan as lines that a person would type.
    pub script: fn(&Plan) -> String,
    /// Whether published ports of a protocol are held by a socket, or only mapped.
    pub can_hold: fn(Protocol) -> bool,
}

/// The option that `--mtu` is the default of.
const MTU_OPTION: &str = "com.docker.network.driver.mtu";

impl App {
    /// Does work that ends whatever becomes of its caller, timed and counted.
    pub async fn act<T, F>(&self, operation: Operation, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let metrics = Arc::clone(&self.metrics);
        let under_way = Arc::clone(&self.work).read_owned().await;
        let counted = async move {
            let started = Instant::now();
            let result = work.await;
            metrics.ended(operation, started.elapsed(), result.as_ref().err().map(Error::kind));
            drop(under_way);
            result
        };
        match Unending::new(counted).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                match error.kind() {
                    ErrorKind::Internal | ErrorKind::Unavailable => tracing::warn!(?operation, "{error}"),
                    kind => tracing::debug!(?operation, ?kind, "{error}"),
                }
                Err(error.into())
            }
            Err(Broken) => {
                tracing::error!(?operation, "the daemon has a defect");
                Err(Error::internal("the daemon has a defect; its log tells more").into())
            }
        }
    }

    /// Gives a network the daemon's own defaults where it says nothing and its driver would listen.
    pub fn with_defaults(&self, mut request: NetworkRequest) -> NetworkRequest {
        let Some(mtu) = self.about.mtu else { return request };
        let drivers = self.controller.drivers();
        let takes_mtu = |(name, options): &(String, Vec<trestle_core::driver::OptionDoc>)| {
            *name == request.driver && options.iter().any(|option| option.key == MTU_OPTION && option.supported)
        };
        if drivers.iter().any(takes_mtu) {
            request.options.entry(MTU_OPTION.into()).or_insert_with(|| mtu.to_string());
        }
        request
    }

    /// A plan as it is answered.
    pub fn plan(&self, plan: &Plan) -> Result<model::plan::Plan> {
        let resources = plan.resources().iter().map(serde_json::to_value).collect::<Result<_, _>>();
        let resources = resources.map_err(|error| Error::internal(format!("writing the plan: {error}")))?;
        Ok(model::plan::Plan { script: (self.about.script)(plan), resources })
    }

    /// An endpoint as it is answered, with the names of what it belongs to.
    pub fn endpoint(&self, endpoint: &trestle_core::endpoint::Endpoint) -> model::endpoint::Endpoint {
        let (network, sandbox) = self.controller.belongings(endpoint);
        model::endpoint::Endpoint::new(endpoint, network.as_deref(), sandbox.as_deref(), self.about.can_hold)
    }
}
