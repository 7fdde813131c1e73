//! The contract of every kernel layer, on the real one.

use std::path::PathBuf;

use trestle_core::kernel::Kernel;
use trestle_core::name::IfName;
use trestle_core::resource::{MAIN_TABLE, Namespace, Resource};
use trestle_kernel::LinuxKernel;

use crate::contract::{Stage, contract};
use crate::host::{inside, ip, kernel, netns, on_a_host, open_with, try_ip};

struct RealStage(LinuxKernel);

impl Stage for RealStage {
    fn kernel(&self) -> &dyn Kernel {
        &self.0
    }

    fn netns(&self, number: u8) -> PathBuf {
        netns(number)
    }

    fn link(&self, namespace: &Namespace, name: &IfName) -> Option<u64> {
        assert_eq!(*namespace, Namespace::Host);
        let line = try_ip(&format!("-o link show dev {name}")).ok()?;
        line.split(':').next()?.trim().parse().ok()
    }

    fn make_strangers_bridge(&self, name: &IfName) {
        ip(&format!("link add {name} type bridge"));
    }

    fn remove_strangers_bridge(&self, name: &IfName) {
        ip(&format!("link del {name}"));
    }

    fn make_strangers_link(&self, name: &IfName) {
        ip(&format!("link add {name} type veth peer name {name}p"));
    }

    fn remove_strangers_link(&self, name: &IfName, inside: Option<(&Namespace, &IfName)>) {
        match inside {
            Some((namespace, name)) => within(namespace, &format!("link del {name}")),
            // Its other end stayed, or went with it.
            None => drop(try_ip(&format!("link del {name}p"))),
        }
    }

    fn lead_out_by(&self, link: &IfName) {
        ip(&format!("address add 192.0.2.86/24 dev {link}"));
        ip(&format!("link set {link} up"));
        ip(&format!("route add default via 192.0.2.1 dev {link}"));
    }

    fn strangers_netns(&self) -> PathBuf {
        "/run/netns/strangers".into()
    }

    fn put_strangers_namespace(&self) {
        if self.strangers_netns().exists() {
            self.remove_strangers_namespace();
        }
        ip("netns add strangers");
    }

    fn remove_strangers_namespace(&self) {
        ip("netns del strangers");
    }

    fn destroy(&self, resource: &Resource) {
        match resource {
            Resource::Loopback(it) => within(&it.namespace, "link set lo down"),
            Resource::Veth(it) => within(&Namespace::Host, &format!("link del {}", it.name)),
            Resource::Address(it) => {
                within(&it.namespace, &format!("address del {} dev {}", it.address, it.link));
            }
            Resource::Route(it) => {
                let table = if it.table == MAIN_TABLE { "main".into() } else { it.table.to_string() };
                within(&it.namespace, &format!("route del {} table {table}", it.destination));
            }
            Resource::SourceRule(it) => within(&it.namespace, &format!("rule del from {} table {}", it.from, it.table)),
            other => panic!("nobody destroys {other:?} here"),
        }
    }
}

fn within(namespace: &Namespace, command: &str) {
    match namespace {
        Namespace::Host => drop(ip(command)),
        Namespace::At(path) | Namespace::Given { path, .. } => drop(inside(path, &format!("ip {command}")).unwrap()),
    }
}

#[test]
fn linux_keeps_the_contract_of_a_kernel_layer() {
    on_a_host(async || contract(&RealStage(kernel())).await);
}

#[test]
fn linux_keeps_the_contract_with_iptables_too() {
    for backend in ["iptables-nft", "iptables-legacy"] {
        let kernel = move || open_with(backend.parse().unwrap(), "/var/lib/trestle").unwrap();
        on_a_host(async move || contract(&RealStage(kernel())).await);
    }
}
