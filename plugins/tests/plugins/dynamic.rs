//! Dynamic libraries: those of C and of Rust are plugins, and whatever else is in a file is a clear error.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::UnixListener;
use trestle_core::ErrorKind;
use trestle_core::facts::Facts;
use trestle_core::ipam::{AddressRequest, Family, PoolRequest, Purpose};
use trestle_plugins::client::{Address, Client, Failure, Limits};
use trestle_plugins::dynamic::serve_library;
use trestle_plugins::wire::Activate;

use crate::landscape::Landscape;
use crate::subjects;

/// The example in Rust, which cargo builds with the tests.
fn rust_example() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let library = folder.join("librust_plugin.so");
    assert!(library.is_file(), "{} is missing: cargo build -p trestle-plugins --examples", library.display());
    library
}

/// The example in C, built with these definitions.
fn c_example(to: &Path, definitions: &[&str]) {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"]).arg(crate_root.join("include"));
    command.args(definitions).arg("-o").arg(to).arg(crate_root.join("examples/c_plugin.c"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writable_by_owner_alone(to);
}

fn writable_by_owner_alone(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn refused(path: &Path) -> trestle_core::Error {
    Client::new(Address::Library(path.to_owned()), Limits::default()).unwrap_err()
}

#[tokio::test]
async fn a_library_in_c_manages_addresses() {
    let host = Landscape::new();
    c_example(&host.path("so/one.so"), &[]);
    let ipam = host.plugins.ipam("one").await.unwrap();
    let request =
        PoolRequest { family: Family::V4, subnet: None, range: None, avoid: Vec::new(), options: Default::default() };
    assert_eq!(ipam.request_pool(&request).await.unwrap().subnet, "198.18.1.0/24".parse().unwrap());
    let address = AddressRequest { subnet: None, wanted: None, purpose: Purpose::Gateway };
    assert_eq!(ipam.request_address("one", &address).await.unwrap(), "198.18.1.1/24".parse().unwrap());
    ipam.release_pool("one").await.unwrap();
    let error = host.plugins.driver("one").await.err().unwrap();
    assert!(error.to_string().contains("does not implement the requested driver"), "{error}");
}

#[tokio::test]
async fn a_library_in_rust_lays_out_networks_and_its_panics_are_caught() {
    let host = Landscape::new();
    std::fs::copy(rust_example(), host.path("so/rusty.so")).unwrap();
    writable_by_owner_alone(&host.path("so/rusty.so"));
    let driver = host.plugins.driver("rusty").await.unwrap();
    let mut network = subjects::network();
    driver.create_network(&network, &Facts::default()).await.unwrap();
    network.options.insert("panic".into(), "now".into());
    let error = driver.create_network(&network, &Facts::default()).await.unwrap_err().to_string();
    assert_eq!(error, "plugin rusty: NetworkDriver.CreateNetwork: the plugin panicked: as it was asked for");
    network.options.clear();
    network.pools.push(network.pools[0].clone());
    let error = driver.create_network(&network, &Facts::default()).await.unwrap_err().to_string();
    assert_eq!(error, "plugin rusty: NetworkDriver.CreateNetwork: remote: one subnet is enough");
    let endpoint = subjects::endpoint(&network);
    driver.leave(&network, &endpoint).await.unwrap();
    driver.delete_network(&network).await.unwrap();
}

#[tokio::test]
async fn the_same_library_in_a_process_of_its_own_is_a_plugin_like_any_other() {
    let host = Landscape::new();
    let listener = UnixListener::bind(host.path("run/rusty.sock")).unwrap();
    let library = host.path("rusty.so");
    std::fs::copy(rust_example(), &library).unwrap();
    writable_by_owner_alone(&library);
    let served = tokio::spawn(async move { serve_library(&library, listener).await });
    let driver = host.plugins.driver("rusty").await.unwrap();
    let mut network = subjects::network();
    driver.create_network(&network, &Facts::default()).await.unwrap();
    network.options.insert("panic".into(), "now".into());
    let error = driver.create_network(&network, &Facts::default()).await.unwrap_err().to_string();
    assert!(error.ends_with("the plugin panicked: as it was asked for"), "{error}");
    driver.leave(&network, &subjects::endpoint(&network)).await.unwrap();
    served.abort();
}

#[test]
fn whatever_is_no_plugin_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (definition, told) in [
        ("-DMAGIC=7", "its table begins with 0x0000000000000007"),
        ("-DMAJOR=2", "it is of version 2, and this is version 1"),
        ("-DSIZE=16", "its table is 16 bytes long"),
        ("-DENTRY=another_name", "it does not export trestle_plugin_v1"),
    ] {
        let path = at(&format!("{}.so", definition.replace(['-', '='], "")));
        c_example(&path, &[definition]);
        let error = refused(&path);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(told) && error.to_string().contains(&path.display().to_string()), "{error}");
    }
    std::fs::write(at("text.so"), "no library at all").unwrap();
    writable_by_owner_alone(&at("text.so"));
    assert!(refused(&at("text.so")).to_string().contains("it can't be loaded"));
    assert_eq!(refused(&at("missing.so")).kind(), ErrorKind::Invalid);
}

#[test]
fn a_library_that_others_may_have_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.so");
    c_example(&path, &[]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o775)).unwrap();
    let error = refused(&path);
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.to_string().contains("mode 0775"), "{error}");
    writable_by_owner_alone(&path);
    // Only root can give a file away; whoever else runs this has shown the half of it above.
    if chown(&path, Some(4242), None).is_ok() {
        assert!(refused(&path).to_string().contains("it belongs to user 4242"));
    }
    assert_eq!(refused(folder.path()).kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn garbage_of_a_library_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.so");
    c_example(&path, &["-DACTIVATE=\"{half\""]);
    let client = Client::new(Address::Library(path), Limits::default()).unwrap();
    let error = client.call(&Activate {}).await.unwrap_err();
    assert!(matches!(error, Failure::Garbled(_)), "{error:?}");
}
