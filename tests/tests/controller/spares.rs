//! Sandboxes made ahead: taken by whoever fits, in nobody's way, and gone after a crash.

use trestle_core::controller::request::{EndpointRequest, NetnsRequest, SandboxRequest};
use trestle_core::controller::{Controller, Spares};
use trestle_core::fake::Blow;
use trestle_core::sandbox::Sandbox;

use crate::crash::take_everything_away;
use crate::host::{Host, attached_twice, dual_stack, furnished, on};

const TWO: Spares = Spares { per_network: 2, in_all: 3 };

/// A host on which sandboxes are made ahead, and some are.
async fn stocked() -> (Host, Controller) {
    let mut host = Host::new();
    host.spares = TWO;
    let controller = furnished(&mut host).await;
    create(&controller, "first", on("front", &[])).await;
    controller.refill().await.unwrap();
    assert_eq!(spares(&host), 2);
    (host, controller)
}

async fn create(controller: &Controller, name: &str, endpoint: EndpointRequest) -> Sandbox {
    let request = SandboxRequest {
        name: Some(name.try_into().unwrap()),
        endpoints: vec![endpoint],
        ..SandboxRequest::new(NetnsRequest::Make)
    };
    controller.create_sandbox(request).await.unwrap()
}

fn spares(host: &Host) -> usize {
    host.everything().records.iter().filter(|it| it.contains("Spare")).count()
}

#[tokio::test]
async fn who_fits_takes_one_and_only_what_is_his_own_is_made() {
    let (host, controller) = stocked().await;
    let listed = controller.sandboxes().len();
    host.fate.relent();
    let taker = create(&controller, "taker", on("front", &["8080:80"])).await;
    let told = host.fate.told();
    assert!(!told.iter().any(|step| step.starts_with("make Netns") || step.starts_with("make Link")), "{told:#?}");
    assert_eq!(spares(&host), 1);
    assert_eq!(controller.sandboxes().len(), listed + 1, "spares are in no list");
    assert_eq!(controller.endpoints_in(taker.id).len(), 1);
    assert_eq!(controller.verify().await.unwrap(), []);
    take_everything_away(&host, &controller, "a taker").await;
}

#[tokio::test]
async fn who_wants_something_else_takes_none() {
    let (host, controller) = stocked().await;
    let mac = Some("02:00:00:00:00:09".parse().unwrap());
    create(&controller, "mac", EndpointRequest { mac, ..on("front", &[]) }).await;
    let interface = Some("lan".try_into().unwrap());
    create(&controller, "named", EndpointRequest { interface, ..on("front", &[]) }).await;
    assert_eq!(spares(&host), 2);
}

#[tokio::test]
async fn there_are_never_more_than_allowed() {
    let (host, controller) = stocked().await;
    controller.create_network(dual_stack("back")).await.unwrap();
    create(&controller, "second", on("back", &[])).await;
    controller.refill().await.unwrap();
    assert_eq!(spares(&host), TWO.in_all);
}

#[tokio::test]
async fn a_spare_keeps_no_network_from_going() {
    let (host, controller) = stocked().await;
    controller.delete_sandbox("first").await.unwrap();
    controller.settle().await;
    controller.delete_network("front").await.unwrap();
    assert_eq!(spares(&host), 0);
    controller.refill().await.unwrap();
    take_everything_away(&host, &controller, "no spare").await;
}

#[tokio::test]
async fn the_next_process_removes_what_was_made_ahead() {
    let (mut host, _) = stocked().await;
    let next = host.boot().await.unwrap();
    assert_eq!(spares(&host), 0);
    assert_eq!(next.verify().await.unwrap(), []);
    take_everything_away(&host, &next, "the next process").await;
}

/// Strikes each step of taking a spare, and of making one.
#[tokio::test]
async fn nothing_is_left_of_a_spare_whatever_fails_or_dies() {
    for blow in [Blow::FailBefore, Blow::FailAfter, Blow::DieBefore, Blow::DieAfter] {
        for taking in [true, false] {
            let mut step = 0;
            loop {
                let (mut host, mut controller) = stocked().await;
                if !taking {
                    create(&controller, "last", on("front", &[])).await;
                }
                host.fate.strike(step, blow);
                let outcome = match taking {
                    true => controller.create_sandbox(attached_twice()).await.map(drop),
                    false => controller.refill().await,
                };
                let struck = host.fate.steps() > step;
                let dead = host.fate.is_dead();
                let place = format!("{blow:?} at step {step} of {:#?}\n{outcome:?}", host.fate.told());
                host.fate.relent();
                if dead {
                    controller = host.boot().await.unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                controller.settle().await;
                let twice = controller.sandbox("twice").map(|sandbox| controller.endpoints_in(sandbox.id).len());
                assert!(twice.as_ref().map_or(true, |count| *count == 2), "made by half: {twice:?}: {place}");
                assert_eq!(controller.verify().await.unwrap(), [], "{place}");
                take_everything_away(&host, &controller, &place).await;
                if !struck {
                    assert!(step > 1, "the act took no steps");
                    break;
                }
                step += 1;
            }
        }
    }
}
