//! What Trestle promises, shown from outside: a test's name is the promise.
//!
//! A scenario that makes sense on every front is played on each: through the library, through the library with iptables
//! as the firewall's back end, and through the daemon and its command line.

#![allow(clippy::unwrap_used, reason = "a scenario is a test, and tests unwrap")]

use std::sync::Arc;

use trestle_kernel::firewall::Backend;
use trestle_tests::daemon::Daemon;
use trestle_tests::front::{Front, Setup};
use trestle_tests::host::Host;
use trestle_tests::landscape::{Landscape, Start};
use trestle_tests::library::Library;
use trestle_tests::privileges;

/// Makes each scenario a test for every front.
macro_rules! on_every_front {
    ($($scenario:ident),+ $(,)?) => {
        mod library {
            $(#[test] fn $scenario() { crate::play(crate::library, super::$scenario) })+
        }
        mod iptables {
            $(#[test] fn $scenario() { crate::play(crate::library_on_iptables, super::$scenario) })+
        }
        mod daemon {
            $(#[test] fn $scenario() { crate::play(crate::daemon, super::$scenario) })+
        }
    };
}

mod addresses;
mod asked_wrongly;
mod back_ends;
mod command_line;
mod conflicts;
mod crash;
mod gateway_modes;
mod gateways;
mod given;
mod import_rule;
mod instances;
mod isolation;
mod labels;
mod links;
mod loopback;
mod nothing_left;
mod odd_hosts;
mod publish;
mod published;
mod repair;
mod same_network;
mod sandboxes;
mod spares;

fn play(start: Start, scenario: fn(&Landscape)) {
    privileges::obtain(|| scenario(&Landscape::new(start)));
}

fn library(host: &Arc<Host>) -> Arc<dyn Front> {
    Arc::new(Library::start(host))
}

/// With the kind of iptables that the machine has.
fn library_on_iptables(host: &Arc<Host>) -> Arc<dyn Front> {
    Arc::new(Library::start_as(host, Setup { firewall: Backend::IpTables(None), ..Setup::default() }))
}

fn daemon(host: &Arc<Host>) -> Arc<dyn Front> {
    Arc::new(Daemon::start(host))
}
