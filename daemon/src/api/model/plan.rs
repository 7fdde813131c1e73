//! Plans, and what is not as they say.

use std::collections::HashSet;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// What: `link veth0123456789`, `port 0.0.0.0:80/tcp`.
    pub resource: String,
    /// `missing`, `altered`, `obstructed` by a stranger's thing, or `stray`: ours, and belonging to nothing.
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
                Deviation::Stray => "stray",
            }
            .into(),
            detail: it.detail,
        };
        // What several plans share is amiss for each of them, and told once.
        let mut told = HashSet::new();
        let drifts = drifts.into_iter().map(drift).filter(|drift| told.insert(drift.clone()));
        Self { drifts: drifts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_amiss_for_several_is_told_once() {
        let drift = |resource: &str| kernel::Drift {
            resource: resource.into(),
            deviation: Deviation::Missing,
            detail: String::new(),
        };
        let told = Drifts::from(vec![drift("link a"), drift("table"), drift("link b"), drift("table")]);
        assert_eq!(
            told.drifts.iter().map(|it| it.resource.as_str()).collect::<Vec<_>>(),
            ["link a", "table", "link b"]
        );
    }
}
