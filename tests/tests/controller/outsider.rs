//! A driver outside of the process: it has a memory of its own, it may hang, and its steps are in fate's hand.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use trestle_core::Plan;
use trestle_core::driver::{Addresses, Capability, Chosen, Driver, Joined, OptionDoc, Ports, Slot};
use trestle_core::endpoint::Endpoint;
use trestle_core::error::Result;
use trestle_core::facts::Facts;
use trestle_core::fake::Fate;
use trestle_core::network::{Network, Scope};
use trestle_core::port::PortBinding;

pub(crate) struct Outsider {
    fate: Arc<Fate>,
    has: Mutex<Possessions>,
    /// The call that hangs until it is let go on, if one shall.
    hangs: Mutex<Option<&'static str>>,
    go_on: Semaphore,
    asked: Notify,
}

#[derive(Default)]
struct Possessions(BTreeSet<String>);

impl Possessions {
    fn insert(&mut self, noun: &str, id: &dyn Display) {
        self.0.insert(format!("{noun} {id}"));
    }

    fn remove(&mut self, noun: &str, id: &dyn Display) {
        self.0.remove(&format!("{noun} {id}"));
    }
}

impl Outsider {
    pub(crate) fn new(fate: Arc<Fate>) -> Self {
        let (hangs, go_on) = (Mutex::default(), Semaphore::new(0));
        Self { fate, has: Mutex::default(), hangs, go_on, asked: Notify::new() }
    }

    /// All that it has.
    pub(crate) fn has(&self) -> Vec<String> {
        self.has.lock().unwrap().0.iter().cloned().collect()
    }

    /// Lets the next call of that name hang.
    pub(crate) fn hang_at(&self, call: &'static str) {
        *self.hangs.lock().unwrap() = Some(call);
    }

    /// Ends when it was asked, and hangs.
    pub(crate) async fn hangs(&self) {
        self.asked.notified().await;
    }

    /// Lets what hangs go on.
    pub(crate) fn go_on(&self) {
        self.go_on.add_permits(1);
    }

    async fn step(&self, call: &'static str, act: impl FnOnce(&mut Possessions)) -> Result<()> {
        let hangs = self.hangs.lock().unwrap().take_if(|it| *it == call).is_some();
        if hangs {
            self.asked.notify_one();
            self.go_on.acquire().await.unwrap().forget();
        }
        self.fate.step(call, || {
            act(&mut self.has.lock().unwrap());
            Ok(())
        })
    }
}

#[async_trait]
impl Driver for Outsider {
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Local,
            ports: Ports::Maps,
            addresses: Addresses::Pools(2),
            external: true,
            single: false,
            host_namespace: false,
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        Vec::new()
    }

    async fn create_network(&self, network: &Network, _facts: &Facts) -> Result<Plan> {
        self.step("CreateNetwork", |has| has.insert("network", &network.id)).await?;
        Ok(Plan::new())
    }

    async fn delete_network(&self, network: &Network) -> Result<()> {
        self.step("DeleteNetwork", |has| has.remove("network", &network.id)).await
    }

    async fn create_endpoint(&self, _network: &Network, endpoint: &Endpoint) -> Result<Chosen> {
        self.step("CreateEndpoint", |has| has.insert("endpoint", &endpoint.id)).await?;
        Ok(Chosen::default())
    }

    async fn delete_endpoint(&self, _network: &Network, endpoint: &Endpoint) -> Result<()> {
        self.step("DeleteEndpoint", |has| has.remove("endpoint", &endpoint.id)).await
    }

    async fn join(&self, _network: &Network, endpoint: &Endpoint, _slot: &Slot) -> Result<Joined> {
        self.step("Join", |has| has.insert("inside", &endpoint.id)).await?;
        Ok(Joined::default())
    }

    async fn publish(&self, _network: &Network, _endpoint: &Endpoint, _ports: &[PortBinding]) -> Result<Plan> {
        self.step("ProgramExternalConnectivity", |_| {}).await?;
        Ok(Plan::new())
    }

    async fn leave(&self, _network: &Network, endpoint: &Endpoint) -> Result<()> {
        self.step("Leave", |has| has.remove("inside", &endpoint.id)).await
    }
}
