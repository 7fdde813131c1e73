use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::thread;

use serde_json::json;

use super::super::fixture::{Still, Tar, configuration, docker_archive, images, layer, load};
use super::super::{Digest, Images, Platform, Progress};

#[test]
fn a_docker_archive_is_loaded_and_found_by_all_its_names() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let layers = [layer("a", "one"), layer("b", "two")];
    let told = load(&images, &docker_archive(&["app:1", "example.com/app:2"], &layers)).unwrap();
    let id = Digest::of(&configuration(&layers));
    assert!(told.contains(&Progress::Image { id, name: Some("app:1".into()) }), "{told:?}");
    for asked in ["app:1", "docker.io/library/app:1", "example.com/app:2", &id.to_string(), &id.hex(), &id.short()] {
        assert_eq!(images.find(asked).unwrap().id, id, "{asked}");
    }
    let image = images.find("app:1").unwrap();
    assert_eq!(fs::read_to_string(image.layers[1].join("b")).unwrap(), "two");
    assert_eq!((image.size(), image.configuration.config.cmd.clone()), (6, Some(vec!["/bin/sh".to_owned()])));
    assert_eq!(images.find("app").unwrap_err().to_string(), "No such image: app:latest");
    assert_eq!(
        images.find("APP").unwrap_err().to_string(),
        "invalid reference format: repository name (library/APP) must be lowercase"
    );
}

#[test]
fn images_are_there_after_a_restart_and_leftovers_are_not() {
    let place = tempfile::tempdir().unwrap();
    load(&images(place.path()), &docker_archive(&["app:1"], &[layer("a", "one")])).unwrap();
    let other = Digest::of(b"never finished").hex();
    fs::create_dir_all(place.path().join("unfinished/half/tree")).unwrap();
    fs::create_dir_all(place.path().join("layers").join(&other).join("tree")).unwrap();
    fs::write(place.path().join("configurations").join(format!("{other}.json")), "{}").unwrap();
    let images = images(place.path());
    assert!(images.find("app:1").unwrap().layers[0].join("a").exists());
    let count = |folder: &str| fs::read_dir(place.path().join(folder)).unwrap().count();
    assert_eq!((count("unfinished"), count("layers"), count("configurations")), (0, 1, 1));
}

#[test]
fn an_oci_layout_is_loaded_for_this_platform_compressed_or_not() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let plain = layer("a", "one");
    let config = configuration(std::slice::from_ref(&plain));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let descriptor =
        |bytes: &[u8], kind: &str| json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()});
    let manifest =
        json!({"schemaVersion": 2, "config": descriptor(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(&gzip, "application/vnd.oci.image.layer.v1.tar+gzip")]})
        .to_string();
    let mut mine = descriptor(manifest.as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    mine["platform"] = json!(Platform::of_this_machine());
    let mut foreign = descriptor(b"not in here", "application/vnd.oci.image.manifest.v1+json");
    foreign["platform"] = json!({"architecture": "pdp11", "os": "linux"});
    let inner = json!({"schemaVersion": 2, "manifests": [foreign, mine]}).to_string();
    let mut outer = descriptor(inner.as_bytes(), "application/vnd.oci.image.index.v1+json");
    outer["annotations"] = json!({"io.containerd.image.name": "example.com/app:2"});
    let index = json!({"schemaVersion": 2, "manifests": [outer]}).to_string();
    let mut archive = Tar::new().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", &index);
    for blob in [&config[..], &gzip, manifest.as_bytes(), inner.as_bytes()] {
        archive = archive.bytes(&format!("blobs/sha256/{}", Digest::of(blob).hex()), blob);
    }
    let archive = zstd::encode_all(&archive.finish()[..], 0).unwrap();
    load(&images, &archive).unwrap();
    assert_eq!(images.find("example.com/app:2").unwrap().id, Digest::of(&config));
}

#[test]
fn a_name_that_moves_is_told() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    load(&images, &docker_archive(&["app:1"], &[layer("a", "one")])).unwrap();
    let before = images.find("app:1").unwrap().id;
    let told = load(&images, &docker_archive(&["app:1"], &[layer("a", "two")])).unwrap();
    let text = format!("The image app:1 already exists, renaming the old one with ID {before} to empty string\n");
    assert!(told.contains(&Progress::Text(text)), "{told:?}");
    assert!(images.inspect(&before.to_string()).unwrap().tags.is_empty());
}

#[test]
fn an_archive_that_lies_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let layers = [layer("a", "one")];
    let manifest = |config: &str, names: serde_json::Value, layers: &[&str]| {
        json!([{"Config": config, "RepoTags": names, "Layers": layers}]).to_string()
    };
    let archive = |manifest: &str, layer: &[u8]| {
        Tar::new().bytes("l.tar", layer).bytes("c", &configuration(&layers)).file("manifest.json", manifest).finish()
    };
    for (archive, told) in [
        (archive(&manifest("c", json!(["app:1"]), &["l.tar"]), b"another layer"), "loading l.tar"),
        (
            archive(&manifest("c", json!(["app:1"]), &["l.tar", "l.tar"]), &layers[0]),
            "layers length mismatch: expected 2, got 1",
        ),
        (archive(&manifest("c", json!(["app:1"]), &["m.tar"]), &layers[0]), "lacks m.tar"),
        (archive(&manifest("../c", json!(["app:1"]), &["l.tar"]), &layers[0]), "leads out of the archive"),
        (archive(&manifest("c", json!(["app"]), &["l.tar"]), &layers[0]), "invalid tag"),
        (archive(&manifest("manifest.json", json!([]), &["l.tar"]), &layers[0]), "the configuration of the image"),
        (archive("{", &layers[0]), "manifest.json of the archive"),
        (Tar::new().file("a", "").finish(), "does not contain a manifest.json"),
        (b"no archive".to_vec(), "reading an archive of images"),
    ] {
        let error = load(&images, &archive).unwrap_err();
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert_eq!(error.kind(), trestle_core::ErrorKind::Invalid, "{error}");
    }
    assert!(images.all().is_empty());
    let count = |folder: &str| fs::read_dir(place.path().join(folder)).unwrap().count();
    assert_eq!((count("unfinished"), count("layers"), count("configurations")), (0, 0, 0));
}

#[test]
fn the_same_image_is_loaded_many_times_at_once() {
    let place = tempfile::tempdir().unwrap();
    let images = images(place.path());
    let archive = docker_archive(&["app:1"], &[layer("a", "one"), layer("b", "two")]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| load(&images, &archive).unwrap());
        }
    });
    assert_eq!(images.all().len(), 1);
    assert_eq!(fs::read_dir(place.path().join("layers")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(place.path().join("unfinished")).unwrap().count(), 0);
}

#[test]
fn a_newer_index_is_refused_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    drop(images(place.path()));
    let index = place.path().join("index.json");
    fs::write(&index, r#"{"version": 99, "other": true}"#).unwrap();
    let error = Images::open(place.path().to_owned(), Arc::new(Still)).err().unwrap();
    assert_eq!(error.kind(), trestle_core::ErrorKind::Unsupported);
    assert_eq!(fs::read_to_string(index).unwrap(), r#"{"version": 99, "other": true}"#);
}
