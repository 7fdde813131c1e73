//! What a container may not ask for at once, worded as Docker words it.

use trestle_core::{Error, Result};

use crate::container::config::{Config, HostConfig, NetworkMode, UtsMode};

/// Refuses the first thing that the network mode excludes.
///
/// # Errors
/// `Invalid`, with Docker's sentence.
pub fn check(config: &Config, host: &HostConfig) -> Result<()> {
    let mode = &host.network_mode;
    let (shares, is_host) = (matches!(mode, NetworkMode::Container(_)), *mode == NetworkMode::Host);
    let publishes = host.publish_all_ports || !host.port_bindings.is_empty();
    let refused = [
        (shares && !config.hostname.is_empty(), "hostname and the network mode"),
        (
            shares && !host.links.is_empty(),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (
            is_host && !host.links.is_empty(),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
        (host.uts_mode == UtsMode::Host && !config.hostname.is_empty(), "hostname and the UTS mode"),
        (shares && !host.dns.is_empty(), "dns and the network mode"),
        (shares && !host.extra_hosts.is_empty(), "custom host-to-IP mapping and the network mode"),
        ((shares || is_host) && !config.mac_address.is_empty(), "mac-address and the network mode"),
        (shares && publishes, "port publishing and the container type network mode"),
        (shares && !config.exposed_ports.is_empty(), "port exposing and the container type network mode"),
    ];
    match refused.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, what)) => Err(Error::invalid(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: &str, host: &str) -> String {
        let (config, host) = (serde_json::from_str(config).unwrap(), serde_json::from_str(host).unwrap());
        check(&config, &host).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_the_network_mode_excludes_is_refused_in_docker_s_words() {
        for (config, host, told) in [
            (r#"{"Hostname": "a"}"#, r#"{"NetworkMode": "container:b"}"#, "hostname and the network mode"),
            (
                "{}",
                r#"{"NetworkMode": "container:b", "Links": ["c"]}"#,
                "container type network can't be used with links",
            ),
            ("{}", r#"{"NetworkMode": "host", "Links": ["c"]}"#, "host type networking can't be used with links"),
            (r#"{"Hostname": "a"}"#, r#"{"UTSMode": "host"}"#, "hostname and the UTS mode"),
            ("{}", r#"{"NetworkMode": "container:b", "Dns": ["1.1.1.1"]}"#, "dns and the network mode"),
            ("{}", r#"{"NetworkMode": "container:b", "ExtraHosts": ["a:1.1.1.1"]}"#, "custom host-to-IP mapping"),
            (
                r#"{"MacAddress": "02:00:00:00:00:01"}"#,
                r#"{"NetworkMode": "host"}"#,
                "mac-address and the network mode",
            ),
            ("{}", r#"{"NetworkMode": "container:b", "PublishAllPorts": true}"#, "port publishing and the container"),
            (r#"{"ExposedPorts": {"80": {}}}"#, r#"{"NetworkMode": "container:b"}"#, "port exposing and the container"),
        ] {
            let refusal = refusal(config, host);
            assert!(refusal.starts_with("conflicting options: ") && refusal.contains(told), "{told}: {refusal:?}");
        }
    }

    #[test]
    fn what_goes_together_is_taken() {
        for host in [
            "{}",
            r#"{"NetworkMode": "host", "PublishAllPorts": true, "Dns": ["1.1.1.1"]}"#,
            r#"{"NetworkMode": "front", "Links": ["c"], "PortBindings": {"80/tcp": null}}"#,
        ] {
            assert_eq!(refusal(r#"{"Hostname": "a", "ExposedPorts": {"80/tcp": {}}}"#, host), "", "{host}");
        }
    }
}
