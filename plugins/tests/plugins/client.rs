//! One caller, one plugin, one call: what is sent, and how each way to fail is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use trestle_core::ErrorKind;
use trestle_plugins::client::{Address, Client, Failure, Limits, TlsFiles};
use trestle_plugins::wire::network::{DeleteNetwork, Leave, Place};
use trestle_plugins::wire::{Activate, ipam};

use crate::scripted::{Heard, Reaction, Scripted, serve, status};

/// Patient where a plugin answers, and soon done with one that does not.
fn limits() -> Limits {
    let wait = Duration::from_millis(1);
    Limits { deadline: Duration::from_secs(60), largest: 1 << 16, tries: 3, first_wait: wait, longest_wait: wait }
}

fn impatient() -> Limits {
    Limits { deadline: Duration::from_millis(500), ..limits() }
}

struct Case {
    folder: TempDir,
    plugin: Scripted,
    client: Client,
}

fn case(limits: Limits, script: impl Fn(usize, &Heard) -> Reaction + Send + Sync + 'static) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.sock");
    let plugin = Scripted::at(&path, script);
    Case { plugin, client: Client::new(Address::Unix(path), limits).unwrap(), folder }
}

fn delete() -> DeleteNetwork {
    DeleteNetwork { network: "a".repeat(64) }
}

#[tokio::test]
async fn a_call_is_what_docker_s_daemon_sends() {
    let case = case(limits(), |_, _| Reaction::Say(r#"{"Implements": ["NetworkDriver"]}"#.into()));
    let manifest = case.client.call(&Activate {}).await.unwrap();
    assert_eq!(manifest.implements, ["NetworkDriver"]);
    case.client.call(&delete()).await.unwrap();
    let [handshake, deletion] = &case.plugin.heard()[..] else { panic!("two calls were made") };
    assert_eq!((handshake.method.as_str(), handshake.body.as_str()), ("Plugin.Activate", ""));
    assert!(handshake.headers.contains("accept: application/vnd.docker.plugins.v1.2+json\n"), "{}", handshake.headers);
    assert!(handshake.headers.contains("host: plugin.moby.localhost\n"), "{}", handshake.headers);
    assert!(!handshake.headers.contains("content-type"), "{}", handshake.headers);
    assert_eq!(deletion.method, "NetworkDriver.DeleteNetwork");
    assert_eq!(deletion.body, format!("{{\"NetworkID\":\"{}\"}}\n", "a".repeat(64)));
}

#[tokio::test]
async fn null_and_an_empty_object_are_answers() {
    let case = case(limits(), |before, _| Reaction::Say(if before == 0 { "null" } else { "{}" }.into()));
    assert_eq!(case.client.call(&Activate {}).await.unwrap().implements, [""; 0]);
    case.client.call(&delete()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_in_the_plugin_s_words() {
    let case = case(limits(), |_, heard| match heard.method.as_str() {
        "NetworkDriver.DeleteNetwork" => Reaction::Say(r#"{"Err": "in use"}"#.into()),
        "NetworkDriver.Leave" => Reaction::Raw(status("500 Internal Server Error", r#"{"Err": "on fire"}"#)),
        "IpamDriver.ReleasePool" => Reaction::Say(r#"{"Error": "whose pool?"}"#.into()),
        "IpamDriver.ReleaseAddress" => Reaction::Raw(status("500 Internal Server Error", r#"{"Err": "no pool"}"#)),
        _ => Reaction::Raw(status("400 Bad Request", "no JSON at all")),
    });
    let error = case.client.call(&delete()).await.unwrap_err();
    assert_eq!(error, Failure::Refused("in use".into()));
    assert_eq!(error.of("NetworkDriver.DeleteNetwork").to_string(), "NetworkDriver.DeleteNetwork: remote: in use");
    let error = case.client.call(&Leave(Place::default())).await.unwrap_err();
    assert_eq!(error.of("NetworkDriver.Leave").to_string(), "NetworkDriver.Leave: on fire");
    let error = case.client.call(&ipam::ReleasePool::default()).await.unwrap_err();
    assert_eq!(error, Failure::Refused("whose pool?".into()));
    let error = case.client.call(&ipam::ReleaseAddress::default()).await.unwrap_err();
    assert_eq!(error, Failure::Status { code: 500, text: "no pool".into() });
    let error = case.client.call(&Activate {}).await.unwrap_err();
    assert_eq!(error, Failure::Status { code: 400, text: "no JSON at all".into() });
    assert_eq!(case.plugin.heard().len(), 5, "a plugin that answers is asked once");
}

#[tokio::test]
async fn a_refusal_in_the_other_kind_s_field_is_none() {
    let case = case(limits(), |_, _| Reaction::Say(r#"{"Error": "not a network driver's word"}"#.into()));
    case.client.call(&delete()).await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_with_the_whole_body() {
    let case = case(limits(), |before, _| match before {
        0 => Reaction::Raw(Vec::new()),
        1 => Reaction::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Err".to_vec()),
        _ => Reaction::Say("{}".into()),
    });
    case.client.call(&delete()).await.unwrap();
    let heard = case.plugin.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|call| call.json() == json!({"NetworkID": "a".repeat(64)})), "{heard:?}");
}

#[tokio::test]
async fn tries_are_bounded() {
    let case = case(limits(), |_, _| Reaction::Raw(Vec::new()));
    let error = case.client.call(&delete()).await.unwrap_err();
    assert!(matches!(error, Failure::Unreachable(_)), "{error:?}");
    assert_eq!(error.of("m").kind(), ErrorKind::Unavailable);
    assert_eq!(case.plugin.heard().len(), 3);
}

#[tokio::test]
async fn a_dead_socket_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    for path in [path, folder.path().join("missing.sock")] {
        let client = Client::new(Address::Unix(path.clone()), limits()).unwrap();
        let error = client.call(&Activate {}).await.unwrap_err().of("Plugin.Activate");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_plugin_that_is_slow_is_left_at_the_deadline() {
    for reaction in [
        (|| Reaction::Hang) as fn() -> Reaction,
        || Reaction::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Err".to_vec()),
        || Reaction::Stall(b"HTTP/1.1 200 O".to_vec()),
    ] {
        let case = case(impatient(), move |_, _| reaction());
        let error = case.client.call(&delete()).await.unwrap_err();
        assert_eq!(error, Failure::Late { limit: Duration::from_millis(500), before: None });
        assert_eq!(case.plugin.heard().len(), 1, "what takes long is not begun again");
    }
}

#[tokio::test]
async fn the_deadline_tells_how_the_try_before_went() {
    let case = case(Limits { tries: 2, ..impatient() }, |before, _| match before {
        0 => Reaction::Raw(Vec::new()),
        _ => Reaction::Hang,
    });
    let error = case.client.call(&delete()).await.unwrap_err();
    assert!(matches!(error, Failure::Late { before: Some(_), .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_and_not_kept_in_memory() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(4));
    for bytes in [announced, endless] {
        let case = case(limits(), move |_, _| Reaction::Stall(bytes.clone().into_bytes()));
        let error = case.client.call(&delete()).await.unwrap_err();
        assert_eq!(error, Failure::TooLarge(1 << 16));
        assert_eq!(error.of("m").kind(), ErrorKind::Internal);
    }
}

#[tokio::test]
async fn an_answer_that_can_t_be_read_is_shown() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    for (bytes, told) in [
        (status("200 OK", ""), "an empty body; at least {} is expected"),
        (
            status("200 OK", "{\"Err\": \"in u"),
            "no answer in JSON (EOF while parsing a string at line 1 column 13), but application/json, 13 bytes",
        ),
        (html.as_bytes().to_vec(), "but text/html, 6 bytes: \"<html>\""),
        (status("200 OK", "[1]"), "no answer in JSON"),
        (status("200 OK", r#"{"Implements": 7}"#), "invalid type: integer `7`"),
        (status("200 OK", &"{\"a\":".repeat(9999)), "recursion limit"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "no HTTP"),
    ] {
        let case = case(limits(), move |_, _| Reaction::Raw(bytes.clone()));
        let error = case.client.call(&Activate {}).await.unwrap_err();
        assert!(matches!(error, Failure::Garbled(_)), "{error:?}");
        assert!(error.to_string().contains(told), "{error} should tell: {told}");
        assert_eq!(case.plugin.heard().len(), 1);
    }
}

#[tokio::test]
async fn json_under_another_content_type_is_taken() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}";
    let case = case(limits(), |_, _| Reaction::Raw(answer.into()));
    case.client.call(&Activate {}).await.unwrap();
}

#[tokio::test]
async fn a_plugin_may_wait_for_another_call_while_it_is_called() {
    let signal = Arc::new(Notify::new());
    let notify = Arc::clone(&signal);
    let case = case(limits(), move |_, heard| match heard.method.as_str() {
        "Plugin.Activate" => Reaction::After(Arc::clone(&signal), "{}".into()),
        _ => {
            notify.notify_one();
            Reaction::Say("{}".into())
        }
    });
    let deletion = delete();
    let (first, second) = tokio::join!(case.client.call(&Activate {}), case.client.call(&deletion));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn a_plugin_that_came_again_is_asked_on_a_new_connection() {
    let Case { folder, plugin, client } = case(limits(), |_, _| Reaction::Say("{}".into()));
    client.call(&Activate {}).await.unwrap();
    drop(plugin);
    let path = folder.path().join("plugin.sock");
    std::fs::remove_file(&path).unwrap();
    let _plugin = Scripted::at(&path, |_, _| Reaction::Raw(status("200 OK", "{}")));
    client.call(&Activate {}).await.unwrap();
    client.call(&Activate {}).await.unwrap();
}

/// Files of a small authority, in a folder that goes with this value.
struct Certificates {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key)
    }

    fn files(&self, authorities: bool, identity: Option<&str>) -> TlsFiles {
        let path = |file: String| self.folder.path().join(file);
        TlsFiles {
            authorities: authorities.then(|| path("ca.pem".into())),
            identity: identity.map(|name| (path(format!("{name}.pem")), path(format!("{name}.key")))),
        }
    }

    /// A plugin on the loopback that asks its callers for a certificate.
    async fn plugin(&self, name: &str) -> u16 {
        let (certificate, key) = self.issue(name);
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    let script = Arc::new(|_, _: &Heard| Reaction::Say("{}".into()));
                    tokio::spawn(serve(stream, Arc::new(Mutex::default()), script));
                }
            }
        });
        port
    }
}

#[tokio::test]
async fn mutual_tls_takes_whom_the_authority_knows_and_nobody_else() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    ours.issue("caller");
    others.issue("caller");
    let port = ours.plugin("localhost").await;
    let call = async |host: &str, files: TlsFiles| {
        let address = Address::parse(&format!("https://{host}:{port}"), files).unwrap();
        Client::new(address, limits()).unwrap().call(&Activate {}).await
    };
    call("localhost", ours.files(true, Some("caller"))).await.unwrap();
    call("127.0.0.1", ours.files(false, Some("caller"))).await.expect("without authorities, anybody is believed");
    for (host, files) in [
        ("localhost", ours.files(true, None)),
        (
            "localhost",
            TlsFiles { authorities: ours.files(true, None).authorities, ..others.files(true, Some("caller")) },
        ),
        (
            "localhost",
            TlsFiles { authorities: others.files(true, None).authorities, ..ours.files(true, Some("caller")) },
        ),
        ("127.0.0.1", ours.files(true, Some("caller"))),
    ] {
        let error = call(host, files.clone()).await.unwrap_err();
        assert!(matches!(error, Failure::Unreachable(_)), "{files:?}: {error:?}");
    }
}

#[test]
fn a_file_that_tls_can_t_use_is_named() {
    let certificates = Certificates::new();
    let files = certificates.files(true, Some("nobody"));
    let address = Address::parse("https://localhost", files).unwrap();
    let error = Client::new(address, limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("nobody.key"), "{error}");
}
