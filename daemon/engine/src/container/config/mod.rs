//! What a container was asked to be, in the letter of Docker's Engine API.
//!
//! The body of a request, the record and the answer of inspect are the same types. What has a form of its own (a port, a
//! network mode, a mount) is parsed when it is read, and written again as it was.

mod container;
mod device;
mod endpoint;
pub mod go;
mod health;
mod host;
mod limit;
mod mode;
mod mount;
mod port;
mod restart;

pub use container::Config;
pub use device::{Device, DevicePermissions, ThrottleDevice, WeightDevice};
pub use endpoint::{EndpointIpam, EndpointSettings, NetworkingConfig};
pub use health::{HealthTest, Healthcheck};
pub use host::{HostConfig, LogConfig};
pub use limit::Ulimit;
pub use mode::{CgroupnsMode, IpcMode, NetworkMode, PidMode, UtsMode};
pub use mount::{
    Access, Bind, BindOptions, Mount, MountKind, Source, TmpfsOptions, VolumeDriver, VolumeOptions, VolumesFrom,
};
pub use port::{BindingAddress, BindingPort, HostBinding, Port};
pub use restart::{RestartName, RestartPolicy};

/// Everything that is asked when a container is created.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateRequest {
    /// Its name, without the slash; `None` has the engine make one up.
    pub name: Option<String>,
    /// What runs in it.
    pub config: Config,
    /// What it gets of the host.
    pub host_config: HostConfig,
    /// Which networks it is on.
    pub networking_config: NetworkingConfig,
}
