//! Plans as text: what an operator reads in `drivers/golden`, what `nft` accepts, and what the kernel shows afterwards.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use trestle_core::Plan;
use trestle_core::resource::Resource;
use trestle_kernel::firewall::{self, Firewall};
use trestle_kernel::mark::Instance;
use trestle_kernel::script;
use trestle_tests::golden_cases::{GoldenCase, cases, cross_product};
use trestle_tests::host::Host;

fn base() -> Plan {
    Plan::from(vec![Resource::FirewallBase])
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/golden")
}

/// Every golden file with what it should say. The rules that all networks share have a file of their own.
fn golden_files() -> Vec<(PathBuf, String)> {
    let shared = "# The rules that every bridge network needs; the other files leave them out.\n";
    let mut files = vec![(folder().join("bridge/firewall-base.txt"), format!("{shared}{}", script::render(&base())))];
    for GoldenCase { driver, name, plan } in cases() {
        let text = match plan.is_empty() {
            true => "# Nothing in the kernel.\n".to_owned(),
            false => script::render(&plan.without([&base()])),
        };
        files.push((folder().join(driver).join(format!("{name}.txt")), text));
    }
    files
}

#[test]
fn plans_read_as_their_golden_files_say() {
    let renew = env::var_os("TRESTLE_RENEW").is_some_and(|renew| renew == "1");
    for (path, text) in golden_files() {
        if renew {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{} is renewed by TRESTLE_RENEW=1", path.display());
    }
}

#[test]
fn every_golden_file_belongs_to_a_case() {
    let known: BTreeSet<PathBuf> = golden_files().into_iter().map(|(path, _)| path).collect();
    for driver in fs::read_dir(folder()).unwrap() {
        for file in fs::read_dir(driver.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert!(known.contains(&path), "{} is left over", path.display());
        }
    }
}

/// What `nft list` shows of our table: without counts and the mark, which only our own table bears, each set's elements in one order.
fn listing(host: &Host) -> String {
    let listed = host.namespace().output("nft", &["-s", "list", "table", "inet", "trestle"]);
    let lines = listed.lines().filter(|line| !line.starts_with("\tcomment \"trestle "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut parts = text.split("elements = {");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (elements, rest) = part.split_once('}').unwrap();
        let elements: BTreeSet<&str> = elements.split(',').map(str::trim).collect();
        told.push_str(&format!("elements = {elements:?}{rest}"));
    }
    told
}

#[test]
fn nft_and_the_kernel_take_every_mix_of_gateway_modes_and_what_they_are_mixed_with() {
    let (encoded, typed) = (Host::new("encoded"), Host::new("typed"));
    let mixes = cross_product();
    assert!(mixes.len() > 140, "only {} mixes", mixes.len());
    // One namespace can't have them all: they are of one bridge.
    for (name, plan) in mixes {
        let resources: Vec<&Resource> = plan.resources().iter().collect();
        let script = typed.folder().join("rules.nft");
        fs::write(&script, firewall::render(&resources)).unwrap();
        typed.namespace().output("nft", &["-c", "-f", script.to_str().unwrap()]);
        encoded.run(|| {
            let mut firewall = Firewall::open(Instance::new(7)).unwrap();
            firewall.restore(&resources).unwrap();
            assert_eq!(firewall.verify(&resources).unwrap(), [], "{name}");
            assert_eq!(firewall.extra(&resources).unwrap(), Vec::<String>::new(), "{name}");
        });
    }
}

#[test]
fn nft_reads_the_text_as_the_kernel_read_our_messages() {
    let (encoded, typed) = (Host::new("encoded"), Host::new("typed"));
    for GoldenCase { driver, name, plan } in cases() {
        let resources: Vec<&Resource> = plan.resources().iter().collect();
        let text = firewall::render(&resources);
        if text.is_empty() {
            continue;
        }
        encoded.run(|| {
            let mut firewall = Firewall::open(Instance::new(7)).unwrap();
            firewall.restore(&resources).unwrap();
        });
        for check in [true, false] {
            let script = typed.folder().join("rules.nft");
            fs::write(&script, &text).unwrap();
            let mut words = vec!["-f", script.to_str().unwrap()];
            words.extend(check.then_some("-c"));
            typed.namespace().output("nft", &words);
        }
        assert_eq!(listing(&encoded), listing(&typed), "{driver}/{name}");
        typed.namespace().output("nft", &["delete", "table", "inet", "trestle"]);
    }
}
