//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::entropy::Entropy;
use crate::error::{Error, Result};

/// A unicast Ethernet address (IEEE 802 EUI-48), written `02:42:ac:11:00:02`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// A random, locally administered one: its first octet is `02`.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut octets = [0; 6];
        entropy.fill(&mut octets);
        octets[0] = 0x02;
        Self(octets)
    }

    /// The six octets, in the order of transmission.
    pub fn octets(&self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<[u8; 6]> for MacAddress {
    type Error = Error;

    fn try_from(octets: [u8; 6]) -> Result<Self> {
        let address = Self(octets);
        if octets[0] & 1 == 1 {
            return Err(Error::invalid(format!("{address} is a multicast address, which no link can bear")));
        }
        if octets == [0; 6] {
            return Err(Error::invalid("a link can't bear the MAC address 00:00:00:00:00:00"));
        }
        Ok(address)
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("{text:?} is not a MAC address such as 02:42:ac:11:00:02"));
        let parts: Vec<&str> = text.split([':', '-']).collect();
        if parts.len() != 6 {
            return Err(wrong());
        }
        let mut octets = [0; 6];
        for (octet, part) in octets.iter_mut().zip(parts) {
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        octets.try_into()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_are_taken() {
        assert_eq!("02-42-AC-11-00-02".parse::<MacAddress>().unwrap().to_string(), "02:42:ac:11:00:02");
        for wrong in [
            "",
            "02:42:ac:11:00",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "0:42:ac:11:00:02",
            "+2:42:ac:11:00:02",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
    }
}
