//! The drivers that link nothing, and the list of all.

use trestle_core::ErrorKind::Invalid;
use trestle_core::Plan;
use trestle_core::driver::{Addresses, Capability, Driver, InterfaceName, Joined, Ports, Slot};
use trestle_core::network::Scope;
use trestle_drivers::{Bridge, Host, Null, builtin};

use crate::world::{assert_refused, binding, endpoint, host, if_name, internal, network, sandbox, texts, wait};

#[test]
fn they_can_do_what_they_say() {
    let single = Capability {
        scope: Scope::Local,
        ports: Ports::NotApplicable,
        addresses: Addresses::None,
        external: false,
        single: true,
        host_namespace: false,
    };
    assert_eq!(Null.capability(), single);
    assert_eq!(Host.capability(), Capability { host_namespace: true, ..single.clone() });
    let bridge = Capability { ports: Ports::Maps, addresses: Addresses::Pools(1), single: false, ..single };
    assert_eq!(Bridge.capability(), bridge);
}

#[test]
fn they_are_registered_by_docker_s_names() {
    let names: Vec<&str> = builtin().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["bridge", "host", "null"]);
}

#[test]
fn host_and_null_put_nothing_into_the_kernel() {
    let slot = Slot { namespace: sandbox(), interface: if_name("eth0") };
    for (name, driver) in builtin().into_iter().skip(1) {
        let (network, endpoint) = (network(&[], &[]), endpoint(None, None));
        let ports = [binding(None, "80", "80", "tcp")];
        assert_eq!(wait(driver.create_network(&network, &host())).unwrap(), Plan::new(), "{name}");
        assert!(wait(driver.create_endpoint(&network, &endpoint)).is_ok(), "{name}");
        assert_eq!(wait(driver.join(&network, &endpoint, &slot)).unwrap(), Joined::default(), "{name}");
        assert_eq!(wait(driver.publish(&network, &endpoint, &ports)).unwrap(), Plan::new(), "{name}");
        wait(driver.leave(&network, &endpoint)).unwrap();
        wait(driver.delete_endpoint(&network, &endpoint)).unwrap();
        wait(driver.delete_network(&network)).unwrap();
        assert_eq!(driver.interface_name(&network, &endpoint), InterfaceName::Numbered("eth".into()));
        assert_eq!(driver.default_address(&network), None);
    }
}

#[test]
fn host_and_null_take_neither_subnets_nor_options() {
    for (name, driver) in builtin().into_iter().skip(1) {
        let create = |network| wait(driver.create_network(&network, &host()));
        assert_refused(create(network(&["10.1.0.0/24"], &[])), Invalid, &[name, "subnet 10.1.0.0/24"]);
        let mtu = ("com.docker.network.driver.mtu", "1400");
        assert_refused(create(network(&[], &[mtu])), Invalid, &[name, "com.docker.network.driver.mtu"]);
        let mut with_option = endpoint(None, None);
        with_option.options = texts(&[("com.docker.network.endpoint.ifname", "front0")]);
        let asked = wait(driver.create_endpoint(&network(&[], &[]), &with_option));
        assert_refused(asked, Invalid, &[name, "com.docker.network.endpoint.ifname"]);
    }
}

#[test]
fn the_host_is_not_internal() {
    let refused = wait(Host.create_network(&internal(network(&[], &[])), &host()));
    assert_refused(refused, Invalid, &["host driver", "internal"]);
}
