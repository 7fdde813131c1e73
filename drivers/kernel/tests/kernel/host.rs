//! A host to test on: a thread in a network namespace and a mount namespace of its own, with a runtime.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use trestle_core::Plan;
use trestle_core::kernel::Kernel;
use trestle_core::name::IfName;
use trestle_core::resource::{
    Address, Announcements, Bridge, Loopback, MAIN_TABLE, Namespace, Netns, Owner, Peer, Resource, Route, Veth,
};
use trestle_kernel::firewall::Backend;
use trestle_kernel::mark::Instance;
use trestle_kernel::{LinuxKernel, Options};

/// The installation that tests pretend to be.
pub(crate) const INSTANCE: u32 = 0x00ab_cdef;

/// Runs a test on a host of its own.
pub(crate) fn on_a_host<T: Send + 'static>(test: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let host = thread::spawn(|| {
        become_a_host();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test())
    });
    host.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Takes the calling thread, and those it will start, to a new host.
pub(crate) fn become_a_host() {
    // SAFETY: only FILES could harm other threads, and it is not asked for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
    rustix::mount::mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
    ip("link set lo up");
    // A fresh namespace may start with 1 here, and then tests of bridged traffic pass by luck.
    for family in ["ip", "ip6"] {
        let setting = format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables");
        if Path::new(&setting).exists() {
            std::fs::write(setting, "0").unwrap();
        }
    }
}

/// The kernel layer of this host.
pub(crate) fn kernel() -> LinuxKernel {
    open("/var/lib/trestle").unwrap()
}

pub(crate) fn open(description: &str) -> trestle_core::Result<LinuxKernel> {
    open_with(Backend::NfTables, description)
}

pub(crate) fn open_with(firewall: Backend, description: &str) -> trestle_core::Result<LinuxKernel> {
    LinuxKernel::open(Options { firewall, ..options(description) })
}

pub(crate) fn options(description: &str) -> Options {
    Options {
        instance: Instance::new(INSTANCE),
        netns_folder: "/run/trestle/netns".into(),
        firewall: Backend::NfTables,
        description: description.into(),
    }
}

/// Runs `ip`, on this host, and answers with what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    try_ip(arguments).unwrap_or_else(|told| panic!("ip {arguments}: {told}"))
}

pub(crate) fn try_ip(arguments: &str) -> Result<String, String> {
    run("ip", arguments.split_whitespace())
}

/// Runs a command in a sandbox's namespace.
pub(crate) fn inside(sandbox: &Path, command: &str) -> Result<String, String> {
    let netns = format!("--net={}", sandbox.display());
    run("nsenter", std::iter::once(netns.as_str()).chain(command.split_whitespace()))
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let done = Command::new(program).args(arguments).output().unwrap();
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

pub(crate) fn name(text: &str) -> IfName {
    text.try_into().unwrap()
}

pub(crate) fn netns(number: u8) -> PathBuf {
    format!("/run/trestle/netns/{number:012x}").into()
}

pub(crate) fn sandbox(number: u8) -> Namespace {
    Namespace::At(netns(number))
}

/// A bridge `br-test` with 10.0.0.1/24 and fd00:1::1/64.
pub(crate) fn network() -> Plan {
    let bridge = Bridge {
        name: name("br-test"),
        owner: Owner::Us,
        mac: "02:00:00:00:00:01".parse().unwrap(),
        mtu: 1500,
        filter_bridged: false,
        ipv6: true,
    };
    let address = |address: &str| {
        Resource::Address(Address {
            namespace: Namespace::Host,
            link: name("br-test"),
            address: address.parse().unwrap(),
            announcements: Announcements::default(),
        })
    };
    Plan::from(vec![Resource::Bridge(bridge), address("10.0.0.1/24"), address("fd00:1::1/64")])
}

/// A sandbox's namespace with its loopback.
pub(crate) fn room(number: u8) -> Plan {
    Plan::from(vec![
        Resource::Netns(Netns { path: netns(number) }),
        Resource::Loopback(Loopback { namespace: sandbox(number) }),
    ])
}

/// An endpoint of the network in a sandbox: `eth0` with 10.0.0.N and fd00:1::N, N in 2 to 99, and default routes.
pub(crate) fn endpoint(number: u8) -> Plan {
    endpoint_in(number, sandbox(number), number)
}

pub(crate) fn veth(number: u8, namespace: Namespace) -> Veth {
    Veth {
        name: name(&format!("veth{number:010x}")),
        bridge: name("br-test"),
        mtu: 1500,
        hairpin: false,
        peer: Peer {
            namespace,
            name: name("eth0"),
            mac: format!("02:00:00:00:01:{number:02x}").parse().unwrap(),
            ipv6: true,
        },
    }
}

pub(crate) fn endpoint_in(number: u8, namespace: Namespace, last: u8) -> Plan {
    let address = |address: String| {
        Resource::Address(Address {
            namespace: namespace.clone(),
            link: name("eth0"),
            address: address.parse().unwrap(),
            announcements: Announcements::default(),
        })
    };
    Plan::from(vec![
        Resource::Veth(veth(number, namespace.clone())),
        address(format!("10.0.0.{last}/24")),
        address(format!("fd00:1::{last}/64")),
        default_route(&namespace, "10.0.0.1"),
        default_route(&namespace, "fd00:1::1"),
    ])
}

pub(crate) fn default_route(namespace: &Namespace, gateway: &str) -> Resource {
    let gateway: std::net::IpAddr = gateway.parse().unwrap();
    let everywhere = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    Resource::Route(Route {
        namespace: namespace.clone(),
        table: MAIN_TABLE,
        destination: everywhere.parse().unwrap(),
        gateway: Some(gateway),
        link: name("eth0"),
    })
}

/// Applies the network, and this many sandboxes on it, numbered from 2.
pub(crate) async fn with_sandboxes(kernel: &dyn Kernel, count: u8) {
    kernel.apply(&network()).await.unwrap();
    for number in 2..2 + count {
        kernel.apply(&room(number).then(&endpoint(number))).await.unwrap();
    }
}

/// Whether one sandbox reaches an address, within two seconds.
pub(crate) fn reaches(sandbox: &Path, address: &str) -> bool {
    inside(sandbox, &format!("ping -c 1 -W 2 -n -q {address}")).is_ok()
}

/// Does something on a thread in a sandbox; sockets opened there stay the sandbox's.
pub(crate) fn in_sandbox<T: Send>(sandbox: &Path, act: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(sandbox).unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            rustix::thread::move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .unwrap();
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The number of a link of this host; `None` if there is none of that name.
pub(crate) fn index(link: &str) -> Option<u64> {
    try_ip(&format!("-o link show dev {link}")).ok()?.split(':').next()?.trim().parse().ok()
}
