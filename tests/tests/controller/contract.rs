//! The fake kernel keeps the contract that the real one keeps.

use std::path::PathBuf;

use trestle_core::facts::Facts;
use trestle_core::fake::{FakeKernel, Fate};
use trestle_core::kernel::Kernel;
use trestle_core::name::IfName;
use trestle_core::resource::{Namespace, Resource};
use trestle_tests::contract::{Stage, contract};

struct InMemory(FakeKernel);

impl Stage for InMemory {
    fn kernel(&self) -> &dyn Kernel {
        &self.0
    }

    fn netns(&self, number: u8) -> PathBuf {
        format!("/run/netns/{number}").into()
    }

    fn link(&self, _namespace: &Namespace, name: &IfName) -> Option<u64> {
        self.0.born(name)
    }

    fn make_strangers_bridge(&self, name: &IfName) {
        self.0.make_strangers_bridge(name);
    }

    fn remove_strangers_bridge(&self, name: &IfName) {
        self.0.remove_strangers_bridge(name);
    }

    fn make_strangers_link(&self, name: &IfName) {
        self.0.make_strangers_link(name);
    }

    fn remove_strangers_link(&self, name: &IfName, _inside: Option<(&Namespace, &IfName)>) {
        self.0.remove_strangers_link(name);
    }

    fn lead_out_by(&self, link: &IfName) {
        self.0.lead_out_by(Some(link));
    }

    fn strangers_netns(&self) -> PathBuf {
        "/run/netns/strangers".into()
    }

    fn put_strangers_namespace(&self) {
        self.0.put_strangers_namespace(&self.strangers_netns());
    }

    fn remove_strangers_namespace(&self) {
        self.0.remove_strangers_namespace(&self.strangers_netns());
    }

    fn destroy(&self, resource: &Resource) {
        self.0.lose(resource);
    }
}

#[tokio::test]
async fn the_fake_kernel_keeps_the_contract_of_a_kernel_layer() {
    contract(&InMemory(FakeKernel::new(Facts::default(), Fate::kind()))).await;
}
