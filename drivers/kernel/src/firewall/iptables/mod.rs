//! The back end iptables: chains of our own among everybody's, changed by iptables' own programs.
//!
//! A change is one `iptables-restore --noflush` a family that it concerns, and nothing is read for it: what stands in
//! our chains is remembered. Such a call fails whole if one rule of it is not as believed; then our chains are made anew,
//! all of them, with what should be in them. Reading goes before that, before a network is made, and when somebody asks
//! whether all is well.
//!
//! | to find | look in |
//! |---|---|
//! | what is decided: the chains, what a resource comes to | `chain`, `rule` |
//! | what is there | `listing` |
//! | what is written | `input` |
//! | the programs | `program`, `probe` |
//!
//! Linux 5.7 or newer: it tells in POSTROUTING where a packet came from.

mod chain;
mod input;
mod listing;
mod probe;
mod program;
mod rule;
mod verification;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use trestle_core::error::{Doing, Error, Result};
use trestle_core::resource::Resource;

pub(super) use self::chain::Touched;
use self::input::Input;
use self::listing::Listing;
use self::program::{Programs, Refusal};
use self::rule::{Change, Key, Rule, rules};
use super::backend::Variant;
use super::generations::Generations;
use super::nftables::dump;
use super::nftables::message::nftables;
use super::nftables::socket::Socket;
use super::uapi::{NFPROTO_UNSPEC, NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME};
use crate::mark::Instance;

/// A family of addresses: each has rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        })
    }
}

/// How many rules may be taken out one by one: iptables compares each with all of its chain.
const FEW: usize = 200;

/// Our chains in one network namespace.
pub(super) struct Firewall {
    mark: String,
    programs: Programs,
    /// To ask about nf_tables, where the rules of one variant lie.
    netfilter: Socket,
    generations: Arc<Generations>,
    known: Option<Known>,
}

/// What we believe to stand in our chains.
#[derive(Debug)]
struct Known {
    /// Chains, and the rules in them that never change, were seen, or made, as they should be.
    whole: bool,
    rules: BTreeMap<Key, Rule>,
}

impl Firewall {
    /// Opens it in the network namespace of this thread. Changes nothing.
    ///
    /// # Errors
    /// `Unsupported` if iptables, or this variant of it, is not installed.
    pub(super) fn open(instance: Instance, variant: Option<Variant>) -> Result<Self> {
        Ok(Self {
            mark: instance.comment(),
            programs: Programs::find(variant)?,
            netfilter: Socket::open()?,
            generations: Arc::default(),
            known: None,
        })
    }

    /// Which of the two it is.
    pub(super) fn variant(&self) -> Variant {
        self.programs.variant
    }

    /// Whether the rules lie in nf_tables, which tells of changes.
    pub(super) fn are_in_nftables(&self) -> bool {
        self.variant() == Variant::NfTables
    }

    /// Whether this kernel has nf_tables.
    pub(super) fn knows_nftables(&mut self) -> bool {
        dump::generation(&mut self.netfilter).is_ok()
    }

    /// The socket by which nf_tables is asked.
    pub(super) fn netfilter_mut(&mut self) -> &mut Socket {
        &mut self.netfilter
    }

    /// The generations of nf_tables' rules that our changes made.
    pub(super) fn generations(&self) -> Arc<Generations> {
        self.generations.clone()
    }

    /// See [`super::Firewall::change`].
    pub(super) fn change(
        &mut self,
        removed: &[&Resource],
        changed: &[(&Resource, &Resource)],
        added: &[&Resource],
    ) -> Result<()> {
        let change = Change::between(removed, changed, added);
        match change.is_empty() {
            true => Ok(()),
            false => self.carry_out(&change).doing(|| "changing the firewall"),
        }
    }

    /// See [`super::Firewall::restore`].
    pub(super) fn restore(&mut self, resources: &[&Resource]) -> Result<()> {
        let wanted = resources.iter().any(|it| it.is_firewall());
        let all = resources.iter().flat_map(|it| rules(it)).map(|it| (it.key(), it)).collect();
        let made = if wanted { self.make_whole(all) } else { self.take_down() };
        made.doing(|| "restoring the firewall")
    }

    /// See [`super::Firewall::exists`].
    pub(super) fn exists(&mut self) -> Result<bool> {
        let listings = self.listings()?;
        listings.iter().try_for_each(|(family, it)| it.refuse_strangers(*family, &self.mark))?;
        Ok(listings.iter().any(|(_, it)| it.is_anything()))
    }

    fn carry_out(&mut self, change: &Change) -> Result<()> {
        if change.no_base {
            return self.take_down();
        }
        // Until it is done, nobody knows what stands.
        let mut known = match self.known.take() {
            // Making a network is rare, and what it opens relies on what guards.
            Some(known) if !change.base => known,
            _ => self.learn()?,
        };
        let gone: Vec<&Rule> = change.gone.iter().filter(|it| known.rules.get(&it.key()) == Some(it)).collect();
        let come: Vec<&Rule> = change.come.iter().filter(|it| known.rules.get(&it.key()) != Some(it)).collect();
        let rival = come.iter().find(|it| known.rules.get(&it.key()).is_some_and(|rival| !gone.contains(&rival)));
        if let Some(rule) = rival {
            let taken = Error::conflict(taken(rule));
            self.known = Some(known);
            return Err(taken);
        }
        gone.iter().for_each(|it| drop(known.rules.remove(&it.key())));
        known.rules.extend(come.iter().map(|it| (it.key(), (*it).clone())));
        let unmade = !known.whole && (change.base || !change.come.is_empty());
        if unmade || gone.len() > FEW {
            return self.make_whole(known.rules);
        }
        for family in self.programs.families() {
            let of_family = |all: &[&Rule]| all.iter().filter(|it| it.family == family).copied().cloned().collect();
            let (gone, come): (Vec<Rule>, Vec<Rule>) = (of_family(&gone), of_family(&come));
            if let Err(refusal) = self.write(family, &Input::change(&gone, &come, &self.mark))? {
                tracing::warn!(error = %refusal.error(), "our chains are not as we left them; making them anew");
                return self.make_whole(known.rules);
            }
        }
        self.known = Some(known);
        Ok(())
    }

    /// Makes all of our chains anew, with these rules.
    fn make_whole(&mut self, rules: BTreeMap<Key, Rule>) -> Result<()> {
        self.known = None;
        for (family, listing) in self.listings()? {
            listing.refuse_strangers(family, &self.mark)?;
            let input = Input::whole(family, &listing, input::of(family, &rules), &self.mark);
            self.write_or_tell(family, &input)?;
        }
        self.known = Some(Known { whole: true, rules });
        Ok(())
    }

    /// Takes our chains away, unless people have rules in the one that is theirs: those are never ours to remove, so the
    /// chains stay for their sake, without an entry.
    fn take_down(&mut self) -> Result<()> {
        let listings = self.listings()?;
        listings.iter().try_for_each(|(family, it)| it.refuse_strangers(*family, &self.mark))?;
        if listings.iter().any(|(_, it)| it.has_peoples_rules()) {
            return self.make_whole(BTreeMap::new());
        }
        self.known = None;
        for (family, listing) in listings {
            self.write_or_tell(family, &Input::nothing(&listing, &self.mark))?;
        }
        self.known = Some(Known { whole: false, rules: BTreeMap::new() });
        Ok(())
    }

    /// Reads what stands.
    fn learn(&self) -> Result<Known> {
        let mut known = Known { whole: true, rules: BTreeMap::new() };
        for (family, listing) in self.listings()? {
            listing.refuse_strangers(family, &self.mark)?;
            let (rules, others) = listing.entries(family, &self.mark);
            known.whole &= others.is_empty() && listing.base_deviations(family, &self.mark).is_empty();
            known.rules.extend(rules);
        }
        Ok(known)
    }

    fn listings(&self) -> Result<Vec<(Family, Listing)>> {
        let read = |family| match self.programs.save(family)? {
            Ok(text) => Ok((family, Listing::read(&text))),
            Err(refusal) => Err(self.told(family, refusal)),
        };
        self.programs.families().map(read).collect()
    }

    fn write_or_tell(&mut self, family: Family, input: &Input) -> Result<()> {
        self.write(family, input)?.map_err(|refusal| self.told(family, refusal))
    }

    /// What a program refused, with what this kernel lacks if that is why.
    fn told(&self, family: Family, refusal: Refusal) -> Error {
        match probe::lacking(self.programs.command(family), family) {
            Some(lacking) => Error::unsupported(format!("{lacking}; {}", refusal.error().cause())),
            None => refusal.error(),
        }
    }

    fn write(&mut self, family: Family, input: &Input) -> Result<std::result::Result<(), Refusal>> {
        if input.is_empty() {
            return Ok(Ok(()));
        }
        let generations = self.generations.clone();
        let changing = generations.changing();
        let before = self.generation();
        let outcome = self.programs.restore(family, &input.text());
        if let (Some(before), Some(after)) = (before, self.generation()) {
            changing.end(before, after, input.tables());
        }
        outcome
    }

    /// The generation of nf_tables' rules, where ours are among them.
    fn generation(&mut self) -> Option<u32> {
        match self.are_in_nftables() {
            true => dump::generation(&mut self.netfilter).ok(),
            false => None,
        }
    }
}

/// What another entry has already.
fn taken(rule: &Rule) -> String {
    let words: Vec<&str> = rule.conditions.split_whitespace().collect();
    let said = |option: &str| words.windows(2).find(|it| it[0] == option).map(|it| it[1]);
    match (rule.act.contains("DNAT"), said("-p"), said("--dport")) {
        // The words that say so for every port that is taken.
        (true, Some(protocol), Some(ports)) => {
            let address = said("-d").and_then(|it| it.split_once('/')).map(|it| it.0);
            let address = address.map(|it| if it.contains(':') { format!("[{it}]:") } else { format!("{it}:") });
            format!(
                "{}{}{}/{protocol} is mapped to another container already",
                trestle_core::kernel::PORT_TAKEN,
                address.unwrap_or_default(),
                ports.replace(':', "-")
            )
        }
        _ => format!("another rule for {:?} stands in {} already", rule.conditions, rule.chain.name()),
    }
}

/// Whether a variant may have rules of ours in this network namespace; found out without starting a program.
pub(super) fn may_stand(variant: Variant) -> Result<bool> {
    match variant {
        Variant::Legacy => Ok(["ip", "ip6"].into_iter().any(|family| {
            let names = Path::new("/proc/thread-self/net").join(format!("{family}_tables_names"));
            std::fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty())
        })),
        Variant::NfTables => {
            let mut socket = Socket::open()?;
            let ours = socket.dump(
                nftables(NFT_MSG_GETCHAIN),
                NFPROTO_UNSPEC,
                |_| {},
                |message| {
                    let name = message.attributes().get(NFTA_CHAIN_NAME)?.text();
                    name.starts_with(chain::PREFIX).then_some(())
                },
            );
            match ours {
                Ok(ours) => Ok(ours.is_some_and(|it| !it.is_empty())),
                Err(error) if error.kind() == trestle_core::error::ErrorKind::Unsupported => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}

/// These resources as the commands that a person would type: all chains first if [`Resource::FirewallBase`] is among
/// them.
///
/// The text leaves out the mark by which we know our rules, so chains made from it by hand are not taken for ours.
pub(super) fn commands(resources: &[&Resource]) -> String {
    let all: BTreeMap<Key, Rule> = resources.iter().flat_map(|it| rules(it)).map(|it| (it.key(), it)).collect();
    let base = resources.iter().any(|it| matches!(it, Resource::FirewallBase));
    let mut text = String::new();
    for family in [Family::V4, Family::V6] {
        let input = match base {
            true => Input::whole(family, &Listing::default(), input::of(family, &all), ""),
            false => Input::change([], input::of(family, &all), ""),
        };
        if !input.is_empty() {
            text.push_str(&format!("{family}-restore --noflush -w <<'END'\n{}END\n", input.text()));
        }
    }
    text
}
