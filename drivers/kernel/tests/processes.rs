//! No process is started, whatever the kernel layer does. A test program of its own, because it ends the process that
//! starts another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernel/host.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod host;

use host::{become_a_host, endpoint, kernel, network, room};
use trestle_core::Plan;
use trestle_core::kernel::Kernel;
use trestle_core::port::{PortRange, Protocol};
use trestle_core::resource::{
    FirewallNetwork, GatewayMode, Hairpin, Inside, Namespace, PublishedPort, Resource, Sysctl,
};

fn everything() -> Plan {
    let port = |protocol| {
        Resource::PublishedPort(PublishedPort {
            protocol,
            address: None,
            host: PortRange::new(8080, 8089).unwrap(),
            container: PortRange::new(80, 89).unwrap(),
            to_v4: Some([10, 0, 0, 2].into()),
            to_v6: None,
        })
    };
    let forwarding = |namespace| Sysctl {
        namespace,
        key: "net/ipv4/ip_forward".into(),
        value: "1".into(),
        prior: None,
        put_back: false,
    };
    network().then(&room(2)).then(&endpoint(2)).then(&Plan::from(vec![
        Resource::Sysctl(forwarding(Namespace::Host)),
        Resource::Sysctl(forwarding(host::sandbox(2))),
        Resource::FirewallBase,
        Resource::FirewallNetwork(FirewallNetwork {
            bridge: host::name("br-test"),
            inside: Inside::Open,
            internal: false,
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            trusted: Vec::new(),
            masquerade_v4: true,
            masquerade_v6: true,
            source_v4: None,
            source_v6: None,
            filter_bridged: false,
        }),
        port(Protocol::Tcp),
        port(Protocol::Udp),
        port(Protocol::Sctp),
        Resource::Hairpin(Hairpin { address: [10, 0, 0, 2].into() }),
    ]))
}

#[test]
fn no_process_is_ever_started() {
    let host = std::thread::spawn(|| {
        become_a_host();
        forbid_processes();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let kernel = kernel();
            let plan = everything();
            kernel.facts().await.unwrap();
            kernel.apply(&plan).await.unwrap();
            assert_eq!(kernel.verify(&plan).await.unwrap(), []);
            kernel.replace(&plan, &network()).await.unwrap();
            kernel.replace(&network(), &plan).await.unwrap();
            assert!(kernel.restore(std::slice::from_ref(&plan)).await[0].is_ok());
            kernel.remove(&plan).await.unwrap();
            kernel.reap(std::slice::from_ref(&plan)).await.unwrap();
            assert_eq!(kernel.sweep(&[]).await.unwrap(), Vec::<String>::new());
        });
    });
    host.join().unwrap();
}

/// From now on, this thread and those that it starts end the whole process when they try to start another one.
fn forbid_processes() {
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let is =
        |number: libc::c_long, yes, no| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, number as u32);
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, 0, 0, answer);
    let mut program = [
        load(NUMBER),
        is(libc::SYS_execve, 7, 0),
        is(libc::SYS_execveat, 6, 0),
        // Its flags can't be read here; without it the C library makes its threads by clone.
        is(libc::SYS_clone3, 4, 0),
        is(libc::SYS_clone, 0, 2),
        load(FIRST_ARGUMENT),
        statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 2, libc::CLONE_THREAD as u32),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live until the call returns; the kernel copies both.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn statement(code: u32, yes: u8, no: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: yes, jf: no, k: operand }
}
