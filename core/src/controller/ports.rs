//! Which ports of the host are promised to which endpoint. Pure; made anew from the endpoints at start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::spans::Spans;
use crate::error::{Error, Result};
use crate::id::EndpointId;
use crate::port::{HostPorts, PortBinding, PortRange, PortRequest, Protocol};

/// Every port of the host that an endpoint has, by protocol and number.
#[derive(Debug, Default)]
pub(super) struct PortTable {
    taken: BTreeMap<Protocol, Spans<Holder>>,
    owners: HashMap<EndpointId, Vec<Owned>>,
    chosen: HashMap<EndpointId, BTreeSet<(Protocol, u16)>>,
    cursor: u16,
}

/// An endpoint that has a port on an address; `None` is every address.
type Holder = (Option<IpAddr>, EndpointId);

/// What an endpoint has: ports of a protocol, on an address.
type Owned = (Protocol, Option<IpAddr>, PortRange);

/// Ports that turned out to be other programs'.
pub(super) type Refused = BTreeSet<(Protocol, u16)>;

/// Refuses requests of one endpoint that can't all be had, whatever the rest of the host has.
pub(super) fn check_among_themselves(requests: &[PortRequest]) -> Result<()> {
    let nobody = EndpointId::NOBODY;
    match PortTable::default().reserve(nobody, requests, (1, u16::MAX), &Refused::new()) {
        Err(Clash::Held { wanted, .. }) => {
            Err(Error::invalid(format!("publishing {wanted}: its port of the host is asked for twice")))
        }
        Err(Clash::NoneFree { wanted, .. }) => {
            Err(Error::invalid(format!("publishing {wanted}: more is asked for than the range has")))
        }
        Ok(_) => Ok(()),
    }
}

/// Why ports can't be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Another endpoint, or the same one, has it.
    Held { wanted: PortBinding, holder: EndpointId },
    /// Every port of a range is taken, the first one by this endpoint, or all by other programs.
    NoneFree { wanted: PortRequest, holder: Option<EndpointId> },
}

impl PortTable {
    /// Promises a port of the host for each request, all or none. An ephemeral port is not the one promised last; where
    /// there is a choice no refused one is chosen.
    pub(super) fn reserve(
        &mut self,
        owner: EndpointId,
        requests: &[PortRequest],
        ephemeral: (u16, u16),
        refused: &Refused,
    ) -> std::result::Result<Vec<PortBinding>, Clash> {
        let mut bindings = Vec::with_capacity(requests.len());
        for request in requests {
            if let Err(clash) = self.reserve_one(owner, request, ephemeral, refused, &mut bindings) {
                self.release(owner, &bindings);
                return Err(clash);
            }
        }
        Ok(bindings)
    }

    /// Every port of an endpoint that was chosen for it, rather than asked for.
    pub(super) fn chosen(&self, owner: EndpointId) -> Vec<(Protocol, u16)> {
        let chosen = self.chosen.get(&owner).into_iter().flatten();
        chosen.copied().collect()
    }

    /// Takes every promise to an endpoint back.
    pub(super) fn release_all(&mut self, owner: EndpointId) {
        self.chosen.remove(&owner);
        for (protocol, address, ports) in self.owners.remove(&owner).unwrap_or_default() {
            self.give_back(protocol, ports, &(address, owner));
        }
    }

    /// Takes promises back.
    pub(super) fn release(&mut self, owner: EndpointId, bindings: &[PortBinding]) {
        if let Some(owned) = self.owners.remove(&owner) {
            let each = |(protocol, address, ports): Owned| ports.ports().map(move |port| (protocol, address, port));
            let gone: HashSet<_> = bindings.iter().filter_map(owned_by).flat_map(each).collect();
            for (protocol, address, port) in owned.into_iter().flat_map(each).filter(|it| !gone.contains(it)) {
                self.own(owner, (protocol, address, PortRange::single(port).expect("a port of a range is no 0")));
            }
        }
        if let Some(chosen) = self.chosen.get_mut(&owner) {
            let first = |it: &PortBinding| Some((it.protocol, it.host?.first()));
            let gone: HashSet<_> = bindings.iter().filter_map(first).collect();
            chosen.retain(|port| !gone.contains(port));
            if chosen.is_empty() {
                self.chosen.remove(&owner);
            }
        }
        for (protocol, address, ports) in bindings.iter().filter_map(owned_by) {
            self.give_back(protocol, ports, &(address, owner));
        }
    }

    fn give_back(&mut self, protocol: Protocol, ports: PortRange, holder: &Holder) {
        if let Some(spans) = self.taken.get_mut(&protocol) {
            spans.remove(ports, holder);
            if spans.is_empty() {
                self.taken.remove(&protocol);
            }
        }
    }

    /// An endpoint has these, beside what it has.
    fn own(&mut self, owner: EndpointId, (protocol, address, ports): Owned) {
        let owned = self.owners.entry(owner).or_default();
        match owned.last_mut() {
            Some((of, at, before)) if (*of, *at) == (protocol, address) && before.is_before(&ports) => {
                *before = before.up_to(&ports);
            }
            _ => owned.push((protocol, address, ports)),
        }
    }

    /// Promises just these, which an endpoint is known to have.
    pub(super) fn restore(&mut self, owner: EndpointId, bindings: &[PortBinding]) {
        bindings.iter().for_each(|binding| self.enter(owner, binding));
    }

    fn reserve_one(
        &mut self,
        owner: EndpointId,
        request: &PortRequest,
        ephemeral: (u16, u16),
        refused: &Refused,
        bindings: &mut Vec<PortBinding>,
    ) -> std::result::Result<(), Clash> {
        let binding = |host, container| PortBinding {
            protocol: request.protocol,
            address: request.address,
            host: Some(host),
            container,
        };
        match request.host {
            HostPorts::Within(host) if host.count() == request.container.count() => {
                let wanted = binding(host, request.container);
                if let Some(holder) = self.holder(&wanted) {
                    return Err(Clash::Held { wanted, holder });
                }
                self.enter(owner, &wanted);
                bindings.push(wanted);
            }
            HostPorts::Within(host) => {
                let free = self.first_free(request, refused, host.ports())?;
                let chosen = binding(free, request.container);
                self.choose(owner, &chosen);
                bindings.push(chosen);
            }
            HostPorts::Ephemeral => {
                for container in request.container.ports() {
                    let container = PortRange::single(container).expect("a port of a range is no 0");
                    let free = self.next_free(request, refused, ephemeral)?;
                    let chosen = binding(free, container);
                    self.choose(owner, &chosen);
                    bindings.push(chosen);
                }
            }
        }
        Ok(())
    }

    /// Whose turn it is, for [`PortTable::cancel`].
    pub(super) fn turn(&self) -> u16 {
        self.cursor
    }

    /// Takes an endpoint's ports back, which were never used: if nobody has chosen since, the turn is as it was.
    pub(super) fn cancel(&mut self, owner: EndpointId, turn: u16) {
        if self.chosen.get(&owner).is_some_and(|chosen| chosen.iter().any(|(_, port)| *port == self.cursor)) {
            self.cursor = turn;
        }
        self.release_all(owner);
    }

    /// The next free port after the one chosen last, round the range.
    fn next_free(
        &mut self,
        request: &PortRequest,
        refused: &Refused,
        (first, last): (u16, u16),
    ) -> std::result::Result<PortRange, Clash> {
        let start = if (first..last).contains(&self.cursor) { self.cursor + 1 } else { first };
        let free = self.first_free(request, refused, (start..=last).chain(first..start))?;
        self.cursor = free.first();
        Ok(free)
    }

    fn first_free(
        &self,
        request: &PortRequest,
        refused: &Refused,
        candidates: impl Iterator<Item = u16>,
    ) -> std::result::Result<PortRange, Clash> {
        let mut first_holder = None;
        for port in candidates.filter(|port| !refused.contains(&(request.protocol, *port))) {
            match self.holder_of(request.protocol, port, request.address) {
                None => return Ok(PortRange::single(port).expect("a port of a range is no 0")),
                holder => first_holder = first_holder.or(holder),
            }
        }
        Err(Clash::NoneFree { wanted: request.clone(), holder: first_holder })
    }

    fn holder(&self, wanted: &PortBinding) -> Option<EndpointId> {
        ports(wanted).find_map(|port| self.holder_of(wanted.protocol, port, wanted.address))
    }

    fn holder_of(&self, protocol: Protocol, port: u16, address: Option<IpAddr>) -> Option<EndpointId> {
        let holders = self.taken.get(&protocol)?.at(port);
        holders.iter().find(|(held, _)| covers_common_ground(*held, address)).map(|(_, holder)| *holder)
    }

    fn choose(&mut self, owner: EndpointId, binding: &PortBinding) {
        self.chosen.entry(owner).or_default().extend(ports(binding).map(|port| (binding.protocol, port)));
        self.enter(owner, binding);
    }

    fn enter(&mut self, owner: EndpointId, binding: &PortBinding) {
        if let Some((protocol, address, ports)) = owned_by(binding) {
            self.own(owner, (protocol, address, ports));
            self.taken.entry(protocol).or_default().add(ports, &(address, owner));
        }
    }
}

/// What of the host a binding has.
fn owned_by(binding: &PortBinding) -> Option<Owned> {
    Some((binding.protocol, binding.address, binding.host?))
}

/// The host's ports that a binding has.
fn ports(binding: &PortBinding) -> impl Iterator<Item = u16> + use<> {
    binding.host.into_iter().flat_map(|host| host.ports())
}

/// Whether two bindings of one port could both be meant by a packet.
fn covers_common_ground(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (None, _) | (_, None) => true,
        (Some(one), Some(other)) => {
            one == other || (one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPHEMERAL: (u16, u16) = (40000, 40003);

    fn endpoint(digit: char) -> EndpointId {
        digit.to_string().repeat(64).parse().unwrap()
    }

    fn reserve(table: &mut PortTable, owner: char, requests: &[&str]) -> std::result::Result<Vec<String>, Clash> {
        let requests: Vec<PortRequest> = requests.iter().map(|text| text.parse().unwrap()).collect();
        let bindings = table.reserve(endpoint(owner), &requests, EPHEMERAL, &Refused::new())?;
        Ok(bindings.iter().map(PortBinding::to_string).collect())
    }

    #[test]
    fn ports_that_were_only_asked_for_are_the_next_ones_still() {
        let mut table = PortTable::default();
        reserve(&mut table, 'a', &["1"]).unwrap();
        for _ in 0..3 {
            let turn = table.turn();
            assert_eq!(reserve(&mut table, 'b', &["1-2", "80:80"]).unwrap()[0], "40001:1/tcp");
            table.cancel(endpoint('b'), turn);
        }
        assert_eq!(reserve(&mut table, 'c', &["1", "80:80"]).unwrap()[0], "40001:1/tcp");
    }

    #[test]
    fn a_port_is_promised_once_and_the_holder_is_named() {
        let mut table = PortTable::default();
        reserve(&mut table, 'a', &["80:80"]).unwrap();
        for (wanted, holder) in
            [("80:81", Some('a')), ("127.0.0.1:80:81", Some('a')), ("[::1]:80:81", Some('a')), ("80:81/udp", None)]
        {
            match (reserve(&mut table, 'b', &[wanted]), holder) {
                (Err(Clash::Held { holder, .. }), Some(expected)) => assert_eq!(holder, endpoint(expected)),
                (Ok(_), None) => {}
                (other, _) => panic!("{wanted}: {other:?}"),
            }
        }
    }

    #[test]
    fn addresses_that_have_nothing_in_common_share_a_port() {
        let mut table = PortTable::default();
        for request in ["127.0.0.1:80:80", "127.0.0.2:80:80", "[::]:80:80"] {
            reserve(&mut table, 'a', &[request]).unwrap();
        }
        assert!(reserve(&mut table, 'b', &["0.0.0.0:80:80"]).is_err());
        assert!(reserve(&mut table, 'b', &["[::1]:80:80"]).is_err());
    }

    #[test]
    fn a_clash_leaves_nothing_promised() {
        let mut table = PortTable::default();
        reserve(&mut table, 'a', &["81:81"]).unwrap();
        assert!(reserve(&mut table, 'b', &["80:80", "81:81"]).is_err());
        assert!(reserve(&mut table, 'b', &["80:80", "80:80"]).is_err(), "not even by oneself");
        reserve(&mut table, 'c', &["80:80"]).unwrap();
    }

    #[test]
    fn ephemeral_ports_go_round_and_run_out() {
        let mut table = PortTable::default();
        assert_eq!(reserve(&mut table, 'a', &["1-2"]).unwrap(), ["40000:1/tcp", "40001:2/tcp"]);
        table.release(
            endpoint('a'),
            &["40000:1".parse::<PortRequest>().map(|_| binding("40000", "1")).unwrap(), binding("40001", "2")],
        );
        assert_eq!(
            reserve(&mut table, 'a', &["1-2"]).unwrap(),
            ["40002:1/tcp", "40003:2/tcp"],
            "not the ones released last"
        );
        assert_eq!(reserve(&mut table, 'b', &["1-2"]).unwrap(), ["40000:1/tcp", "40001:2/tcp"]);
        assert!(matches!(reserve(&mut table, 'c', &["1"]), Err(Clash::NoneFree { .. })));
        table.release_all(endpoint('a'));
        table.release_all(endpoint('b'));
        assert!(table.taken.is_empty() && table.owners.is_empty() && table.chosen.is_empty(), "{table:?}");
    }

    #[test]
    fn a_refused_port_is_passed_over_where_there_is_a_choice() {
        let mut table = PortTable::default();
        let refused = Refused::from([(Protocol::Tcp, 8000), (Protocol::Tcp, 40000)]);
        let wanted = ["8000-8001:80".parse().unwrap(), "90".parse().unwrap()];
        let bindings = table.reserve(endpoint('a'), &wanted, EPHEMERAL, &refused).unwrap();
        assert_eq!(bindings.iter().map(PortBinding::to_string).collect::<Vec<_>>(), ["8001:80/tcp", "40001:90/tcp"]);
        assert_eq!(table.chosen(endpoint('a')), [(Protocol::Tcp, 8001), (Protocol::Tcp, 40001)]);
    }

    #[test]
    fn one_port_of_a_range_is_the_first_free_one() {
        let mut table = PortTable::default();
        assert_eq!(reserve(&mut table, 'a', &["8000-8001:80"]).unwrap(), ["8000:80/tcp"]);
        assert_eq!(reserve(&mut table, 'b', &["8000-8001:80"]).unwrap(), ["8001:80/tcp"]);
        assert!(reserve(&mut table, 'c', &["8000-8001:80"]).is_err());
    }

    fn binding(host: &str, container: &str) -> PortBinding {
        PortBinding {
            protocol: Protocol::Tcp,
            address: None,
            host: Some(host.parse().unwrap()),
            container: container.parse().unwrap(),
        }
    }
}
