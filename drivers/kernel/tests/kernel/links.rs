//! Links, addresses and routes on the real kernel.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use trestle_core::Plan;
use trestle_core::error::ErrorKind;
use trestle_core::kernel::Kernel;
use trestle_core::resource::{Namespace, Owner, Resource, Sysctl};

use crate::host::{
    default_route, endpoint, endpoint_in, in_sandbox, index, inside, ip, kernel, name, netns, network, on_a_host,
    reaches, room, sandbox, try_ip, veth, with_sandboxes,
};

#[test]
fn sandboxes_on_one_bridge_reach_each_other_and_the_host() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        for address in ["10.0.0.3", "fd00:1::3", "10.0.0.1", "fd00:1::1", "127.0.0.1", "::1"] {
            assert!(reaches(&netns(2), address), "{address}");
        }
        let plan = network().then(&room(2)).then(&endpoint(2));
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
    });
}

#[test]
fn a_link_that_was_cut_off_passes_no_packet_whatever_the_sandbox_does() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        assert!(reaches(&netns(2), "10.0.0.3"));
        kernel.replace(&room(2).then(&endpoint(2)), &room(2)).await.unwrap();
        for command in [
            "ip link set eth0 down",
            "ip link set eth0 up",
            "ip address replace 10.0.0.2/24 dev eth0",
            "ip address replace fd00:1::2/64 dev eth0 nodad",
        ] {
            inside(&netns(2), command).unwrap();
        }
        for address in ["10.0.0.3", "10.0.0.1", "fd00:1::1"] {
            assert!(!reaches(&netns(2), address), "{address}");
        }
        assert!(try_ip("-o link show veth0000000002").unwrap().contains("state DOWN"));
    });
}

#[test]
fn links_are_reaped_in_one_group_and_strangers_stay() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 8).await;
        ip("link add stranger0 type veth peer name stranger1");
        let gone: Vec<Plan> = (3..10).map(endpoint).collect();
        for plan in &gone {
            kernel.remove(plan).await.unwrap();
        }
        let group = ip("-o link show group 0x55abcdef");
        assert_eq!(group.lines().count(), 7, "{group}");
        kernel.reap(&gone).await.unwrap();
        assert_eq!(ip("-o link show group 0x55abcdef"), "");
        assert!(index("stranger0").is_some() && index("veth0000000002").is_some());
        kernel.reap(&gone).await.unwrap();
    });
}

#[test]
fn what_was_cut_off_can_be_made_again_before_it_is_reaped() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let all = network().then(&room(2)).then(&endpoint(2));
        kernel.replace(&all, &room(2)).await.unwrap();
        kernel.replace(&room(2), &all).await.unwrap();
        assert_eq!(kernel.verify(&all).await.unwrap(), []);
        assert!(reaches(&netns(2), "10.0.0.1"));
    });
}

#[test]
fn an_address_that_moved_to_another_sandbox_is_reached_at_once() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        kernel.apply(&room(3).then(&room(4)).then(&endpoint_in(3, sandbox(3), 9))).await.unwrap();
        for address in ["10.0.0.9", "fd00:1::9"] {
            assert!(reaches(&netns(2), address) && try_ping(address), "{address} before");
        }
        kernel.remove(&endpoint_in(3, sandbox(3), 9)).await.unwrap();
        kernel.reap(&[]).await.unwrap();
        kernel.apply(&endpoint_in(4, sandbox(4), 9)).await.unwrap();
        // The neighbours would find out by themselves too, but not within one second.
        for address in ["10.0.0.9", "fd00:1::9"] {
            let told = inside(&netns(2), &format!("ping -c 1 -W 1 -n -q {address}"));
            assert!(told.is_ok(), "{address} from a sandbox: {told:?}");
            assert!(try_ping(address), "{address} from the host");
        }
    });
}

fn try_ping(address: &str) -> bool {
    Command::new("ping").args(["-c", "1", "-W", "1", "-n", "-q", address]).output().unwrap().status.success()
}

#[test]
fn a_stranger_s_link_in_the_way_of_a_pair_is_left_alone() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        kernel.apply(&room(3)).await.unwrap();
        ip("link add veth0000000003 type bridge");
        let stranger = ip("-d link show veth0000000003");
        let refused = kernel.replace(&room(3), &room(3).then(&endpoint(3))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        assert_eq!(ip("-d link show veth0000000003"), stranger);
    });
}

#[test]
fn a_pair_finds_its_bridge_though_that_was_made_anew() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        ip("link delete br-test");
        kernel.apply(&network()).await.unwrap();
        let plan = room(3).then(&endpoint(3));
        kernel.apply(&plan).await.unwrap();
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
        assert!(reaches(&netns(3), "10.0.0.1"));
    });
}

#[test]
fn a_default_route_changes_without_a_moment_without() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let mut monitor = Command::new("nsenter")
            .args([&format!("--net={}", netns(2).display()), "ip", "monitor", "route"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
        let (teller, told) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| teller.send(line)));
        // It does not say when it listens, so it is told things until it repeats one.
        while told.try_recv().is_err() {
            inside(&netns(2), "ip route replace 192.0.2.0/24 via 10.0.0.1").unwrap();
        }
        for (before, after) in [("10.0.0.1", "10.0.0.254"), ("fd00:1::1", "fd00:1::fe")] {
            let plan = |gateway| Plan::from(vec![default_route(&sandbox(2), gateway)]);
            kernel.replace(&plan(before), &plan(after)).await.unwrap();
            kernel.replace(&plan(before), &plan(after)).await.unwrap();
        }
        inside(&netns(2), "ip route add 198.51.100.0/24 via 10.0.0.1").unwrap();
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains("198.51.100.0")) {
            seen.push(told.recv().unwrap());
        }
        monitor.kill().unwrap();
        monitor.wait().unwrap();
        drop(told);
        reader.join().unwrap().unwrap_or_default();
        assert!(seen.iter().any(|line| line.contains("default via 10.0.0.254")), "{seen:?}");
        assert!(seen.iter().any(|line| line.contains("default via fd00:1::fe")), "{seen:?}");
        assert!(!seen.iter().any(|line| line.starts_with("Deleted")), "{seen:?}");
    });
}

#[test]
fn a_stranger_s_route_is_refused_by_name_and_left_alone() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let route = |destination: &str| {
            let Resource::Route(mut route) = default_route(&sandbox(2), "10.0.0.1") else { unreachable!() };
            route.destination = destination.parse().unwrap();
            Plan::from(vec![Resource::Route(route)])
        };
        inside(&netns(2), "ip route add 192.0.2.0/24 via 10.0.0.77").unwrap();
        let error = kernel.apply(&route("192.0.2.0/24")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("192.0.2.0/24") && error.to_string().contains("10.0.0.77"), "{error}");
        kernel.remove(&route("192.0.2.0/24")).await.unwrap();
        assert!(inside(&netns(2), "ip route show 192.0.2.0/24").unwrap().contains("10.0.0.77"));
    });
}

#[test]
fn a_sandbox_given_by_path_is_used_and_not_kept_alive() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&network()).await.unwrap();
        ip("netns add given");
        let path = std::path::PathBuf::from("/run/netns/given");
        let given = Namespace::At(path.clone());
        // A link of a stranger that dies with the namespace.
        ip("link add canary type veth peer name c0 netns given");
        let plan = endpoint_in(7, given, 7);
        kernel.apply(&plan).await.unwrap();
        assert!(reaches(&path, "10.0.0.1"));
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
        kernel.remove(&plan).await.unwrap();
        kernel.reap(&[]).await.unwrap();
        assert!(path.exists() && index("canary").is_some(), "the namespace is somebody else's");
        ip("netns del given");
        wait_until(|| index("canary").is_none());
        drop(kernel);
    });
}

/// Looks until it is so; a test that hangs is a test that failed.
fn wait_until(so: impl Fn() -> bool) {
    while !so() {
        std::thread::yield_now();
    }
}

#[test]
fn a_removed_namespace_dies_though_its_socket_was_cached() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        ip("link add canary type veth peer name c0");
        ip("link set c0 netns /run/trestle/netns/000000000002");
        kernel.remove(&room(2).then(&endpoint(2))).await.unwrap();
        assert!(!netns(2).exists());
        wait_until(|| index("canary").is_none());
    });
}

#[test]
fn a_namespace_dies_though_another_mount_namespace_has_a_copy_of_its_mount() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&room(2)).await.unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (ready, copied) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            // SAFETY: only FILES could harm other threads, and it is not asked for.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
            ready.send(()).unwrap();
            wait.recv().unwrap();
        });
        copied.recv().unwrap();
        ip("link add canary type veth peer name c0");
        ip("link set c0 netns /run/trestle/netns/000000000002");
        kernel.remove(&room(2)).await.unwrap();
        wait_until(|| index("canary").is_none());
        go.send(()).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_name_that_the_sandbox_uses_already_is_refused() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&network().then(&room(2))).await.unwrap();
        inside(&netns(2), "ip link add eth0 type bridge").unwrap();
        let error = kernel.apply(&endpoint(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("eth0"), "{error}");
        assert_eq!(index("veth0000000002"), None);
        kernel.remove(&endpoint(2)).await.unwrap();
        assert!(inside(&netns(2), "ip link show eth0").is_ok(), "the stranger's link is there");
    });
}

#[test]
fn a_stale_pair_of_ours_with_other_values_is_set_right() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let before = index("veth0000000002");
        ip("link set veth0000000002 mtu 1300 down nomaster");
        inside(&netns(2), "ip link set eth0 address 02:00:00:00:00:99 mtu 1300").unwrap();
        kernel.apply(&endpoint(2)).await.unwrap();
        assert_eq!(kernel.verify(&endpoint(2)).await.unwrap(), []);
        assert_eq!(index("veth0000000002"), before, "it was set right, not made anew");
        assert!(reaches(&netns(2), "10.0.0.1"));
    });
}

#[test]
fn a_pair_moves_to_another_sandbox() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        kernel.apply(&room(3)).await.unwrap();
        kernel.replace(&endpoint(2), &endpoint_in(2, sandbox(3), 2)).await.unwrap();
        assert_eq!(kernel.verify(&endpoint_in(2, sandbox(3), 2)).await.unwrap(), []);
        assert!(inside(&netns(2), "ip link show eth0").is_err());
    });
}

#[test]
fn a_user_s_bridge_is_used_and_never_configured_nor_removed() {
    on_a_host(async || {
        let kernel = kernel();
        let Resource::Bridge(mut bridge) = network().resources()[0].clone() else { unreachable!() };
        bridge.owner = Owner::User;
        let plan = Plan::from(vec![Resource::Bridge(bridge)]).then(&room(2)).then(&endpoint(2));
        let error = kernel.apply(&plan).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        ip("link add br-test mtu 1450 address 02:00:00:00:00:77 type bridge");
        kernel.apply(&plan).await.unwrap();
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
        kernel.remove(&plan).await.unwrap();
        kernel.reap(&[]).await.unwrap();
        assert_eq!(kernel.sweep(&[]).await.unwrap(), Vec::<String>::new());
        let shown = ip("link show br-test");
        assert!(shown.contains("02:00:00:00:00:77") && shown.contains("state DOWN"), "{shown}");
    });
}

#[test]
fn settings_are_those_of_their_own_namespace() {
    on_a_host(async || {
        let kernel = kernel();
        let key = "net/ipv4/ip_forward";
        let setting = |namespace, value: &str| {
            Resource::Sysctl(Sysctl { namespace, key: key.into(), value: value.into(), prior: None, put_back: false })
        };
        let read = || std::fs::read_to_string(format!("/proc/sys/{key}")).unwrap().trim().to_owned();
        let plan = room(2).then(&Plan::from(vec![setting(sandbox(2), "1")]));
        std::fs::write(format!("/proc/sys/{key}"), "0").unwrap();
        kernel.apply(&plan).await.unwrap();
        assert_eq!((read(), in_sandbox(&netns(2), read)), ("0".into(), "1".into()));
        let host = Plan::from(vec![setting(Namespace::Host, "1"), setting(sandbox(2), "0")]);
        kernel.apply(&host).await.unwrap();
        assert_eq!((read(), in_sandbox(&netns(2), read)), ("1".into(), "0".into()));
        assert_eq!(kernel.verify(&plan).await.unwrap().len(), 1);
        let wrong = Plan::from(vec![Resource::Sysctl(Sysctl {
            namespace: Namespace::Host,
            key: "../../etc/passwd".into(),
            value: "x".into(),
            prior: None,
            put_back: false,
        })]);
        assert_eq!(kernel.apply(&wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn a_dropped_request_is_finished() {
    on_a_host(async || {
        let kernel = kernel();
        let plan = network().then(&room(2)).then(&endpoint(2));
        let mut request = kernel.apply(&plan);
        std::future::poll_fn(|context| {
            drop(request.as_mut().poll(context));
            std::task::Poll::Ready(())
        })
        .await;
        drop(request);
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
    });
}

#[test]
fn the_kernel_s_own_words_reach_the_user() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 1).await;
        let plan = Plan::from(vec![default_route(&sandbox(2), "192.0.2.1")]);
        kernel.remove(&Plan::from(vec![default_route(&sandbox(2), "10.0.0.1")])).await.unwrap();
        let error = kernel.apply(&plan).await.unwrap_err();
        assert!(error.to_string().contains("default IPv4 route"), "{error}");
        assert!(error.to_string().contains("Nexthop has invalid gateway"), "{error}");
    });
}

#[test]
fn hairpin_mode_and_ipv6_are_as_wanted() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&network().then(&room(2))).await.unwrap();
        let mut link = veth(2, sandbox(2));
        (link.hairpin, link.peer.ipv6) = (true, false);
        kernel.apply(&Plan::from(vec![Resource::Veth(link.clone())])).await.unwrap();
        assert!(ip("-d link show veth0000000002").contains("hairpin on"));
        assert_eq!(inside(&netns(2), "ip -6 -o address show dev eth0").unwrap(), "");
        assert_eq!(ip("-6 -o address show dev veth0000000002"), "");
        assert!(ip("-d link show veth0000000002").contains("numtxqueues 1 numrxqueues 1"));
        link.bridge = name("br-test");
    });
}

#[test]
fn what_the_connection_tracker_knew_of_a_reaped_address_is_forgotten() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        let track = |arguments: &str| {
            let done = Command::new("conntrack").args(arguments.split_whitespace()).output().unwrap();
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        for last in [2, 3] {
            let pair = format!("-s 192.0.2.1 -d 10.0.0.{last} -p udp --sport 1000 --dport 53 --timeout 600");
            track(&format!("-I {pair} -r 10.0.0.{last} -q 192.0.2.1 --reply-port-src 53 --reply-port-dst 1000"));
        }
        assert_eq!(track("-L").lines().count(), 2);
        kernel.remove(&endpoint(2)).await.unwrap();
        kernel.reap(&[endpoint(2)]).await.unwrap();
        let left = track("-L");
        assert!(left.lines().count() == 1 && left.contains("dst=10.0.0.3"), "{left}");
    });
}

#[test]
fn what_others_left_in_the_folder_of_namespaces_is_left_there() {
    on_a_host(async || {
        let kernel = kernel();
        kernel.apply(&room(2)).await.unwrap();
        let folder = netns(2).parent().unwrap().to_owned();
        std::fs::create_dir(folder.join("0123456789ab")).unwrap();
        std::fs::write(folder.join("notes"), "").unwrap();
        std::fs::write(folder.join("0123456789ac"), "somebody's").unwrap();
        // Ours, from a death between the making of the file and that of the namespace.
        std::fs::write(netns(3), "").unwrap();
        let swept = kernel.sweep(&[room(2)]).await.unwrap();
        assert_eq!(swept, [format!("namespace {}", netns(3).display())]);
        for left in ["0123456789ab", "notes", "0123456789ac"] {
            assert!(folder.join(left).exists(), "{left} is gone");
        }
        assert_eq!(kernel.verify(&room(2)).await.unwrap(), []);
    });
}
