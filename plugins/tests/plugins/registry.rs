//! Plugins are found, shaken hands with, lost and found again; and none of them holds anybody up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use trestle_core::ErrorKind;
use trestle_core::driver::Ports;
use trestle_core::network::Scope;
use trestle_plugins::registry::Phase;

use crate::landscape::Landscape;
use crate::scripted::Reaction;

#[tokio::test]
async fn a_driver_is_found_when_it_is_asked_for() {
    let host = Landscape::new();
    let plugin = host.plugin("weave", |_| None);
    let driver = host.plugins.driver("weave").await.unwrap();
    assert_eq!(plugin.methods(), ["Plugin.Activate", "NetworkDriver.GetCapabilities", "IpamDriver.GetCapabilities"]);
    let capability = driver.capability();
    assert_eq!((capability.scope, capability.ports, capability.external), (Scope::Local, Ports::ViaBridge, true));
    host.plugins.ipam("weave").await.unwrap();
    assert_eq!(plugin.methods().len(), 3, "one handshake is enough");
}

#[tokio::test]
async fn a_plugin_tells_what_it_can_do() {
    let host = Landscape::new();
    let _plugin = host.plugin("weave", |heard| match heard.method.as_str() {
        "NetworkDriver.GetCapabilities" => Some(json!({"Scope": "global", "ConnectivityScope": "local",
            "GwAllocChecker": true, "PortMapping": true})),
        "IpamDriver.GetCapabilities" => Some(json!({"RequiresMACAddress": true, "RequiresRequestReplay": true})),
        _ => None,
    });
    let capability = host.plugins.driver("weave").await.unwrap().capability();
    assert_eq!((capability.scope, capability.ports), (Scope::Global, Ports::Maps));
    assert!(host.plugins.ipam("weave").await.unwrap().needs_replay());
    let seen = serde_json::to_value(host.plugins.inspect("weave").await.unwrap()).unwrap();
    assert_eq!(seen["phase"], "active");
    assert_eq!(seen["verified"], true);
    assert_eq!(seen["network"]["connectivity"], "local");
    assert_eq!(seen["ipam"]["RequiresMACAddress"], true);
    assert_eq!(seen["owes"], json!([]));
}

#[tokio::test]
async fn an_unknown_driver_is_refused_with_those_that_are_known() {
    let host = Landscape::new();
    let error = host.plugins.driver("waeve").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("known are: none"), "{error}");
    let _plugin = host.plugin("weave", |_| None);
    std::fs::write(host.path("etc/calico.spec"), "tcp://localhost:1").unwrap();
    for name in ["waeve", "../run/weave", "", "\x1b[2J"] {
        let error = host.plugins.driver(name).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().ends_with("plugins that are known are: calico, weave"), "{error}");
        assert!(host.plugins.ipam(name).await.is_err());
        assert!(host.plugins.inspect(name).await.is_err());
    }
}

#[tokio::test]
async fn a_plugin_of_another_kind_says_what_it_is() {
    let host = Landscape::new();
    let _plugin = host
        .plugin("disk", |heard| (heard.method == "Plugin.Activate").then(|| json!({"Implements": ["VolumeDriver"]})));
    let error = host.plugins.driver("disk").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("does not implement the requested driver"), "{error}");
    assert!(error.to_string().contains("VolumeDriver"), "{error}");
    assert!(host.plugins.ipam("disk").await.is_err());
}

#[tokio::test]
async fn an_address_manager_that_can_t_tell_its_needs_has_none() {
    let host = Landscape::new();
    let _plugin = host.reacting("ipam", |_, heard| match heard.method.as_str() {
        "IpamDriver.GetCapabilities" => Reaction::Raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
        "NetworkDriver.GetCapabilities" => Reaction::Say(json!({"Scope": "galactic"}).to_string()),
        _ => Reaction::Say("{}".into()),
    });
    assert!(!host.plugins.ipam("ipam").await.unwrap().needs_replay());
    let error = host.plugins.driver("ipam").await.err().unwrap();
    assert!(error.to_string().contains("Scope is \"galactic\", and local or global is expected"), "{error}");
}

#[tokio::test]
async fn a_plugin_that_hangs_delays_nobody_longer_than_patience() {
    let host = Landscape::with(Duration::from_secs(3600), Duration::from_millis(20));
    let _plugin = host.reacting("stuck", |_, _| Reaction::Hang);
    host.plugins.refresh().await;
    let error = host.plugins.driver("stuck").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().ends_with("plugin stuck: the plugin gave no answer within 20ms"), "{error}");
    assert_eq!(host.plugins.list().await[0].phase, Phase::Activating);
}

#[tokio::test]
async fn a_plugin_that_is_dead_is_told_with_what_is_wrong() {
    let host = Landscape::new();
    drop(std::os::unix::net::UnixListener::bind(host.path("run/dead.sock")).unwrap());
    std::fs::write(host.path("etc/wrong.spec"), "nowhere").unwrap();
    host.plugins.refresh().await;
    for (name, told) in [("dead", "dead.sock"), ("wrong", "Unknown protocol")] {
        let error = host.plugins.driver(name).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(told) && error.to_string().contains(name), "{error}");
    }
    let phases: Vec<_> = host.plugins.list().await.into_iter().map(|it| (it.name, it.phase)).collect();
    assert_eq!(phases, ["dead", "wrong"].map(|name| (name.to_owned(), Phase::Failed)));
}

#[tokio::test]
async fn many_who_ask_at_once_cause_one_handshake() {
    let host = Landscape::new();
    let signal = Arc::new(Notify::new());
    let answer = json!({"Implements": ["NetworkDriver"]}).to_string();
    let waits = Arc::clone(&signal);
    let plugin = host.reacting("weave", move |_, heard| match heard.method.as_str() {
        "Plugin.Activate" => Reaction::After(Arc::clone(&waits), answer.clone()),
        _ => Reaction::Say("{}".into()),
    });
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let plugins = host.plugins.clone();
            tokio::spawn(async move { plugins.driver("weave").await.map(drop) })
        })
        .collect();
    signal.notify_one();
    for asker in asked {
        asker.await.unwrap().unwrap();
    }
    assert_eq!(plugin.methods().iter().filter(|method| *method == "Plugin.Activate").count(), 1);
}

#[tokio::test]
async fn a_handshake_that_failed_is_begun_again_when_the_plugin_is_asked_for() {
    let host = Landscape::new();
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let _plugin = host.reacting("weave", move |_, _| match switch.load(Ordering::SeqCst) {
        true => Reaction::Say("{}".into()),
        false => Reaction::Say("not yet".into()),
    });
    assert!(host.plugins.driver("weave").await.is_err());
    works.store(true, Ordering::SeqCst);
    host.plugins.driver("weave").await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_failed_is_begun_again_on_refresh() {
    let host = Landscape::new();
    let greeted = Arc::new(Notify::new());
    let notify = Arc::clone(&greeted);
    let plugin = host.reacting("weave", move |_, _| {
        notify.notify_one();
        Reaction::Say("not yet".into())
    });
    assert!(host.plugins.driver("weave").await.is_err());
    let before = plugin.heard().len();
    host.plugins.refresh().await;
    while plugin.heard().len() == before {
        greeted.notified().await;
    }
}

#[tokio::test]
async fn plugins_that_come_and_go_are_noticed() {
    let host = Landscape::new();
    let watching = tokio::spawn({
        let plugins = host.plugins.clone();
        async move { plugins.run().await }
    });
    let greeted = Arc::new(Notify::new());
    let comes = |file: &str| {
        let greeted = Arc::clone(&greeted);
        crate::scripted::Scripted::at(&host.path(file), move |_, _| {
            greeted.notify_one();
            Reaction::Say(json!({"Implements": []}).to_string())
        })
    };
    let first = comes("run/weave.sock");
    greeted.notified().await;
    std::fs::create_dir(host.path("run/nested")).unwrap();
    let _nested = comes("run/nested/nested.sock");
    greeted.notified().await;
    drop(first);
    std::fs::remove_file(host.path("run/weave.sock")).unwrap();
    let _again = comes("run/weave.sock");
    greeted.notified().await;
    watching.abort();
}

#[tokio::test]
async fn a_plugin_whose_file_is_gone_is_asked_no_more() {
    let host = Landscape::new();
    let _plugin = host.plugin("weave", |_| None);
    host.plugins.driver("weave").await.unwrap();
    std::fs::remove_file(host.path("run/weave.sock")).unwrap();
    host.plugins.refresh().await;
    let error = host.plugins.driver("weave").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let [gone] = &host.plugins.list().await[..] else { panic!("it is still known") };
    assert_eq!(gone.phase, Phase::Missing);
}

#[tokio::test]
async fn a_driver_of_a_network_that_is_there_needs_no_plugin_yet() {
    let host = Landscape::new();
    let driver = host.plugins.driver_of_network("weave").unwrap();
    assert!(driver.capability().external);
    let network = crate::subjects::network();
    let error = driver.delete_network(&network).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("plugin weave"), "{error}");
    let plugin = host.plugin("weave", |_| None);
    driver.delete_network(&network).await.unwrap();
    assert_eq!(plugin.methods().last().unwrap(), "NetworkDriver.DeleteNetwork");
}
