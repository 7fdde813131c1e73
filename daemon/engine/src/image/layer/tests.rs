use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;
use tar::EntryType;
use tempfile::TempDir;

use super::store::{Layers, Pin};
use crate::image::digest::Digest;
use crate::image::fixture::{Tar, header};

struct Place {
    folder: TempDir,
    layers: Layers,
}

impl Place {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(folder: TempDir) -> Self {
        let unfinished = folder.path().join("unfinished");
        fs::create_dir(&unfinished).unwrap();
        let layers = Layers::open(folder.path().join("layers"), unfinished).unwrap();
        Self { folder, layers }
    }

    fn add(&self, archive: &[u8]) -> trestle_core::Result<Pin> {
        self.layers.add(&mut &*archive, None)
    }

    /// Unpacks it, and shows that it is written again to the byte.
    fn tree(&self, archive: &[u8]) -> std::path::PathBuf {
        let pin = self.add(archive).unwrap();
        assert_eq!(pin.diff_id(), Digest::of(archive));
        let mut written = Vec::new();
        self.layers.write_archive(pin.diff_id(), &mut written).unwrap();
        assert!(written == archive, "the archive is written as it came");
        self.layers.tree(pin.diff_id())
    }

    fn refused(&self, archive: &[u8]) -> String {
        let error = self.add(archive).unwrap_err();
        assert_eq!(error.kind(), trestle_core::ErrorKind::Invalid, "{error}");
        let left = fs::read_dir(self.folder.path().join("unfinished")).unwrap().count();
        assert_eq!(left, 0, "what was refused leaves nothing");
        error.to_string()
    }
}

#[test]
fn owners_modes_times_and_attributes_are_kept() {
    let place = Place::new();
    let mut tar = Tar::new().folder("bin", 0o1777);
    let mut program = header(EntryType::Regular, 0o4755);
    program.set_uid(1234);
    program.set_gid(56);
    program.set_size(2);
    tar = tar.pax(&[("SCHILY.xattr.user.origin", b"a test"), ("mtime", b"1000000000.5")]);
    tar.append(program, "bin/program", b"hi");
    let tree = place.tree(&tar.symlink("bin/link", "/etc/../../shadow").finish());
    let folder = fs::metadata(tree.join("bin")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o1777, 1_000_000_000));
    let program = fs::metadata(tree.join("bin/program")).unwrap();
    assert_eq!((program.mode() & 0o7777, program.uid(), program.gid()), (0o4755, 1234, 56));
    assert_eq!((program.mtime(), program.mtime_nsec()), (1_000_000_000, 500_000_000));
    let mut value = [0; 16];
    let length = rustix::fs::lgetxattr(tree.join("bin/program"), "user.origin", &mut value).unwrap();
    assert_eq!(&value[..length], b"a test");
    assert_eq!(fs::read_link(tree.join("bin/link")).unwrap(), Path::new("/etc/../../shadow"));
}

#[test]
fn whiteouts_become_what_overlayfs_understands() {
    let place = Place::new();
    let tree = place.tree(
        &Tar::new()
            .file("gone/.wh.file", "")
            .file("opaque/.wh..wh..opq", "")
            .file(".wh.both", "")
            .folder("both", 0o755)
            .file("kept", "here")
            .file(".wh.kept", "")
            .file(".wh..wh.plnk", "")
            .finish(),
    );
    let whiteout = fs::symlink_metadata(tree.join("gone/file")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    for folder in ["opaque", "both"] {
        let mut value = [0; 4];
        let length = rustix::fs::lgetxattr(tree.join(folder), "trusted.overlay.opaque", &mut value).unwrap();
        assert_eq!(&value[..length], b"y", "{folder}");
    }
    assert_eq!(fs::read_to_string(tree.join("kept")).unwrap(), "here");
    let names: Vec<_> = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".wh.")), "{names:?}");
}

#[test]
fn an_archive_has_no_say_in_what_overlayfs_believes() {
    let place = Place::new();
    let archive = Tar::new().pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/other")]).folder("folder", 0o755);
    let tree = place.tree(&archive.finish());
    let mut value = [0; 16];
    assert!(rustix::fs::lgetxattr(tree.join("folder"), "trusted.overlay.redirect", &mut value).is_err());
}

#[test]
fn devices_pipes_and_hard_links_are_made() {
    let place = Place::new();
    let mut tar = Tar::new();
    let mut null = header(EntryType::Char, 0o666);
    null.set_device_major(1).unwrap();
    null.set_device_minor(3).unwrap();
    tar.append(null, "dev/null", &[]);
    tar.append(header(EntryType::Fifo, 0o600), "dev/pipe", &[]);
    let tree = place.tree(&tar.file("one", "content").hardlink("dev/two", "/one").finish());
    let null = fs::metadata(tree.join("dev/null")).unwrap();
    assert_eq!((null.rdev(), null.permissions().mode() & 0o777), (rustix::fs::makedev(1, 3), 0o666));
    assert!(fs::metadata(tree.join("dev/pipe")).unwrap().file_type().is_fifo());
    let inode = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("dev/two"));
}

#[test]
fn what_a_later_entry_replaces_is_in_the_archive_still() {
    let place = Place::new();
    let archive = Tar::new()
        .file("a", "first")
        .folder("b", 0o755)
        .file("b/c", "deep")
        .file("a", "second")
        .file("b", "a file now")
        .hardlink("d", "a")
        .symlink("a", "b")
        .finish();
    let tree = place.tree(&archive);
    assert_eq!(fs::read_to_string(tree.join("b")).unwrap(), "a file now");
    assert_eq!(fs::read_to_string(tree.join("d")).unwrap(), "second");
    assert_eq!(fs::read_link(tree.join("a")).unwrap(), Path::new("b"));
}

#[test]
fn long_names_and_sparse_files_come_through() {
    let place = Place::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let tree = place.tree(&Tar::new().pax(&[("path", long.as_bytes())]).file("short", "content").finish());
    assert_eq!(fs::read_to_string(tree.join(long)).unwrap(), "content");

    let mut sparse = header(EntryType::GNUSparse, 0o644);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize[..12].copy_from_slice(b"00004000000\0");
    gnu.sparse[0].offset[..12].copy_from_slice(b"00003777776\0");
    gnu.sparse[0].numbytes[..12].copy_from_slice(b"00000000002\0");
    sparse.set_size(2);
    let mut tar = Tar::new();
    tar.append(sparse, "holes", b"hi");
    let tree = place.tree(&tar.finish());
    let holes = fs::metadata(tree.join("holes")).unwrap();
    assert_eq!(holes.len(), 1 << 20);
    assert!(holes.blocks() < 64, "holes take no place");
}

#[test]
fn nothing_is_written_outside_of_the_tree() {
    let place = Place::new();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "as it was").unwrap();
    let out = outside.to_str().unwrap();
    let tree = place.tree(&Tar::new().symlink("way", out).folder(&out[1..], 0o755).file("way/victim", "new").finish());
    assert_eq!(
        fs::read_to_string(tree.join(&out[1..]).join("victim")).unwrap(),
        "new",
        "the tree is the root of links"
    );
    place.refused(&Tar::new().file("../../outside/victim", "new").finish());
    place.refused(&Tar::new().symlink("way", out).file("way/victim", "new").finish());
    place.refused(&Tar::new().hardlink("mine", &format!("{out}/victim")).finish());
    place.refused(&Tar::new().hardlink("mine", "../../outside/victim").finish());
    place.refused(&Tar::new().symlink("up", "../../../../../..").hardlink("mine", &format!("up{out}/victim")).finish());
    place.tree(&Tar::new().file(&format!("{out}/victim"), "new").finish());
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "as it was");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn what_can_t_be_a_layer_is_refused_with_its_entry() {
    let place = Place::new();
    assert!(place.refused(b"no archive, but long enough to be a header of one").contains("reading the archive"));
    assert!(place.refused(&Tar::new().file(".wh...", "").finish()).contains("it hides nothing"));
    assert!(place.refused(&Tar::new().file("a", "").file("a/b", "").finish()).contains("a/b"));
    assert!(place.refused(&Tar::new().symlink("a", "a").file("a/b", "").finish()).contains("a/b"));
    let endless = vec![b'x'; 5 << 20];
    let archive = Tar::new().pax(&[("comment", &endless)]).file("a", "").finish();
    assert!(place.refused(&archive).contains("headers of an entry are longer"));
    let mut cut = Tar::new().file("a", "content").finish();
    cut.truncate(515);
    place.refused(&cut);
}

#[test]
fn a_layer_that_is_needed_is_not_swept() {
    let place = Place::new();
    let archive = Tar::new().file("a", "content").finish();
    let pin = place.add(&archive).unwrap();
    let diff_id = pin.diff_id();
    assert_eq!(place.layers.sweep(diff_id, || false).unwrap(), None);
    drop(pin);
    assert_eq!(place.layers.sweep(diff_id, || true).unwrap(), None);
    assert_eq!(place.layers.sweep(diff_id, || false).unwrap(), Some(7));
    assert_eq!(place.layers.all().unwrap(), []);
}

#[test]
fn a_layer_that_was_changed_on_the_disk_is_not_written_as_if_it_were_whole() {
    let place = Place::new();
    let pin = place.add(&Tar::new().file("a", "content").finish()).unwrap();
    fs::write(place.layers.tree(pin.diff_id()).join("a"), "changed").unwrap();
    let error = place.layers.write_archive(pin.diff_id(), &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("was changed on the disk"), "{error}");
}

/// One entry as a stranger may write it.
#[derive(Clone, Debug)]
enum Strange {
    File(String, u8),
    Folder(String),
    Symlink(String, String),
    Hardlink(String, String),
}

fn strange_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just(".."), Just("."), Just(""), Just(".wh.a"), Just(".wh..wh..opq")];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn strange_entry() -> impl Strategy<Value = Strange> {
    prop_oneof![
        (strange_path(), any::<u8>()).prop_map(|(path, content)| Strange::File(path, content)),
        strange_path().prop_map(Strange::Folder),
        (strange_path(), strange_path()).prop_map(|(path, target)| Strange::Symlink(path, target)),
        (strange_path(), strange_path()).prop_map(|(path, target)| Strange::Hardlink(path, target)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_archive_says_it_is_taken_whole_or_refused_and_stays_inside(
        entries in prop::collection::vec(strange_entry(), 1..12),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        // In memory, where syncing costs nothing.
        let place = Place::within(tempfile::tempdir_in("/dev/shm").unwrap());
        fs::write(place.folder.path().join("a"), "as it was").unwrap();
        let mut tar = Tar::new();
        for entry in &entries {
            tar = match entry {
                Strange::File(path, content) => tar.bytes(path, &vec![*content; usize::from(*content)]),
                Strange::Folder(path) => tar.folder(path, 0o755),
                Strange::Symlink(path, target) => tar.symlink(path, target),
                Strange::Hardlink(path, target) => tar.hardlink(path, target),
            };
        }
        let mut archive = tar.finish();
        if let Some((index, byte)) = damage {
            let index = index.index(archive.len());
            archive[index] = byte;
        }
        match place.add(&archive) {
            Ok(pin) => {
                let mut written = Vec::new();
                place.layers.write_archive(pin.diff_id(), &mut written).unwrap();
                prop_assert!(written == archive);
            }
            Err(_) => prop_assert_eq!(fs::read_dir(place.folder.path().join("unfinished")).unwrap().count(), 0),
        }
        prop_assert_eq!(fs::read_to_string(place.folder.path().join("a")).unwrap(), "as it was");
        prop_assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 3);
    }
}
