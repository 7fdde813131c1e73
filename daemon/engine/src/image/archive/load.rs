//! Images from an archive: `docker save`'s, with `manifest.json`, or an OCI layout, with `index.json`.

use std::io::Read;

use serde::{Deserialize, Deserializer};
use trestle_core::error::{Doing, Error, Result};

use super::bundle::Bundle;
use crate::image::digest::Digest;
use crate::image::layer::{Pin, decompressed};
use crate::image::manifest::{AnyManifest, Descriptor, Manifest, ManifestIndex, NAME, WHOLE_NAME};
use crate::image::platform::Platform;
use crate::image::progress::{Progress, Watched};
use crate::image::reference::Reference;
use crate::image::store::{Images, New};
use crate::image::unpacked::parse;

/// How deep indexes lie within indexes at most.
const DEEPEST: usize = 4;

/// One image of an archive.
struct Found {
    configuration: String,
    layers: Vec<String>,
    names: Vec<Reference>,
}

/// An image, as `manifest.json` tells of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    layers: Vec<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Images {
    /// Takes in all images of an archive (gzip, zstd or plain) that are for this platform; blocks until it is done.
    /// What is told includes each image once it has come.
    ///
    /// # Errors
    /// `Invalid` for an archive of another kind, or one that does not hold what it says. Images before the one that
    /// failed have come.
    pub fn load(&self, archive: &mut dyn Read, platform: &Platform, tell: &mut dyn FnMut(Progress)) -> Result<()> {
        let bundle = Bundle::read(archive, &self.unfinished())?;
        let found = if bundle.has("manifest.json") {
            from_docker(&bundle)?
        } else if bundle.has("index.json") {
            from_layout(&bundle, platform)?
        } else {
            return Err(Error::invalid("invalid archive: does not contain a manifest.json"));
        };
        found.iter().try_for_each(|image| self.load_one(&bundle, image, tell))
    }

    fn load_one(&self, bundle: &Bundle, found: &Found, tell: &mut dyn FnMut(Progress)) -> Result<()> {
        let bytes = bundle.text(&found.configuration)?;
        let configuration = parse(&bytes)?;
        let diff_ids = &configuration.rootfs.diff_ids;
        if diff_ids.len() != found.layers.len() {
            let (expected, got) = (found.layers.len(), diff_ids.len());
            let cause = format!("invalid manifest, layers length mismatch: expected {expected}, got {got}");
            return Err(Error::invalid(cause));
        }
        let layers = diff_ids.iter().zip(&found.layers);
        let layers =
            layers.map(|(diff_id, path)| self.load_layer(bundle, *diff_id, path, tell)).collect::<Result<_>>()?;
        let added = self.add(New { configuration: &bytes, parent: None, names: &found.names, layers })?;
        for (name, before) in added.moved {
            let name = name.familiar();
            let text =
                format!("The image {name} already exists, renaming the old one with ID {before} to empty string\n");
            tell(Progress::Text(text));
        }
        let names: Vec<_> = found.names.iter().map(|name| Some(name.familiar())).collect();
        let names = if names.is_empty() { vec![None] } else { names };
        names.into_iter().for_each(|name| tell(Progress::Image { id: added.id, name }));
        Ok(())
    }

    fn load_layer(&self, bundle: &Bundle, diff_id: Digest, path: &str, tell: &mut dyn FnMut(Progress)) -> Result<Pin> {
        let pin = self.0.layers.pin(diff_id);
        if pin.is_there() {
            return Ok(pin);
        }
        let (file, length) = bundle.open(path)?;
        let watched = Watched::new(file, length, diff_id.short(), "Loading layer", tell);
        self.0.layers.add(&mut decompressed(watched)?, Some(diff_id)).doing(|| format!("loading {path}"))
    }
}

fn from_docker(bundle: &Bundle) -> Result<Vec<Found>> {
    let broken = |error: serde_json::Error| Error::invalid(format!("manifest.json of the archive: {error}"));
    let manifests: Vec<DockerManifest> = serde_json::from_slice(&bundle.text("manifest.json")?).map_err(broken)?;
    let read = |manifest: DockerManifest| {
        let names = manifest.repo_tags.iter().map(|name| tagged(name)).collect::<Result<_>>()?;
        Ok(Found { configuration: manifest.config, layers: manifest.layers, names })
    };
    manifests.into_iter().map(read).collect()
}

fn tagged(name: &str) -> Result<Reference> {
    let name: Reference = name.parse()?;
    match name.tag().is_some() && name.digest().is_none() {
        true => Ok(name),
        false => Err(Error::invalid(format!("invalid tag {:?}", name.familiar()))),
    }
}

fn from_layout(bundle: &Bundle, platform: &Platform) -> Result<Vec<Found>> {
    let AnyManifest::Many(index) = AnyManifest::parse(&bundle.text("index.json")?, "")? else {
        return Err(Error::invalid("index.json of the archive is no index"));
    };
    let mut found = Vec::new();
    for descriptor in &index.manifests {
        // Those of one index that are for other platforms are left out, unless nothing would be left.
        let fits = |descriptor: &Descriptor| descriptor.platform.as_ref().is_none_or(|for_| platform.accepts(for_));
        if !fits(descriptor) && index.manifests.iter().any(fits) {
            continue;
        }
        if let Some(manifest) = resolve(bundle, descriptor, platform, DEEPEST)? {
            found.push(Found {
                configuration: blob(manifest.config.digest),
                layers: manifest.layers.iter().map(|layer| blob(layer.digest)).collect(),
                names: names(descriptor)?,
            });
        }
    }
    match found.is_empty() {
        true => Err(Error::invalid(format!("the archive holds no image for {platform}"))),
        false => Ok(found),
    }
}

/// The manifest that a descriptor leads to; `None` if none of it is for this platform.
fn resolve(bundle: &Bundle, descriptor: &Descriptor, platform: &Platform, depth: usize) -> Result<Option<Manifest>> {
    let bytes = bundle.text(&blob(descriptor.digest))?;
    if Digest::of(&bytes) != descriptor.digest {
        return Err(Error::invalid(format!("the manifest {} of the archive is another", descriptor.digest)));
    }
    let many: ManifestIndex = match AnyManifest::parse(&bytes, &descriptor.media_type)? {
        AnyManifest::One(manifest) => return Ok(Some(manifest)),
        AnyManifest::Many(many) => many,
    };
    match many.choose(platform) {
        None => Ok(None),
        Some(_) if depth == 0 => Err(Error::invalid("the archive's indexes lie too deep within each other")),
        Some(chosen) => resolve(bundle, chosen, platform, depth - 1),
    }
}

/// Only whole names are taken: a tag alone does not say of what.
fn names(descriptor: &Descriptor) -> Result<Vec<Reference>> {
    let annotations = descriptor.annotations.as_ref();
    let annotation = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let whole = annotation(WHOLE_NAME);
    let name = whole.or_else(|| annotation(NAME).filter(|name| name.contains([':', '/'])));
    name.map(|name| tagged(name)).transpose().map(|name| name.into_iter().collect())
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
