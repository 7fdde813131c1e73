//! Ports: what a container exposes and publishes, as the controller is asked for it.

use trestle_core::Result;
use trestle_core::port::{ExposedPort, HostPorts, PortRange, PortRequest};

use crate::container::config::{Config, HostConfig};

/// The ports that a container's programs are said to listen on: exposed ones, and those that are published.
pub fn exposed(config: &Config, host: &HostConfig) -> Result<Vec<ExposedPort>> {
    let mut ports: Vec<_> = config.exposed_ports.keys().chain(host.port_bindings.keys()).collect();
    ports.sort();
    ports.dedup();
    let one = |port: &crate::container::config::Port| {
        Ok(ExposedPort { ports: PortRange::single(port.number)?, protocol: port.protocol })
    };
    ports.into_iter().map(one).collect()
}

/// What is to be published: the bindings, and any free port for each exposed one that has none where all are to be
/// published. Ports that leave no choice come first, so that no free choice takes one of them.
pub fn requests(config: &Config, host: &HostConfig) -> Result<Vec<PortRequest>> {
    let mut requests = Vec::new();
    for (port, bindings) in host.port_bindings.iter() {
        let container = PortRange::single(port.number)?;
        for binding in bindings {
            let (address, host) = (binding.address.0, binding.port.0);
            requests.push(PortRequest { protocol: port.protocol, container, address, host });
        }
        // Docker takes a port that is named without a binding for one of any free port.
        if bindings.is_empty() {
            requests.push(any(port.protocol, container));
        }
    }
    for port in exposed(config, host)?.into_iter().filter(|_| host.publish_all_ports) {
        if !requests.iter().any(|it| it.protocol == port.protocol && it.container == port.ports) {
            requests.push(any(port.protocol, port.ports));
        }
    }
    requests.iter().try_for_each(PortRequest::check)?;
    requests.sort_by_key(|request| match request.host {
        HostPorts::Within(range) => (range.count(), range.first()),
        HostPorts::Ephemeral => (u32::MAX, 0),
    });
    Ok(requests)
}

fn any(protocol: trestle_core::port::Protocol, container: PortRange) -> PortRequest {
    PortRequest { protocol, container, address: None, host: HostPorts::Ephemeral }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(config: &str, host: &str) -> Vec<String> {
        let (config, host) = (serde_json::from_str(config).unwrap(), serde_json::from_str(host).unwrap());
        requests(&config, &host).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_leaves_no_choice_is_asked_for_first() {
        let host = r#"{"PortBindings": {
            "80/tcp": [{"HostPort": ""}, {"HostPort": "8000-8010"}, {"HostIp": "::1", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]
        }}"#;
        assert_eq!(asked("{}", host), ["127.0.0.1:53:53/udp", "[::1]:8080:80/tcp", "8000-8010:80/tcp", "80/tcp"]);
    }

    #[test]
    fn publishing_all_takes_a_free_port_for_each_that_has_none() {
        let config = r#"{"ExposedPorts": {"80/tcp": {}, "81/tcp": {}}}"#;
        assert!(asked(config, "{}").is_empty());
        let host = r#"{"PublishAllPorts": true, "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}"#;
        assert_eq!(asked(config, host), ["8080:80/tcp", "81/tcp"]);
    }
}
