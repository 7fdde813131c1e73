//! Browsers reach a daemon on a person's loopback, and any page may send them there. Such requests end here.
//!
//! Two ways lead in. A page of another site sends a request without a body, such as a repair, which a browser sends
//! without asking first: its `Origin` tells. And a site gives its own name the address 127.0.0.1, so that the browser
//! takes us for it: the `Host` tells, for it is a name that no daemon is called by. Over TLS the name is not looked at:
//! the browser has held it against our certificate.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::error::Refusal;
use crate::serve::Wire;

/// Refuses with a 403 what a page of another site may have sent.
pub(crate) fn check(request: &Request) -> Result<(), Refusal> {
    let wire = request.extensions().get::<Wire>().copied().unwrap_or(Wire::Tcp);
    is_own_business(wire, request.headers()).map_err(|why| Refusal::new(StatusCode::FORBIDDEN, why))
}

fn is_own_business(wire: Wire, headers: &HeaderMap) -> Result<(), String> {
    if wire == Wire::Unix {
        return Ok(());
    }
    let host = text(headers, header::HOST).unwrap_or_default();
    if wire == Wire::Tcp && !is_own(&host) {
        return Err(format!(
            "Host: {host:?} is neither an address nor localhost; without TLS the daemon is asked by these alone"
        ));
    }
    match text(headers, header::ORIGIN) {
        Some(origin) if !is_of(&origin, &host) => {
            Err(format!("Origin: {origin:?} is another site; the daemon does nothing for other sites' pages"))
        }
        _ => Ok(()),
    }
}

/// All of a header's values as one, so that a second one hides behind no first one. `None` if there is none.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether nobody but the machine itself can give that name an address of ours.
fn is_own(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn is_of(origin: &str, host: &str) -> bool {
    let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    site.is_some_and(|site| site.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(wire: Wire, headers: &[(HeaderName, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        is_own_business(wire, &map).is_err()
    }

    #[test]
    fn without_tls_only_a_name_that_nobody_can_lead_elsewhere_is_answered() {
        for own in ["127.0.0.1", "127.0.0.1:2476", "[::1]:2476", "[::1]", "localhost", "LocalHost:2476"] {
            assert!(!refused(Wire::Tcp, &[(header::HOST, own)]), "{own}");
        }
        for other in ["evil.example:2476", "localhost.evil.example", "127.0.0.1.evil.example", "[x]", "", "::1x"] {
            assert!(refused(Wire::Tcp, &[(header::HOST, other)]), "{other}");
        }
        assert!(refused(Wire::Tcp, &[]));
        assert!(refused(Wire::Tcp, &[(header::HOST, "localhost"), (header::HOST, "evil.example")]));
        assert!(!refused(Wire::Tls, &[(header::HOST, "box.lan:2476")]));
        assert!(!refused(Wire::Unix, &[(header::HOST, "trestle")]));
    }

    #[test]
    fn a_page_of_another_site_gets_nothing_done() {
        for (wire, host) in [(Wire::Tcp, "127.0.0.1:2476"), (Wire::Tls, "box.lan:2476")] {
            for foreign in ["null", "https://evil.example", "http://127.0.0.1:8080", "http://localhost:2476", ""] {
                assert!(refused(wire, &[(header::HOST, host), (header::ORIGIN, foreign)]), "{foreign}");
            }
            assert!(!refused(wire, &[(header::HOST, host), (header::ORIGIN, &format!("https://{host}"))]));
        }
    }
}
