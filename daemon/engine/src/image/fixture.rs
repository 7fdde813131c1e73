//! Archives and images for tests.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tar::{Builder, EntryType, Header};
use trestle_core::surroundings::{Clock, Task};

use super::{Digest, Images, Platform, Progress};

/// A clock that stands still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn sleep(&self, _length: Duration) -> Task {
        Box::pin(std::future::ready(()))
    }
}

pub(crate) fn images(folder: &Path) -> Images {
    Images::open(folder.to_owned(), Arc::new(Still)).unwrap()
}

/// Builds an archive entry by entry.
pub(crate) struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.bytes(path, content.as_bytes())
    }

    pub(crate) fn bytes(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(content.len() as u64);
        self.append(header, path, content);
        self
    }

    pub(crate) fn folder(mut self, path: &str, mode: u32) -> Self {
        self.append(header(EntryType::Directory, mode), path, &[]);
        self
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Link, path, target)
    }

    fn link(mut self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = header(kind, 0o777);
        // As told, without what `tar` would make of it.
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.append(header, path, &[]);
        self
    }

    /// An entry as its header tells it, under a name that may be anything of at most 100 bytes.
    pub(crate) fn append(&mut self, mut header: Header, path: &str, content: &[u8]) {
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
    }

    /// Extended attributes and the like for the entry that follows.
    pub(crate) fn pax(mut self, extensions: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(extensions.iter().copied()).unwrap();
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(crate) fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(1_000_000_000);
    header
}

/// The configuration of an image with these layers.
pub(crate) fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let configuration = json!({
        "architecture": Platform::of_this_machine().architecture,
        "os": "linux",
        "created": "2024-05-01T10:00:00Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"kind": "test"}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": layers.iter().map(|_| json!({"created_by": "a test"})).collect::<Vec<_>>(),
    });
    serde_json::to_vec(&configuration).unwrap()
}

/// What `docker save` writes of one image.
pub(crate) fn docker_archive(names: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let paths: Vec<_> = (0..layers.len()).map(|number| format!("layer{number}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": paths}]);
    let mut archive = Tar::new();
    for (path, layer) in paths.iter().zip(layers) {
        archive = archive.bytes(path, layer);
    }
    archive.bytes("config.json", &configuration(layers)).file("manifest.json", &manifest.to_string()).finish()
}

/// Loads an archive; what was told.
pub(crate) fn load(images: &Images, archive: &[u8]) -> trestle_core::Result<Vec<Progress>> {
    let mut told = Vec::new();
    images.load(&mut Cursor::new(archive), &Platform::of_this_machine(), &mut |progress| told.push(progress))?;
    Ok(told)
}

/// A layer with a file.
pub(crate) fn layer(path: &str, content: &str) -> Vec<u8> {
    Tar::new().file(path, content).finish()
}
