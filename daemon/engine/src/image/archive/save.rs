//! Images into an archive that both Docker and those who read OCI layouts take.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::json;
use trestle_core::error::{Doing, Error, Result};

use crate::image::digest::Digest;
use crate::image::layer::Pin;
use crate::image::manifest::{
    CONFIGURATION, Descriptor, INDEXES, LAYER, MANIFESTS, Manifest, ManifestIndex, NAME, WHOLE_NAME,
};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::Images;
use crate::image::unpacked::ImageId;

/// The unit of tar archives, in bytes.
const BLOCK: u64 = 512;

/// Images that were chosen to be saved. Their layers stay as long as this does.
#[derive(Debug)]
pub struct Selection {
    images: Images,
    chosen: BTreeMap<ImageId, Vec<Reference>>,
    pins: Vec<Pin>,
}

impl Images {
    /// Chooses images to be saved: a name stands for itself, one without a tag for all tags of its repository, an id
    /// for the image without names.
    ///
    /// # Errors
    /// `NotFound` names the first that there is not.
    pub fn select(&self, asked: &[String]) -> Result<Selection> {
        let mut chosen: BTreeMap<ImageId, Vec<Reference>> = BTreeMap::new();
        for asked in asked {
            let repository =
                asked.parse::<Reference>().ok().filter(|name| name.tag().is_none() && name.digest().is_none());
            let all = self.all();
            let of_repository = |name: &&Reference| repository.as_ref().is_some_and(|it| it.same_repository(name));
            let mut tags = Vec::new();
            for known in &all {
                tags.extend(known.tags.iter().filter(of_repository).map(|name| (known.image.id, name.clone())));
            }
            if tags.is_empty() {
                let known = self.inspect(asked)?;
                let name = asked.parse::<Reference>().ok().filter(|name| known.tags.contains(name));
                chosen.entry(known.image.id).or_default().extend(name);
            }
            tags.into_iter().for_each(|(id, name)| chosen.entry(id).or_default().push(name));
        }
        let mut pins = Vec::new();
        for id in chosen.keys() {
            let image = self.find(&id.to_string())?;
            pins.extend(image.configuration.rootfs.diff_ids.iter().map(|layer| self.0.layers.pin(*layer)));
        }
        for names in chosen.values_mut() {
            names.sort();
            names.dedup();
        }
        Ok(Selection { images: self.clone(), chosen, pins })
    }
}

impl Selection {
    /// The ids of the images.
    pub fn ids(&self) -> impl Iterator<Item = ImageId> {
        self.chosen.keys().copied()
    }

    /// Writes the archive; blocks until it is written.
    ///
    /// # Errors
    /// `Internal` if a layer was damaged, or the other side takes no more.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut archive = Archive { out };
        let mut written = BTreeSet::new();
        let (mut docker, mut oci) = (Vec::new(), Vec::new());
        for pin in &self.pins {
            if !pin.is_there() {
                return Err(Error::not_found(format!("the layer {} was removed meanwhile", pin.diff_id())));
            }
        }
        for (id, names) in &self.chosen {
            let configuration = self.images.configuration(*id)?;
            let diff_ids = self.images.find(&id.to_string())?.configuration.rootfs.diff_ids.clone();
            let mut layers = Vec::new();
            for diff_id in &diff_ids {
                let size = self.images.0.layers.measures(*diff_id)?.archive;
                let of = Descriptor { size, digest: *diff_id, ..Descriptor::of(LAYER, &[]) };
                layers.push(of);
                if written.insert(*diff_id) {
                    archive.layer(&self.images, *diff_id, size)?;
                }
            }
            let config = Descriptor::of(CONFIGURATION, &configuration);
            let media_type = MANIFESTS[0].to_owned();
            let manifest = Manifest { schema_version: 2, media_type, config, layers };
            let manifest = serde_json::to_vec(&manifest).map_err(|error| Error::internal(error.to_string()))?;
            if written.insert(*id) {
                archive.file(&blob(*id), &configuration)?;
            }
            archive.file(&blob(Digest::of(&manifest)), &manifest)?;
            oci.extend(descriptors(&manifest, names));
            docker.push(json!({
                "Config": blob(*id),
                "RepoTags": (!names.is_empty()).then(|| names.iter().map(Reference::familiar).collect::<Vec<_>>()),
                "Layers": diff_ids.iter().map(|diff_id| blob(*diff_id)).collect::<Vec<_>>(),
            }));
        }
        let index = ManifestIndex { schema_version: 2, media_type: INDEXES[0].to_owned(), manifests: oci };
        let index = serde_json::to_vec(&index).map_err(|error| Error::internal(error.to_string()))?;
        archive.file("index.json", &index)?;
        archive.file("manifest.json", json!(docker).to_string().as_bytes())?;
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.finish()
    }
}

/// One for each name, so that each is found.
fn descriptors(manifest: &[u8], names: &[Reference]) -> Vec<Descriptor> {
    let bare = Descriptor { platform: Some(Platform::of_this_machine()), ..Descriptor::of(MANIFESTS[0], manifest) };
    let named = |name: &Reference| {
        let tag = name.tag().unwrap_or_default().to_owned();
        let annotations = [(WHOLE_NAME.to_owned(), name.to_string()), (NAME.to_owned(), tag)];
        Descriptor { annotations: Some(annotations.into()), ..bare.clone() }
    };
    if names.is_empty() { vec![bare.clone()] } else { names.iter().map(named).collect() }
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Archive<'a> {
    out: &'a mut dyn Write,
}

impl Archive<'_> {
    fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let write = |archive: &mut Self| {
            archive.begin(path, content.len() as u64)?;
            archive.out.write_all(content)?;
            archive.fill(content.len() as u64)
        };
        write(self).map_err(|error| broken(path, &error))
    }

    fn layer(&mut self, images: &Images, diff_id: Digest, size: u64) -> Result<()> {
        let path = blob(diff_id);
        self.begin(&path, size).map_err(|error| broken(&path, &error))?;
        images.0.layers.write_archive(diff_id, &mut *self.out).doing(|| format!("writing {path}"))?;
        self.fill(size).map_err(|error| broken(&path, &error))
    }

    fn begin(&mut self, path: &str, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    /// Up to the next block.
    fn fill(&mut self, written: u64) -> io::Result<()> {
        let missing = (BLOCK - written % BLOCK) % BLOCK;
        io::copy(&mut io::Read::take(io::repeat(0), missing), &mut self.out).map(drop)
    }

    fn finish(&mut self) -> Result<()> {
        let end = self.out.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| self.out.flush());
        end.map_err(|error| broken("the end", &error))
    }
}

fn broken(path: &str, error: &io::Error) -> Error {
    Error::internal(format!("writing {path}: {error}"))
}
