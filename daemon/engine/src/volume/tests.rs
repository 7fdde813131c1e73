use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use trestle_core::entropy::Entropy;
use trestle_core::{ErrorKind, Result};

use super::{Asked, Volume, Volumes};
use crate::image::fixture::Still;

/// Other bytes each time.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn open(folder: &Path) -> Volumes {
    Volumes::open(folder.to_owned(), Arc::new(Still), Arc::new(Counting::default())).unwrap()
}

fn named(volumes: &Volumes, name: &str, options: &[(&str, &str)]) -> Result<Volume> {
    let options: BTreeMap<_, _> = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = (!options.is_empty()).then_some(options);
    Ok(volumes.create(Asked { name: Some(name.into()), options, ..Asked::default() })?.0)
}

#[test]
fn a_volume_is_there_after_a_restart_and_leftovers_are_not() {
    let place = tempfile::tempdir().unwrap();
    let made = named(&open(place.path()), "data", &[]).unwrap();
    fs::write(made.mountpoint.join("file"), "content").unwrap();
    fs::create_dir_all(place.path().join(".new-half/_data")).unwrap();
    let volumes = open(place.path());
    assert_eq!(volumes.find("data").unwrap(), made);
    assert_eq!(fs::read_to_string(made.mountpoint.join("file")).unwrap(), "content");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    assert_eq!(volumes.size(&made), 7);
}

#[test]
fn one_without_a_name_is_anonymous_and_one_that_is_there_is_found() {
    let place = tempfile::tempdir().unwrap();
    let volumes = open(place.path());
    let (one, other) = (volumes.create(Asked::default()).unwrap(), volumes.create(Asked::default()).unwrap());
    assert!(one.0.is_anonymous() && one.0.name.len() == 64 && one.0.name != other.0.name);
    assert!(!named(&volumes, "data", &[]).unwrap().is_anonymous());
    let again = volumes.create(Asked { name: Some("data".into()), ..Asked::default() }).unwrap();
    assert!(!again.1);
    let pruned = volumes.prune(&Volume::is_anonymous).unwrap();
    assert_eq!(pruned, (vec![one.0.name, other.0.name], 0));
    assert_eq!(volumes.all().len(), 1);
}

#[test]
fn one_that_a_container_has_is_not_removed() {
    let place = tempfile::tempdir().unwrap();
    let volumes = open(place.path());
    named(&volumes, "data", &[]).unwrap();
    volumes.hold("data", "one").unwrap();
    volumes.hold("data", "two").unwrap();
    let error = volumes.remove("data", true).unwrap_err();
    assert_eq!(error.to_string(), "remove data: volume is in use - [one, two]");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(volumes.prune(&|_| true).unwrap().0, Vec::<String>::new());
    volumes.release("data", "one");
    volumes.release("data", "two");
    assert!(volumes.remove("data", false).unwrap());
    assert_eq!(volumes.remove("data", false).unwrap_err().to_string(), "get data: no such volume");
    assert!(!volumes.remove("data", true).unwrap());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn what_can_t_be_a_volume_is_refused_in_docker_s_words() {
    let place = tempfile::tempdir().unwrap();
    let volumes = open(place.path());
    let refused = |name: &str, options: &[(&str, &str)]| named(&volumes, name, options).unwrap_err();
    for name in ["../x", "/x", ".x", "a b", "é", "-x"] {
        assert!(
            refused(name, &[]).to_string().contains("includes invalid characters for a local volume name"),
            "{name}"
        );
    }
    assert!(refused("x", &[]).to_string().contains("volume name is too short"));
    assert_eq!(refused("data", &[("colour", "red")]).to_string(), "create data: invalid option: \"colour\"");
    let lacking = refused("data", &[("type", "tmpfs")]).to_string();
    assert_eq!(lacking, "create data: missing required option: \"device\"");
    let nfs = refused("data", &[("type", "nfs"), ("device", ":/x"), ("o", "addr=10.0.0.1")]);
    assert_eq!(nfs.kind(), ErrorKind::Unsupported, "{nfs}");
    let driver = volumes.create(Asked { driver: "far".into(), name: Some("data".into()), ..Asked::default() });
    let told = "create data: error looking up volume plugin far: plugin \"far\" not found";
    assert_eq!(driver.unwrap_err().to_string(), told);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn memory_and_other_folders_are_mounted_as_long_as_containers_use_them() {
    let place = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("file"), "the host's").unwrap();
    let volumes = open(place.path());
    let from = other.path().to_str().unwrap();
    let bound = named(&volumes, "bound", &[("type", "none"), ("device", from), ("o", "bind,ro")]).unwrap();
    let memory =
        named(&volumes, "memory", &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=700")]).unwrap();
    for name in ["bound", "memory"] {
        volumes.mount(name, "one").unwrap();
        volumes.mount(name, "two").unwrap();
    }
    // One that starts anew finds them mounted.
    let volumes = open(place.path());
    for name in ["bound", "memory"] {
        volumes.mount(name, "one").unwrap();
    }
    assert_eq!(fs::read_to_string(bound.mountpoint.join("file")).unwrap(), "the host's");
    assert!(fs::write(bound.mountpoint.join("file"), "").is_err(), "it is read-only");
    assert_eq!(fs::metadata(&memory.mountpoint).unwrap().mode() & 0o777, 0o700);
    for name in ["bound", "memory"] {
        volumes.unmount(name, "one").unwrap();
        volumes.remove(name, false).unwrap();
    }
    assert_eq!(fs::read_to_string(other.path().join("file")).unwrap(), "the host's");
    assert!(!bound.mountpoint.exists());
}

#[test]
fn a_new_volume_gets_what_the_image_has_with_owners_and_modes_and_only_once() {
    let place = tempfile::tempdir().unwrap();
    let image = tempfile::tempdir().unwrap();
    let from = image.path().join("srv");
    fs::create_dir_all(from.join("inner")).unwrap();
    fs::write(from.join("inner/file"), "content").unwrap();
    fs::hard_link(from.join("inner/file"), from.join("again")).unwrap();
    symlink("inner/file", from.join("link")).unwrap();
    std::os::unix::fs::chown(from.join("inner/file"), Some(12), Some(34)).unwrap();
    fs::set_permissions(from.join("inner/file"), fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::chown(&from, Some(56), Some(78)).unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o1777)).unwrap();
    let volumes = open(place.path());
    let volume = named(&volumes, "data", &[]).unwrap();
    volumes.fill("data", &from).unwrap();
    let root = fs::metadata(&volume.mountpoint).unwrap();
    assert_eq!((root.uid(), root.gid(), root.mode() & 0o7777), (56, 78, 0o1777));
    let file = fs::metadata(volume.mountpoint.join("inner/file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (12, 34, 0o4750));
    assert_eq!(file.ino(), fs::metadata(volume.mountpoint.join("again")).unwrap().ino());
    assert_eq!(fs::read_link(volume.mountpoint.join("link")).unwrap(), Path::new("inner/file"));
    fs::write(from.join("later"), "").unwrap();
    volumes.fill("data", &from).unwrap();
    assert!(!volume.mountpoint.join("later").exists(), "what is not empty is left as it is");
}
