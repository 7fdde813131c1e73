//! Networks as Docker's API shows them, by its versions.

use serde_json::{Map, Value, json};

use trestle_core::endpoint::Endpoint;
use trestle_core::network::{Network, Pool, Scope};
use trestle_core::sandbox::Sandbox;
use trestle_engine::Engine;
use trestle_engine::network::create::ATTACHABLE;

use crate::docker::timestamp;
use crate::docker::version::ApiVersion;

/// Who is on a network: each by the id of its container, or by that of an endpoint that belongs to none.
pub(super) fn members(engine: &Engine, network: &Network) -> Vec<(String, Value)> {
    let attached = engine.networks().endpoints_on(network);
    let attached = attached.iter().filter(|endpoint| endpoint.state.attachment().is_some());
    attached.map(|endpoint| member(endpoint, engine.controller().belongings(endpoint).1.as_deref())).collect()
}

fn member(endpoint: &Endpoint, sandbox: Option<&Sandbox>) -> (String, Value) {
    let is_container = |name: &str| name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    let container = sandbox.map(|sandbox| sandbox.name.to_string()).filter(|name| is_container(name));
    let lease = endpoint.lease.clone().unwrap_or_default();
    let shown = json!({
        "Name": endpoint.name.as_str(),
        "EndpointID": endpoint.id.to_string(),
        "MacAddress": if endpoint.lease.is_some() { endpoint.mac.to_string() } else { String::new() },
        "IPv4Address": lease.v4.map_or_else(String::new, |it| it.to_string()),
        "IPv6Address": lease.v6.map_or_else(String::new, |it| it.to_string()),
    });
    (container.unwrap_or_else(|| format!("ep-{}", endpoint.id)), shown)
}

/// A network with those on it.
pub(super) fn network(network: &Network, members: Vec<(String, Value)>, spoken: ApiVersion) -> Value {
    let scope = match network.scope {
        Scope::Local => "local",
        Scope::Global => "global",
    };
    let pools = network.pools.iter().map(pool).collect::<Vec<_>>();
    let config = if pools.is_empty() { Value::Null } else { pools.into() };
    let mut shown = json!({
        "Name": network.name.as_str(),
        "Id": network.id.to_string(),
        "Scope": scope,
        "Driver": network.driver,
        "IPAM": {"Driver": network.ipam, "Options": null, "Config": config},
        "Containers": members.into_iter().collect::<Map<String, Value>>(),
        "Options": network.options,
    });
    let mut say = |minor: u32, key: &str, value: Value| {
        if spoken.since(minor) {
            shown[key] = value;
        }
    };
    let labels: Map<String, Value> = network
        .labels
        .iter()
        .filter(|(key, _)| *key != ATTACHABLE)
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    say(25, "Created", timestamp::written(network.created).into());
    say(48, "EnableIPv4", (network.pool_v4().is_some() || network.pools.is_empty()).into());
    say(23, "EnableIPv6", network.pool_v6().is_some().into());
    say(23, "Internal", network.internal.into());
    say(23, "Labels", labels.into());
    say(24, "Attachable", network.labels.contains_key(ATTACHABLE).into());
    say(29, "Ingress", false.into());
    say(30, "ConfigFrom", json!({"Network": ""}));
    say(30, "ConfigOnly", false.into());
    shown
}

fn pool(pool: &Pool) -> Value {
    let mut shown = json!({"Subnet": pool.subnet.to_string()});
    if let Some(range) = pool.range {
        shown["IPRange"] = range.to_string().into();
    }
    if let Some(gateway) = pool.gateway {
        shown["Gateway"] = gateway.to_string().into();
    }
    if !pool.auxiliary.is_empty() {
        let auxiliary = pool.auxiliary.iter().map(|(name, address)| (name.clone(), address.to_string().into()));
        shown["AuxiliaryAddresses"] = auxiliary.collect::<Map<String, Value>>().into();
    }
    shown
}
