//! Where plugins' files are looked for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::{Definition, PluginName};

/// Where plugins' files are looked for. What stands earlier wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Sockets.
    pub sockets: Vec<PathBuf>,
    /// Files that tell an address.
    pub specs: Vec<PathBuf>,
    /// Dynamic libraries.
    pub libraries: Vec<PathBuf>,
}

impl Default for Folders {
    /// Docker's; for libraries, which Docker has not, our own.
    fn default() -> Self {
        Self {
            sockets: vec!["/run/docker/plugins".into()],
            specs: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
            libraries: vec!["/usr/lib/trestle/plugins".into()],
        }
    }
}

impl Folders {
    /// Docker's for a daemon without root: below the user's own folders, `$XDG_CONFIG_HOME` (or `~/.config`) and `~`.
    pub fn rootless(config_home: &Path, home: &Path) -> Self {
        Self {
            specs: vec![config_home.join("docker/plugins"), home.join(".local/lib/docker/plugins")],
            ..Self::default()
        }
    }

    /// All of them, those of sockets first.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.sockets.iter().chain(&self.specs).chain(&self.libraries).map(PathBuf::as_path)
    }

    /// The file that defines the plugin of that name.
    pub fn find(&self, name: &PluginName) -> Option<Definition> {
        let at = |folder: &PathBuf, ending: &str| {
            let file = format!("{name}.{ending}");
            [folder.join(&file), folder.join(name.as_str()).join(file)]
        };
        let sockets = self.sockets.iter().flat_map(|folder| at(folder, "sock")).filter(|path| is_socket(path));
        let specs = self.specs.iter().flat_map(|folder| ["spec", "json"].into_iter().flat_map(|it| at(folder, it)));
        let libraries = self.libraries.iter().flat_map(|folder| at(folder, "so"));
        let files = specs.chain(libraries).filter(|path| path.is_file());
        sockets.chain(files).next().map(|path| Definition::new(name.clone(), path))
    }

    /// Every plugin that a file defines.
    ///
    /// Files that can't be looked at, and those whose names can't name a plugin, are none.
    pub fn list(&self) -> BTreeMap<PluginName, Definition> {
        let mut names: Vec<PluginName> = Vec::new();
        for folder in self.all() {
            for path in entries(folder) {
                match path.is_dir() {
                    true => names.extend(entries(&path).iter().filter_map(|inner| named(inner, Some(&path)))),
                    false => names.extend(named(&path, None)),
                }
            }
        }
        names.into_iter().filter_map(|name| Some((name.clone(), self.find(&name)?))).collect()
    }
}

/// The plugin that a file could define, by its name. In a folder of its own, the file bears the folder's name.
fn named(path: &Path, folder: Option<&Path>) -> Option<PluginName> {
    let ending = path.extension()?;
    let known = ["sock", "spec", "json", "so"].iter().any(|known| ending == *known);
    let stem = path.file_stem().filter(|stem| known && folder.is_none_or(|it| it.file_name() == Some(stem)))?;
    PluginName::try_from(stem.to_str()?).ok()
}

/// Most files that are looked at in one folder.
const MOST: usize = 4096;

/// What is in a folder; nothing, if it can't be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).take(MOST).collect()
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Host {
        folder: tempfile::TempDir,
        folders: Folders,
    }

    fn host() -> Host {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["run", "etc", "lib", "so"] {
            fs::create_dir(at(name)).unwrap();
        }
        let folders = Folders {
            sockets: vec![at("run")],
            specs: vec![at("etc"), at("lib"), at("missing")],
            libraries: vec![at("so")],
        };
        Host { folder, folders }
    }

    impl Host {
        fn write(&self, file: &str, text: &str) {
            let path = self.folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn bind(&self, file: &str) {
            let path = self.folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            drop(UnixListener::bind(path).unwrap());
        }

        fn found(&self, name: &str) -> Option<String> {
            let definition = self.folders.find(&name.try_into().unwrap())?;
            Some(definition.path.strip_prefix(self.folder.path()).unwrap().display().to_string())
        }
    }

    #[test]
    fn a_name_is_looked_for_in_docker_s_order() {
        let host = host();
        assert_eq!(host.found("weave"), None);
        for file in
            ["lib/weave/weave.json", "lib/weave.json", "lib/weave/weave.spec", "lib/weave.spec", "etc/weave.json"]
        {
            host.write(file, "");
            assert_eq!(host.found("weave").as_deref(), Some(file));
        }
        for file in ["run/weave/weave.sock", "run/weave.sock"] {
            host.bind(file);
            assert_eq!(host.found("weave").as_deref(), Some(file));
        }
    }

    #[test]
    fn every_plugin_is_listed_once() {
        let host = host();
        host.bind("run/socket.sock");
        host.bind("run/nested/nested.sock");
        host.bind("run/nested/other.sock");
        host.write("run/file.sock", "no socket");
        host.write("etc/spec.spec", "");
        host.write("lib/spec.json", "");
        host.write("lib/deep/deep.json", "");
        host.write("lib/deep/deeper/deeper.json", "");
        host.write("lib/README", "");
        host.write("lib/-wrong.spec", "");
        let listed = host.folders.list();
        let names: Vec<&str> = listed.keys().map(PluginName::as_str).collect();
        assert_eq!(names, ["deep", "nested", "socket", "spec"]);
    }

    #[test]
    fn without_root_the_user_s_own_folders_are_looked_into() {
        let folders = Folders::rootless(Path::new("/home/me/.config"), Path::new("/home/me"));
        let specs: Vec<_> = folders.specs.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(specs, ["/home/me/.config/docker/plugins", "/home/me/.local/lib/docker/plugins"]);
    }
}
