//! An image from a registry: its manifest, its configuration, its layers at once.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trestle_core::error::{Doing, Error, Result};

use super::client;
use super::credentials::Credentials;
use super::download::Download;
use super::session::Session;
use crate::image::digest::Digest;
use crate::image::layer::{Pin, decompressed};
use crate::image::manifest::{AnyManifest, Descriptor, INDEXES, LONGEST, MANIFESTS, Manifest};
use crate::image::platform::Platform;
use crate::image::progress::{Progress, STEP, Watched};
use crate::image::reference::Reference;
use crate::image::store::{Images, New};
use crate::image::unpacked::{ImageId, parse};

/// How many layers come at once, as Docker has it.
const AT_ONCE: usize = 3;

/// The longest configuration, in bytes. It is read into memory.
const LONGEST_CONFIGURATION: u64 = 16 << 20;

/// Who hears how far a pull is.
pub type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Which image, with a tag or a digest.
    pub name: Reference,
    /// Which of the images of that name.
    pub platform: Platform,
    /// Who asks.
    pub credentials: Credentials,
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: ImageId,
    /// Whether it was not here before under this name.
    pub is_new: bool,
}

/// A pull under way.
struct Course {
    images: Images,
    session: Session,
    tell: Tell,
    at_once: Semaphore,
}

impl Images {
    /// Fetches an image from its registry: HTTPS, or HTTP where that is on this machine. What has come of layers when
    /// a pull fails stays for the next, as long as this process lives.
    ///
    /// # Errors
    /// `NotFound` in Docker's words if there is no such image for this platform, or the registry can't be reached;
    /// `Unavailable` if the registry fails, `Invalid` if what it gives is not what it names.
    pub async fn pull(&self, pull: Pull, tell: Tell) -> Result<Pulled> {
        let name = pull.name.tagged();
        let session = Session::open(&name, pull.credentials).await?;
        let tag = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), |digest| digest.to_string());
        let course = Course { images: self.clone(), session, tell, at_once: Semaphore::new(AT_ONCE) };
        Arc::new(course).run(&name, &tag, &pull.platform).await
    }
}

impl Course {
    async fn run(self: Arc<Self>, name: &Reference, tag: &str, platform: &Platform) -> Result<Pulled> {
        let (top, bytes, kind) = self.manifest(tag, name.digest()).await?;
        self.state(Some(tag), &format!("Pulling from {}", name.path()));
        let manifest = self.choose(&bytes, &kind, platform).await?;
        let bytes = self.configuration(&manifest.config).await?;
        let configuration = parse(&bytes)?;
        let diff_ids = configuration.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let (expected, got) = (manifest.layers.len(), diff_ids.len());
            let cause = format!("invalid manifest, layers length mismatch: expected {expected}, got {got}");
            return Err(Error::invalid(cause));
        }
        let layers = Arc::clone(&self).layers(&diff_ids, &manifest.layers).await?;
        let before = self.images.read(|state| state.named(name));
        let mut names = vec![name.at(top)];
        names.extend(name.tag().filter(|_| name.digest().is_none()).map(|_| name.clone()));
        let images = self.images.clone();
        let added =
            blocking(move || images.add(New { configuration: &bytes, parent: None, names: &names, layers })).await?;
        let is_new = before != Some(added.id);
        self.state(None, &format!("Digest: {top}"));
        let outcome = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
        self.state(None, &format!("Status: {outcome} {}", name.familiar()));
        Ok(Pulled { id: added.id, is_new })
    }

    /// A manifest by tag or digest: its digest, its bytes, its media type.
    async fn manifest(&self, tag: &str, expected: Option<Digest>) -> Result<(Digest, Vec<u8>, String)> {
        let kinds = [MANIFESTS, INDEXES].concat().join(", ");
        let accept = HeaderValue::try_from(kinds).map_err(|error| Error::internal(error.to_string()))?;
        let headers = [(ACCEPT, accept)].into_iter().collect::<HeaderMap>();
        let answer = self.session.get(&format!("manifests/{tag}"), &headers).await?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes =
            client::whole(answer.into_body(), LONGEST).await.doing(|| format!("fetching the manifest {tag}"))?;
        let digest = Digest::of(&bytes);
        match expected.filter(|expected| *expected != digest) {
            Some(expected) => {
                Err(Error::invalid(format!("manifest verification failed for digest {expected}: it is {digest}")))
            }
            None => Ok((digest, bytes, kind)),
        }
    }

    async fn choose(&self, bytes: &[u8], kind: &str, platform: &Platform) -> Result<Manifest> {
        let index = match AnyManifest::parse(bytes, kind)? {
            AnyManifest::One(manifest) => return Ok(manifest),
            AnyManifest::Many(index) => index,
        };
        let none = || Error::not_found(format!("no matching manifest for {platform} in the manifest list entries"));
        let chosen = index.choose(platform).ok_or_else(none)?;
        let (_, bytes, kind) = self.manifest(&chosen.digest.to_string(), Some(chosen.digest)).await?;
        match AnyManifest::parse(&bytes, &kind)? {
            AnyManifest::One(manifest) => Ok(manifest),
            AnyManifest::Many(_) => Err(Error::unsupported("a list of images within a list can't be pulled")),
        }
    }

    async fn configuration(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let answer = self.session.get(&format!("blobs/{}", blob.digest), &HeaderMap::new()).await?;
        let bytes = client::whole(answer.into_body(), LONGEST_CONFIGURATION).await?;
        match Digest::of(&bytes) == blob.digest {
            true => Ok(bytes),
            false => Err(Error::invalid(format!("image config verification failed for digest {}", blob.digest))),
        }
    }

    /// All layers, lowest first. If one fails, the others are left where they are.
    async fn layers(self: Arc<Self>, diff_ids: &[Digest], blobs: &[Descriptor]) -> Result<Vec<Pin>> {
        let mut under_way = JoinSet::new();
        for (place, (diff_id, blob)) in diff_ids.iter().zip(blobs).enumerate() {
            let (course, diff_id, blob) = (Arc::clone(&self), *diff_id, blob.clone());
            self.state(Some(&blob.digest.short()), "Pulling fs layer");
            under_way.spawn(async move { Ok::<_, Error>((place, course.layer(diff_id, blob).await?)) });
        }
        let mut pins = Vec::new();
        while let Some(ended) = under_way.join_next().await {
            pins.push(ended.map_err(|error| Error::internal(error.to_string()))??);
        }
        pins.sort_by_key(|(place, _)| *place);
        Ok(pins.into_iter().map(|(_, pin)| pin).collect())
    }

    async fn layer(&self, diff_id: Digest, blob: Descriptor) -> Result<Pin> {
        let part = blob.digest.short();
        let pin = self.images.0.layers.pin(diff_id);
        // Who pulls the same layer at the same time waits here, and finds it there.
        let alone = self.images.0.arriving.of(blob.digest);
        let _alone = alone.lock().await;
        if pin.is_there() {
            self.state(Some(&part), "Already exists");
            return Ok(pin);
        }
        let path = self.images.unfinished().join(format!("blob-{}", blob.digest.hex()));
        {
            let _turn = self.at_once.acquire().await.map_err(|error| Error::internal(error.to_string()))?;
            self.download(&blob, path.clone()).await?;
        }
        self.state(Some(&part), "Download complete");
        let pin = self.unpack(diff_id, &blob, path).await?;
        self.state(Some(&part), "Pull complete");
        Ok(pin)
    }

    async fn download(&self, blob: &Descriptor, path: PathBuf) -> Result<()> {
        let told = std::sync::atomic::AtomicU64::new(0);
        let part = blob.digest.short();
        let tell = |done: u64| {
            use std::sync::atomic::Ordering::Relaxed;
            if done == blob.size || done.saturating_sub(told.load(Relaxed)) >= STEP {
                told.store(done, Relaxed);
                let bytes = Some((done, Some(blob.size)));
                (self.tell)(Progress::State { part: Some(part.clone()), state: "Downloading".into(), bytes });
            }
        };
        let clock = &*self.images.0.clock;
        Download { session: &self.session, blob, path, clock }.run(&tell).await?;
        self.state(Some(&part), "Verifying Checksum");
        Ok(())
    }

    async fn unpack(&self, diff_id: Digest, blob: &Descriptor, path: PathBuf) -> Result<Pin> {
        let (layers, tell, length) = (self.images.0.layers.clone(), Arc::clone(&self.tell), blob.size);
        let (part, digest) = (blob.digest.short(), blob.digest);
        blocking(move || {
            let failed = |error: std::io::Error| Error::internal(format!("{}: {error}", path.display()));
            let mut tell = |progress| tell(progress);
            let file = File::open(&path).map_err(failed)?;
            let watched = Watched::new(file, length, part, "Extracting", &mut tell);
            let added = layers.add(&mut decompressed(watched)?, Some(diff_id)).doing(|| format!("unpacking {digest}"));
            // Whatever became of it, it would come to the same another time.
            fs::remove_file(&path).map_err(failed)?;
            added
        })
        .await
    }

    fn state(&self, part: Option<&str>, state: &str) {
        (self.tell)(Progress::State { part: part.map(str::to_owned), state: state.into(), bytes: None });
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(error.to_string()))?
}
