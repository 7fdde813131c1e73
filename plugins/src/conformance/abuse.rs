//! What no caller should send, and some do.

use super::Verdict;
use super::examiner::{Examiner, failed};
use crate::client::Failure;
use crate::wire::{IPAM_DRIVER, NETWORK_DRIVER};

/// The size of a request that is larger than any real one.
const HUGE: usize = 4 << 20;

impl Examiner {
    /// Bodies that can't be read, and methods that there aren't.
    pub(super) async fn try_abuse(&mut self, implements: &[String]) {
        let methods = [
            (NETWORK_DRIVER, "NetworkDriver.CreateNetwork"),
            (NETWORK_DRIVER, "NetworkDriver.CreateEndpoint"),
            (NETWORK_DRIVER, "NetworkDriver.Join"),
            (IPAM_DRIVER, "IpamDriver.RequestPool"),
            (IPAM_DRIVER, "IpamDriver.RequestAddress"),
        ];
        for (kind, method) in methods {
            if !implements.iter().any(|it| it == kind) {
                continue;
            }
            let deep = format!("{}{}", "{\"Options\":".repeat(5000), "}".repeat(5000));
            let long = "f".repeat(HUGE / 4);
            let fields = ["NetworkID", "EndpointID", "PoolID", "Pool"].map(|field| format!("\"{field}\": \"{long}\""));
            let huge = format!("{{{}}}", fields.join(", "));
            for (promise, body) in [
                ("refuses half a request", "{\"NetworkID\": \"abc"),
                ("refuses what is no JSON", "\u{0}\u{1}<xml/>"),
                ("refuses a list", "[1, 2, 3]"),
                ("refuses numbers for names", r#"{"NetworkID": 7, "EndpointID": [], "PoolID": {}, "Pool": 9}"#),
                ("refuses what is nested deeply", &deep),
                ("refuses what is huge", &huge),
            ] {
                self.refuses_text(method, promise, body).await;
            }
        }
        self.refuses_text("NetworkDriver.Levitate", "says that it has no such method", "{}").await;
        self.refuses_text("../etc/passwd", "says that it has no such file", "").await;
        self.lives("still answers a handshake after all that").await;
    }

    /// A status other than 200, or words of refusal; a connection that breaks is what callers try again for.
    async fn refuses_text(&mut self, method: &str, promise: &str, body: &str) {
        let fault = match self.client.ask_text(method, body).await {
            Err(Failure::Refused(_) | Failure::Status { .. }) => None,
            Ok(()) => Some((Verdict::Doubtful, "it said that all went well; answer with status 400".to_owned())),
            Err(Failure::Unreachable(why)) => {
                failed(format!("the connection broke ({why}), which makes callers try again; answer with status 400"))
            }
            Err(failure) => failed(format!("{failure}; answer with status 400")),
        };
        self.note_of(method, promise, fault);
    }
}
