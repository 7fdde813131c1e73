//! The bundles of some containers as golden files: what an operator would find in `config.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;
use trestle_core::id::ContainerId;

use super::*;
use crate::container::config::{Config, HostConfig};
use crate::container::record::{LogDriver, MountPoint, MountPointKind, SCHEMA};
use crate::container::state::State;
use crate::runtime::host::{Cgroups, Runtime};

/// Set to write the golden files anew.
const RENEW: &str = "TRESTLE_RENEW_GOLDEN";

fn record(config: Value, host_config: Value) -> Record {
    let config: Config = serde_json::from_value(config).unwrap();
    let host_config: HostConfig = serde_json::from_value(host_config).unwrap();
    Record {
        schema: SCHEMA,
        id: "0123456789abcdef".repeat(4).parse::<ContainerId>().unwrap(),
        name: "web".to_owned().try_into().unwrap(),
        created: SystemTime::UNIX_EPOCH,
        image: "sha256:0".into(),
        layers: vec!["/layers/1".into()],
        config,
        host_config,
        networking: Default::default(),
        mounts: Vec::new(),
        state: State::Created { failure: None },
        restarts: 0,
        stopped: false,
        log_driver: LogDriver::JsonFile,
    }
}

fn given() -> Given {
    Given {
        rootfs: "/run/trestle/containers/0123456789ab/rootfs".into(),
        network: Some("/run/trestle/netns/0123456789ab".into()),
        ipc: Shared::Own,
        pid: Shared::Own,
        user: User::default(),
        hostname: "web".into(),
        files: Files {
            mounts: vec![
                ("/c/resolv.conf".into(), "/etc/resolv.conf"),
                ("/c/hostname".into(), "/etc/hostname"),
                ("/c/hosts".into(), "/etc/hosts"),
            ],
            shm: None,
            owns_network: true,
        },
        devices: Vec::new(),
        cgroup: "/trestle/0123456789ab".into(),
        default_ulimits: Vec::new(),
        init: None,
        environment: Vec::new(),
    }
}

fn host(cgroups: Cgroups) -> Host {
    Host {
        runtime: Runtime { name: "runc".into(), path: "/usr/sbin/runc".into(), version: "runc 1".into() },
        monitor: "/usr/bin/conmon".into(),
        init: None,
        cgroups,
        controllers: ["cpu", "memory", "pids", "cpuset"].map(str::to_owned).into(),
        limits_swap: true,
        weighs_disks: false,
        capabilities: u64::MAX,
    }
}

fn golden(name: &str, record: &Record, given: &Given, cgroups: Cgroups) {
    let made = spec(record, given, &host(cgroups)).unwrap();
    serde_json::from_value::<oci_spec::runtime::Spec>(made.clone()).expect("it is a bundle by the specification");
    let text = format!("{:#}\n", made);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/spec").join(format!("{name}.json"));
    if std::env::var_os(RENEW).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{} differs; {RENEW}=1 writes it anew", path.display());
}

#[test]
fn a_plain_container() {
    let record = record(json!({ "Cmd": ["sh"], "Env": ["A=1"] }), json!({}));
    golden("plain", &record, &given(), Cgroups::V1);
}

#[test]
fn a_limited_container() {
    let config = json!({ "Entrypoint": ["/bin/server"], "Cmd": ["-v"], "Tty": true, "WorkingDir": "/srv" });
    let asked = json!({
        "Memory": 67108864, "MemoryReservation": 33554432, "NanoCpus": 1500000000_i64, "PidsLimit": 100,
        "CpusetCpus": "0-1", "OomScoreAdj": 500, "CapDrop": ["ALL"], "CapAdd": ["NET_BIND_SERVICE"],
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"], "ReadonlyRootfs": true,
        "Ulimits": [{ "Name": "nofile", "Soft": 10, "Hard": 20 }], "Sysctls": { "net.core.somaxconn": "9" },
        "ConsoleSize": [24, 80], "DeviceCgroupRules": ["c 10:* rw"], "ShmSize": 1048576,
    });
    let mut given = given();
    given.default_ulimits =
        vec![Ulimit { name: "nofile".into(), hard: 1, soft: 1 }, Ulimit { name: "core".into(), hard: -1, soft: 0 }];
    given.user = User { uid: 33, gid: 33, groups: vec![4] };
    let mut record = record(config, asked);
    record.mounts = vec![
        MountPoint {
            kind: MountPointKind::Volume { name: "data".into(), anonymous: false },
            source: "/volumes/data/_data".into(),
            destination: "/srv/data".into(),
            read_only: false,
            propagation: String::new(),
            mode: String::new(),
        },
        MountPoint {
            kind: MountPointKind::Tmpfs { options: vec!["size=64m".into(), "exec".into()] },
            source: PathBuf::new(),
            destination: "/srv".into(),
            read_only: false,
            propagation: String::new(),
            mode: String::new(),
        },
    ];
    golden("limited", &record, &given, Cgroups::V2);
}

#[test]
fn a_privileged_container_in_the_host_s_namespaces() {
    let asked = json!({ "Privileged": true, "UTSMode": "host", "IpcMode": "host", "PidMode": "host" });
    let record = record(json!({ "Cmd": ["sh"], "User": "1000" }), asked);
    let mut given = given();
    given.network = None;
    given.files.owns_network = false;
    given.ipc = Shared::Host;
    given.pid = Shared::Host;
    given.init = Some("/usr/bin/tini".into());
    golden("privileged", &record, &given, Cgroups::Hybrid);
}

#[test]
fn what_a_container_says_itself_wins_over_what_each_has() {
    let record = record(json!({ "Cmd": ["sh"], "Env": ["PATH=/bin", "X=own", "HOSTNAME"], "Tty": true }), json!({}));
    let mut given = given();
    given.environment = vec!["X=link".into(), "Y=link".into()];
    assert_eq!(environment(&record, &given), ["PATH=/bin", "TERM=xterm", "X=own", "Y=link"]);
}

#[test]
fn a_container_without_a_program_is_refused() {
    let made = spec(&record(json!({}), json!({})), &given(), &host(Cgroups::V1));
    assert_eq!(made.unwrap_err().to_string(), "no command specified");
}

#[test]
fn limits_that_contradict_each_other_are_refused_and_those_of_no_use_are_discarded() {
    for wrong in [
        json!({ "Memory": 1024 }),
        json!({ "Memory": 67108864, "MemorySwap": 67108863 }),
        json!({ "MemorySwap": 67108864 }),
        json!({ "NanoCpus": 1, "CpuQuota": 1000 }),
        json!({ "CpuPeriod": 1 }),
        json!({ "BlkioWeight": 5 }),
        json!({ "OomScoreAdj": 2000 }),
        json!({ "CpusetCpus": "a" }),
        json!({ "DeviceCgroupRules": ["x"] }),
        json!({ "DeviceRequests": [{}] }),
    ] {
        let mut asked: HostConfig = serde_json::from_value(wrong.clone()).unwrap();
        assert!(check(&mut asked, &host(Cgroups::V1)).is_err(), "{wrong}");
    }
    let bare = Host { controllers: BTreeSet::new(), limits_swap: false, ..host(Cgroups::V2) };
    let much = json!({ "Memory": 67108864, "PidsLimit": 5, "CpuShares": 2, "CpusetCpus": "0", "OomKillDisable": true });
    let mut asked: HostConfig = serde_json::from_value(much).unwrap();
    assert_eq!(check(&mut asked, &bare).unwrap().len(), 5);
    assert_eq!((asked.memory, asked.pids_limit, asked.cpu_shares), (0, None, 0));
}
