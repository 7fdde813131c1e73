//! What is counted, and how it is told to Prometheus.

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use trestle_core::ErrorKind;
use trestle_resolver::limits::{Counted, Meter};

/// What the daemon is asked to do and that takes effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    CreateNetwork,
    DeleteNetwork,
    CreateEndpoint,
    DeleteEndpoint,
    Attach,
    Detach,
    Publish,
    Unpublish,
    Call,
    CreateSandbox,
    DeleteSandbox,
    Plan,
    Verify,
    Repair,
}

/// The name of a kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind(ErrorKind);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    operation: Operation,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NounLabel {
    noun: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    attaches: Counter,
    detaches: Counter,
    errors: Family<ErrorLabels, Counter>,
    seconds: Family<OperationLabel, Histogram>,
    objects: Family<NounLabel, Gauge>,
    questions: Family<OutcomeLabel, Counter>,
    upstream_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Meter for Metrics {
    fn count(&self, what: Counted) {
        let outcome = match what {
            Counted::Local => "local",
            Counted::Kept => "kept",
            Counted::Stale => "stale",
            Counted::Forwarded => "forwarded",
            Counted::Failed => "failed",
            Counted::Refused => "refused",
            Counted::Malformed => "malformed",
        };
        self.questions.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    fn upstream(&self, took: Duration) {
        self.upstream_seconds.observe(took.as_secs_f64());
    }
}

/// How many of each noun there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Networks.
    pub networks: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Sandboxes.
    pub sandboxes: usize,
    /// Names, each counted once a network.
    pub names: usize,
}

/// The type of the text that [`Metrics::text`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from half a millisecond, which an attach at its best takes, to eight.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 8.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at nought.
    pub fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::new_with_constructor(histogram);
        let mut metrics = Self {
            registry: Registry::with_prefix("trestle"),
            attaches: Counter::default(),
            detaches: Counter::default(),
            errors: Family::default(),
            seconds,
            objects: Family::default(),
            questions: Family::default(),
            upstream_seconds: Histogram::new(BUCKETS),
        };
        let Self { registry, attaches, detaches, errors, seconds, objects, questions, upstream_seconds } = &mut metrics;
        registry.register("attaches", "Endpoints attached to sandboxes", attaches.clone());
        registry.register("detaches", "Endpoints cut off from sandboxes", detaches.clone());
        registry.register("errors", "Operations that failed, by kind of error", errors.clone());
        registry.register("operation_duration_seconds", "How long operations took", seconds.clone());
        registry.register("objects", "Networks, endpoints and sandboxes that there are", objects.clone());
        registry.register("name_questions", "Questions for names, by what became of them", questions.clone());
        let waited = "How long other name servers took to answer";
        registry.register("name_upstream_seconds", waited, upstream_seconds.clone());
        metrics
    }

    /// An operation has ended.
    pub fn ended(&self, operation: Operation, took: Duration, error: Option<ErrorKind>) {
        self.seconds.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
        match (error, operation) {
            (Some(kind), _) => {
                self.errors.get_or_create(&ErrorLabels { operation, kind: Kind(kind) }).inc();
            }
            (None, Operation::Attach) => {
                self.attaches.inc();
            }
            (None, Operation::Detach) => {
                self.detaches.inc();
            }
            (None, _) => {}
        }
    }

    /// Everything as text for Prometheus.
    pub fn text(&self, objects: Objects) -> Result<String, std::fmt::Error> {
        let Objects { networks, endpoints, sandboxes, names } = objects;
        let counts = [("network", networks), ("endpoint", endpoints), ("sandbox", sandboxes), ("name", names)];
        for (noun, count) in counts {
            self.objects.get_or_create(&NounLabel { noun }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut told = String::new();
        text::encode(&mut told, &self.registry)?;
        Ok(told)
    }
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(match self {
            Self::CreateNetwork => "create_network",
            Self::DeleteNetwork => "delete_network",
            Self::CreateEndpoint => "create_endpoint",
            Self::DeleteEndpoint => "delete_endpoint",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Publish => "publish",
            Self::Unpublish => "unpublish",
            Self::Call => "call",
            Self::CreateSandbox => "create_sandbox",
            Self::DeleteSandbox => "delete_sandbox",
            Self::Plan => "plan",
            Self::Verify => "verify",
            Self::Repair => "repair",
        })
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(match self.0 {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Exhausted => "exhausted",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Internal => "internal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attaches_errors_durations_and_objects_are_told() {
        let metrics = Metrics::new();
        metrics.ended(Operation::Attach, Duration::from_millis(3), None);
        metrics.ended(Operation::Attach, Duration::from_millis(3), Some(ErrorKind::Conflict));
        metrics.ended(Operation::Detach, Duration::from_millis(3), None);
        metrics.count(Counted::Refused);
        metrics.upstream(Duration::from_millis(3));
        let told = metrics.text(Objects { networks: 2, endpoints: 5, sandboxes: 3, names: 7 }).unwrap();
        for line in [
            "trestle_attaches_total 1",
            "trestle_detaches_total 1",
            "trestle_errors_total{operation=\"attach\",kind=\"conflict\"} 1",
            "trestle_operation_duration_seconds_count{operation=\"attach\"} 2",
            "trestle_objects{noun=\"endpoint\"} 5",
            "trestle_objects{noun=\"name\"} 7",
            "trestle_name_questions_total{outcome=\"refused\"} 1",
            "trestle_name_upstream_seconds_count 1",
        ] {
            assert!(told.lines().any(|it| it == line), "{line} in\n{told}");
        }
    }
}
