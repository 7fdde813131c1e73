//! The firewall: what networks and published ports come to in the kernel's packet filter, by one of two back ends.
//!
//! nf_tables, in a table of our own, is what everybody gets who asks for nothing else. iptables, in chains of our own
//! among everybody's, is for hosts whose rules are iptables' already. Which of them stands can be changed at every
//! start: [`Firewall::restore`] makes the rules with the one, and then takes away what the other had.
//!
//! | to find | look in |
//! |---|---|
//! | nf_tables: rules, maps, messages | `nftables` |
//! | iptables: chains, what a resource comes to, the programs | `iptables` |
//! | other people's chains that drop our packets | `foreign` |
//! | news of others' changes | `watch`, `ear`, `generations` |
//! | connections that are to be forgotten | [`conntrack`] |

mod backend;
pub mod conntrack;
mod ear;
mod foreign;
mod generations;
mod iptables;
mod nftables;
mod uapi;
mod watch;

use trestle_core::error::{Doing, ErrorKind, Result};
use trestle_core::kernel::Drift;
use trestle_core::resource::Resource;

pub use self::backend::{Backend, Variant};
pub(crate) use self::nftables::{Door, Redirects};
pub use self::watch::{News, Watch, watch};
use crate::mark::Instance;

/// The firewall of one network namespace. Its calls block for as long as the kernel works: microseconds as a rule with
/// nf_tables, milliseconds with iptables, whose programs have to be started. One thread owns it.
pub struct Firewall {
    instance: Instance,
    rules: Rules,
    /// Nothing of the other back ends is left.
    alone: bool,
}

/// The back end at work.
enum Rules {
    NfTables(nftables::Firewall),
    IpTables(iptables::Firewall),
}

impl Firewall {
    /// Opens nf_tables in the network namespace of this thread. Changes nothing.
    ///
    /// # Errors
    /// As [`Firewall::open_with`].
    pub fn open(instance: Instance) -> Result<Self> {
        Self::open_with(Backend::NfTables, instance)
    }

    /// Opens a back end in the network namespace of this thread. Changes nothing.
    ///
    /// # Errors
    /// `Unsupported` if this kernel has no netfilter, or if iptables is asked for and not installed.
    pub fn open_with(backend: Backend, instance: Instance) -> Result<Self> {
        let rules = match backend {
            Backend::NfTables => Rules::NfTables(nftables::Firewall::open(instance)?),
            Backend::IpTables(variant) => Rules::IpTables(iptables::Firewall::open(instance, variant)?),
        };
        Ok(Self { instance, rules, alone: false })
    }

    /// Takes out, changes and puts in. What is not the firewall's is passed over; where nothing is to be done the kernel
    /// is not called. Removing what is gone and adding what is there succeed. What networks share is made when something
    /// is added and it is missing; it goes when [`Resource::FirewallBase`] is removed, unless people have rules in the
    /// chain that is theirs.
    ///
    /// With nf_tables it is one transaction; with iptables, one a table and family of addresses.
    ///
    /// # Errors
    /// `Conflict` if somebody else's rules have our names, or another entry stands where one is added; `Unsupported` for
    /// what this kernel lacks. Nothing is changed then, by nf_tables; iptables may have done one family, and undoing the
    /// change undoes that.
    pub fn change(
        &mut self,
        removed: &[&Resource],
        changed: &[(&Resource, &Resource)],
        added: &[&Resource],
    ) -> Result<()> {
        self.rules.change(removed, changed, added)
    }

    /// Makes all rules anew with what these resources come to: established connections do not notice. What people wrote
    /// into their chain stays. Without any resource of the firewall everything goes, unless people have rules there.
    ///
    /// What other back ends have of ours goes after that, once: with both standing, nothing is open that shall be shut,
    /// and nothing shut that shall be open.
    ///
    /// # Errors
    /// As [`Firewall::change`].
    pub fn restore(&mut self, resources: &[&Resource]) -> Result<()> {
        self.rules.restore(resources)?;
        if !self.alone {
            match self.clear_others().doing(|| "removing the rules of another back end of the firewall") {
                Ok(()) => self.alone = true,
                Err(error) => tracing::warn!(%error, "rules of before are left; trying again when rules are made anew"),
            }
        }
        Ok(())
    }

    /// Whether our rules stand.
    ///
    /// # Errors
    /// `Conflict` if somebody else's have our names.
    pub fn exists(&mut self) -> Result<bool> {
        self.rules.exists()
    }

    /// What of these resources is not in the kernel as it should be; [`Firewall::restore`] mends it.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn verify(&mut self, resources: &[&Resource]) -> Result<Vec<Drift>> {
        match &mut self.rules {
            Rules::NfTables(rules) => rules.verify(resources),
            Rules::IpTables(rules) => rules.verify(resources),
        }
    }

    /// What our rules let through or shut beyond these resources, as text.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn extra(&mut self, resources: &[&Resource]) -> Result<Vec<String>> {
        match &mut self.rules {
            Rules::NfTables(rules) => rules.extra(resources),
            Rules::IpTables(rules) => rules.extra(resources),
        }
    }

    /// Removes our rules from the back ends that are not at work.
    fn clear_others(&self) -> Result<()> {
        let at_work = match &self.rules {
            Rules::NfTables(_) => None,
            Rules::IpTables(rules) => Some(rules.variant()),
        };
        if at_work.is_some() {
            clear(Rules::NfTables(nftables::Firewall::open(self.instance)?), "nftables")?;
        }
        for variant in Variant::ALL.into_iter().filter(|it| Some(*it) != at_work) {
            if !iptables::may_stand(variant)? {
                continue;
            }
            match iptables::Firewall::open(self.instance, Some(variant)) {
                Ok(rules) => clear(Rules::IpTables(rules), variant.name())?,
                // Whoever has rules there brought programs of his own; we had none to make any.
                Err(error) => tracing::debug!(%error, "{}: nothing there is taken for ours", variant.name()),
            }
        }
        Ok(())
    }
}

impl Rules {
    fn change(&mut self, removed: &[&Resource], changed: &[(&Resource, &Resource)], added: &[&Resource]) -> Result<()> {
        match self {
            Self::NfTables(rules) => rules.change(removed, changed, added),
            Self::IpTables(rules) => rules.change(removed, changed, added),
        }
    }

    fn restore(&mut self, resources: &[&Resource]) -> Result<()> {
        match self {
            Self::NfTables(rules) => rules.restore(resources),
            Self::IpTables(rules) => rules.restore(resources),
        }
    }

    fn exists(&mut self) -> Result<bool> {
        match self {
            Self::NfTables(rules) => rules.exists(),
            Self::IpTables(rules) => rules.exists(),
        }
    }
}

/// Removes all that is ours there. Somebody else's is left alone, and what the kernel lacks holds nothing.
fn clear(mut rules: Rules, name: &str) -> Result<()> {
    match rules.exists() {
        Ok(false) => Ok(()),
        Ok(true) => {
            rules.restore(&[])?;
            match rules.exists()? {
                true => tracing::warn!("{name}: people's own rules in the chain that is theirs are kept, and work on"),
                false => tracing::info!("{name}: our rules of before are removed"),
            }
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unsupported) => {
            tracing::debug!(%error, "{name}: nothing there is ours");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// These resources as a script for `nft -f`: what networks share first, if [`Resource::FirewallBase`] is among them,
/// then one line an element, in the order of the resources.
///
/// The text leaves out the mark by which we know our table, so a table made from it by hand is not taken for ours.
pub fn render(resources: &[&Resource]) -> String {
    nftables::render(resources)
}

/// These resources as the commands that a person would type for a back end to get the same.
pub fn commands(backend: Backend, resources: &[&Resource]) -> String {
    match backend {
        Backend::NfTables => format!("nft -f - <<'END'\n{}\nEND\n", nftables::render(resources).trim_end()),
        Backend::IpTables(_) => iptables::commands(resources),
    }
}
