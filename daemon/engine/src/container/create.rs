//! Making a container: a record of what was asked and what the image adds, and nothing else yet.

use std::path::PathBuf;
use std::sync::Arc;

use trestle_core::id::ContainerId;
use trestle_core::{Doing, Error, Result, failpoint};

use super::config::{
    Access, Bind, Config, CreateRequest, HostConfig, HostConfig as Asked, Mount, MountKind, Source, VolumesFrom,
};
use super::containers::{Containers, blocking};
use super::live::Container;
use super::name::ContainerName;
use super::record::{LogDriver, MountPoint, MountPointKind, Record, SCHEMA};
use super::signal;
use super::state::State;
use crate::image::Digest;
use crate::runtime::spec;

/// A container that was made, and what of the request could not be had.
pub struct Created {
    /// The container.
    pub container: Arc<Container>,
    /// A sentence for each wish that the kernel can't fulfil.
    pub warnings: Vec<String>,
}

impl Containers {
    /// Makes a container.
    ///
    /// # Errors
    /// `NotFound` for an unknown image, `Conflict` for a name that is taken, `Invalid` for what contradicts itself; all
    /// worded as Docker words them.
    pub async fn create(&self, request: CreateRequest) -> Result<Created> {
        let CreateRequest { name, mut config, mut host_config, networking_config } = request;
        if config.image.is_empty() {
            return Err(Error::invalid("No image was specified: give the container an image"));
        }
        let image = self.0.options.images.find(&config.image)?;
        let from_image = serde_json::to_value(&image.configuration.config).and_then(serde_json::from_value);
        let from_image: Config =
            from_image.map_err(|error| Error::invalid(format!("the configuration of {}: {error}", config.image)))?;
        merge(&mut config, from_image);
        check(&config, &host_config)?;
        let log_driver = log_driver(&host_config)?;
        let warnings = spec::check(&mut host_config, self.host())?;
        fill_in(&mut host_config);
        let mounts = self.mount_points(&config, &host_config)?;
        let id = self.new_id();
        let _names = self.0.naming.lock().await;
        let name = self.new_name(name)?;
        let mut record = Record {
            schema: SCHEMA,
            id,
            name,
            created: self.0.options.clock.now(),
            image: image.id.to_string(),
            layers: image.layers.clone(),
            config,
            host_config,
            networking: networking_config,
            mounts,
            state: State::Created { failure: None },
            restarts: 0,
            stopped: false,
            log_driver,
        };
        if record.config.hostname.is_empty() && record.host_config.network_mode.is_private() {
            record.config.hostname = record.short();
        }
        spec::check_security(&record)?;
        if record.command().is_empty() {
            return Err(Error::invalid("no command specified"));
        }
        self.0.options.images.hold(&image.id, &id.to_string())?;
        let records = self.0.records.clone();
        let stored = blocking(move || records.write(&record).map(|()| record)).await;
        let record = match stored {
            Ok(record) => record,
            Err(error) => {
                self.release_image(&image.id, id);
                return Err(error);
            }
        };
        failpoint!("engine.container-created");
        self.tell(&record, "create", &[]);
        let container = Arc::new(Container::new(record));
        self.shelf().insert(id, Arc::clone(&container));
        Ok(Created { container, warnings })
    }

    /// Tells the images what the containers of an earlier daemon hold.
    ///
    /// # Errors
    /// `Internal` for images that can't be swept.
    pub fn hold_images(&self) -> Result<()> {
        for container in self.list() {
            let record = container.record();
            let held =
                record.image.parse::<Digest>().and_then(|id| self.0.options.images.hold(&id, &record.id.to_string()));
            if let Err(error) = held {
                tracing::error!(%error, container = %record.id, "the image of a container is gone");
            }
        }
        self.0.options.images.forget_unheld()
    }

    /// Lets go of what a container holds that others may use.
    pub(super) async fn release_held(&self, record: &Record, _volumes: bool) -> Result<()> {
        let (images, image, id) = (self.0.options.images.clone(), record.image.parse::<Digest>()?, record.id);
        blocking(move || images.release(&image, &id.to_string())).await.doing(|| format!("releasing image {image}"))
    }

    fn release_image(&self, image: &Digest, id: ContainerId) {
        if let Err(error) = self.0.options.images.release(image, &id.to_string()) {
            tracing::error!(%error, "an image is held by no container");
        }
    }

    /// An id whose first digits no other has: they name folders.
    pub(super) fn new_id(&self) -> ContainerId {
        loop {
            let id = ContainerId::random(self.0.options.entropy.as_ref());
            if self.shelf().keys().all(|other| other.short() != id.short()) {
                return id;
            }
        }
    }

    fn new_name(&self, wanted: Option<String>) -> Result<ContainerName> {
        if let Some(wanted) = wanted {
            let name = ContainerName::try_from(wanted)?;
            return self.check_free(&name).map(|()| name);
        }
        let mut names = (0..).map(|attempt| ContainerName::invented(self.0.options.entropy.as_ref(), attempt));
        let free = names.find(|name| self.check_free(name).is_ok());
        Ok(free.expect("names don't end"))
    }

    /// What is mounted: what others have, what is asked, and what the image has volumes for.
    fn mount_points(&self, config: &Config, asked: &Asked) -> Result<Vec<MountPoint>> {
        let mut points: Vec<MountPoint> = Vec::new();
        let mut add = |point: MountPoint| {
            points.retain(|it| it.destination != point.destination);
            points.push(point);
        };
        for from in &asked.volumes_from {
            self.points_of(from)?.into_iter().for_each(&mut add);
        }
        let mut seen: Vec<&str> = Vec::new();
        let targets = asked.binds.iter().map(|it| it.destination.as_str());
        for target in targets
            .chain(asked.mounts.iter().map(|it| it.target.as_str()))
            .chain(asked.tmpfs.keys().map(String::as_str))
        {
            if seen.contains(&target) {
                return Err(Error::invalid(format!("Duplicate mount point: {target}")));
            }
            seen.push(target);
        }
        for bind in &asked.binds {
            add(bind_point(bind)?);
        }
        for mount in &asked.mounts {
            add(mount_point(mount)?);
        }
        for (path, options) in asked.tmpfs.iter() {
            let options = options.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
            add(MountPoint {
                kind: MountPointKind::Tmpfs { options },
                source: PathBuf::new(),
                destination: path.clone(),
                read_only: false,
                propagation: String::new(),
                mode: String::new(),
            });
        }
        let uncovered = config.volumes.keys().find(|path| points.iter().all(|it| it.destination != **path));
        match uncovered {
            Some(path) => Err(volumes_are_missing(path)),
            None => Ok(points),
        }
    }

    fn points_of(&self, from: &VolumesFrom) -> Result<Vec<MountPoint>> {
        let mut points = self.find(&from.container)?.record().mounts.clone();
        points.retain(|it| !matches!(it.kind, MountPointKind::Tmpfs { .. }));
        if from.access == Some(Access::ReadOnly) {
            points.iter_mut().for_each(|it| it.read_only = true);
        }
        Ok(points)
    }
}

fn volumes_are_missing(destination: &str) -> Error {
    Error::unsupported(format!(
        "this daemon can't give a container a volume yet (at {destination}); a folder of the host it can: --volume \
         /folder:{destination}"
    ))
}

/// A folder of the host that is missing is made, as Docker does for `-v`.
fn bind_point(bind: &Bind) -> Result<MountPoint> {
    let Source::Path(source) = &bind.source else { return Err(volumes_are_missing(&bind.destination)) };
    let source = PathBuf::from(source);
    if !source.exists() {
        std::fs::create_dir_all(&source).map_err(|cause| {
            Error::invalid(format!("error while creating mount source path '{}': {cause}", source.display()))
        })?;
    }
    Ok(MountPoint {
        kind: MountPointKind::Bind,
        source,
        destination: bind.destination.clone(),
        read_only: bind.access == Access::ReadOnly,
        propagation: bind.propagation.clone().unwrap_or_else(|| "rprivate".into()),
        mode: bind.mode().to_owned(),
    })
}

fn mount_point(mount: &Mount) -> Result<MountPoint> {
    let point = |kind, source: PathBuf, propagation: String| MountPoint {
        kind,
        source,
        destination: mount.target.clone(),
        read_only: mount.read_only,
        propagation,
        mode: String::new(),
    };
    match mount.kind {
        MountKind::Volume => Err(volumes_are_missing(&mount.target)),
        MountKind::Bind => {
            let source = PathBuf::from(&mount.source);
            if !source.exists() {
                return Err(Error::invalid(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mount.source
                )));
            }
            let propagation = mount.bind_options.as_ref().map(|it| it.propagation.clone()).filter(|it| !it.is_empty());
            Ok(point(MountPointKind::Bind, source, propagation.unwrap_or_else(|| "rprivate".into())))
        }
        MountKind::Tmpfs => {
            let asked = mount.tmpfs_options.clone().unwrap_or_default();
            let mut options = Vec::new();
            if asked.size_bytes != 0 {
                options.push(format!("size={}", asked.size_bytes));
            }
            if asked.mode != 0 {
                options.push(format!("mode={:o}", asked.mode));
            }
            options.extend(asked.options.iter().map(|words| words.join("=")));
            Ok(point(MountPointKind::Tmpfs { options }, PathBuf::new(), String::new()))
        }
    }
}

/// Checks what can be told without looking at anything else.
fn check(config: &Config, asked: &HostConfig) -> Result<()> {
    signal::parse(&config.stop_signal)?;
    if let Some(check) = &config.healthcheck {
        check.check()?;
        if check.test()?.is_some() {
            return Err(Error::unsupported(
                "this daemon makes no health checks yet; create the container with --no-healthcheck",
            ));
        }
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    asked.restart_policy.check()?;
    if asked.auto_remove && asked.restart_policy.name != super::config::RestartName::No {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    if let Some(variable) = config.env.iter().find(|it| it.is_empty() || it.starts_with('=')) {
        return Err(Error::invalid(format!("invalid environment variable: {variable}")));
    }
    asked.mounts.iter().try_for_each(Mount::check)
}

fn log_driver(asked: &HostConfig) -> Result<LogDriver> {
    match asked.log_config.driver.as_str() {
        "" | "json-file" | "local" => Ok(LogDriver::JsonFile),
        "none" => Ok(LogDriver::None),
        other => Err(Error::invalid(format!(
            "logger: no log driver named '{other}' is registered: this daemon has json-file, local and none"
        ))),
    }
}

/// What nobody said, as Docker tells it then.
fn fill_in(asked: &mut HostConfig) {
    if asked.log_config.driver.is_empty() {
        asked.log_config.driver = "json-file".into();
    }
    asked.log_config.options = std::mem::take(&mut asked.log_config.options).or_empty();
    asked.port_bindings = std::mem::take(&mut asked.port_bindings).or_empty();
    if asked.shm_size == 0 {
        asked.shm_size = 64 << 20;
    }
    if asked.runtime.is_empty() {
        asked.runtime = "runc".into();
    }
}

/// Fills in from the image what the request does not say.
fn merge(config: &mut Config, image: Config) {
    let text = |own: &mut String, other: String| {
        if own.is_empty() {
            *own = other;
        }
    };
    text(&mut config.user, image.user);
    text(&mut config.working_dir, image.working_dir);
    text(&mut config.stop_signal, image.stop_signal);
    if config.entrypoint.is_empty() {
        if config.cmd.is_empty() {
            config.cmd = image.cmd;
        }
        if config.entrypoint.is_null() {
            config.entrypoint = image.entrypoint;
        }
    }
    // An empty word takes the image's away.
    if config.entrypoint.first().is_some_and(String::is_empty) && config.entrypoint.len() == 1 {
        config.entrypoint = Vec::new().into();
    }
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let missing: Vec<String> =
        image.env.iter().filter(|it| config.env.iter().all(|own| name(own) != name(it))).cloned().collect();
    if !missing.is_empty() {
        config.env.to_mut().extend(missing);
    }
    for (key, value) in image.labels.iter() {
        config.labels.to_mut().entry(key.clone()).or_insert_with(|| value.clone());
    }
    config.labels = std::mem::take(&mut config.labels).or_empty();
    for port in image.exposed_ports.keys() {
        config.exposed_ports.to_mut().insert(*port, Default::default());
    }
    for path in image.volumes.keys() {
        config.volumes.to_mut().insert(path.clone(), Default::default());
    }
    match &mut config.healthcheck {
        None => config.healthcheck = image.healthcheck,
        Some(own) if own.test.is_empty() => {
            if let Some(theirs) = image.healthcheck {
                own.test = theirs.test;
            }
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(own: serde_json::Value, image: serde_json::Value) -> Config {
        let mut config: Config = serde_json::from_value(own).unwrap();
        merge(&mut config, serde_json::from_value(image).unwrap());
        config
    }

    #[test]
    fn the_image_fills_in_what_the_request_does_not_say() {
        let image = json!({ "Cmd": ["sh"], "Entrypoint": ["/init"], "Env": ["A=1", "B=1"], "User": "web" });
        let plain = merged(json!({ "Env": ["A=2"] }), image.clone());
        assert_eq!((&plain.cmd[..], &plain.entrypoint[..]), (&["sh".to_owned()][..], &["/init".to_owned()][..]));
        assert_eq!(plain.env[..], ["A=2", "B=1"]);
        assert_eq!(plain.user, "web");
        let own_command = merged(json!({ "Cmd": ["ls"] }), image.clone());
        assert_eq!(
            (&own_command.cmd[..], &own_command.entrypoint[..]),
            (&["ls".to_owned()][..], &["/init".to_owned()][..])
        );
        let own_entry = merged(json!({ "Entrypoint": ["/x"] }), image.clone());
        assert!(own_entry.cmd.is_empty());
        let none = merged(json!({ "Entrypoint": [""], "Cmd": ["ls"] }), image);
        assert_eq!((&none.cmd[..], none.entrypoint.len()), (&["ls".to_owned()][..], 0));
    }
}
