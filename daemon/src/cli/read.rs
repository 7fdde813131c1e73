//! Values of flags: what is wrong with one is told before anything is asked.

use std::net::IpAddr;

use trestle_core::port::PortRequest;

use crate::api::model::endpoint::exposed_port;

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected".into()),
    }
}

/// `KEY=VALUE`, or a key alone, whose value is empty.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        None if !text.is_empty() => Ok((text.to_owned(), String::new())),
        _ => pair(text),
    }
}

/// `NAME=ADDRESS`.
pub fn named_address(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = pair(text)?;
    let address = address.parse().map_err(|_| format!("{address:?} is not an address"))?;
    Ok((name, address))
}

/// What `-p` takes. The text goes on as it is.
pub fn published(text: &str) -> Result<String, String> {
    text.parse::<PortRequest>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// What `--expose` takes. The text goes on as it is.
pub fn exposed(text: &str) -> Result<String, String> {
    exposed_port(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
