//! The daemon's folders, and who may enter them: nobody, but for those that a socket lies in.
//!
//! A folder that is there stays as its maker left it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;

use trestle_core::{Error, Result};

use crate::config::{Host, Settings};

/// Makes data root and exec root, where they are not there; `group` is the one that may use the sockets.
pub fn make(settings: &Settings, group: u32) -> Result<()> {
    for root in [&settings.data_root, &settings.exec_root] {
        let has_socket = settings.hosts.iter().any(|host| matches!(host, Host::Unix(path) if path.starts_with(root)));
        match has_socket {
            true => enterable(root, group)?,
            false => private(root)?,
        }
    }
    Ok(())
}

/// A folder that members of the group may enter, to reach what they know the name of; they can't list it.
pub fn enterable(folder: &Path, group: u32) -> Result<()> {
    let made = born(folder).and_then(|is_new| match is_new {
        true => {
            chown(folder, None, Some(group)).and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o710)))
        }
        false => Ok(()),
    });
    made.map_err(|error| unusable(folder, &error))
}

fn private(folder: &Path) -> Result<()> {
    born(folder).map(drop).map_err(|error| unusable(folder, &error))
}

/// Makes it for its owner alone; whether it is new. Folders above it are made as anybody would.
fn born(folder: &Path) -> io::Result<bool> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Error {
    Error::internal(format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::Flags;

    fn settings(folder: &TempDir, hosts: Vec<Host>) -> Settings {
        let config_file = folder.path().join("daemon.json");
        fs::write(&config_file, "{}").unwrap();
        let (data_root, exec_root) = (folder.path().join("a/data"), folder.path().join("b/exec"));
        Settings::load(Flags {
            config_file: Some(config_file),
            data_root: Some(data_root),
            exec_root: Some(exec_root),
            hosts,
            ..Flags::default()
        })
        .unwrap()
    }

    fn mode(folder: &Path) -> u32 {
        fs::metadata(folder).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn only_who_may_use_the_socket_may_enter_its_folder_and_nobody_the_other() {
        let folder = TempDir::new().unwrap();
        let own = rustix::process::getgid().as_raw();
        let settings = settings(&folder, Vec::new());
        make(&settings, own).unwrap();
        assert_eq!((mode(&settings.data_root), mode(&settings.exec_root)), (0o700, 0o710));
    }

    #[test]
    fn an_exec_root_without_a_socket_is_nobody_s_to_enter() {
        let folder = TempDir::new().unwrap();
        let settings = settings(&folder, vec![Host::Unix(folder.path().join("x.sock")), Host::Activation]);
        make(&settings, 0).unwrap();
        assert_eq!((mode(&settings.data_root), mode(&settings.exec_root)), (0o700, 0o700));
    }

    #[test]
    fn a_folder_that_is_there_stays_as_its_maker_left_it() {
        let folder = TempDir::new().unwrap();
        let settings = settings(&folder, Vec::new());
        for root in [&settings.data_root, &settings.exec_root] {
            fs::create_dir_all(root).unwrap();
            fs::set_permissions(root, Permissions::from_mode(0o751)).unwrap();
        }
        make(&settings, 0).unwrap();
        assert_eq!((mode(&settings.data_root), mode(&settings.exec_root)), (0o751, 0o751));
    }
}
