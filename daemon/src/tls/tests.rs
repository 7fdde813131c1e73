//! Who is let in, and who is not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::cli::client::Client;
use crate::cli::failure::Code;
use crate::config::{Flags, Host, Settings, TlsFiles};
use crate::serve;

/// A folder with an authority `ca.pem`, and for each name a certificate of its with the key.
fn certificates(names: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", authority.pem());
    for name in names {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}-key.pem"), key.serialize_pem());
    }
    folder
}

fn files(folder: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        authorities: folder.join("ca.pem"),
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}-key.pem")),
    }
}

/// A server that answers `hello` to whoever gets in.
fn serving(files: &TlsFiles) -> (SocketAddr, watch::Sender<bool>) {
    serving_with(files, serve::Limits::default())
}

fn serving_with(files: &TlsFiles, limits: serve::Limits) -> (SocketAddr, watch::Sender<bool>) {
    // Not the machine's own file, should it have one.
    let config_file = files.authorities.with_file_name("daemon.json");
    std::fs::write(&config_file, "{}").unwrap();
    let flags = Flags { group: Some("0".into()), config_file: Some(config_file), ..Flags::default() };
    let mut settings = Settings::load(flags).unwrap();
    settings.hosts = vec![Host::Tcp { name: "127.0.0.1".into(), port: 0 }];
    let listeners = serve::bind(&settings, Some(server(files).unwrap())).unwrap();
    let address = listeners[0].local_address().unwrap();
    let (stop, stopping) = watch::channel(false);
    let router = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(serve::serve(listeners, router, limits, stopping));
    (address, stop)
}

async fn ask(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_the_authority_is_answered() {
    let folder = certificates(&["daemon", "person"]);
    let (address, _stop) = serving(&files(folder.path(), "daemon"));
    let answer = ask(address, client(&files(folder.path(), "person")).unwrap()).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let folder = certificates(&["daemon"]);
    let (address, _stop) = serving(&files(folder.path(), "daemon"));
    let mut roots = RootCertStore::empty();
    roots.add(certificates_of(&folder.path().join("ca.pem"))).unwrap();
    let bare = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert!(ask(address, Arc::new(bare)).await.is_err());
}

#[tokio::test]
async fn a_caller_with_another_authority_s_certificate_is_refused() {
    let (ours, theirs) = (certificates(&["daemon"]), certificates(&["stranger"]));
    let (address, _stop) = serving(&files(ours.path(), "daemon"));
    let mut stranger = files(theirs.path(), "stranger");
    stranger.authorities = ours.path().join("ca.pem");
    assert!(ask(address, client(&stranger).unwrap()).await.is_err());
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_hung_up_on() {
    let folder = certificates(&["daemon", "person"]);
    let limits = serve::Limits { handshake: Duration::from_millis(1), ..serve::Limits::default() };
    let (address, _stop) = serving_with(&files(folder.path(), "daemon"), limits);
    // The first bytes of a record that promises more.
    for first in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut rest = Vec::new();
        // A reset is a hang-up, too.
        drop(stream.read_to_end(&mut rest).await);
        assert!(rest.is_empty(), "{rest:?}");
    }
}

/// What the command line says when it asks there.
async fn told(address: SocketAddr, files: Option<TlsFiles>) -> String {
    let host = Host::Tcp { name: "localhost".into(), port: address.port() };
    let client = Client::new(host, files).unwrap();
    let failure = client.get::<serde_json::Value>("/version").await.unwrap_err();
    assert_eq!(failure.code, Code::Unreachable, "{failure:?}");
    failure.message.unwrap()
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_which_file_to_look_at() {
    let (ours, theirs) = (certificates(&["daemon", "person"]), certificates(&["stranger"]));
    let (address, _stop) = serving(&files(ours.path(), "daemon"));
    let mut stranger = files(theirs.path(), "stranger");
    let own = stranger.certificate.display().to_string();
    let authorities = stranger.authorities.display().to_string();

    let distrusted = told(address, Some(stranger.clone())).await;
    assert!(distrusted.contains(&format!("no authority in {authorities} (--tlscacert")), "{distrusted}");

    stranger.authorities = ours.path().join("ca.pem");
    let refused = told(address, Some(stranger)).await;
    assert!(refused.contains(&own) && refused.contains("--tlscert") && refused.contains("signed it"), "{refused}");

    let bare = told(address, None).await;
    assert!(bare.contains("does it ask for TLS (--cert-path)?"), "{bare}");

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    });
    let no_tls = told(address, Some(files(ours.path(), "person"))).await;
    assert!(no_tls.contains("does not speak TLS"), "{no_tls}");
}

#[test]
fn a_file_that_can_not_be_used_is_named() {
    let folder = certificates(&["daemon"]);
    let good = files(folder.path(), "daemon");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (wrong, named) in [
        (TlsFiles { key: "/nowhere/key.pem".into(), ..good.clone() }, "/nowhere/key.pem"),
        (TlsFiles { authorities: empty.clone(), ..good.clone() }, "empty.pem: there is no certificate"),
        (TlsFiles { certificate: empty.clone(), ..good.clone() }, "empty.pem: there is no certificate"),
        (TlsFiles { key: folder.path().join("ca.pem"), ..good.clone() }, "ca.pem"),
    ] {
        let refusal = server(&wrong).unwrap_err().to_string();
        assert!(refusal.contains(named), "{refusal}");
    }
}

fn certificates_of(path: &Path) -> CertificateDer<'static> {
    super::certificates(path).unwrap().remove(0)
}
