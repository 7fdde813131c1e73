//! The plans that `drivers/golden/<driver>/<case>.txt` shows: every kind of network that the built-in drivers lay out,
//! with what is attached to it. The drivers themselves are asked, about one made-up host.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::SystemTime;

use ipnet::IpNet;
use trestle_core::driver::{Driver, Slot};
use trestle_core::endpoint::{Endpoint, EndpointState, Lease, Lifetime};
use trestle_core::facts::{Facts, LinkFact};
use trestle_core::name::IfName;
use trestle_core::network::{Network, NetworkState, Pool, Scope};
use trestle_core::port::{HostPorts, PortBinding, PortRequest};
use trestle_core::resource::Namespace;
use trestle_core::{Plan, Result};
use trestle_drivers::{Bridge, Host, Null};

/// One golden file.
#[derive(Clone, Debug)]
pub struct GoldenCase {
    /// The driver that answered.
    pub driver: &'static str,
    /// What the network and its endpoints are like, in words joined by `-`.
    pub name: &'static str,
    /// The network's plan, then those of its endpoints.
    pub plan: Plan,
}

/// Every golden file that there is.
pub fn cases() -> Vec<GoldenCase> {
    [("bridge", bridge()), ("host", host()), ("null", null())]
        .into_iter()
        .flat_map(|(driver, cases)| cases.into_iter().map(move |(name, plan)| GoldenCase { driver, name, plan }))
        .collect()
}

/// Networks of the bridge driver.
pub fn bridge() -> Vec<(&'static str, Plan)> {
    let icc_off = ("com.docker.network.bridge.enable_icc", "false");
    let no_masquerade = ("com.docker.network.bridge.enable_ip_masquerade", "false");
    let mode_v4 = |mode| ("com.docker.network.bridge.gateway_mode_ipv4", mode);
    let mode_v6 = |mode| ("com.docker.network.bridge.gateway_mode_ipv6", mode);
    let isolated = [mode_v4("isolated"), mode_v6("isolated")];
    let routed_apart = [mode_v4("routed"), mode_v6("routed"), icc_off];
    let trusted = ("com.docker.network.bridge.trusted_host_interfaces", "eth1:vxlan.1");
    let sources = [("com.docker.network.host_ipv4", "192.0.2.7"), ("com.docker.network.host_ipv6", "2001:db8::7")];
    let inhibit = ("com.docker.network.bridge.inhibit_ipv4", "true");
    let settings = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.ucast_solicit=5";
    let users_bridge = ("com.docker.network.bridge.name", "lan0");
    let front = ("com.docker.network.bridge.name", "front0");
    let mtu = ("com.docker.network.driver.mtu", "1400");
    let on_localhost = ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1");
    let links = vec![link("eth0", "", "192.0.2.10/24"), link("lan0", "bridge", "10.1.0.1/24")];
    let with_bridge = Facts { links, ..facts() };
    let no_br_netfilter = Facts { filter_bridged: false, ..facts() };
    let no_ipv6 = Facts { ipv6: false, ..facts() };
    let advertised = Facts { accepts_router_advertisements: vec![name("eth0")], ..facts() };
    vec![
        ("ipv4", Case::new(V4).endpoint(&[]).plan()),
        ("ipv6", Case::new(V6).endpoint(&[]).plan()),
        ("ipv4-and-ipv6", Case::new(BOTH).endpoint(&[]).plan()),
        ("internal", Case::new(BOTH).internal().endpoint(&[]).plan()),
        ("inter-container-traffic-off", Case::new(BOTH).options(&[icc_off]).endpoint(&["80:80"]).plan()),
        ("no-masquerade", Case::new(BOTH).options(&[no_masquerade]).endpoint(&[]).plan()),
        ("named-bridge", Case::new(V4).options(&[front]).endpoint(&[]).plan()),
        ("users-bridge", Case::new(BOTH).on(with_bridge).options(&[users_bridge]).endpoint(&["8080:80"]).plan()),
        ("mtu", Case::new(V4).options(&[mtu]).endpoint(&[]).plan()),
        ("no-endpoints", Case::new(BOTH).plan()),
        ("two-endpoints", Case::new(BOTH).endpoint(&["8080:80"]).endpoint(&["8081:80", "53:53/udp"]).plan()),
        ("published-port", Case::new(V4).endpoint(&["8080:80"]).plan()),
        ("published-port-ipv6", Case::new(V6).endpoint(&["8080:80"]).plan()),
        ("published-range", Case::new(BOTH).endpoint(&["8000-8010:8000-8010"]).plan()),
        ("published-shifted-range", Case::new(BOTH).endpoint(&["8000-8003:80-83"]).plan()),
        ("published-on-an-address", Case::new(BOTH).endpoint(&["192.0.2.10:80:80", "[2001:db8::10]:80:80"]).plan()),
        ("published-on-one-family", Case::new(BOTH).endpoint(&["0.0.0.0:80:80", "[::]:81:81"]).plan()),
        ("published-on-localhost", Case::new(BOTH).options(&[on_localhost]).endpoint(&["80:80"]).plan()),
        ("published-udp", Case::new(BOTH).endpoint(&["53:53/udp", "53:53/tcp"]).plan()),
        ("published-sctp", Case::new(BOTH).endpoint(&["9:9/sctp"]).plan()),
        ("without-br-netfilter", Case::new(BOTH).on(no_br_netfilter).endpoint(&["8080:80"]).plan()),
        ("host-without-ipv6", Case::new(V4).on(no_ipv6).endpoint(&["8080:80"]).plan()),
        (
            "gateway-mode-routed",
            Case::new(BOTH)
                .options(&[mode_v4("routed"), mode_v6("routed")])
                .opened(&["80", "53/udp", "8000-8010"])
                .plan(),
        ),
        ("gateway-mode-routed-icc-off", Case::new(BOTH).options(&routed_apart).opened(&["80"]).plan()),
        ("gateway-mode-nat-and-routed", Case::new(BOTH).options(&[mode_v6("routed")]).endpoint(&["8080:80"]).plan()),
        (
            "gateway-mode-nat-unprotected",
            Case::new(BOTH)
                .options(&[mode_v4("nat-unprotected"), mode_v6("nat-unprotected")])
                .endpoint(&["8080:80"])
                .plan(),
        ),
        ("gateway-mode-isolated", Case::new(BOTH).internal().options(&isolated).endpoint(&[]).plan()),
        ("gateway-mode-isolated-ipv4", Case::new(BOTH).internal().options(&isolated[..1]).endpoint(&[]).plan()),
        ("trusted-host-interfaces", Case::new(BOTH).options(&[trusted]).endpoint(&["127.0.0.1:8080:80"]).plan()),
        ("chosen-source-addresses", Case::new(BOTH).options(&sources).endpoint(&[]).plan()),
        ("bridge-without-ipv4-address", Case::new(BOTH).options(&[inhibit]).endpoint(&[]).plan()),
        ("endpoint-settings", Case::new(BOTH).settings(settings).endpoint(&[]).plan()),
        ("host-with-router-advertisements", Case::new(BOTH).on(advertised).endpoint(&[]).plan()),
    ]
}

/// Every mix of the options by which packets get in and out of a network, with published ports where it can have any.
/// The drivers refuse some; of each other one a name and the plan.
pub fn cross_product() -> Vec<(String, Plan)> {
    let modes = ["nat", "nat-unprotected", "routed", "isolated"];
    let either = ["true", "false"];
    let mut mixes = Vec::new();
    for (v4, v6) in modes.iter().flat_map(|v4| modes.map(|v6| (*v4, v6))) {
        for (icc, masquerade) in either.iter().flat_map(|icc| either.map(|masquerade| (*icc, masquerade))) {
            for (internal, more) in [(false, None), (true, None), (false, Some(TRUSTED)), (false, Some(SOURCE))] {
                let mut case = Case::new(BOTH).options(&[
                    ("com.docker.network.bridge.gateway_mode_ipv4", v4),
                    ("com.docker.network.bridge.gateway_mode_ipv6", v6),
                    ("com.docker.network.bridge.enable_icc", icc),
                    ("com.docker.network.bridge.enable_ip_masquerade", masquerade),
                ]);
                case = case.options(more.as_slice());
                case = if internal { case.internal().endpoint(&[]) } else { case.asking(PORTS) };
                let name = format!("{v4} {v6} icc={icc} masquerade={masquerade} internal={internal} {more:?}");
                mixes.extend(case.try_plan().ok().map(|plan| (name, plan)));
            }
        }
    }
    mixes
}

const TRUSTED: (&str, &str) = ("com.docker.network.bridge.trusted_host_interfaces", "eth1:vxlan.1");
const SOURCE: (&str, &str) = ("com.docker.network.host_ipv4", "192.0.2.7");
const PORTS: &[&str] = &["8080:80", "53:53/udp", "8000-8010:8000-8010", "0.0.0.0:81:81", "[::]:82:82", "9:9/sctp"];

/// The network of the host driver.
pub fn host() -> Vec<(&'static str, Plan)> {
    vec![("host", Case::of(&Host).endpoint(&[]).plan())]
}

/// The network of the null driver.
pub fn null() -> Vec<(&'static str, Plan)> {
    vec![("null", Case::of(&Null).endpoint(&[]).plan())]
}

const V4: &[&str] = &["10.1.0.0/24"];
const V6: &[&str] = &["fd00:1::/64"];
const BOTH: &[&str] = &["10.1.0.0/24", "fd00:1::/64"];

/// A network on a host, and the published ports of each of its endpoints.
struct Case {
    driver: &'static dyn Driver,
    network: Network,
    facts: Facts,
    endpoints: Vec<Vec<PortBinding>>,
    settings: Option<&'static str>,
}

impl Case {
    fn new(subnets: &[&str]) -> Self {
        let mut case = Self::of(&Bridge);
        case.network.pools = subnets.iter().map(|subnet| pool(subnet)).collect();
        case
    }

    fn of(driver: &'static dyn Driver) -> Self {
        Self { driver, network: network(), facts: facts(), endpoints: Vec::new(), settings: None }
    }

    fn options(mut self, options: &[(&str, &str)]) -> Self {
        let texts = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.network.options.extend(texts);
        self
    }

    fn internal(mut self) -> Self {
        self.network.internal = true;
        self
    }

    fn on(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    fn endpoint(mut self, ports: &[&str]) -> Self {
        self.endpoints.push(ports.iter().map(|text| binding(text)).collect());
        self
    }

    /// With ports that take none of the host.
    fn opened(mut self, ports: &[&str]) -> Self {
        let requests = ports.iter().map(|text| text.parse::<PortRequest>().expect("a request"));
        self.endpoints.push(requests.map(|request| request.opened()).collect());
        self
    }

    /// With ports as the controller would have them: of the host, where the network takes any.
    fn asking(mut self, ports: &[&str]) -> Self {
        let bindings = ports.iter().map(|text| {
            let request: PortRequest = text.parse().expect("a request");
            match self.driver.takes_host_ports(&self.network, &request) {
                true => binding(text),
                false => request.opened(),
            }
        });
        self.endpoints.push(bindings.collect());
        self
    }

    fn settings(mut self, settings: &'static str) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Asks the driver for all of it.
    fn plan(self) -> Plan {
        self.try_plan().expect("every golden case is one that the drivers take")
    }

    fn try_plan(mut self) -> Result<Plan> {
        let mut whole = answer(self.driver.create_network(&self.network, &self.facts))?;
        self.network.state = NetworkState::Ready { plan: whole.clone() };
        for (index, ports) in (0..).zip(&self.endpoints) {
            let mut endpoint = endpoint(&self.network, index);
            let settings = self.settings.map(|it| ("com.docker.network.endpoint.sysctls".to_owned(), it.to_owned()));
            endpoint.options.extend(settings);
            let slot = Slot {
                namespace: Namespace::At(format!("/run/trestle/netns/{index:012x}").into()),
                interface: name("eth0"),
            };
            whole = whole.then(&answer(self.driver.join(&self.network, &endpoint, &slot))?.plan);
            whole = whole.then(&answer(self.driver.publish(&self.network, &endpoint, ports))?);
        }
        Ok(whole)
    }
}

/// A host with an uplink and br_netfilter, where nothing is forwarded yet.
fn facts() -> Facts {
    Facts {
        links: vec![link("eth0", "", "192.0.2.10/24")],
        uplink_mtu: Some(1500),
        ipv6: true,
        filter_bridged: true,
        sysctls: vec![
            ("net/ipv4/ip_forward".into(), "0".into()),
            ("net/ipv6/conf/all/forwarding".into(), "0".into()),
            ("net/ipv6/conf/eth0/accept_ra".into(), "1".into()),
        ],
        ..Facts::default()
    }
}

fn link(link: &str, kind: &str, address: &str) -> LinkFact {
    LinkFact {
        name: name(link),
        kind: kind.to_owned(),
        mtu: 1500,
        mac: Some("52:54:00:00:00:01".parse().expect("a MAC address")),
        addresses: vec![address.parse().expect("an address")],
        ours: false,
    }
}

fn network() -> Network {
    Network {
        id: "0123456789abcdef".repeat(4).parse().expect("64 digits"),
        name: "front".try_into().expect("a name"),
        driver: "golden".into(),
        ipam: "default".into(),
        scope: Scope::Local,
        pools: Vec::new(),
        internal: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: SystemTime::UNIX_EPOCH,
        state: NetworkState::Creating { plan: Plan::new() },
    }
}

/// The gateway is the first address.
fn pool(subnet: &str) -> Pool {
    let subnet: IpNet = subnet.parse().expect("a subnet");
    let gateway = subnet.hosts().find(|host| *host != subnet.network());
    Pool { id: subnet.to_string(), subnet, range: None, gateway, auxiliary: BTreeMap::new() }
}

/// The first endpoint has the address after the gateway's, the second the next one.
fn endpoint(network: &Network, index: u8) -> Endpoint {
    let last = index + 2;
    let v4 = network.pool_v4().map(|_| format!("10.1.0.{last}/24").parse().expect("an address"));
    let v6 = network.pool_v6().map(|_| format!("fd00:1::{last}/64").parse().expect("an address"));
    Endpoint {
        id: format!("{last:02x}").repeat(32).parse().expect("64 digits"),
        network: network.id,
        name: format!("web{index}").try_into().expect("a name"),
        lifetime: Lifetime::Attachment,
        lease: (v4.is_some() || v6.is_some()).then_some(Lease { v4, v6 }),
        mac: [2, 0x42, 0, 0, 0, last].try_into().expect("a unicast address"),
        exposed: Vec::new(),
        wanted: Vec::new(),
        options: BTreeMap::new(),
        priority: 0,
        primary: false,
        interface: None,
        names: Default::default(),
        state: EndpointState::Reserved,
    }
}

/// A request in which every port is said is a binding.
fn binding(text: &str) -> PortBinding {
    let PortRequest { protocol, container, address, host } = text.parse().expect("a request");
    match host {
        HostPorts::Within(host) if host.count() == container.count() => {
            PortBinding { protocol, address, host: Some(host), container }
        }
        _ => panic!("{text} leaves the host's port open"),
    }
}

fn name(link: &str) -> IfName {
    link.try_into().expect("a link's name")
}

/// A built-in driver answers at once.
fn answer<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
    runtime.block_on(answer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_golden_case_has_a_name_and_a_plan_of_its_own() {
        let cases = cases();
        let names: BTreeSet<_> = cases.iter().map(|case| (case.driver, case.name)).collect();
        assert_eq!(names.len(), cases.len());
        let bridges = cases.iter().filter(|case| case.driver == "bridge");
        for (index, case) in bridges.clone().enumerate() {
            assert!(!case.plan.is_empty(), "{}", case.name);
            let twin = bridges.clone().skip(index + 1).find(|other| other.plan == case.plan);
            assert!(twin.is_none(), "{} and {} show the same", case.name, twin.map_or("", |it| it.name));
        }
    }
}
