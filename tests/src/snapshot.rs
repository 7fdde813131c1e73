//! Everything in a namespace as lines of text, to compare before and after: "nothing is left" is shown by it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::host::Host;
use crate::namespace::Namespace;

/// What is in a namespace at one moment: links, addresses, routes, rules, firewall, listening sockets; of a host also
/// the files and mounts under its exec root. Numbers that differ from time to time (indexes, handles, counters,
/// lifetimes) are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Of a namespace.
    pub fn of(namespace: &Namespace) -> Self {
        let mut lines = BTreeSet::new();
        lines.extend(list(namespace, "-d link show").iter().map(link));
        for entry in list(namespace, "address show") {
            let name = text(&entry, "ifname");
            let addresses =
                entry["addr_info"].as_array().into_iter().flatten().filter(|it| !is_kernels_own(it, "local"));
            lines.extend(addresses.map(|it| format!("address {name}: {}", kept(it, &ADDRESS))));
        }
        for family in ["-4", "-6"] {
            let routes = list(namespace, &format!("{family} route show table all"));
            let by_and_by = |route: &Value| family == "-6" && text(route, "table") == "local" && is_kernels(route);
            let routes = routes.iter().filter(|route| !is_kernels_own(route, "dst") && !by_and_by(route));
            lines.extend(
                routes.map(|route| format!("route {family}: {}", without(route, &["expires", "used", "flags"]))),
            );
            let rules = list(namespace, &format!("{family} rule show"));
            lines.extend(rules.iter().map(|rule| format!("rule {family}: {rule}")));
        }
        lines.extend(firewall(namespace));
        lines.extend(iptables(namespace));
        lines.extend(namespace.run(sockets));
        Self(lines)
    }

    /// Of a host, with what lies under its exec root.
    pub fn of_host(host: &Host) -> Self {
        let mut snapshot = Self::of(host.namespace());
        let root = host.exec_root();
        snapshot.0.extend(host.run(|| files(&root)));
        snapshot.0.extend(host.run(|| mounts(&root)));
        snapshot
    }

    /// The same without the lines that hold any of these words: what the one who compares knows to differ.
    #[must_use]
    pub fn without(&self, words: &[&str]) -> Self {
        Self(self.0.iter().filter(|line| !words.iter().any(|word| line.contains(word))).cloned().collect())
    }

    /// The same with every name that is made of an id, and every Ethernet address, alike; lines that become the same are
    /// counted. So what was made twice looks the same.
    #[must_use]
    pub fn without_ids(&self) -> Self {
        let mut lines = BTreeSet::new();
        for line in self.0.iter().map(|line| alike(line)) {
            let again = (1..).map(|count| format!("{line} ({count})")).find(|line| !lines.contains(line));
            lines.extend(again);
        }
        Self(lines)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What is gone (`-`) and what is new (`+`) in a later one; empty when they are the same.
    pub fn difference(&self, later: &Self) -> String {
        let mut text = String::new();
        for line in self.0.difference(&later.0) {
            writeln!(text, "- {line}").expect("a string takes text");
        }
        for line in later.0.difference(&self.0) {
            writeln!(text, "+ {line}").expect("a string takes text");
        }
        text
    }

    /// # Panics
    /// With the difference, when a later one is not the same.
    #[track_caller]
    pub fn is_still(&self, later: &Self) {
        let difference = self.difference(later);
        assert!(difference.is_empty(), "this changed (- before, + now):\n{difference}");
    }
}

/// Ten hexadecimal digits and more in a row are an id's; six pairs with colons an Ethernet address.
fn alike(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let length = |is: fn(&char) -> bool| rest[start..].chars().take_while(is).count();
        let digits = length(char::is_ascii_hexdigit);
        let colons = length(|c| c.is_ascii_hexdigit() || *c == ':');
        let is_ethernet =
            colons == 17 && rest[start..start + colons].split(':').all(|pair| pair.len() == 2) && digits == 2;
        let (shown, taken) = match (digits, is_ethernet) {
            (10.., _) => ("ID", digits),
            (_, true) => ("MAC", colons),
            _ => (&rest[start..start + digits], digits),
        };
        text.push_str(&rest[..start]);
        text.push_str(shown);
        rest = &rest[start + taken..];
    }
    text + rest
}

/// Whether it is about IPv6 within a link alone: the kernel makes these as soon as it notices that a link has a
/// carrier, and takes them away with the link, which is in the snapshot.
fn is_kernels_own(value: &Value, field: &str) -> bool {
    let address = text(value, field);
    (address.starts_with("fe80::") || address.starts_with("ff00::/8") || address == "multicast") && is_kernels(value)
}

/// Whether the kernel made it. The local routes of IPv6 addresses come by and by after these, and go with them.
fn is_kernels(value: &Value) -> bool {
    matches!(text(value, "protocol"), "" | "kernel" | "kernel_ll")
}

/// The fields of a link that somebody decided.
const LINK: [&str; 6] = ["address", "mtu", "master", "group", "inet6_addr_gen_mode", "ifalias"];

/// The fields of an address that somebody decided.
const ADDRESS: [&str; 5] = ["family", "local", "prefixlen", "scope", "protocol"];

fn link(link: &Value) -> String {
    let mut flags: Vec<&str> = link["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // What the kernel notices by and by is no difference.
    flags.retain(|flag| !["LOWER_UP", "NO-CARRIER"].contains(flag));
    flags.sort_unstable();
    let info = &link["linkinfo"];
    // A bridge port's own Ethernet address is nobody's decision.
    let link_fields: &[&str] = if link.get("master").is_some() { &LINK[1..] } else { &LINK };
    let mut line = format!("link {}: {}", text(link, "ifname"), kept(link, link_fields));
    let bridge = kept(&info["info_data"], &["nf_call_iptables", "nf_call_ip6tables", "stp_state", "vlan_filtering"]);
    let port = kept(&info["info_slave_data"], &["hairpin", "isolated"]);
    write!(line, " {} {bridge} {port} {}", text(info, "info_kind"), flags.join(",")).expect("a string takes text");
    line
}

/// What `ip` answers, as a list.
fn list(namespace: &Namespace, question: &str) -> Vec<Value> {
    let answer = namespace.ip(&format!("-j {question}"));
    let lines = answer.lines().filter(|line| !line.trim().is_empty());
    let values = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("ip {question}: {error}")));
    let entries = values.flat_map(|value: Value| match value {
        Value::Array(entries) => entries,
        other => vec![other],
    });
    entries.filter(|entry| entry.as_object().is_some_and(|fields| !fields.is_empty())).collect()
}

/// Every object of the firewall; each element of a map or set is a line of its own.
fn firewall(namespace: &Namespace) -> Vec<String> {
    let answer = namespace.output("nft", &["--stateless", "--json", "list", "ruleset"]);
    let answer: Value = serde_json::from_str(&answer).expect("nft --json answers in JSON");
    let mut lines = Vec::new();
    for mut object in answer["nftables"].as_array().cloned().unwrap_or_default() {
        if object.get("metainfo").is_some() {
            continue;
        }
        forget(&mut object, &["handle", "packets", "bytes"]);
        let Some((kind, value)) = object.as_object_mut().and_then(|fields| fields.iter_mut().next()) else { continue };
        if is_iptables(kind, value) {
            continue;
        }
        let elements = value.as_object_mut().and_then(|fields| fields.remove("elem"));
        for element in elements.as_ref().and_then(Value::as_array).into_iter().flatten() {
            lines.push(format!("nft element of {} {}: {element}", text(value, "table"), text(value, "name")));
        }
        // Equal rules of one chain are told apart by their place.
        let mut line = format!("nft {kind}: {value}");
        while lines.contains(&line) {
            line.push_str(" again");
        }
        lines.push(line);
    }
    lines
}

/// Whether it lies in a table of iptables: its own program tells more of it, and its tables stay when they are empty.
fn is_iptables(kind: &str, value: &Value) -> bool {
    let table = text(value, if kind == "table" { "name" } else { "table" });
    matches!(text(value, "family"), "ip" | "ip6") && ["raw", "filter", "nat"].contains(&table)
}

/// Every rule and chain of iptables, but for the kernel's own chains as they are at first.
fn iptables(namespace: &Namespace) -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["iptables", "ip6tables"] {
        let mut table = String::new();
        for line in namespace.output(&format!("{family}-save"), &[]).lines() {
            let told = match line.split_at_checked(1) {
                Some(("*", name)) => {
                    table = name.to_owned();
                    continue;
                }
                Some((":", chain)) => chain.split(" [").next().map(|chain| format!("chain {chain}")),
                Some(("-", rule)) => Some(format!("rule -{rule}")),
                _ => None,
            };
            let Some(told) = told.filter(|it| !it.ends_with(" ACCEPT") || it.starts_with("rule")) else { continue };
            let mut line = format!("{family} {table} {told}");
            while lines.contains(&line) {
                line.push_str(" again");
            }
            lines.push(line);
        }
    }
    lines
}

/// Sockets that wait for somebody: `/proc/net` is the process's, so it is asked of the thread.
fn sockets() -> Vec<String> {
    const LISTENING: &str = "0A";
    const UNCONNECTED: &str = "07";
    let mut lines = Vec::new();
    for (table, state) in [("tcp", LISTENING), ("tcp6", LISTENING), ("udp", UNCONNECTED), ("udp6", UNCONNECTED)] {
        let entries = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        for fields in entries.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            let [_, local, _, found, ..] = fields[..] else { continue };
            let (address, port) = local.split_once(':').expect("an address and a port");
            let port = u16::from_str_radix(port, 16).expect("a port in hexadecimal");
            if found == state {
                lines.push(format!("socket {table} {address} port {port}"));
            }
        }
    }
    lines
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.map(|entry| entry.expect("a folder of ours can be read"));
    entries
        .flat_map(|entry| {
            let kind = entry.file_type().expect("a file of ours has a type");
            let line = format!("file {} {}", entry.path().display(), if kind.is_dir() { "(folder)" } else { "" });
            std::iter::once(line).chain(files(&entry.path()).into_iter().filter(move |_| kind.is_dir()))
        })
        .collect()
}

fn mounts(folder: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("a thread knows its mounts");
    let points = table.lines().filter_map(|line| line.split_whitespace().nth(4));
    points.filter(|point| Path::new(point).starts_with(folder)).map(|point| format!("mount {point}")).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// The object with these fields only.
fn kept(value: &Value, fields: &[&str]) -> String {
    let given = fields.iter().filter_map(|field| Some(format!("{field}={}", value.get(field)?)));
    given.collect::<Vec<_>>().join(" ")
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    forget(&mut value, fields);
    value
}

fn forget(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Object(object) => {
            object.retain(|field, _| !fields.contains(&field.as_str()));
            object.values_mut().for_each(|value| forget(value, fields));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, fields)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privileges;
    use std::net::TcpListener;

    #[test]
    fn whatever_comes_is_seen_and_when_it_goes_nothing_is_left() {
        privileges::obtain(|| {
            let host = Host::new("host");
            host.nft("add table inet other { chain c { counter; }; map m { type inet_service : verdict; }; }");
            let before = Snapshot::of_host(&host);
            let without_table = || host.nft("delete element inet other m { 80 : drop }");
            type Act<'a> = &'a dyn Fn();
            let steps: [(&str, Act<'_>, Act<'_>); 6] = [
                ("+ link thing:", &|| drop(host.ip("link add thing type bridge")), &|| {
                    drop(host.ip("link delete thing"))
                }),
                ("+ address lo:", &|| drop(host.ip("address add 10.9.9.9/32 dev lo")), &|| {
                    drop(host.ip("address delete 10.9.9.9/32 dev lo"))
                }),
                ("+ rule -6:", &|| drop(host.ip("-6 rule add from fd00::1 table 7")), &|| {
                    drop(host.ip("-6 rule delete from fd00::1 table 7"))
                }),
                ("+ route -4:", &|| drop(host.ip("route add blackhole 10.8.0.0/16 table 9")), &|| {
                    drop(host.ip("route delete blackhole 10.8.0.0/16 table 9"))
                }),
                ("+ nft element", &|| drop(host.nft("add element inet other m { 80 : drop }")), &|| {
                    drop(without_table())
                }),
                ("+ file /run/trestle/x", &|| host.run(|| drop(fs::create_dir_all("/run/trestle/x"))), &|| {
                    host.run(|| drop(fs::remove_dir_all("/run/trestle")))
                }),
            ];
            for (sign, come, go) in steps {
                come();
                let difference = before.difference(&Snapshot::of_host(&host));
                assert!(difference.contains(sign), "{sign} is not in\n{difference}");
                go();
                before.is_still(&Snapshot::of_host(&host));
            }
            let listener = host.run(|| TcpListener::bind("127.0.0.1:7777")).unwrap();
            let difference = before.difference(&Snapshot::of_host(&host));
            assert_eq!(difference, "+ socket tcp 0100007F port 7777\n");
            drop(listener);
        });
    }
}
