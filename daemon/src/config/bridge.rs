//! What the network `bridge` and new networks are like: dockerd's flags and keys for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;
use ipnet::{Ipv4Net, Ipv6Net};
use trestle_core::name::IfName;
use trestle_engine::network::DefaultOption;
use trestle_engine::network::boot::BridgeSettings;

use super::Faults;
use super::file::File;

/// The flags about containers' networks.
#[derive(Clone, Debug, Default, Args)]
pub struct BridgeFlags {
    /// The Linux bridge of the network "bridge", which containers join that name none; "none" leaves that network out
    /// [default: trestle0]
    #[arg(short = 'b', long, value_name = "LINK")]
    pub bridge: Option<String>,
    /// That bridge's own IPv4 address with its network, as in 172.20.0.1/16
    #[arg(long, value_name = "CIDR")]
    pub bip: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "CIDR")]
    pub bip6: Option<String>,
    /// Where the IPv4 addresses of its containers come from
    #[arg(long, value_name = "CIDR")]
    pub fixed_cidr: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "CIDR")]
    pub fixed_cidr_v6: Option<String>,
    /// Give it IPv6
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv6: Option<bool>,
    /// Let its containers talk to each other [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub icc: Option<bool>,
    /// Give packets that leave it the host's address [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ip_masq: Option<bool>,
    /// Where its ports are published that name no address [default: every address of both families]
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// An option for new networks of a driver that don't say, as in bridge=com.docker.network.driver.mtu=1400. May be
    /// repeated
    #[arg(long = "default-network-opt", value_name = "DRIVER=KEY=VALUE")]
    pub default_network_opts: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[allow(missing_docs)]
    pub iptables: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[allow(missing_docs)]
    pub ip6tables: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[allow(missing_docs)]
    pub ip_forward: Option<bool>,
}

/// What both come to: the network `bridge`, unless it is left out, and what new networks get.
pub(super) fn merge(
    flags: BridgeFlags,
    file: &mut File,
    mtu: Option<u32>,
    faults: &mut Faults,
) -> (Option<BridgeSettings>, Vec<DefaultOption>) {
    for (setting, flag, file) in [
        ("iptables", flags.iptables, file.iptables),
        ("ip6tables", flags.ip6tables, file.ip6tables),
        ("ip-forward", flags.ip_forward, file.ip_forward),
    ] {
        if faults.once(setting, flag, file) == Some(false) {
            faults.add(setting, "false is not offered: networks are isolated and ports published by it");
        }
    }
    let link = faults.once("bridge", flags.bridge, file.bridge.take());
    let bip = faults.once("bip", flags.bip, file.bip.take());
    let bip6 = faults.once("bip6", flags.bip6, file.bip6.take());
    let range_v4 = faults.once("fixed-cidr", flags.fixed_cidr, file.fixed_cidr.take());
    let range_v6 = faults.once("fixed-cidr-v6", flags.fixed_cidr_v6, file.fixed_cidr_v6.take());
    let address = faults.once("ip", flags.ip, file.ip.take());
    let settings = BridgeSettings {
        link: link.clone().filter(|link| link != "none").and_then(|link| read_link(link, faults)),
        address_v4: read::<Ipv4Net>("bip", bip, "an address with its network such as 172.20.0.1/16", faults),
        address_v6: read::<Ipv6Net>("bip6", bip6, "an address with its network such as fd00:1::1/64", faults),
        range_v4: read::<Ipv4Net>("fixed-cidr", range_v4, "a subnet such as 172.20.1.0/24", faults),
        range_v6: read::<Ipv6Net>("fixed-cidr-v6", range_v6, "a subnet such as fd00:1::/80", faults),
        ipv6: faults.once("ipv6", flags.ipv6, file.ipv6).unwrap_or(false),
        inter_container: faults.once("icc", flags.icc, file.icc),
        masquerade: faults.once("ip-masq", flags.ip_masq, file.ip_masq),
        host_address: read::<IpAddr>("ip", address, "an address such as 127.0.0.1", faults),
        mtu,
    };
    check(&settings, faults);
    let options = default_options(flags.default_network_opts, file.default_network_opts.take(), faults);
    (Some(settings).filter(|_| link.as_deref() != Some("none")), options)
}

fn read_link(name: String, faults: &mut Faults) -> Option<IfName> {
    match IfName::try_from(name) {
        Ok(name) => Some(name),
        Err(error) => {
            faults.add("bridge", error);
            None
        }
    }
}

fn read<T: FromStr>(setting: &str, text: Option<String>, expected: &str, faults: &mut Faults) -> Option<T> {
    let text = text.filter(|text| !text.is_empty())?;
    let read = text.parse().ok();
    if read.is_none() {
        faults.add(setting, format!("{text:?} is not {expected}"));
    }
    read
}

/// Refuses ranges that are not inside of their networks.
fn check(settings: &BridgeSettings, faults: &mut Faults) {
    if let (Some(own), Some(range)) = (settings.address_v4, settings.range_v4)
        && !own.contains(&range)
    {
        faults.add("fixed-cidr", format!("{range} is not inside of bip's network {}", own.trunc()));
    }
    if let (Some(own), Some(range)) = (settings.address_v6, settings.range_v6)
        && !own.contains(&range)
    {
        faults.add("fixed-cidr-v6", format!("{range} is not inside of bip6's network {}", own.trunc()));
    }
}

fn default_options(
    flags: Vec<String>,
    file: Option<BTreeMap<String, BTreeMap<String, String>>>,
    faults: &mut Faults,
) -> Vec<DefaultOption> {
    let flags = faults.each("default-network-opt", flags, |text: String| {
        let mut parts = text.splitn(3, '=').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(driver), Some(key), Some(value)) => Ok(DefaultOption { driver, key, value }),
            _ => Err(format!("{text:?} is not DRIVER=KEY=VALUE")),
        }
    });
    let of = |(driver, options): (String, BTreeMap<String, String>)| {
        options.into_iter().map(move |(key, value)| DefaultOption { driver: driver.clone(), key, value })
    };
    let file = file.map(|drivers| drivers.into_iter().flat_map(of).collect());
    faults.once_list("default-network-opts", flags, file)
}
