//! Hosts to test the firewall in: network namespaces of their own, gone when the test is.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses a part of it")]

pub mod resources;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use trestle_core::resource::Resource;
use trestle_kernel::mark::Instance;

/// A network namespace with its loopback up and the bridge's call-iptables settings off.
pub struct Host(File);

impl Host {
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            // SAFETY: the thread is fresh and ends after this closure; nothing else shares its namespaces.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            run("ip", &["link", "set", "lo", "up"]);
            for key in ["iptables", "ip6tables"] {
                write_sysctl(&format!("net/bridge/bridge-nf-call-{key}"), "0");
            }
            // Whoever forwards asks neighbours by his link-local address, which is to be of use at once.
            write_sysctl("net/ipv6/conf/default/accept_dad", "0");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self(made.join().unwrap())
    }

    /// Runs this on a thread in the namespace.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            match inside.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A path by which other programs find the namespace.
    pub fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Runs `ip` in the namespace, its words split at blanks.
    pub fn ip(&self, words: &str) {
        self.run(|| run("ip", &words.split_whitespace().collect::<Vec<_>>()));
    }
}

/// Waits until this thread's namespace can be asked for the Ethernet addresses of all its IPv6 addresses: the kernel
/// listens for such questions (RFC 4861, section 7.2) when a work queue gets to it.
pub fn listens() {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    let addresses = read("if_inet6");
    let words = addresses.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let wanted: Vec<(&str, String)> = words
        .map(|words| (words[words.len() - 1], format!("ff0200000000000000000001ff{}", &words[0][26..])))
        .filter(|(link, _)| *link != "lo")
        .collect();
    let listens = |groups: &str, link: &str, group: &str| {
        groups.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&link) && words.get(2) == Some(&group)
        })
    };
    while !wanted.iter().all(|(link, group)| listens(&read("igmp6"), link, group)) {
        thread::yield_now();
    }
}

/// Sets a setting of the namespace of this thread; one that this kernel lacks is already off.
pub fn write_sysctl(key: &str, value: &str) {
    match std::fs::write(format!("/proc/sys/{key}"), value) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        result => result.unwrap(),
    }
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs nft with this text as its input.
pub fn nft_output(arguments: &[&str], text: &str) -> Output {
    let mut child = Command::new("nft")
        .args(arguments)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn nft(text: &str) {
    let output = nft_output(&[], text);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Our table as `nft list` shows it, without its counters' values, and without the mark, which only our table has.
pub fn listing() -> String {
    let mut listed = Vec::new();
    for line in run("nft", &["list", "table", "inet", "trestle"]).lines() {
        if line.contains(&instance().comment()) {
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let mut kept = Vec::new();
        let mut at = 0;
        while at < words.len() {
            kept.push(words[at]);
            let counts = words[at].trim() == "counter" && words.get(at + 1) == Some(&"packets");
            at += if counts { 5 } else { 1 };
        }
        listed.push(kept.join(" "));
    }
    sorted_elements(&listed.join("\n"))
}

/// The same listing with the elements of each set in one order: a hash has none.
fn sorted_elements(listing: &str) -> String {
    let mut told = String::new();
    let mut rest = listing;
    while let Some(start) = rest.find("elements = {") {
        let end = start + rest[start..].find('}').unwrap();
        let mut elements: Vec<String> =
            rest[start + 12..end].split(',').map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        elements.sort();
        told.push_str(&rest[..start]);
        told.push_str(&format!("elements = {{\n\t\t\t{}\n\t\t}}", elements.join("\n\t\t\t")));
        rest = &rest[end + 1..];
    }
    told + rest
}

pub fn instance() -> Instance {
    Instance::new(0xab)
}

pub fn all(resources: &[Resource]) -> Vec<&Resource> {
    resources.iter().collect()
}
