//! The servers that are asked for names which nobody here has.
//!
//! | to find | look in |
//! |---|---|
//! | which servers, for which name | here |
//! | in which order, and how many at once | `race` |
//! | one question to one server | `exchange` |
//! | what is kept of the answers | `cache` |
//! | the host's own servers | [`resolv_conf`] |

mod cache;
mod exchange;
mod race;
pub mod resolv_conf;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use trestle_core::dns::{DnsName, DnsOption, DomainServers, Naming};
use trestle_core::entropy::Entropy;

use self::cache::{Cache, Kept};
use self::race::Record;
use crate::limits::{Counted, Limits, Meter};
use crate::wire::raw;

/// Where servers listen.
pub(crate) const PORT: u16 = 53;

/// How many seconds an answer that is out of date may still be kept by who gets it (RFC 8767, 4).
const STALE_TTL: u32 = 30;

/// Who is asked where a sandbox says nothing.
pub trait HostServers: Send + Sync {
    /// The host's own servers now, best first.
    fn servers(&self) -> Vec<SocketAddr>;
}

/// What the daemon was told about servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Who is asked instead of the host's servers, where a sandbox says nothing; none is the host's.
    pub servers: Vec<IpAddr>,
    /// Who is asked for names in certain domains.
    pub domains: Vec<DomainServers>,
    /// Domains that short names are looked for in; `None` is the host's.
    pub search: Option<Vec<DnsName>>,
    /// Options of resolv.conf; none is the host's.
    pub options: Vec<DnsOption>,
}

/// How a question came, and how it is asked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// In one packet.
    Udp,
    /// On a connection.
    Tcp,
}

/// Asks other servers.
pub struct Upstream {
    host: Arc<dyn HostServers>,
    defaults: Defaults,
    limits: Limits,
    entropy: Arc<dyn Entropy>,
    meter: Arc<dyn Meter>,
    cache: Mutex<Cache>,
    record: Arc<Record>,
}

/// A question that is to be asked on.
#[derive(Clone, Debug)]
pub struct Errand {
    packet: Vec<u8>,
    transport: Transport,
    servers: Vec<SocketAddr>,
    key: cache::Key,
}

impl Upstream {
    /// Nothing is kept yet, and no server is known well or badly.
    pub fn new(
        host: Arc<dyn HostServers>,
        defaults: Defaults,
        limits: Limits,
        entropy: Arc<dyn Entropy>,
        meter: Arc<dyn Meter>,
    ) -> Self {
        let cache = Mutex::new(Cache::new(limits.kept));
        Self { host, defaults, limits, entropy, meter, cache, record: Arc::default() }
    }

    /// Who is asked for this name (in lower case) on behalf of a sandbox that was told this.
    pub fn servers_for(&self, naming: Option<&Naming>, name: Option<&str>) -> Vec<SocketAddr> {
        let own = naming.map(|naming| naming.domains.as_slice()).unwrap_or_default();
        let in_domain = |it: &&DomainServers| name.is_some_and(|name| is_in(name, &it.domain));
        let closest = |list: &'_ [DomainServers]| {
            list.iter().filter(in_domain).max_by_key(|it| it.domain.as_str().len()).map(|it| it.servers.clone())
        };
        let named = closest(own).or_else(|| closest(&self.defaults.domains)).or_else(|| {
            let everywhere = naming.map(|naming| &naming.servers).filter(|servers| !servers.is_empty());
            let servers = everywhere.unwrap_or(&self.defaults.servers);
            (!servers.is_empty()).then(|| servers.clone())
        });
        match named {
            Some(servers) => servers.into_iter().map(|server| SocketAddr::new(server, PORT)).collect(),
            None => self.host.servers(),
        }
    }

    /// What is to be asked on. `None` for a packet whose question can't be found.
    pub fn errand(&self, packet: &[u8], transport: Transport, servers: Vec<SocketAddr>) -> Option<Errand> {
        let key = cache::Key::of(packet, transport, &servers)?;
        Some(Errand { packet: packet.to_vec(), transport, servers, key })
    }

    /// An answer that was kept and is not out of date.
    pub fn kept(&self, errand: &Errand, now: Instant) -> Option<Vec<u8>> {
        let found = self.cache().find(&errand.key, now)?;
        let Kept::Fresh { answer, age } = found else { return None };
        Some(dressed(answer, &errand.packet, age, 0))
    }

    /// Asks on, and answers with the bytes that came back, the asker's id in them. `None` if nobody answers, and nothing
    /// was kept either.
    pub async fn ask(&self, errand: &Errand) -> Option<Vec<u8>> {
        self.meter.count(Counted::Forwarded);
        let stale = match self.cache().find(&errand.key, Instant::now()) {
            Some(Kept::Stale { answer }) => Some(answer),
            _ => None,
        };
        let began = Instant::now();
        let won = race::run(errand, &self.record, &self.limits, self.entropy.as_ref(), stale.is_some()).await;
        match (won, stale) {
            (Some(answer), _) if race::is_good(&answer) => {
                self.meter.upstream(began.elapsed());
                if let Some(seconds) = raw::keeps_for(&answer) {
                    self.cache().keep(errand.key.clone(), answer.clone(), seconds, Instant::now());
                }
                Some(dressed(answer, &errand.packet, 0, 0))
            }
            (_, Some(stale)) => {
                self.meter.count(Counted::Stale);
                Some(dressed(stale, &errand.packet, u32::MAX, STALE_TTL))
            }
            (Some(answer), None) => Some(dressed(answer, &errand.packet, 0, 0)),
            (None, None) => {
                self.meter.count(Counted::Failed);
                None
            }
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer as this asker gets it.
fn dressed(mut answer: Vec<u8>, question: &[u8], age: u32, floor: u32) -> Vec<u8> {
    raw::set_id(&mut answer, raw::id(question).unwrap_or_default());
    raw::set_words(&mut answer, question);
    if age > 0 {
        raw::grow_older(&mut answer, age, floor);
    }
    answer
}

fn is_in(name: &str, domain: &DnsName) -> bool {
    let rest = name.strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Nobody;

    impl HostServers for Nobody {
        fn servers(&self) -> Vec<SocketAddr> {
            Vec::new()
        }
    }

    impl Entropy for Nobody {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    impl Meter for Nobody {
        fn count(&self, _: Counted) {}

        fn upstream(&self, _: Duration) {}
    }

    #[tokio::test]
    async fn when_nobody_answers_an_answer_out_of_date_is_better_than_none() {
        let nobody = || Arc::new(Nobody);
        let upstream = Upstream::new(nobody(), Defaults::default(), Limits::default(), nobody(), nobody());
        let mut question = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(b"\x07ExAmple\x00\x00\x01\x00\x01");
        let mut answer = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        answer.extend(b"\x07example\x00\x00\x01\x00\x01");
        answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01");
        let errand = upstream.errand(&question, Transport::Udp, Vec::new()).unwrap();
        assert_eq!(upstream.ask(&errand).await, None);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        upstream.cache().keep(errand.key.clone(), answer, 60, long_ago);
        assert_eq!(upstream.kept(&errand, Instant::now()), None, "it is no answer as long as somebody may answer");
        let stale = upstream.ask(&errand).await.unwrap();
        assert!(raw::is_to(&stale, &question) && raw::id(&stale) == raw::id(&question));
        assert_eq!(raw::keeps_for(&stale), Some(STALE_TTL));
    }

    #[test]
    fn a_name_is_in_its_domain_and_in_no_other_that_ends_alike() {
        let domain = DnsName::try_from("corp.example").unwrap();
        assert!(is_in("corp.example", &domain) && is_in("db.corp.example", &domain));
        assert!(!is_in("notcorp.example", &domain) && !is_in("example", &domain));
    }
}
