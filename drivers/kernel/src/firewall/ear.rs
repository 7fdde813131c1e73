//! The ear of a watch: the socket that hears of every change of nf_tables.
//!
//! For each element of a change the kernel writes a message to whoever listens, even to one whose filter wants none of
//! it, and that costs more than the change. So while we make a large one, our ear is covered. Whether somebody else
//! changed something meanwhile is seen by the number of the generation; if so, the watch is told to look, by the way
//! it hears of everything.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use netlink_sys::{Socket as Netlink, SocketAddr};

use super::nftables::TABLE;
use super::nftables::message::{nftables, write};
use super::uapi::*;

/// Covers the ear of the watch that was made last, if one was made.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Mutex<Option<Arc<Netlink>>>>);

/// An ear that hears nothing until [`Covered::uncover`].
pub(super) struct Covered(Arc<Netlink>);

impl Ear {
    /// It is this one from now on.
    pub(super) fn is(&self, netlink: &Arc<Netlink>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(netlink));
    }

    /// Nothing is heard from now on. An ear that can't be covered hears what it need not.
    pub(super) fn cover(&self) -> Option<Covered> {
        let netlink = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        match netlink.drop_membership(NFNLGRP_NFTABLES) {
            Ok(()) => Some(Covered(netlink)),
            Err(error) => {
                tracing::debug!(%error, "changes of nf_tables are heard while we make them");
                None
            }
        }
    }
}

impl Covered {
    /// Everything is heard again. What happened until now can be asked for after that.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing is heard any more.
    pub(super) fn uncover(&self) -> io::Result<()> {
        self.0.add_membership(NFNLGRP_NFTABLES)
    }

    /// Says to the watch that our table was changed, nobody knows by whom.
    pub(super) fn tell(&self) -> io::Result<()> {
        let mut address = SocketAddr::new(0, 0);
        self.0.get_address(&mut address)?;
        let mut bytes = Vec::new();
        write(&mut bytes, nftables(NFT_MSG_NEWTABLE), 0, NFPROTO_INET, 0, |it| it.text(NFTA_TABLE_NAME, TABLE));
        write(&mut bytes, nftables(NFT_MSG_NEWGEN), 0, NFPROTO_UNSPEC, 0, |_| {});
        self.0.send_to(&bytes, &address, 0).map(drop)
    }
}
