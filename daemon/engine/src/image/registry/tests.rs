//! Pulls from a registry that a test makes: what a real one seldom does.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Credentials, Pull, Pulled, Tell};
use crate::image::fixture::{configuration, images, layer};
use crate::image::{Digest, Images, Platform, Progress};

/// A registry on loopback; it ends with its runtime.
struct Registry {
    port: u16,
    shelf: Arc<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// By path: media type and content.
    content: Mutex<HashMap<String, (String, Vec<u8>)>>,
    /// What is asked for proof.
    challenge: Mutex<Option<(String, String)>>,
    /// After how many bytes the next answers of a path break off.
    cuts: Mutex<HashMap<String, Vec<usize>>>,
    /// Path, range and authorization of each request.
    asked: Mutex<Vec<(String, String, String)>>,
}

impl Registry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shelf = Arc::<Shelf>::default();
        let served = Arc::clone(&shelf);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served), port));
            }
        });
        Self { port, shelf }
    }

    fn put(&self, path: &str, kind: &str, content: &[u8]) {
        self.shelf.content.lock().unwrap().insert(path.into(), (kind.into(), content.to_vec()));
    }

    fn blob(&self, kind: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        self.put(&format!("/v2/app/blobs/{digest}"), "application/octet-stream", content);
        json!({"mediaType": kind, "digest": digest, "size": content.len()})
    }

    /// An image of these layers as `app:1`, in a list with one for another platform.
    fn image(&self, layers: &[Vec<u8>]) -> Digest {
        let config = configuration(layers);
        let blobs: Vec<_> =
            layers.iter().map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", layer)).collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "layers": blobs,
            "config": self.blob("application/vnd.oci.image.config.v1+json", &config)});
        let manifest = manifest.to_string();
        let digest = Digest::of(manifest.as_bytes());
        self.put(&format!("/v2/app/manifests/{digest}"), kind, manifest.as_bytes());
        let foreign = json!({"mediaType": kind, "digest": Digest::of(b"foreign"), "size": 7,
            "platform": {"architecture": "pdp11", "os": "linux"}});
        let mine = json!({"mediaType": kind, "digest": digest, "size": manifest.len(), "platform": Platform::of_this_machine()});
        let list = json!({"schemaVersion": 2, "manifests": [foreign, mine]}).to_string();
        self.put("/v2/app/manifests/1", "application/vnd.oci.image.index.v1+json", list.as_bytes());
        Digest::of(&config)
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/app:1", self.port)
    }

    fn asked(&self, path: &str) -> usize {
        self.shelf.asked.lock().unwrap().iter().filter(|(asked, _, _)| asked.contains(path)).count()
    }
}

async fn serve(mut stream: TcpStream, shelf: Arc<Shelf>, port: u16) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(path) = head.split(' ').nth(1).map(str::to_owned) else {
        return;
    };
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
    };
    let (range, authorization) = (header("range"), header("authorization"));
    shelf.asked.lock().unwrap().push((path.clone(), range.clone(), authorization.clone()));
    let (answer, cut) = answer(&shelf, &path, &range, &authorization, port);
    let end = cut.map_or(answer.len(), |cut| answer.len().min(cut));
    // Who has hung up hears nothing.
    drop(stream.write_all(&answer[..end]).await);
}

fn answer(shelf: &Shelf, path: &str, range: &str, authorization: &str, port: u16) -> (Vec<u8>, Option<usize>) {
    let whole = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        (head.len(), [head.as_bytes(), body].concat())
    };
    if path.starts_with("/token") {
        return (whole("200 OK", "", br#"{"token": "a-token"}"#).1, None);
    }
    let challenge = shelf.challenge.lock().unwrap().clone();
    if let Some((challenge, expected)) = challenge.filter(|(_, expected)| expected != authorization) {
        let _ = expected;
        let header = format!("WWW-Authenticate: {}\r\n", challenge.replace("PORT", &port.to_string()));
        let body = br#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#;
        return (whole("401 Unauthorized", &header, body).1, None);
    }
    let Some((kind, content)) = shelf.content.lock().unwrap().get(path).cloned() else {
        let body = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#;
        return (whole("404 Not Found", "", body).1, None);
    };
    let from: usize = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        _ => {
            ("206 Partial Content", format!("Content-Range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len()))
        }
    };
    let (head, answer) = whole(status, &format!("Content-Type: {kind}\r\n{range}"), &content[from..]);
    let cut = shelf.cuts.lock().unwrap().get_mut(path).and_then(Vec::pop);
    (answer, cut.map(|cut| head + cut))
}

async fn pull_as(
    images: &Images,
    name: &str,
    credentials: Credentials,
) -> trestle_core::Result<(Pulled, Vec<Progress>)> {
    let told = Arc::<Mutex<Vec<_>>>::default();
    let heard = Arc::clone(&told);
    let tell: Tell = Arc::new(move |progress| heard.lock().unwrap().push(progress));
    let pull = Pull { name: name.parse()?, platform: Platform::of_this_machine(), credentials };
    let pulled = images.pull(pull, tell).await?;
    let told = told.lock().unwrap().clone();
    Ok((pulled, told))
}

async fn pull(images: &Images, name: &str) -> trestle_core::Result<(Pulled, Vec<Progress>)> {
    pull_as(images, name, Credentials::default()).await
}

fn states(told: &[Progress]) -> Vec<&str> {
    told.iter()
        .filter_map(|progress| match progress {
            Progress::State { state, .. } => Some(state.as_str()),
            _ => None,
        })
        .collect()
}

fn left(place: &Path) -> usize {
    std::fs::read_dir(place.join("unfinished")).unwrap().count()
}

#[tokio::test]
async fn an_image_comes_for_this_platform_and_a_second_time_only_its_manifest() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let layers = [layer("a", "one"), layer("b", "two")];
    let id = registry.image(&layers);
    let (pulled, told) = pull(&images, &registry.name()).await.unwrap();
    assert_eq!(pulled, Pulled { id, is_new: true });
    assert!(states(&told).contains(&"Pulling from app") && states(&told).contains(&"Pull complete"), "{told:?}");
    let known = images.inspect(&registry.name()).unwrap();
    assert_eq!((known.tags.len(), known.digests.len()), (1, 1));
    assert!(images.find(&known.digests[0].to_string()).is_ok());
    let (pulled, told) = pull(&images, &registry.name()).await.unwrap();
    assert!(!pulled.is_new && states(&told).iter().any(|state| state.starts_with("Status: Image is up to date for")));
    assert_eq!(registry.asked(&format!("blobs/{}", Digest::of(&layers[0]))), 1);
    assert_eq!(left(place.path()), 0);
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let layers = [layer("a", &"content".repeat(10_000))];
    registry.image(&layers);
    let path = format!("/v2/app/blobs/{}", Digest::of(&layers[0]));
    registry.shelf.cuts.lock().unwrap().insert(path.clone(), vec![20_000, 10_000]);
    pull(&images, &registry.name()).await.unwrap();
    let asked = registry.shelf.asked.lock().unwrap().clone();
    let ranges: Vec<_> =
        asked.iter().filter(|(asked, _, _)| *asked == path).map(|(_, range, _)| range.as_str()).collect();
    assert_eq!(ranges, ["", "bytes=10000-", "bytes=30000-"]);
}

#[tokio::test]
async fn what_has_come_stays_for_the_next_pull() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let layers = [layer("a", &"content".repeat(10_000))];
    registry.image(&layers);
    let path = format!("/v2/app/blobs/{}", Digest::of(&layers[0]));
    registry.shelf.cuts.lock().unwrap().insert(path.clone(), vec![0, 0, 0, 0, 0, 10_000]);
    let error = pull(&images, &registry.name()).await.unwrap_err();
    assert_eq!(error.kind(), trestle_core::ErrorKind::Unavailable, "{error}");
    assert!(images.all().is_empty());
    pull(&images, &registry.name()).await.unwrap();
    let asked = registry.shelf.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().rfind(|(asked, _, _)| *asked == path).unwrap().1, "bytes=10000-");
}

#[tokio::test]
async fn content_that_is_not_what_it_is_named_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let layers = [layer("a", "one")];
    registry.image(&layers);
    let forged = layer("a", "two");
    registry.put(&format!("/v2/app/blobs/{}", Digest::of(&layers[0])), "", &forged);
    let error = pull(&images, &registry.name()).await.unwrap_err().to_string();
    assert!(error.contains("filesystem layer verification failed for digest"), "{error}");
    registry.put(&format!("/v2/app/blobs/{}", Digest::of(&layers[0])), "", &[forged, vec![0; 512]].concat());
    let error = pull(&images, &registry.name()).await.unwrap_err().to_string();
    assert!(error.contains("is longer than"), "{error}");
    registry.put(&format!("/v2/app/blobs/{}", Digest::of(&configuration(&layers))), "", b"{}");
    let error = pull(&images, &registry.name()).await.unwrap_err().to_string();
    assert!(error.contains("image config verification failed"), "{error}");
    assert_eq!((images.all().len(), left(place.path())), (0, 0));
}

#[tokio::test]
async fn a_registry_that_wants_a_password_or_a_token_gets_it() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    registry.image(&[layer("a", "one")]);
    let basic = format!("Basic {}", STANDARD.encode("me:secret"));
    *registry.shelf.challenge.lock().unwrap() = Some(("Basic realm=\"x\"".into(), basic.clone()));
    let error = pull(&images, &registry.name()).await.unwrap_err().to_string();
    assert!(error.starts_with("pull access denied for 127.0.0.1:"), "{error}");
    assert!(error.ends_with("may require 'docker login': no basic auth credentials"), "{error}");
    let header = URL_SAFE.encode(r#"{"username": "me", "password": "secret"}"#);
    let me = Credentials::from_header(&header).unwrap();
    pull_as(&images, &registry.name(), me.clone()).await.unwrap();
    let bearer = "Bearer realm=\"http://127.0.0.1:PORT/token\",service=\"tests\",scope=\"repository:app:pull\"";
    *registry.shelf.challenge.lock().unwrap() = Some((bearer.into(), "Bearer a-token".into()));
    pull_as(&images, &registry.name(), me).await.unwrap();
    let asked = registry.shelf.asked.lock().unwrap().clone();
    let token = asked.iter().find(|(path, _, _)| path.starts_with("/token")).unwrap();
    assert_eq!(token.0, "/token?scope=repository%3Aapp%3Apull&service=tests&account=me");
    assert_eq!(token.2, basic);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_docker_s_words() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let name = registry.name();
    let error = pull(&images, &name).await.unwrap_err();
    assert_eq!(error.to_string(), format!("manifest for {name} not found: manifest unknown: manifest unknown"));
    let foreign = json!({"schemaVersion": 2, "manifests": [{"mediaType": "", "digest": Digest::of(b""), "size": 0,
        "platform": {"architecture": "pdp11", "os": "linux"}}]});
    registry.put("/v2/app/manifests/1", "application/vnd.oci.image.index.v1+json", foreign.to_string().as_bytes());
    let error = pull(&images, &name).await.unwrap_err().to_string();
    assert!(error.starts_with("no matching manifest for linux/") && error.ends_with(" in the manifest list entries"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = pull(&images, &format!("127.0.0.1:{closed}/app:1")).await.unwrap_err();
    assert_eq!(error.kind(), trestle_core::ErrorKind::NotFound);
    assert!(error.to_string().starts_with(&format!("No such image: 127.0.0.1:{closed}/app:1: ")), "{error}");
}

#[tokio::test]
async fn one_layer_that_many_pull_at_once_comes_once() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let registry = Registry::start().await;
    let layers = [layer("a", &"content".repeat(10_000))];
    registry.image(&layers);
    let name = registry.name();
    let (one, two, three) = tokio::join!(pull(&images, &name), pull(&images, &name), pull(&images, &name));
    assert_eq!(one.unwrap().0.id, two.unwrap().0.id);
    three.unwrap();
    assert_eq!(registry.asked(&format!("blobs/{}", Digest::of(&layers[0]))), 1);
}

#[test]
fn credentials_are_read_from_docker_s_header_and_not_shown() {
    let auth = json!({"auth": STANDARD.encode("me:se:cret")}).to_string();
    let me = Credentials::from_header(&URL_SAFE.encode(auth)).unwrap();
    assert_eq!(me.basic(), Some(format!("Basic {}", STANDARD.encode("me:se:cret"))));
    assert!(!format!("{me:?}").contains("cret"));
    assert_eq!(Credentials::from_header("").unwrap(), Credentials::default());
    assert_eq!(Credentials::from_header("e30=").unwrap(), Credentials::default());
    for wrong in ["!", "e30x", &URL_SAFE.encode("[")] {
        let error = Credentials::from_header(wrong).unwrap_err().to_string();
        assert!(error.starts_with("invalid X-Registry-Auth header"), "{error}");
    }
}
