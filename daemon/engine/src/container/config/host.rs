//! What a container gets of its host: namespaces, networks, mounts, devices, limits.

use super::go::{List, Map, letter};
use super::{
    Bind, CgroupnsMode, Device, HostBinding, IpcMode, Mount, NetworkMode, PidMode, Port, RestartPolicy, ThrottleDevice,
    Ulimit, UtsMode, VolumesFrom, WeightDevice,
};

letter! {
    /// Docker's `HostConfig`. What belongs to Windows is read, told again, and of no effect.
    pub struct HostConfig {
        /// `-v`.
        binds: List<Bind> = "Binds",
        /// Where the command line keeps the id. Kept, and of no effect.
        container_id_file: String = "ContainerIDFile",
        /// Where its output goes.
        log_config: LogConfig = "LogConfig",
        /// Where its network comes from.
        network_mode: NetworkMode = "NetworkMode",
        /// Which of its ports are published where.
        port_bindings: Map<Port, List<HostBinding>> = "PortBindings",
        /// When it is started again.
        restart_policy: RestartPolicy = "RestartPolicy",
        /// Whether it is removed when it ended.
        auto_remove: bool = "AutoRemove",
        /// Who makes its new volumes.
        volume_driver: String = "VolumeDriver",
        /// Whose mounts it gets too.
        volumes_from: List<VolumesFrom> = "VolumesFrom",
        /// Height and width of the terminal at first.
        console_size: Option<[u16; 2]> = "ConsoleSize",
        /// Kept, and told again.
        annotations: Map<String, String> = "Annotations",
        /// Capabilities beside the default ones; `ALL`.
        cap_add: List<String> = "CapAdd",
        /// Capabilities that are taken away; `ALL`.
        cap_drop: List<String> = "CapDrop",
        /// Whose control groups it sees.
        cgroupns_mode: CgroupnsMode = "CgroupnsMode",
        /// Name servers; empty is the daemon's, or the host's.
        dns: List<String> = "Dns",
        /// Options of the resolver.
        dns_options: List<String> = "DnsOptions",
        /// Domains that are searched.
        dns_search: List<String> = "DnsSearch",
        /// `name:address`, for `/etc/hosts`; the address may be `host-gateway`.
        extra_hosts: List<String> = "ExtraHosts",
        /// Groups beside the user's.
        group_add: List<String> = "GroupAdd",
        /// Whose shared memory it sees.
        ipc_mode: IpcMode = "IpcMode",
        /// Kept, and of no effect.
        cgroup: String = "Cgroup",
        /// `container:alias`.
        links: List<String> = "Links",
        /// From -1000, never killed for want of memory, to 1000, first.
        oom_score_adj: i64 = "OomScoreAdj",
        /// Which processes it sees.
        pid_mode: PidMode = "PidMode",
        /// Whether it may do everything.
        privileged: bool = "Privileged",
        /// Whether every exposed port is published.
        publish_all_ports: bool = "PublishAllPorts",
        /// Whether its root can't be written.
        readonly_rootfs: bool = "ReadonlyRootfs",
        /// `no-new-privileges`, `seccomp=…`, `label=…`, `apparmor=…`.
        security_opt: List<String> = "SecurityOpt",
        /// Options of the storage. Kept, and of no effect.
        storage_opt: Map<String, String> = "StorageOpt",
        /// Mounts in memory, by path, with their options.
        tmpfs: Map<String, String> = "Tmpfs",
        /// Whose host name it has.
        uts_mode: UtsMode = "UTSMode",
        /// Kept: user namespaces are not made.
        userns_mode: String = "UsernsMode",
        /// Bytes of `/dev/shm`; 0 is 64 MiB.
        shm_size: i64 = "ShmSize",
        /// Settings of the kernel for its namespaces.
        sysctls: Map<String, String> = "Sysctls",
        /// The OCI runtime's name.
        runtime: String = "Runtime",
        /// Windows.
        isolation: String = "Isolation",
        /// The share of the processors' time among those who want it; 0 is 1024.
        cpu_shares: i64 = "CpuShares",
        /// Bytes of memory; 0 is without limit.
        memory: i64 = "Memory",
        /// Thousand millionths of a processor.
        nano_cpus: i64 = "NanoCpus",
        /// The control group that its own lies in.
        cgroup_parent: String = "CgroupParent",
        /// The share of the disks' time, 10 to 1000.
        blkio_weight: u16 = "BlkioWeight",
        /// The same, of single disks.
        blkio_weight_device: List<WeightDevice> = "BlkioWeightDevice",
        /// Bytes a second read from a disk.
        blkio_device_read_bps: List<ThrottleDevice> = "BlkioDeviceReadBps",
        /// Bytes a second written to a disk.
        blkio_device_write_bps: List<ThrottleDevice> = "BlkioDeviceWriteBps",
        /// Reads a second from a disk.
        blkio_device_read_iops: List<ThrottleDevice> = "BlkioDeviceReadIOps",
        /// Writes a second to a disk.
        blkio_device_write_iops: List<ThrottleDevice> = "BlkioDeviceWriteIOps",
        /// Microseconds in which the quota may be used.
        cpu_period: i64 = "CpuPeriod",
        /// Microseconds of processor a period.
        cpu_quota: i64 = "CpuQuota",
        /// The same, for real time.
        cpu_realtime_period: i64 = "CpuRealtimePeriod",
        /// The same, for real time.
        cpu_realtime_runtime: i64 = "CpuRealtimeRuntime",
        /// The processors it may use: `0-3,7`.
        cpuset_cpus: String = "CpusetCpus",
        /// The memory nodes it may use.
        cpuset_mems: String = "CpusetMems",
        /// The host's devices it may use.
        devices: List<Device> = "Devices",
        /// Rules of the device controller: `c 1:3 mr`.
        device_cgroup_rules: List<String> = "DeviceCgroupRules",
        /// Devices asked of a driver. Refused where any is asked for.
        device_requests: List<serde_json::Value> = "DeviceRequests",
        /// Bytes that it is brought back to when memory is short.
        memory_reservation: i64 = "MemoryReservation",
        /// Bytes of memory and swap together; -1 is without limit, 0 twice the memory.
        memory_swap: i64 = "MemorySwap",
        /// How gladly it is swapped out, 0 to 100; -1 or nothing is the host's.
        memory_swappiness: Option<i64> = "MemorySwappiness",
        /// Whether it is not killed when its memory is used up.
        oom_kill_disable: Option<bool> = "OomKillDisable",
        /// How many processes; 0, -1 or nothing is without limit.
        pids_limit: Option<i64> = "PidsLimit",
        /// Limits of its processes.
        ulimits: List<Ulimit> = "Ulimits",
        /// Windows.
        cpu_count: i64 = "CpuCount",
        /// Windows.
        cpu_percent: i64 = "CpuPercent",
        /// Windows.
        io_maximum_iops: u64 = "IOMaximumIOps",
        /// Windows.
        io_maximum_bandwidth: u64 = "IOMaximumBandwidth",
        /// `--mount`.
        mounts: List<Mount> = "Mounts",
        /// Paths that are hidden; nothing is the default ones.
        masked_paths: List<String> = "MaskedPaths",
        /// Paths that can't be written; nothing is the default ones.
        readonly_paths: List<String> = "ReadonlyPaths",
        /// Whether a small init reaps what the program leaves; nothing is as the daemon says.
        init: Option<bool> = "Init",
    }
}

letter! {
    /// Where a container's output goes.
    pub struct LogConfig {
        /// `json-file`, `syslog`, `none`; empty is the daemon's default.
        driver: String = "Type",
        /// Its options.
        options: Map<String, String> = "Config",
    }
}
