//! What the neighbours behind a bridge may remember of an address.
//!
//! Only who may be remembered with another MAC address has to be announced before anybody is told that he is there;
//! others are announced when nobody waits. Behind a bridge that was made by this process nobody remembers what was
//! never said.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use trestle_core::mac::MacAddress;
use trestle_core::name::IfName;

/// Who had which address last, behind the bridges that were made since the start.
#[derive(Debug, Default)]
pub(crate) struct Remembered(BTreeMap<IfName, HashMap<IpAddr, MacAddress>>);

impl Remembered {
    /// A bridge was made just now.
    pub(crate) fn made(&mut self, bridge: &IfName) {
        self.0.insert(bridge.clone(), HashMap::new());
    }

    /// A bridge goes, and whoever was behind it.
    pub(crate) fn gone(&mut self, bridge: &IfName) {
        self.0.remove(bridge);
    }

    /// Somebody takes an address. Whether another one may be remembered by it.
    pub(crate) fn taken(&mut self, bridge: &IfName, address: IpAddr, mac: MacAddress) -> bool {
        match self.0.get_mut(bridge) {
            None => true,
            Some(known) => known.insert(address, mac).is_some_and(|before| before != mac),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_had_another_s_address_is_taken_for_him() {
        let (bridge, address) = (IfName::try_from("br0").unwrap(), "10.0.0.2".parse().unwrap());
        let [one, other] = ["02:00:00:00:00:01", "02:00:00:00:00:02"].map(|mac| mac.parse().unwrap());
        let mut remembered = Remembered::default();
        assert!(remembered.taken(&bridge, address, one), "it was there before us");
        remembered.made(&bridge);
        assert!(!remembered.taken(&bridge, address, one));
        assert!(!remembered.taken(&bridge, address, one));
        assert!(remembered.taken(&bridge, address, other));
        remembered.gone(&bridge);
        assert!(remembered.taken(&bridge, address, other));
    }
}
