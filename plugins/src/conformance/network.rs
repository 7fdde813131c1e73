//! A network driver's methods, in order and out of it.

use trestle_core::error::Result;
use trestle_core::name::IfName;

use super::Verdict;
use super::examiner::{Examiner, failed};
use crate::remote::check_reply;
use crate::wire::network::*;
use crate::wire::options::network_options;

/// The network of a trial.
const SUBNET: (&str, &str) = ("198.18.200.0/24", "198.18.200.1/24");

/// A network to create, and its endpoints.
pub(super) struct Subject {
    pub(super) network: String,
}

impl Subject {
    pub(super) fn creation(&self) -> CreateNetwork {
        let data = IpamData {
            address_space: "LocalDefault".into(),
            pool: SUBNET.0.into(),
            gateway: SUBNET.1.into(),
            ..IpamData::default()
        };
        let options = network_options(true, false, false, &Default::default());
        CreateNetwork { network: self.network.clone(), options, v4: vec![data], v6: Vec::new() }
    }

    pub(super) fn deletion(&self) -> DeleteNetwork {
        DeleteNetwork { network: self.network.clone() }
    }

    pub(super) fn endpoint(&self, endpoint: &str, last: u8) -> CreateEndpoint {
        let interface = Interface { address: format!("198.18.200.{last}/24"), ..Interface::default() };
        let (network, endpoint) = (self.network.clone(), endpoint.to_owned());
        CreateEndpoint { network, endpoint, interface, options: Options::new() }
    }

    pub(super) fn place(&self, endpoint: &str) -> Place {
        Place { network: self.network.clone(), endpoint: endpoint.to_owned() }
    }

    pub(super) fn join(&self, endpoint: &str, sandbox: &std::path::Path) -> Join {
        let Place { network, endpoint } = self.place(endpoint);
        Join { network, endpoint, sandbox_key: sandbox.display().to_string(), options: Options::new() }
    }
}

impl Examiner {
    /// The life of a network and an endpoint, twice.
    pub(super) async fn try_network_driver(&mut self) {
        let Some(capabilities) = self.succeeds("tells what it can do", &GetCapabilities {}).await else { return };
        let fault = match capabilities.scope.as_str() {
            "local" | "global" => None,
            other => failed(format!("Scope is {other:?}; local or global is expected")),
        };
        self.note::<GetCapabilities>("has a scope", fault);
        let subject = Subject { network: self.network_id() };
        if self.succeeds("creates a network", &subject.creation()).await.is_none() {
            return;
        }
        let endpoint = self.endpoint_id();
        let mut last_link = None;
        for turn in ["once", "once more"] {
            if self.try_endpoint(&subject, &endpoint, turn, &mut last_link).await {
                self.succeeds(&format!("deletes an endpoint ({turn})"), &DeleteEndpoint(subject.place(&endpoint)))
                    .await;
                self.look_for_leftovers(last_link.as_ref(), turn).await;
            }
        }
        self.gives_up_what_is_gone("deletes an endpoint that is gone", &DeleteEndpoint(subject.place(&endpoint))).await;
        self.succeeds("deletes a network", &subject.deletion()).await;
        self.gives_up_what_is_gone("deletes a network that is gone", &subject.deletion()).await;
    }

    /// From creation to leaving. Whether there is an endpoint to delete.
    async fn try_endpoint(&mut self, subject: &Subject, id: &str, turn: &str, link: &mut Option<IfName>) -> bool {
        let creation = subject.endpoint(id, 2);
        let Some(created) = self.succeeds(&format!("creates an endpoint ({turn})"), &creation).await else {
            return false;
        };
        let interface = created.interface.unwrap_or_default();
        let fault = match interface.address.is_empty() {
            true => None,
            false => failed("Interface.Address was given, and is set in the answer; leave empty what is given"),
        };
        self.note::<CreateEndpoint>("leaves alone what is given", fault);
        let fault = match interface.mac_address.as_str() {
            "" => None,
            text => text.parse::<trestle_core::mac::MacAddress>().err().and_then(|error| failed(error.to_string())),
        };
        self.note::<CreateEndpoint>("chooses a MAC address that a link can bear, or none", fault);
        self.may_be_unknown("tells what it knows", &EndpointOperInfo(subject.place(id))).await;
        let sandbox = self.trial.sandbox.clone();
        if let Some(joined) = self.succeeds(&format!("joins a sandbox ({turn})"), &subject.join(id, &sandbox)).await {
            *link = self.look_at_join(&joined).await;
            let place = subject.place(id);
            let program = ProgramExternalConnectivity {
                network: place.network.clone(),
                endpoint: place.endpoint.clone(),
                options: Options::new(),
            };
            self.may_be_unknown("is the way out", &program).await;
            self.may_be_unknown("is the way out no more", &RevokeExternalConnectivity(place.clone())).await;
            self.succeeds(&format!("leaves a sandbox ({turn})"), &Leave(place.clone())).await;
            self.gives_up_what_is_gone("leaves a sandbox that it is not in", &Leave(place)).await;
        }
        true
    }

    async fn look_at_join(&mut self, joined: &Joined) -> Option<IfName> {
        let checked: Result<Option<IfName>> = check_reply(joined, "198.18.200.2/24");
        let fault = checked.as_ref().err().and_then(|error| failed(error.to_string()));
        self.note::<Join>("answers with what can be", fault);
        let link = checked.ok().flatten()?;
        if let Some(there) = self.sees_link(&link).await {
            let fault = match there {
                true => None,
                false => failed(format!("SrcName is {link}, and the host's namespace has no such link")),
            };
            self.note::<Join>("makes the link that it tells of", fault);
        }
        Some(link)
    }

    async fn look_for_leftovers(&mut self, link: Option<&IfName>, turn: &str) {
        let Some(link) = link else { return };
        if let Some(there) = self.sees_link(link).await {
            let fault = there.then(|| (Verdict::Failed, format!("link {link} is still in the host's namespace")));
            self.note::<DeleteEndpoint>(&format!("leaves no link behind ({turn})"), fault);
        }
    }

    /// What comes too early, too late or twice.
    pub(super) async fn try_network_driver_out_of_order(&mut self) {
        let subject = Subject { network: self.network_id() };
        let endpoint = self.endpoint_id();
        let sandbox = self.trial.sandbox.clone();
        self.refuses("refuses an endpoint on no network", &subject.endpoint(&endpoint, 2), Verdict::Failed).await;
        self.refuses("refuses to join on no network", &subject.join(&endpoint, &sandbox), Verdict::Failed).await;
        self.gives_up_what_is_gone("deletes a network that never was", &subject.deletion()).await;
        self.gives_up_what_is_gone("deletes an endpoint that never was", &DeleteEndpoint(subject.place(&endpoint)))
            .await;
        if self.succeeds("creates another network", &subject.creation()).await.is_none() {
            return;
        }
        self.refuses("refuses a network that is there", &subject.creation(), Verdict::Doubtful).await;
        self.refuses("refuses to join where nobody is", &subject.join(&endpoint, &sandbox), Verdict::Failed).await;
        if self.succeeds("creates its endpoint", &subject.endpoint(&endpoint, 2)).await.is_some() {
            let again = subject.endpoint(&endpoint, 2);
            self.refuses("refuses an endpoint that is there", &again, Verdict::Doubtful).await;
            self.succeeds("joins after all that", &subject.join(&endpoint, &sandbox)).await;
            self.refuses("refuses to join twice", &subject.join(&endpoint, &sandbox), Verdict::Doubtful).await;
            self.answers(
                "deletes an endpoint that did not leave, or says why not",
                &DeleteEndpoint(subject.place(&endpoint)),
            )
            .await;
            self.answers("leaves when it is asked to late", &Leave(subject.place(&endpoint))).await;
            self.gives_up_what_is_gone(
                "deletes the endpoint after all that",
                &DeleteEndpoint(subject.place(&endpoint)),
            )
            .await;
        }
        self.succeeds("deletes the network after all that", &subject.deletion()).await;
    }
}
