//! What a container may use of memory, processors, disks and processes.

use serde_json::{Map, Value, json};
use trestle_core::{Error, Result};

use super::Node;
use crate::container::config::{HostConfig, ThrottleDevice};
use crate::runtime::host::Host;

/// Docker's least memory, in bytes.
const LEAST_MEMORY: i64 = 6 << 20;

/// The microseconds in which a share of processors given as a number is measured.
const PERIOD: i64 = 100_000;

/// The runtime's `resources`. Devices are closed but for those given and those that every container has.
pub fn resources(asked: &HostConfig, devices: &[Node]) -> Value {
    let mut resources = Map::new();
    resources.insert("devices".into(), device_rules(asked, devices));
    let mut put = |name: &str, part: Map<String, Value>| {
        if !part.is_empty() {
            resources.insert(name.into(), Value::Object(part));
        }
    };
    put("memory", memory(asked));
    put("cpu", cpu(asked));
    put("pids", pids(asked));
    put("blockIO", block_io(asked));
    Value::Object(resources)
}

fn device_rules(asked: &HostConfig, devices: &[Node]) -> Value {
    if asked.privileged {
        return json!([{ "allow": true, "access": "rwm" }]);
    }
    let closed = json!({ "allow": false, "access": "rwm" });
    let own = devices.iter().map(Node::rule);
    let asked = asked.device_cgroup_rules.iter().filter_map(|rule| read_rule(rule).ok());
    std::iter::once(closed).chain(own).chain(asked).collect()
}

/// Reads `c 1:3 mr`; `*` is any number.
fn read_rule(text: &str) -> Result<Value> {
    let wrong = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let [kind @ ("a" | "b" | "c"), numbers, access] = text.split(' ').collect::<Vec<_>>()[..] else {
        return Err(wrong());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    if access.is_empty() || !access.chars().all(|it| "rwm".contains(it)) {
        return Err(wrong());
    }
    let mut rule = json!({ "allow": true, "type": kind, "access": access });
    for (name, number) in [("major", major), ("minor", minor)] {
        if number != "*" {
            rule[name] = number.parse::<u32>().map_err(|_| wrong())?.into();
        }
    }
    Ok(rule)
}

fn memory(asked: &HostConfig) -> Map<String, Value> {
    let mut memory = Map::new();
    let mut put = |name: &str, bytes: i64| {
        if bytes != 0 {
            memory.insert(name.into(), bytes.into());
        }
    };
    put("limit", asked.memory);
    put("reservation", asked.memory_reservation);
    // As much swap as memory, unless it is said.
    put("swap", if asked.memory_swap == 0 { asked.memory.saturating_mul(2) } else { asked.memory_swap });
    if let Some(swappiness @ 0..) = asked.memory_swappiness {
        memory.insert("swappiness".into(), swappiness.into());
    }
    if asked.oom_kill_disable == Some(true) {
        memory.insert("disableOOMKiller".into(), true.into());
    }
    memory
}

fn cpu(asked: &HostConfig) -> Map<String, Value> {
    let mut cpu = Map::new();
    let mut put = |name: &str, number: i64| {
        if number != 0 {
            cpu.insert(name.into(), number.into());
        }
    };
    put("shares", asked.cpu_shares);
    if asked.nano_cpus != 0 {
        put("period", PERIOD);
        put("quota", asked.nano_cpus.saturating_mul(PERIOD) / 1_000_000_000);
    } else {
        put("period", asked.cpu_period);
        put("quota", asked.cpu_quota);
    }
    put("realtimePeriod", asked.cpu_realtime_period);
    put("realtimeRuntime", asked.cpu_realtime_runtime);
    for (name, set) in [("cpus", &asked.cpuset_cpus), ("mems", &asked.cpuset_mems)] {
        if !set.is_empty() {
            cpu.insert(name.into(), set.as_str().into());
        }
    }
    cpu
}

fn pids(asked: &HostConfig) -> Map<String, Value> {
    let limit = asked.pids_limit.filter(|limit| *limit > 0);
    limit.map(|limit| ("limit".to_owned(), limit.into())).into_iter().collect()
}

fn block_io(asked: &HostConfig) -> Map<String, Value> {
    let mut io = Map::new();
    if asked.blkio_weight != 0 {
        io.insert("weight".into(), asked.blkio_weight.into());
    }
    let weights = asked.blkio_weight_device.iter().filter_map(|it| {
        device_number(&it.path).map(|(major, minor)| json!({ "major": major, "minor": minor, "weight": it.weight }))
    });
    let mut put = |name: &str, list: Vec<Value>| {
        if !list.is_empty() {
            io.insert(name.into(), list.into());
        }
    };
    put("weightDevice", weights.collect());
    let throttles = |devices: &[ThrottleDevice]| {
        let throttle = |it: &ThrottleDevice| {
            device_number(&it.path).map(|(major, minor)| json!({ "major": major, "minor": minor, "rate": it.rate }))
        };
        devices.iter().filter_map(throttle).collect()
    };
    put("throttleReadBpsDevice", throttles(&asked.blkio_device_read_bps));
    put("throttleWriteBpsDevice", throttles(&asked.blkio_device_write_bps));
    put("throttleReadIOPSDevice", throttles(&asked.blkio_device_read_iops));
    put("throttleWriteIOPSDevice", throttles(&asked.blkio_device_write_iops));
    io
}

/// The numbers of a device of the host. Whether it is there was checked at the door.
fn device_number(path: &str) -> Option<(u32, u32)> {
    let device = rustix::fs::stat(path).ok()?.st_rdev;
    Some((rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Checks what is asked, and takes back what the host can't do; a sentence for each, as Docker words it.
///
/// # Errors
/// `Invalid`, worded as Docker words it.
pub fn check(asked: &mut HostConfig, host: &Host) -> Result<Vec<String>> {
    check_numbers(asked)?;
    let mut warnings = Vec::new();
    let mut lacks = |controller: &str, is_asked: bool, warning: &str| {
        let lacking = is_asked && !host.has_controller(controller);
        if lacking {
            warnings.push(warning.to_owned());
        }
        lacking
    };
    if lacks(
        "memory",
        asked.memory > 0 || asked.memory_reservation > 0,
        "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    ) {
        (asked.memory, asked.memory_swap, asked.memory_reservation) = (0, -1, 0);
    }
    if lacks(
        "pids",
        asked.pids_limit.is_some_and(|limit| limit > 0),
        "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    ) {
        asked.pids_limit = None;
    }
    if lacks(
        "cpu",
        asked.cpu_shares > 0,
        "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
    ) {
        asked.cpu_shares = 0;
    }
    if lacks(
        "cpu",
        asked.cpu_quota != 0 || asked.cpu_period != 0 || asked.nano_cpus != 0,
        "Your kernel does not support CPU CFS quota/period or the cgroup is not mounted. CPU period/quota discarded.",
    ) {
        (asked.cpu_quota, asked.cpu_period, asked.nano_cpus) = (0, 0, 0);
    }
    if lacks(
        "cpuset",
        !asked.cpuset_cpus.is_empty() || !asked.cpuset_mems.is_empty(),
        "Your kernel does not support cpuset or the cgroup is not mounted. CPUset discarded.",
    ) {
        asked.cpuset_cpus.clear();
        asked.cpuset_mems.clear();
    }
    discard_finer(asked, host, &mut warnings);
    Ok(warnings)
}

/// What a controller that is there may lack.
fn discard_finer(asked: &mut HostConfig, host: &Host, warnings: &mut Vec<String>) {
    if asked.memory > 0 && asked.memory_swap != -1 && !host.limits_swap {
        warnings.push(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without \
             swap."
                .into(),
        );
        asked.memory_swap = -1;
    }
    if asked.oom_kill_disable == Some(true) && host.is_unified() {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
        asked.oom_kill_disable = None;
    }
    if asked.memory_swappiness.is_some_and(|it| it >= 0) && host.is_unified() {
        warnings.push(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory \
             swappiness discarded."
                .into(),
        );
        asked.memory_swappiness = None;
    }
    if (asked.blkio_weight != 0 || !asked.blkio_weight_device.is_empty()) && !host.weighs_disks {
        warnings.push(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.".into(),
        );
        asked.blkio_weight = 0;
        asked.blkio_weight_device = Default::default();
    }
}

fn check_numbers(asked: &HostConfig) -> Result<()> {
    let refuse = |wrong: bool, told: &str| if wrong { Err(Error::invalid(told)) } else { Ok(()) };
    refuse(asked.memory != 0 && asked.memory < LEAST_MEMORY, "Minimum memory limit allowed is 6MB")?;
    refuse(
        asked.memory > 0 && asked.memory_swap > 0 && asked.memory_swap < asked.memory,
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    )?;
    refuse(
        asked.memory == 0 && asked.memory_swap > 0,
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    )?;
    refuse(
        asked.memory_swappiness.is_some_and(|it| !(-1..=100).contains(&it)),
        &format!("Invalid value: {}, valid memory swappiness range is 0-100", asked.memory_swappiness.unwrap_or(0)),
    )?;
    refuse(
        asked.memory_reservation > 0 && asked.memory > 0 && asked.memory < asked.memory_reservation,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )?;
    refuse(
        asked.nano_cpus != 0 && (asked.cpu_period != 0 || asked.cpu_quota != 0),
        "Conflicting options: Nano CPUs and CPU Period cannot both be set",
    )?;
    refuse(asked.nano_cpus < 0, "range of CPUs is from 0.01 to the number of processors of the host")?;
    refuse(
        asked.cpu_period != 0 && !(1000..=1_000_000).contains(&asked.cpu_period),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )?;
    refuse(asked.cpu_quota > 0 && asked.cpu_quota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")?;
    refuse(
        asked.blkio_weight != 0 && !(10..=1000).contains(&asked.blkio_weight),
        "Range of blkio weight is from 10 to 1000",
    )?;
    refuse(
        !(-1000..=1000).contains(&asked.oom_score_adj),
        &format!("Invalid value {}, range for oom score adj is [-1000, 1000]", asked.oom_score_adj),
    )?;
    refuse(asked.shm_size < 0, "SHM size can not be less than 0")?;
    refuse(
        !asked.device_requests.is_empty(),
        "could not select device driver with these capabilities: this daemon has no device drivers; use --device",
    )?;
    for set in [&asked.cpuset_cpus, &asked.cpuset_mems] {
        refuse(!is_set(set), &format!("Invalid value {set} for cpuset"))?;
    }
    let disks = asked.blkio_weight_device.iter().map(|it| &it.path);
    let throttles = [
        &asked.blkio_device_read_bps,
        &asked.blkio_device_write_bps,
        &asked.blkio_device_read_iops,
        &asked.blkio_device_write_iops,
    ];
    for path in disks.chain(throttles.into_iter().flatten().map(|it| &it.path)) {
        refuse(device_number(path).is_none(), &format!("no such device: \"{path}\""))?;
    }
    asked.device_cgroup_rules.iter().try_for_each(|rule| read_rule(rule).map(drop))
}

/// Whether it is empty or like `0-3,7`.
fn is_set(text: &str) -> bool {
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|digit| digit.is_ascii_digit());
    text.is_empty() || text.split(',').all(|part| part.split('-').all(is_number) && part.split('-').count() <= 2)
}
