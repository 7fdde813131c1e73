//! Plans, and what is not as they say.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use trestle_core::kernel::{self, Deviation};

/// What shall be in the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// As the lines of `ip` and `nft` that a person would type.
    pub script: String,
    /// Each resource, in the order in which it is made. `kind` tells which it is.
    #[schema(value_type = Vec<Object>)]
    pub resources: Vec<serde_json::Value>,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drifts {
    /// Nothing, if all is well.
    pub drifts: Vec<Drift>,
}

/// Something that is not as its plan says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// What: `link veth0123456789`, `port 0.0.0.0:80/tcp`.
    pub resource: String,
    /// `missing`, `altered`, or `obstructed` by a stranger's thing.
    pub deviation: String,
    /// What is there instead, or what to do about it.
    pub detail: String,
}

impl From<Vec<kernel::Drift>> for Drifts {
    fn from(drifts: Vec<kernel::Drift>) -> Self {
        let drift = |it: kernel::Drift| Drift {
            resource: it.resource,
            deviation: match it.deviation {
                Deviation::Missing => "missing",
                Deviation::Altered => "altered",
                Deviation::Obstructed => "obstructed",
            }
            .into(),
            detail: it.detail,
        };
        Self { drifts: drifts.into_iter().map(drift).collect() }
    }
}
