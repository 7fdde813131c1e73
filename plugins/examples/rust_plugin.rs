//! A plugin in Rust, as a dynamic library: networks without links, and nothing to remember.

use serde_json::{Value, json};

trestle_plugins::export_plugin!(answer);

fn answer(method: &str, request: &[u8]) -> Option<Vec<u8>> {
    let asked: Value = serde_json::from_slice(request).unwrap_or_default();
    let reply = match method {
        "Plugin.Activate" => json!({"Implements": ["NetworkDriver"]}),
        "NetworkDriver.GetCapabilities" => json!({"Scope": "local"}),
        "NetworkDriver.CreateNetwork" if asked["Options"]["com.docker.network.generic"]["panic"] == "now" => {
            panic!("as it was asked for")
        }
        "NetworkDriver.CreateNetwork" if asked["IPv4Data"].as_array().is_some_and(|pools| pools.len() > 1) => {
            json!({"Err": "one subnet is enough"})
        }
        "NetworkDriver.CreateNetwork"
        | "NetworkDriver.DeleteNetwork"
        | "NetworkDriver.CreateEndpoint"
        | "NetworkDriver.DeleteEndpoint"
        | "NetworkDriver.Join"
        | "NetworkDriver.Leave" => json!({}),
        _ => return None,
    };
    Some(reply.to_string().into_bytes())
}
