//! The back end nf_tables: over netlink, in this process.
//!
//! One table, `inet trestle`, whose chains and rules never change while we run. Networks and published ports are
//! elements of its sets and maps: adding one costs the same with none and with 50,000 there, and a packet finds its
//! port in a few look-ups. Every change is one transaction: the kernel does it whole or not at all. It takes Linux 5.10
//! or newer: 5.6 has the interval maps, 5.7 tells in postrouting where a packet came from, 5.10 keeps our mark.
//!
//! | to find | look in |
//! |---|---|
//! | what is decided: the rules, the sets, what a resource comes to | `ruleset`, `statement`, `set`, `element`, `change` |
//! | the redirect of questions for names, in a sandbox | `redirect` |
//! | how a person would type it | `text` |
//! | how the kernel is told | `attribute`, `message`, `expression`, `transaction`, `socket`, `uapi` |
//! | what the kernel answers | `dump`, `refusal`, `verification` |

pub(super) mod attribute;
mod change;
pub(super) mod dump;
mod element;
mod expression;
pub(super) mod message;
mod redirect;
pub(super) mod refusal;
mod ruleset;
mod set;
pub(super) mod socket;
mod statement;
mod text;
mod transaction;
mod verification;

use trestle_core::error::{Doing, Error, Result};
use trestle_core::failpoint;
use trestle_core::resource::Resource;

use self::change::Change;
use self::dump::Standing;
use self::element::{Element, elements};
use self::message::{Batch, Subject};
pub(crate) use self::redirect::{Door, Redirects};
use self::refusal::{Refusal, sentence};
use self::ruleset::CHAINS;
pub(super) use self::ruleset::TABLE;
use self::set::Set;
use self::socket::{ATTEMPTS, Outcome, Socket};
use self::statement::Chain;
pub(super) use self::text::render;
use self::verification::{is_chain, is_set};
use super::ear::{Covered, Ear};
use super::uapi;
use crate::mark::Instance;

/// The table of one network namespace. Its calls block for as long as the kernel works, microseconds as a rule.
pub(super) struct Firewall {
    instance: Instance,
    socket: Socket,
    ear: Ear,
    known: Option<Known>,
}

/// What we know of the kernel's rules, for as long as nobody else changes any.
#[derive(Clone, Copy)]
struct Known {
    generation: u32,
    standing: bool,
    /// Chains, rules and sets were seen, or made, as they should be.
    whole: bool,
}

impl Firewall {
    /// Opens it in the network namespace of this thread. Changes nothing.
    ///
    /// # Errors
    /// `Unsupported` if this kernel has no netfilter.
    pub(super) fn open(instance: Instance) -> Result<Self> {
        Ok(Self { instance, socket: Socket::open()?, ear: Ear::default(), known: None })
    }

    /// The socket by which it speaks to netfilter.
    pub(super) fn netfilter(&self) -> &Socket {
        &self.socket
    }

    /// What a watch over its table hears by.
    pub(super) fn ear(&self) -> Ear {
        self.ear.clone()
    }

    /// The same, to ask something.
    pub(super) fn netfilter_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Takes out, changes and puts in, in one transaction. What is not the firewall's is passed over; where nothing is
    /// to be done the kernel is not called. Removing what is gone and adding what is there succeed. The table is made
    /// when something is added and it is missing; it goes when [`Resource::FirewallBase`] is removed, unless people have
    /// rules in the admin chain.
    ///
    /// # Errors
    /// `Conflict` if another table has our name, or another entry stands where one is added; `Unsupported` for what
    /// this kernel lacks. Nothing is changed then.
    pub(in crate::firewall) fn change(
        &mut self,
        removed: &[&Resource],
        changed: &[(&Resource, &Resource)],
        added: &[&Resource],
    ) -> Result<()> {
        let change = Change::between(removed, changed, added);
        match change.is_empty() {
            true => Ok(()),
            false => self.carry_out(change).doing(|| "changing the firewall"),
        }
    }

    /// Makes the whole table anew with what these resources come to, in one transaction: established connections do
    /// not notice. The admin chain keeps what people wrote. Without any resource of the firewall the table goes,
    /// unless people have rules in the admin chain.
    ///
    /// # Errors
    /// As [`Firewall::change`].
    pub(in crate::firewall) fn restore(&mut self, resources: &[&Resource]) -> Result<()> {
        let wanted = resources.iter().any(|it| it.is_firewall());
        let mut all: Vec<Element> = resources.iter().flat_map(|it| elements(it)).collect();
        all.sort();
        all.dedup();
        self.make_anew(wanted, &all).doing(|| "restoring the firewall")
    }

    /// Whether our table stands.
    ///
    /// # Errors
    /// `Conflict` if another table has our name.
    pub(in crate::firewall) fn exists(&mut self) -> Result<bool> {
        self.known = None;
        Ok(self.look()?.standing)
    }

    fn carry_out(&mut self, mut change: Change) -> Result<()> {
        let (mut remake, mut pruned) = (false, false);
        for _ in 0..ATTEMPTS {
            let known = self.look()?;
            let mut batch = Batch::default();
            let mut standing = true;
            if change.no_base {
                standing = known.standing && self.take_down(&mut batch)?;
            } else {
                if change.needs_base() && (!known.standing || remake || (change.base && self.base_drifts(known)?)) {
                    transaction::make_base(&mut batch, self.instance);
                }
                if known.standing {
                    transaction::remove(&mut batch, &change.gone);
                }
                transaction::add(&mut batch, &change.come);
            }
            let refusals = match self.transact(&mut batch, known, standing)? {
                Outcome::Done => return Ok(()),
                Outcome::Stale => {
                    pruned = false;
                    continue;
                }
                Outcome::Refused(refusals) => refusals,
            };
            let missing =
                |what: fn(Subject) -> bool| refusals.iter().any(|it| it.errno == libc::ENOENT && what(it.subject));
            let unknown = !pruned && missing(|it| matches!(it, Subject::Removed(_)));
            let unmade = !remake && missing(|it| matches!(it, Subject::Added(_)));
            if !unknown && !unmade {
                return Err(first(&refusals));
            }
            if unknown {
                pruned = true;
                self.prune(&mut change.gone)?;
            }
            remake |= unmade;
        }
        Err(restless())
    }

    fn make_anew(&mut self, wanted: bool, all: &[Element]) -> Result<()> {
        let mut rebuild = false;
        for _ in 0..ATTEMPTS {
            let known = self.look()?;
            let mut batch = Batch::default();
            let mut standing = wanted;
            match wanted {
                true => {
                    if rebuild {
                        self.clear(&mut batch)?;
                    }
                    transaction::make_base(&mut batch, self.instance);
                    Set::ALL.into_iter().for_each(|it| transaction::empty_set(&mut batch, it));
                    transaction::add(&mut batch, all);
                }
                false if known.standing => standing = self.take_down(&mut batch)?,
                false => {}
            }
            match self.transact(&mut batch, known, standing)? {
                Outcome::Done => return Ok(()),
                Outcome::Stale => {}
                Outcome::Refused(refusals) => {
                    // A chain or set of our name that is made in another way can't be changed, only replaced.
                    let shape =
                        |it: &Refusal| matches!(it.subject, Subject::Chain(_) | Subject::Set(_) | Subject::Rule(_));
                    if rebuild || !known.standing || !refusals.iter().any(shape) {
                        return Err(first(&refusals));
                    }
                    rebuild = true;
                }
            }
        }
        Err(restless())
    }

    /// Takes the table away, unless people have rules in the admin chain: those are never ours to remove, so the table
    /// stays for their sake, without an element. Whether it stays.
    fn take_down(&mut self, batch: &mut Batch) -> Result<bool> {
        let keeps = dump::rules(&mut self.socket)?.iter().any(|(chain, _)| chain == Chain::Admin.name());
        match keeps {
            true => Set::ALL.into_iter().for_each(|set| transaction::empty_set(batch, set)),
            false => transaction::delete_table(batch),
        }
        Ok(keeps)
    }

    /// Empties what is ours, and deletes the chains and sets that are made in another way than ours. People's own
    /// rules may lead to the others; those stay.
    fn clear(&mut self, batch: &mut Batch) -> Result<()> {
        let (chains, sets) = (dump::chains(&mut self.socket)?, dump::sets(&mut self.socket)?);
        for layout in CHAINS.iter().filter(|it| it.chain != Chain::Admin && chains.contains_key(it.chain.name())) {
            transaction::flush_chain(batch, layout.chain.name());
        }
        for set in Set::ALL.into_iter().filter(|it| sets.contains_key(it.name())) {
            transaction::empty_set(batch, set);
        }
        for set in Set::ALL.into_iter().filter(|it| sets.get(it.name()).is_some_and(|there| !is_set(*it, there))) {
            transaction::delete_set(batch, set);
        }
        for layout in &CHAINS {
            if chains.get(layout.chain.name()).is_some_and(|there| !is_chain(layout, there)) {
                transaction::delete_chain(batch, layout.chain);
            }
        }
        Ok(())
    }

    /// Whether chains, rules or sets are not as they should be; looked up once as long as only we change anything.
    fn base_drifts(&mut self, known: Known) -> Result<bool> {
        if known.whole {
            return Ok(false);
        }
        let drifts = !self.base_deviations()?.is_empty();
        self.known = Some(Known { whole: !drifts, ..known });
        Ok(drifts)
    }

    /// Keeps only the elements that the kernel has.
    fn prune(&mut self, elements: &mut Vec<Element>) -> Result<()> {
        let mut kept = Vec::with_capacity(elements.len());
        for run in elements.chunk_by(|one, next| one.set == next.set) {
            if let Some(there) = dump::elements(&mut self.socket, run[0].set)? {
                kept.extend(run.iter().filter(|it| there.contains_key(&dump::key(it))).cloned());
            }
        }
        *elements = kept;
        Ok(())
    }

    /// Sends a transaction. After it the table stands or not, as told; the generation is the next one.
    fn transact(&mut self, batch: &mut Batch, known: Known, standing: bool) -> Result<Outcome> {
        if batch.is_empty() {
            return Ok(Outcome::Done);
        }
        let covered = batch.is_large().then(|| self.ear.cover()).flatten();
        let outcome = self.socket.transact(batch, known.generation);
        failpoint!("kernel.firewall-changed");
        self.known = match outcome {
            // The kernel leaves 0 out when it counts over.
            Ok(Outcome::Done) => {
                let whole = standing && known.standing && self.known.is_some_and(|it| it.whole);
                Some(Known { generation: known.generation.checked_add(1).unwrap_or(1), standing, whole })
            }
            Ok(Outcome::Refused(_)) => Some(known),
            Ok(Outcome::Stale) | Err(_) => None,
        };
        if let Some(covered) = covered {
            self.listen_again(&covered);
        }
        outcome
    }

    /// After a change that nobody was to hear of. What others did meanwhile was not heard either, so it is told.
    fn listen_again(&mut self, covered: &Covered) {
        if let Err(error) = covered.uncover() {
            tracing::error!(%error, "changes of nf_tables are not heard any more");
        }
        let now = dump::generation(&mut self.socket).ok();
        if now.is_some() && now == self.known.map(|known| known.generation) {
            return;
        }
        if let Err(error) = covered.tell() {
            tracing::error!(%error, "somebody may have changed nf_tables, and that is not told");
        }
    }

    /// What we know; asked of the kernel if something has changed since.
    fn look(&mut self) -> Result<Known> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        // The generation first: what changes after it makes the transaction stale.
        let generation = dump::generation(&mut self.socket)?;
        let standing = match dump::standing(&mut self.socket, self.instance)? {
            Standing::Absent => false,
            Standing::Ours { .. } => true,
            Standing::Strangers { comment } => return Err(Standing::conflict(comment.as_deref())),
        };
        Ok(*self.known.insert(Known { generation, standing, whole: false }))
    }
}

fn first(refusals: &[Refusal]) -> Error {
    refusals.first().map_or_else(|| Error::internal("the kernel refused, and does not say what"), sentence)
}

fn restless() -> Error {
    Error::unavailable("others change nf_tables faster than we can; see who by: nft monitor")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::thread::UnshareFlags;
    use trestle_core::kernel::Disturbance;

    use super::super::{Firewall as Any, Rules, watch};
    use super::*;

    #[test]
    fn what_others_do_during_a_large_change_is_told_after_it_and_our_own_is_not() {
        let inside = || {
            // SAFETY: the thread is fresh and ends after this; nothing else shares its namespace.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let mut firewall = Any::open(Instance::new(1)).unwrap();
            firewall.change(&[], &[], &[&Resource::FirewallBase]).unwrap();
            let mut watch = watch(&firewall).unwrap();
            let Rules::NfTables(ours) = &mut firewall.rules else { panic!("it is nf_tables") };
            ours.look().unwrap();
            for stranger_acts in [false, true] {
                let covered = ours.ear.cover().unwrap();
                if stranger_acts {
                    Any::open(Instance::new(1)).unwrap().restore(&[&Resource::FirewallBase]).unwrap();
                }
                assert_eq!(watch.news().unwrap(), None, "the ear is covered");
                ours.listen_again(&covered);
                let told = stranger_acts.then_some(Disturbance::Firewall { by: None });
                assert_eq!(watch.news().unwrap(), told);
            }
        };
        thread::spawn(inside).join().unwrap();
    }
}
